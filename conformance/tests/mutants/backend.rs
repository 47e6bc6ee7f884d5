//! Opens the small stores.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use conformance::{Backend, Namespace};
use session_core::{Capabilities, KeyFormat, Principal, Result, SessionKey, Store};

use crate::faults::Fault;
use crate::parts::SmallStore;

/// The one thing that is wrong, and what the tables can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) fault: Fault,
    pub(crate) format: KeyFormat,
    pub(crate) can: Capabilities,
}

impl Form {
    pub(crate) const RIGHT: Form =
        Form { fault: Fault::None, format: KeyFormat::Hashed, can: Capabilities::ALL };
}

pub(crate) type Rows = Arc<Mutex<BTreeMap<Vec<u8>, Row>>>;

/// Opens stores of one form.
pub(crate) struct Small {
    form: Form,
    tables: Mutex<HashMap<String, Rows>>,
}

impl Small {
    pub(crate) fn new(form: Form) -> Small {
        Small { form, tables: Mutex::default() }
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
impl Backend for Small {
    fn name(&self) -> String {
        "small".to_owned()
    }
    fn durable(&self) -> bool {
        false
    }
    async fn open(&self, namespace: &Namespace, _via: Option<SocketAddr>) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(SmallStore::new(self.form, self.table(namespace))))
    }
    async fn remove(&self, namespace: &Namespace) -> Result<()> {
        self.tables.lock().unwrap().remove(namespace.as_str());
        Ok(())
    }
    async fn corrupt(&self, namespace: &Namespace, key: &SessionKey) -> Result<bool> {
        let rows = self.table(namespace);
        let found = rows.lock().unwrap().get_mut(key.as_bytes()).map(|row| row.corrupt = true);
        Ok(found.is_some())
    }
    async fn raw_dump(&self, namespace: &Namespace) -> Result<Option<Vec<u8>>> {
        let rows = self.table(namespace);
        let rows = rows.lock().unwrap();
        Ok(Some(
            rows.iter().flat_map(|(key, row)| [key.as_slice(), row.payload.as_bytes()].concat()).collect(),
        ))
    }
}

#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) key: SessionKey,
    pub(crate) payload: String,
    pub(crate) expires_at: i64,
    pub(crate) created_at: i64,
    pub(crate) version: i64,
    pub(crate) principal: Option<Principal>,
    pub(crate) destroyed: bool,
    pub(crate) corrupt: bool,
}
