//! Opens the small stores.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use conformance::{Namespace, Objection, Part, Subject};
use session_core::contract::Store;
use session_core::{Capabilities, KeyFormat, Principal, Result, SessionKey};

use crate::faults::Fault;
use crate::lock::Lock;
use crate::net::Net;
use crate::parts::{CONNECTIONS, SmallStore};
use crate::rules::Rules;
use crate::{tell, wire};

/// The one thing that is wrong, and what the tables can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) fault: Fault,
    pub(crate) format: KeyFormat,
    pub(crate) can: Capabilities,
    /// Whether what is loaded comes over a network.
    pub(crate) served: bool,
}

impl Form {
    pub(crate) const RIGHT: Form =
        Form { fault: Fault::None, format: KeyFormat::Hashed, can: Capabilities::ALL, served: false };
}

pub(crate) type Rows = Arc<Mutex<BTreeMap<Vec<u8>, Row>>>;

/// Opens stores of one form.
pub(crate) struct Small {
    form: Form,
    server: Option<SocketAddr>,
    tables: Mutex<HashMap<String, Rows>>,
    locks: Mutex<HashMap<Namespace, Lock>>,
    rules: Mutex<HashMap<Namespace, Rules>>,
}

impl Small {
    pub(crate) fn new(form: Form) -> Small {
        Small {
            form,
            server: form.served.then(wire::serve),
            tables: Mutex::default(),
            locks: Mutex::default(),
            rules: Mutex::default(),
        }
    }

    fn lock_of(&self, namespace: &Namespace) -> Lock {
        self.locks.lock().unwrap().entry(namespace.clone()).or_default().clone()
    }

    fn rules_of(&self, namespace: &Namespace) -> Rules {
        self.rules.lock().unwrap().entry(namespace.clone()).or_default().clone()
    }

    fn store(&self, namespace: &Namespace, via: Option<SocketAddr>) -> SmallStore {
        let net = via.or(self.server).map(|server| Net::new(server, self.form.fault));
        let (lock, rules) = (self.lock_of(namespace), self.rules_of(namespace));
        SmallStore::new(self.form, self.table(namespace), net, lock, rules)
    }

    fn table(&self, namespace: &Namespace) -> Rows {
        let mut name = namespace.as_str();
        if self.form.fault == Fault::TableNamesAreCut {
            name = &name[..name.len().min(40)];
        }
        Arc::clone(self.tables.lock().unwrap().entry(name.to_owned()).or_default())
    }
}

#[async_trait]
impl Subject for Small {
    fn name(&self) -> String {
        "small".to_owned()
    }
    fn durable(&self) -> bool {
        false
    }
    fn address(&self) -> Option<SocketAddr> {
        self.server
    }
    async fn open(&self, namespace: &Namespace, via: Option<SocketAddr>) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(self.store(namespace, via)))
    }
    async fn open_narrow(&self, namespace: &Namespace) -> Result<Option<Arc<dyn Store>>> {
        Ok(Some(Arc::new(self.store(namespace, None).narrowed())))
    }
    async fn object(&self, namespace: &Namespace, _: Objection) -> Result<bool> {
        self.rules_of(namespace).object();
        Ok(true)
    }
    async fn remove(&self, namespace: &Namespace) -> Result<()> {
        self.tables.lock().unwrap().remove(namespace.as_str());
        Ok(())
    }
    fn pool_size(&self) -> Option<usize> {
        self.server.map(|_| CONNECTIONS)
    }
    async fn statements_under_way(&self, namespace: &Namespace) -> Result<Option<usize>> {
        Ok(Some(self.lock_of(namespace).waiting()))
    }
    async fn lock(&self, namespace: &Namespace) -> Result<Option<Box<dyn Any + Send>>> {
        Ok(Some(Box::new(self.lock_of(namespace).hold())))
    }
    fn instrument(&self, hear: fn(&dyn fmt::Debug)) -> bool {
        *tell::HEAR.lock().unwrap() = Some(hear);
        true
    }
    async fn corrupt(&self, namespace: &Namespace, key: &SessionKey) -> Result<bool> {
        self.damage(namespace, key, Part::Payload).await
    }
    async fn damage(&self, namespace: &Namespace, key: &SessionKey, part: Part) -> Result<bool> {
        let rows = self.table(namespace);
        let found = rows.lock().unwrap().get_mut(key.as_bytes()).map(|row| row.damaged = Some(part));
        Ok(found.is_some())
    }
    async fn raw_dump(&self, namespace: &Namespace) -> Result<Option<Vec<u8>>> {
        let rows = self.table(namespace);
        let rows = rows.lock().unwrap();
        let columns = |(key, row): (&Vec<u8>, &Row)| {
            let principal = row.principal.as_ref().map_or("", Principal::as_str);
            [key.as_slice(), row.payload.as_bytes(), principal.as_bytes()].concat()
        };
        Ok(Some(rows.iter().flat_map(columns).collect()))
    }
}

#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) key: SessionKey,
    pub(crate) payload: String,
    pub(crate) expires_at: i64,
    /// As it was before any touch.
    pub(crate) first_expires_at: i64,
    pub(crate) created_at: i64,
    pub(crate) version: i64,
    pub(crate) principal: Option<Principal>,
    pub(crate) end: Option<End>,
    pub(crate) damaged: Option<Part>,
}

/// What ended the session of a row that stays.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Destroyed,
    RotatedAway,
}
