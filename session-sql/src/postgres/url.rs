//! What libpq takes as a connection string, in both of its forms: read as libpq reads it, or refused with what to write.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use session_core::{Error, Result};

use crate::{nearest, percent_decoded, percent_encoded};

/// The words of a connection string, each with its last value. Its `Debug` shows no value.
#[derive(Default)]
pub struct Words(Vec<(String, String)>);

/// Words that a store makes something of, whatever its client library.
const TAKEN: &[&str] = &[
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Where libpq looks for what a connection string leaves out. It has more of them: those that it would refuse here, and
/// those that are of no use to a store, are passed over.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGDATABASE", "dbname"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGCHANNELBINDING", "channel_binding"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGAPPNAME", "application_name"),
    ("PGOPTIONS", "options"),
];

/// Where servers on this machine have their sockets: as Debian, Red Hat and most others build libpq, and as it comes.
const SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// Words that change nothing here: what they ask for is so, or is never done.
const WITHOUT_EFFECT: &[&str] = &[
    // Kerberos' encryption is never used, and TLS compression neither.
    "gssencmode",
    "gsslib",
    "krbsrvname",
    "gssdelegation",
    "sslcompression",
    // The host's name is always in the handshake.
    "sslsni",
];

/// Words of libpq that are refused, and what to write.
const REFUSED: &[(&str, &str)] = &[
    ("passfile", "give the password with `credentials` or `credentials_from`"),
    ("service", "write host, user and dbname themselves"),
    ("servicefile", "write host, user and dbname themselves"),
    ("sslcert", "certificates of clients are not supported; log in with a password"),
    ("sslkey", "certificates of clients are not supported; log in with a password"),
    ("sslcertmode", "certificates of clients are not supported; log in with a password"),
    ("sslpassword", "certificates of clients are not supported; log in with a password"),
    ("sslcrl", "lists of revoked certificates are not supported; leave it out"),
    ("sslcrldir", "lists of revoked certificates are not supported; leave it out"),
    ("ssl_min_protocol_version", "TLS 1.2 and 1.3 are what is used; leave it out"),
    ("ssl_max_protocol_version", "TLS 1.2 and 1.3 are what is used; leave it out"),
    ("min_protocol_version", "version 3.0 of the protocol is used; leave it out"),
    ("max_protocol_version", "version 3.0 of the protocol is used; leave it out"),
    ("requirepeer", "the user that a socket's server runs as is not checked; leave it out"),
    ("require_auth", "the way of logging in cannot be demanded; use sslmode=verify-full"),
    ("replication", "a store has no use for a replication connection; leave it out"),
    ("scram_client_key", "log in with a password"),
    ("scram_server_key", "log in with a password"),
    ("sslkeylogfile", "the keys of a connection are not written down; leave it out"),
    ("oauth_issuer", "log in with a password, or give a token as one with `credentials_from`"),
    ("oauth_client_id", "log in with a password, or give a token as one with `credentials_from`"),
    ("oauth_client_secret", "log in with a password, or give a token as one with `credentials_from`"),
    ("oauth_scope", "log in with a password, or give a token as one with `credentials_from`"),
    // What libpq does not know, and other clients do: JDBC, Npgsql, Prisma, sqlx, node-postgres.
    ("ssl", "it is `sslmode`: disable, require or verify-full"),
    ("sslaccept", "it is `sslmode`: disable, require or verify-full"),
    ("schema", "write options=-c%20search_path=name, or put the schema's name before the table's"),
    ("currentSchema", "write options=-c%20search_path=name, or put the schema's name before the table's"),
    ("search_path", "write options=-c%20search_path=name, or put the schema's name before the table's"),
    ("statement_timeout", "use the builder's `statement_timeout`, or options=-c%20statement_timeout=4500"),
    ("lock_timeout", "use the builder's `lock_timeout`, or options=-c%20lock_timeout=4000"),
    ("pgbouncer", "build the store with `pgbouncer(true)`, which session-diesel has"),
    ("connection_limit", "use the builder's `pool_size`"),
    ("pool_size", "use the builder's `pool_size`"),
    ("pool_timeout", "the deadline of a call bounds its wait, too; leave it out"),
    ("statement-cache-capacity", "a store's statements are few, and kept; leave it out"),
    ("statement_cache_size", "a store's statements are few, and kept; leave it out"),
    ("loginTimeout", "use `connect_timeout`, or the builder's `login_timeout`"),
    ("socketTimeout", "the deadline of a call bounds it; leave it out"),
    ("tcpKeepAlive", "it is `keepalives`, with 0 or 1"),
    ("ApplicationName", "it is `application_name`"),
];

/// Values of words that are refused otherwise, with which they ask for what is so.
const FINE: &[(&str, &[&str])] = &[
    ("ssl_min_protocol_version", &["TLSv1", "TLSv1.1", "TLSv1.2"]),
    ("ssl_max_protocol_version", &["TLSv1.3"]),
    ("min_protocol_version", &["3.0"]),
    ("max_protocol_version", &["3.0", "latest"]),
    ("sslcertmode", &["disable", "allow"]),
    ("ssl", &["true"]),
];

impl Words {
    /// Reads a connection string, and what the environment adds to it. `besides` are words of [libpq's][words] that this
    /// client library takes and the others do not.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if it is none, or asks for what cannot be. No error quotes it.
    ///
    /// [words]: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
    pub fn parse(text: &str, besides: &[&str]) -> Result<Words> {
        Words::read(text, besides, |name| std::env::var(name).ok(), |path| path.exists())
    }

    /// With what the environment has, and which files there are.
    fn read(
        text: &str,
        besides: &[&str],
        environment: impl Fn(&str) -> Option<String>,
        exists: impl Fn(&Path) -> bool,
    ) -> Result<Words> {
        let mut words = match text.strip_prefix("postgres://").or(text.strip_prefix("postgresql://")) {
            Some(url) => Words::of_url(url)?,
            None if text.starts_with("jdbc:postgresql:") => {
                return Err(Error::invalid_input(
                    "this is JDBC's form; use postgres://user:password@host:port/database, with the user in front",
                ));
            }
            None if text.split('=').next().is_some_and(|start| start.contains("://")) => {
                return Err(Error::invalid_input(
                    "the Postgres URL begins with another word; use postgres://user:password@host:port/database",
                ));
            }
            None => Words::of_pairs(text)?,
        };
        words.check(besides)?;
        for (variable, word) in ENVIRONMENT {
            // An address and a name belong together: one of them in the string is its own.
            let is_given = words.get(word).is_some()
                || (matches!(*word, "host" | "hostaddr")
                    && (words.get("host").is_some() || words.get("hostaddr").is_some()));
            if let Some(value) = environment(variable).filter(|value| !is_given && !value.is_empty()) {
                words.set(word, value);
            }
        }
        words.name_sockets(exists)?;
        Ok(words)
    }

    /// As libpq, which takes a server's socket on this machine where no host is named.
    fn name_sockets(&mut self, exists: impl Fn(&Path) -> bool) -> Result<()> {
        let hosts = match (self.get("host"), self.get("hostaddr")) {
            (Some(hosts), _) => hosts.to_owned(),
            // It is what a certificate has to name, too.
            (None, Some(addresses)) => {
                let addresses = addresses.to_owned();
                self.set("host", addresses);
                return Ok(());
            }
            (None, None) => String::new(),
        };
        if hosts.split(',').any(|host| host.starts_with('@')) {
            return Err(Error::invalid_input(
                "a host of the Postgres URL is a socket without a file; name the server's port and localhost",
            ));
        }
        if !cfg!(unix) {
            let named = hosts.split(',').map(|host| if host.is_empty() { "localhost" } else { host });
            self.set("host", named.collect::<Vec<_>>().join(","));
            return Ok(());
        }
        let ports = self.get("port").unwrap_or_default().to_owned();
        let port_of = |place: usize| {
            let port = ports.split(',').nth(place).or(ports.split(',').next()).unwrap_or_default();
            if port.is_empty() { "5432".to_owned() } else { port.to_owned() }
        };
        let several = hosts.contains(',');
        let mut named = Vec::new();
        for (place, host) in hosts.split(',').enumerate() {
            if !host.is_empty() {
                named.push(host.to_owned());
                continue;
            }
            let file = |folder: &&str| Path::new(folder).join(format!(".s.PGSQL.{}", port_of(place)));
            match SOCKETS.into_iter().find(|folder| exists(&file(folder))) {
                Some(folder) => named.push(folder.to_owned()),
                // No server runs yet, and the first one that does is meant.
                None if !several => named.extend(SOCKETS.map(str::to_owned)),
                None => named.push(SOCKETS[0].to_owned()),
            }
        }
        self.set("host", named.join(","));
        Ok(())
    }

    /// How long data that was sent may stay unacknowledged: in milliseconds, as with libpq.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if it is no number.
    pub fn take_tcp_user_timeout(&mut self) -> Result<Option<Duration>> {
        let millis = self.take_number("tcp_user_timeout")?;
        Ok(millis.filter(|millis| *millis > 0).map(|millis| Duration::from_millis(millis.unsigned_abs())))
    }

    /// How long connecting may take; `Some(None)` for as long as it likes, as libpq reads 0.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if it is no number.
    pub fn take_connect_timeout(&mut self) -> Result<Option<Option<Duration>>> {
        let seconds = self.take_number("connect_timeout")?;
        Ok(seconds.map(|seconds| {
            // libpq before 17 made 2 of 1, as it counted whole seconds of the clock.
            (seconds > 0).then(|| Duration::from_secs(seconds.unsigned_abs()))
        }))
    }

    fn take_number(&mut self, name: &str) -> Result<Option<i64>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| Error::invalid_input(format!("the Postgres URL's `{name}` is no whole number")))
    }

    /// Takes a word out.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(word, _)| word == name)?;
        Some(self.0.remove(at).1)
    }

    /// True if there is this word.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The value of a word.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(word, _)| word == name).map(|(_, value)| value.as_str())
    }

    /// As libpq: the last one counts.
    pub fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(word, _)| word == name) {
            Some(known) => known.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// The words in the form that is not a URL.
    pub fn joined(&self) -> String {
        let pair = |(name, value): &(String, String)| {
            format!("{name}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
        };
        self.0.iter().map(pair).collect::<Vec<_>>().join(" ")
    }

    /// The words as the parameters of a URL.
    pub fn query(&self) -> String {
        let pair = |(name, value): &(String, String)| format!("{name}={}", percent_encoded(value));
        self.0.iter().map(pair).collect::<Vec<_>>().join("&")
    }

    fn check(&mut self, besides: &[&str]) -> Result<()> {
        for (word, instead) in REFUSED.iter().filter(|(word, _)| !besides.contains(word)) {
            let fine = FINE.iter().find(|(fine, _)| fine == word).map_or(&[][..], |(_, values)| values);
            if self.get(word).is_some_and(|value| !value.is_empty() && !fine.contains(&value)) {
                return Err(Error::invalid_input(format!("the Postgres URL has `{word}`: {instead}")));
            }
            self.take(word);
        }
        for word in WITHOUT_EFFECT {
            if *word == "gssencmode" && self.get(word) == Some("require") {
                return Err(Error::invalid_input(
                    "the Postgres URL asks for Kerberos' encryption; use sslmode=require",
                ));
            }
            self.take(word);
        }
        if let Some(name) = self.take("fallback_application_name")
            && self.get("application_name").is_none_or(str::is_empty)
        {
            self.set("application_name", name);
        }
        if let Some(encoding) = self.take("client_encoding") {
            let encoding = encoding.to_ascii_lowercase().replace('-', "");
            if !matches!(encoding.as_str(), "" | "auto" | "utf8" | "unicode") {
                return Err(Error::invalid_input(
                    "the Postgres URL's client_encoding is not UTF8; leave it out",
                ));
            }
        }
        if let Some(retries) = self.take("keepalives_count") {
            self.set("keepalives_retries", retries);
        }
        // Never the name itself: what stands at a wrong place may be a password.
        let known = || TAKEN.iter().chain(besides).copied();
        if let Some((unknown, _)) = self.0.iter().find(|(word, _)| !known().any(|known| known == word)) {
            let meant =
                nearest(unknown, known()).map(|meant| format!(" (is it `{meant}`?)")).unwrap_or_default();
            return Err(Error::invalid_input(format!(
                "the Postgres URL has a parameter that libpq does not know{meant}; use \
                 postgres://user:password@host:port/database?name=value, with %40 for an @ in a password",
            )));
        }
        // An empty value is none, as with libpq.
        self.0.retain(|(_, value)| !value.is_empty());
        let target = match self.get("target_session_attrs") {
            Some("read-only" | "standby" | "prefer-standby") => {
                return Err(Error::invalid_input(
                    "the Postgres URL's target_session_attrs asks for a server that does not write, and a session store \
                     writes; leave it out, or use read-write",
                ));
            }
            Some("primary") => Some("read-write"),
            _ => None,
        };
        if let Some(target) = target {
            self.set("target_session_attrs", target.to_owned());
        }
        Ok(())
    }

    /// `user:password@host:port,host:port/database?name=value`, each part decoded.
    fn of_url(url: &str) -> Result<Words> {
        let mut words = Words::default();
        let (url, query) = url.split_once('?').map_or((url, None), |(url, query)| (url, Some(query)));
        let (authority, database) = url.split_once('/').map_or((url, ""), |(url, database)| (url, database));
        let (login, hosts) =
            authority.rsplit_once('@').map_or(("", authority), |(login, hosts)| (login, hosts));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        for (name, value) in [("user", user), ("password", password), ("dbname", database)] {
            if !value.is_empty() {
                words.set(name, decoded(value)?);
            }
        }
        if !hosts.is_empty() {
            let mut names = Vec::new();
            let mut ports = Vec::new();
            for host in hosts.split(',') {
                let end =
                    if host.starts_with('[') { host.find(']').map_or(host.len(), |end| end + 1) } else { 0 };
                let (name, port) = match host[end..].rfind(':') {
                    Some(colon) => (&host[..end + colon], &host[end + colon + 1..]),
                    None => (host, ""),
                };
                names.push(decoded(name.trim_matches(['[', ']']))?);
                ports.push(if port.is_empty() { "5432" } else { port });
            }
            words.set("host", names.join(","));
            let standard = ports.iter().all(|port| *port == "5432");
            if !standard {
                words.set(
                    "port",
                    if ports.iter().all(|port| *port == ports[0]) {
                        ports[0].to_owned()
                    } else {
                        ports.join(",")
                    },
                );
            }
        }
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                Error::invalid_input(
                    "a parameter of the Postgres URL has no `=`; write ?name=value&name=value",
                )
            })?;
            match (decoded(name)?.as_str(), decoded(value)?) {
                // As libpq reads what JDBC's users write.
                ("ssl", value) if value == "true" => words.set("sslmode", "require".to_owned()),
                (name, value) => words.set(name, value),
            }
        }
        Ok(words)
    }

    /// `name=value name = 'value'`, with `\` before a quote or a backslash.
    fn of_pairs(text: &str) -> Result<Words> {
        let wrong = || {
            Error::invalid_input(
                "the Postgres URL cannot be read; use postgres://user:password@host:port/database, or \
                 host=… user=… password='…' dbname=…",
            )
        };
        let mut words = Words::default();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (name, after) = rest.split_once('=').ok_or_else(wrong)?;
            let name = name.trim_end();
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(wrong());
            }
            let after = after.trim_start();
            let quoted = after.starts_with('\'');
            let mut value = String::new();
            let mut characters = after.char_indices().skip(usize::from(quoted));
            let mut end = None;
            while let Some((at, character)) = characters.next() {
                match character {
                    '\\' => value.extend(characters.next().map(|(_, character)| character)),
                    '\'' if quoted => {
                        end = Some(at + 1);
                        break;
                    }
                    blank if !quoted && blank.is_whitespace() => {
                        end = Some(at);
                        break;
                    }
                    character => value.push(character),
                }
            }
            rest = match end {
                Some(end) => after[end..].trim_start(),
                None if quoted => return Err(wrong()),
                None => "",
            };
            words.set(name, value);
        }
        Ok(words)
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(word, _)| word)).finish()
    }
}

fn decoded(text: &str) -> Result<String> {
    percent_decoded(text).ok_or_else(|| {
        Error::invalid_input(
            "a % in the Postgres URL begins no code of two hexadecimal digits, or the codes are not UTF-8; write %25 for \
             a %",
        )
    })
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind;

    use super::*;

    /// A machine on which nothing is set, and no server has a socket.
    fn read(text: &str) -> Result<Words> {
        Words::read(text, &[], |_| None, |_| false)
    }

    /// The hosts, ports, user, password and database that a form means.
    fn meaning(words: &Words) -> String {
        ["host", "port", "user", "password", "dbname"].map(|word| words.get(word).unwrap_or("-")).join(" ")
    }

    #[test]
    fn each_form_of_libpq_means_the_same() {
        for (text, expected) in [
            ("postgresql://ann:pw@db/app", "db - ann pw app"),
            ("postgres://ann@db:5433/app", "db 5433 ann - app"),
            ("postgres://db", "db - - - -"),
            ("postgres://db:/app", "db - - - app"),
            ("postgres://ann:p%40%3A%2F@db/app", "db - ann p@:/ app"),
            ("postgres://ann:p@w@db/app", "db - ann p@w app"),
            ("postgres://ann:it's\\@db/a'b", "db - ann it's\\ a'b"),
            ("postgres://[::1]:5433/app", "::1 5433 - - app"),
            ("postgres://a:1,b:2/app", "a,b 1,2 - - app"),
            ("postgres://a,b:2/app", "a,b 5432,2 - - app"),
            ("postgres://[::1]:1,b:2/app", "::1,b 1,2 - - app"),
            ("postgres:///app?host=db&port=7&user=ann&password=pw", "db 7 ann pw app"),
            ("postgres://ann@/app?host=/run/postgresql", "/run/postgresql - ann - app"),
            ("postgres://ann@/app?host=/srv/a%20b&port=5433", "/srv/a b 5433 ann - app"),
            ("postgres://%2Frun%2Fpostgresql/app", "/run/postgresql - - - app"),
            ("postgresql://%2Fvar%2Frun:5433/app", "/var/run 5433 - - app"),
            ("postgres://old@old/old?host=new&dbname=app&user=ann", "new - ann - app"),
            ("host=db user=ann password='it\\'s \\\\ x' dbname=app", "db - ann it's \\ x app"),
            ("host=db password=a://b", "db - - a://b -"),
            ("host = db  port=5433 dbname = 'a b'", "db 5433 - - a b"),
            ("host=a,b port=1,2 sslmode='require' sslrootcert='/a b.pem'", "a,b 1,2 - - -"),
            ("host=db gssencmode=prefer sslcompression=0 client_encoding=UTF-8", "db - - - -"),
            ("postgres://db/app?keepalives_count=3&fallback_application_name=x", "db - - - app"),
            ("postgres://db/app?passfile=&service=", "db - - - app"),
            ("postgres://db/app?ssl_min_protocol_version=TLSv1.2", "db - - - app"),
            ("postgres://db/app?target_session_attrs=primary", "db - - - app"),
            ("postgres://db/app?tcp_user_timeout=1500&channel_binding=require", "db - - - app"),
        ] {
            assert_eq!(meaning(&read(text).expect(text)), expected, "{text}");
        }
        let secret = read("postgres://ann:hunter2@db/app").unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"), "{secret:?}");
        assert_eq!(secret.query(), "user=ann&password=hunter2&dbname=app&host=db");
        assert_eq!(read("postgres://db/a?ssl=true").unwrap().take("sslmode").unwrap(), "require");
    }

    #[test]
    fn without_a_host_it_is_the_socket_of_this_machine() {
        let with = |text: &str, file: &str| {
            meaning(&Words::read(text, &[], |_| None, |path| path == Path::new(file)).expect(text))
        };
        for (text, file, expected) in [
            ("postgres:///app", "/var/run/postgresql/.s.PGSQL.5432", "/var/run/postgresql - - - app"),
            ("postgres://ann@/app", "/tmp/.s.PGSQL.5432", "/tmp - ann - app"),
            ("postgres://ann@:5433/app", "/tmp/.s.PGSQL.5433", "/tmp 5433 ann - app"),
            ("postgres://", "/tmp/.s.PGSQL.5432", "/tmp - - - -"),
            ("dbname=app", "/tmp/.s.PGSQL.5432", "/tmp - - - app"),
            ("", "/tmp/.s.PGSQL.5432", "/tmp - - - -"),
            ("host=a,,b", "/tmp/.s.PGSQL.5432", "a,/tmp,b - - - -"),
            // Nobody listens yet.
            ("postgres:///app", "", "/var/run/postgresql,/tmp - - - app"),
        ] {
            assert_eq!(with(text, file), expected, "{text}");
        }
        let by_address = read("postgres://ann@/app?hostaddr=10.0.0.1").unwrap();
        assert_eq!(meaning(&by_address), "10.0.0.1 - ann - app");
    }

    #[test]
    fn what_a_string_leaves_out_is_the_environment_s() {
        let environment = |name: &str| {
            let value = match name {
                "PGHOST" => "db",
                "PGPORT" => "7",
                "PGUSER" => "bob",
                "PGPASSWORD" => "pw",
                "PGDATABASE" => "theirs",
                "PGSERVICE" | "PGPASSFILE" | "PGSSLCERT" => "ignored",
                _ => "",
            };
            Some(value.to_owned())
        };
        let read = |text: &str| meaning(&Words::read(text, &[], environment, |_| false).expect(text));
        assert_eq!(read("postgres:///app"), "db 7 bob pw app");
        assert_eq!(read("postgres://ann:x@here:8/app"), "here 8 ann x app");
        assert_eq!(read("hostaddr=10.0.0.1"), "10.0.0.1 7 bob pw theirs");
    }

    #[test]
    fn what_cannot_mean_the_same_is_refused_with_what_to_write() {
        for (text, says) in [
            ("host=@abstract", "without a file"),
            ("postgres://db/app?passfile=/x", "credentials_from"),
            ("postgres://db/app?service=x", "write host"),
            ("postgres://db/app?sslcert=c.pem", "log in with a password"),
            ("postgres://db/app?sslcertmode=require", "log in with a password"),
            ("postgres://db/app?ssl_min_protocol_version=TLSv1.3", "leave it out"),
            ("postgres://db/app?gssencmode=require", "sslmode=require"),
            ("postgres://db/app?replication=database", "leave it out"),
            ("postgres://db/app?client_encoding=latin1", "leave it out"),
            ("postgres://db/app?target_session_attrs=standby", "read-write"),
            ("postgres://db/app?target_session_attrs=read-only", "read-write"),
            ("postgres://db/app?ssl=false", "`sslmode`"),
            ("postgres://db/app?statement_timeout=100", "`statement_timeout`"),
            ("postgres://db/app?currentSchema=x", "search_path"),
            ("postgres://db/app?pgbouncer=true", "`pgbouncer(true)`"),
            ("postgres://db/app?ssl_mode=require", "is it `sslmode`?"),
            ("postgres://db/app?hunter2=1", "does not know"),
            ("postgres://db/app?sslmode", "name=value"),
            ("postgres://u:100%@db/app", "%25"),
            ("jdbc:postgresql://db/app?user=u", "JDBC"),
            ("mysql://db/app", "postgres://"),
            ("hunter2", "host=…"),
            ("host=db password='open", "host=…"),
        ] {
            let error = read(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(says) && !shown.contains("hunter2"), "{text}: {shown}");
        }
    }
}
