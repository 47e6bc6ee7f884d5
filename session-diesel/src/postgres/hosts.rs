//! The hosts of a URL: which one is tried, for how long, and which one is refused.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use session_sql::postgres::settings;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode, SslNegotiation, TargetSessionAttrs};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, Connection, Error, SimpleQueryMessage, Socket};

/// How long one host may take for its whole greeting, where the URL has no `connect_timeout`.
const GREETING: Duration = Duration::from_secs(2);

/// How long all of them may take, so that one call gets to the last one within its deadline.
const ALL_GREETINGS: Duration = Duration::from_secs(4);

/// The hosts of a URL, and what was learned of them.
///
/// Of several, only the one that writes is used: a standby shows what was there a while ago, and a session that was ended
/// would load. So is a primary that a failover left behind, which still believes that it is one.
#[derive(Debug)]
pub(super) struct Hosts {
    /// One for each.
    configs: Vec<Config>,
    /// How long one may take for its greeting, if there are several.
    greeting: Duration,
    /// Twice as long after each round in which one did not answer in time and none was good, up to `patience`.
    rounds: AtomicU32,
    patience: Duration,
    /// The one that was good last.
    good: AtomicUsize,
    /// The highest timeline seen: each failover begins a new one.
    timeline: AtomicU32,
}

/// Why no host was good.
pub(super) enum Refused {
    Client(Error),
    Words(String),
}

impl Hosts {
    /// `own_timeout` says that the URL has a `connect_timeout`, and `patience` is how long a login may take.
    pub(super) fn of(config: &Config, own_timeout: bool, patience: Duration) -> Hosts {
        let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
        let mut configs = match hosts {
            0 | 1 => vec![config.clone()],
            several => (0..several).map(|index| alone(config, index)).collect(),
        };
        configs.iter_mut().for_each(lead_through_the_way);
        let greeting = match config.get_connect_timeout() {
            Some(own) if own_timeout => *own,
            _ => {
                let share = ALL_GREETINGS / u32::try_from(configs.len()).unwrap_or(u32::MAX);
                share.clamp(Duration::from_millis(500), GREETING)
            }
        };
        Hosts {
            configs,
            greeting,
            rounds: AtomicU32::new(0),
            patience,
            good: AtomicUsize::new(0),
            timeline: AtomicU32::new(0),
        }
    }

    #[cfg(test)]
    pub(super) fn first(&self) -> &Config {
        &self.configs[0]
    }

    /// Connects to the host that was good last, or else to the first of the others that is. `adapt` has the last word on
    /// how.
    pub(super) async fn connect<T>(
        &self,
        tls: &T,
        adapt: impl Fn(&mut Config),
    ) -> Result<(Client, Connection<Socket, T::Stream>), Refused>
    where
        T: MakeTlsConnect<Socket> + Clone,
        T::TlsConnect: Send,
        T::Stream: Send + Unpin,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let first = self.good.load(Ordering::Relaxed).min(self.configs.len() - 1);
        let others = (0..self.configs.len()).filter(|index| *index != first);
        let doubled = 2_u32.saturating_pow(self.rounds.load(Ordering::Relaxed));
        let limit = self.greeting.saturating_mul(doubled).min(self.patience);
        let mut refused = None;
        let mut silent = false;
        for index in std::iter::once(first).chain(others) {
            let mut config = self.configs[index].clone();
            adapt(&mut config);
            if self.configs.len() == 1 {
                return config.connect(tls.clone()).await.map_err(Refused::Client);
            }
            match timeout(limit, self.greet(&config, tls)).await {
                Ok(Ok(connected)) => {
                    self.good.store(index, Ordering::Relaxed);
                    self.rounds.store(0, Ordering::Relaxed);
                    return Ok(connected);
                }
                Ok(Err(why)) => {
                    // What a server says, and what is known of it, tells more than that another one is not there.
                    let tells = match &why {
                        Refused::Client(error) => error.as_db_error().is_some(),
                        Refused::Words(_) => true,
                    };
                    if tells || refused.is_none() {
                        refused = Some(why);
                    }
                }
                Err(_) => silent = true,
            }
        }
        if silent && limit < self.patience {
            self.rounds.fetch_add(1, Ordering::Relaxed);
        }
        Err(refused.unwrap_or_else(|| Refused::Words(format!("no host answered within {limit:?}"))))
    }

    async fn greet<T>(
        &self,
        config: &Config,
        tls: &T,
    ) -> Result<(Client, Connection<Socket, T::Stream>), Refused>
    where
        T: MakeTlsConnect<Socket> + Clone,
        T::Stream: Unpin,
    {
        let (client, mut connection) = config.connect(tls.clone()).await.map_err(Refused::Client)?;
        let asked = tokio::select! {
            answer = client.simple_query(settings::TIMELINE) => answer,
            ended = &mut connection => return Err(match ended {
                Err(error) => Refused::Client(error),
                Ok(()) => Refused::Words("the server closed the connection".to_owned()),
            }),
        };
        // Who may not ask does without.
        if let Some(timeline) = asked.ok().and_then(|messages| timeline_of(&messages)) {
            let newest = self.timeline.fetch_max(timeline, Ordering::Relaxed);
            if timeline < newest {
                return Err(Refused::Words(format!(
                    "a primary of timeline {timeline} was left behind by a failover to timeline {newest}; stop it, or \
                     make it a standby of the new one"
                )));
            }
        }
        Ok((client, connection))
    }
}

/// The first eight digits of the name of a file of the write-ahead log.
fn timeline_of(messages: &[SimpleQueryMessage]) -> Option<u32> {
    messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => u32::from_str_radix(row.get(0)?.get(..8)?, 16).ok(),
        _ => None,
    })
}

/// Has tokio-postgres leave to a [`Way`](super::way::Way) whether, and how, a connection is encrypted. It has none for a
/// socket's file, to which nobody else listens.
fn lead_through_the_way(config: &mut Config) {
    let is_network = config.get_hosts().iter().all(|host| matches!(host, Host::Tcp(_)));
    config.ssl_mode(if is_network { SslMode::Require } else { SslMode::Disable });
    config.ssl_negotiation(if is_network { SslNegotiation::Direct } else { SslNegotiation::Postgres });
}

/// What a URL says of one of its hosts. It must be the one that writes.
fn alone(all: &Config, index: usize) -> Config {
    let mut one = Config::new();
    if let Some(host) = all.get_hosts().get(index) {
        match host {
            Host::Tcp(name) => one.host(name),
            #[cfg(unix)]
            Host::Unix(path) => one.host_path(path),
        };
    }
    if let Some(address) = all.get_hostaddrs().get(index) {
        one.hostaddr(*address);
    }
    if let Some(port) = all.get_ports().get(index).or(all.get_ports().last()) {
        one.port(*port);
    }
    if let Some(user) = all.get_user() {
        one.user(user);
    }
    if let Some(name) = all.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = all.get_options() {
        one.options(options);
    }
    if let Some(name) = all.get_application_name() {
        one.application_name(name);
    }
    if let Some(password) = all.get_password() {
        one.password(password);
    }
    if let Some(limit) = all.get_connect_timeout() {
        one.connect_timeout(*limit);
    }
    if let Some(limit) = all.get_tcp_user_timeout() {
        one.tcp_user_timeout(*limit);
    }
    if let Some(interval) = all.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = all.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    one.keepalives(all.get_keepalives())
        .keepalives_idle(all.get_keepalives_idle())
        .ssl_mode(all.get_ssl_mode())
        .ssl_negotiation(all.get_ssl_negotiation())
        .channel_binding(all.get_channel_binding())
        .target_session_attrs(TargetSessionAttrs::ReadWrite);
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_what_the_url_says_of_all() {
        let url = "postgres://u:p@a:1,b:2,c:3/d?application_name=x&keepalives_idle=7&options=-c%20jit%3Doff";
        let hosts = Hosts::of(&url.parse().unwrap(), false, Duration::from_secs(30));
        let shown: Vec<String> = hosts.configs.iter().map(|config| format!("{config:?}")).collect();
        for (index, name) in ["a", "b", "c"].into_iter().enumerate() {
            let alone = format!("postgres://u:p@{name}:{}/d", index + 1);
            let alone = format!("{alone}?application_name=x&keepalives_idle=7&options=-c%20jit%3Doff");
            let alone: Config =
                format!("{alone}&target_session_attrs=read-write&sslmode=require&sslnegotiation=direct")
                    .parse()
                    .unwrap();
            assert_eq!(shown[index], format!("{alone:?}"));
        }
        // All of them within a call's deadline.
        assert!(hosts.greeting * 3 <= ALL_GREETINGS);
    }
}
