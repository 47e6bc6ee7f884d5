//! One writer: a session after another, each through its whole life.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use session_core::{Result, RotateOutcome, SessionId, Sessions, Updated, Version};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::{Ledger, Session, State, lock, number};

/// How many updates there are before a session moves.
const UPDATES: u64 = 6;

/// Between two writes of one writer: the load is that of a busy site, and no measurement.
const PACE: Duration = Duration::from_millis(10);

pub(super) struct Writer {
    name: usize,
    hosts: Arc<Vec<Sessions<Value>>>,
    ledger: Arc<Mutex<Ledger>>,
    stopped: watch::Receiver<bool>,
    turn: usize,
}

/// What a write came to.
enum Came<T> {
    To(T),
    /// It may have been done.
    Doubt,
    /// The load is over, or what was told cannot be.
    End,
}

impl Writer {
    pub(super) fn new(
        name: usize,
        hosts: &Arc<Vec<Sessions<Value>>>,
        ledger: &Arc<Mutex<Ledger>>,
        stopped: watch::Receiver<bool>,
    ) -> Writer {
        Writer { name, hosts: Arc::clone(hosts), ledger: Arc::clone(ledger), stopped, turn: name }
    }

    pub(super) async fn run(mut self) {
        let mut lives = 0;
        while !*self.stopped.borrow() {
            let Ok(id) = SessionId::random() else { return };
            let name = format!("writer {} session {lives}", self.name);
            let mut session = Session { name, id, left: Vec::new(), states: vec![State::Ended] };
            self.live(&mut session, lives % 2 == 0).await;
            lock(&self.ledger).sessions.push(session);
            lives += 1;
        }
    }

    /// Begins a session, updates it, moves it, updates it again, and ends it.
    async fn live(&mut self, session: &mut Session, ends: bool) {
        let Some(mut version) = self.create(session).await else { return };
        for number in 2..=UPDATES {
            let Some(next) = self.update(session, version, number).await else { return };
            version = next;
        }
        let Some(moved) = self.rotate(session, version, UPDATES + 1).await else { return };
        if self.update(session, moved, UPDATES + 2).await.is_some() && ends {
            self.destroy(session).await;
        }
    }

    async fn create(&mut self, session: &mut Session) -> Option<Version> {
        let call = call(session, 1, |host, id, data| async move { host.create_with_id(&id, &data).await });
        match self.write(session, State::Holds(1), call).await {
            Came::To(Some(new)) => {
                self.see(session, State::Holds(1)).await;
                Some(new.version)
            }
            Came::To(None) => self.complain(session, "a create was told that its key is taken"),
            Came::Doubt | Came::End => None,
        }
    }

    async fn update(&mut self, session: &mut Session, expected: Version, number: u64) -> Option<Version> {
        let call = call(session, number, move |host, id, data| async move {
            host.update(&id, &data, Some(expected)).await
        });
        match self.write(session, State::Holds(number), call).await {
            Came::To(Updated::Saved(version)) => {
                self.see(session, State::Holds(number)).await;
                Some(version)
            }
            Came::To(told) => self.complain(session, &format!("update {number} was told {told:?}")),
            Came::Doubt | Came::End => None,
        }
    }

    async fn rotate(&mut self, session: &mut Session, expected: Version, number: u64) -> Option<Version> {
        let call = call(session, number, move |host, id, data| async move {
            host.rotate_with(&id, &data, Some(expected)).await
        });
        match self.write(session, State::Moved, call).await {
            Came::To(RotateOutcome::Rotated(new)) => {
                session.left.push(std::mem::replace(&mut session.id, new.id));
                self.see(session, State::Holds(number)).await;
                Some(new.version)
            }
            Came::To(told) => self.complain(session, &format!("a rotation was told {told:?}")),
            Came::Doubt | Came::End => None,
        }
    }

    async fn destroy(&mut self, session: &mut Session) {
        let call = call(session, 0, |host, id, _| async move { host.destroy(&id).await });
        match self.write(session, State::Ended, call).await {
            Came::To(true) => self.see(session, State::Ended).await,
            Came::To(false) => {
                let _: Option<()> =
                    self.complain(session, "a destroy was told that the session was not live");
            }
            Came::Doubt | Came::End => {}
        }
    }

    /// Makes a write, again where it is said that nothing was done. In doubt, the session may be as it was, or `after`.
    async fn write<T, F>(
        &mut self,
        session: &mut Session,
        after: State,
        call: impl Fn(Sessions<Value>) -> F,
    ) -> Came<T>
    where
        F: Future<Output = Result<T>>,
    {
        loop {
            sleep(PACE).await;
            if *self.stopped.borrow() {
                return Came::End;
            }
            self.turn += 1;
            match call(self.hosts[self.turn % self.hosts.len()].clone()).await {
                Ok(told) => {
                    lock(&self.ledger).successes.push(Instant::now());
                    return Came::To(told);
                }
                Err(error) if error.is_in_doubt() => {
                    lock(&self.ledger).doubts += 1;
                    session.states.push(after);
                    return Came::Doubt;
                }
                Err(_) => lock(&self.ledger).refused += 1,
            }
        }
    }

    /// Notes what was acknowledged, and looks at it through another host.
    async fn see(&mut self, session: &mut Session, state: State) {
        session.states = vec![state];
        let other = &self.hosts[(self.turn + 1) % self.hosts.len()];
        let Ok(found) = number(other, &session.id).await else { return };
        let expected = match state {
            State::Holds(number) => Some(number),
            State::Moved | State::Ended => None,
        };
        if found != expected {
            let _: Option<()> =
                self.complain(session, &format!("a load after {state:?} was acknowledged shows {found:?}"));
        }
        // Its old id must be dead at once.
        if let Some(left) = session.left.last()
            && let Ok(Some(old)) = number(other, left).await
        {
            let _: Option<()> = self.complain(session, &format!("an id that it had left shows {old}"));
        }
    }

    fn complain<T>(&self, session: &Session, what: &str) -> Option<T> {
        lock(&self.ledger).wrong.push(format!("{}: {what}", session.name));
        None
    }
}

/// A call for a session with the data of this write, to be made on any host, any number of times.
fn call<F, H>(session: &Session, number: u64, how: H) -> impl Fn(Sessions<Value>) -> F + use<F, H>
where
    H: Fn(Sessions<Value>, SessionId, Value) -> F,
{
    let id = session.id.clone();
    let data = json!({ "name": session.name, "number": number, "more": "x".repeat(200) });
    move |host| how(host, id.clone(), data.clone())
}
