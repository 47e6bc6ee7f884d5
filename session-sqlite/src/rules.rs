//! What a table cannot do is refused before anything is queued.

use session_core::{
    Capabilities, Create, Destroy, DestroyMode, Error, Filter, KeyFormat, Principal, Result, Rotate,
    SessionKey, Update, Write,
};

use crate::error::BACKEND;

/// The limits of one table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) capabilities: Capabilities,
    pub(crate) key_format: KeyFormat,
}

impl Rules {
    /// A key of the other format would be found nowhere, or be stored where nobody finds it.
    pub(crate) fn key(&self, key: &SessionKey) -> Result<()> {
        if key.format() == self.key_format {
            return Ok(());
        }
        Err(Error::invalid_input(
            "the key's format is not this table's; make keys with the store's `key_format`",
        )
        .with_backend(BACKEND))
    }

    pub(crate) fn create(&self, create: &Create) -> Result<()> {
        self.key(&create.key)?;
        self.principal(create.principal.as_ref())
    }

    pub(crate) fn update(&self, update: &Update) -> Result<()> {
        self.key(&update.key)?;
        self.principal(update.principal.as_ref())?;
        supported(update.expected.is_none() || self.capabilities.versions, NO_VERSIONS)
    }

    pub(crate) fn destroy(&self, destroy: &Destroy) -> Result<()> {
        self.key(&destroy.key)?;
        self.mode(destroy.mode)
    }

    pub(crate) fn rotate(&self, rotate: &Rotate) -> Result<()> {
        self.key(&rotate.from)?;
        self.key(&rotate.to)?;
        self.principal(rotate.principal.as_ref())?;
        supported(rotate.expected.is_none() || self.capabilities.versions, NO_VERSIONS)?;
        self.mode(rotate.mode)?;
        if rotate.from != rotate.to {
            return Ok(());
        }
        Err(Error::invalid_input("a session cannot be rotated to the key that it has; draw a new id")
            .with_backend(BACKEND))
    }

    pub(crate) fn destroy_principal(&self, except: Option<&SessionKey>, mode: DestroyMode) -> Result<()> {
        supported(self.capabilities.principals, NO_PRINCIPALS)?;
        except.map_or(Ok(()), |except| self.key(except))?;
        self.mode(mode)
    }

    pub(crate) fn filter(&self, filter: &Filter) -> Result<()> {
        self.principal(filter.principal.as_ref())
    }

    pub(crate) fn write(&self, write: &Write) -> Result<()> {
        match write {
            Write::Create(create) => self.create(create),
            Write::Update(update) => self.update(update),
            Write::Touch(touch) => self.key(&touch.key),
            Write::Destroy(destroy) => self.destroy(destroy),
        }
    }

    fn principal(&self, principal: Option<&Principal>) -> Result<()> {
        supported(principal.is_none() || self.capabilities.principals, NO_PRINCIPALS)
    }

    fn mode(&self, mode: DestroyMode) -> Result<()> {
        supported(mode == DestroyMode::Hard || self.capabilities.tombstones, NO_TOMBSTONES)
    }
}

fn supported(supported: bool, message: &str) -> Result<()> {
    if supported { Ok(()) } else { Err(Error::unsupported(message).with_backend(BACKEND)) }
}

const NO_VERSIONS: &str = "this table holds no versions; update without an expected one";
const NO_PRINCIPALS: &str = "this table does not hold whom a session belongs to; use the native layout";
const NO_TOMBSTONES: &str = "this table keeps no destroyed sessions; use `DestroyMode::Hard`";
