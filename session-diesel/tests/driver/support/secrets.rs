//! Calls of all kinds with secrets in them.

use std::num::NonZeroU32;

use session_core::contract::{
    Create, Destroy, DestroyPrincipal, Filter, Load, Payload, Rotate, Store, Touch, Update, Write,
};
use session_core::{DestroyMode, KeyFormat, Principal, SessionId, SessionKey, Version};

use super::{LATER, NOW};

/// An id in clear, a payload, a principal.
pub(crate) const SECRETS: [&str; 3] = ["id-5e55ion-hunter2", "payload-h0rse-battery", "principal-4nn-smith"];

fn id(number: u32) -> SessionKey {
    SessionId::new(format!("{}-{number}", SECRETS[0])).and_then(|id| id.key(KeyFormat::Plain)).unwrap()
}

fn payload() -> Payload {
    Payload::from(format!("{{\"secret\":\"{}\"}}", SECRETS[1]))
}

fn principal() -> Principal {
    Principal::new(SECRETS[2]).unwrap()
}

fn create(number: u32) -> Create {
    Create {
        key: id(number),
        payload: payload(),
        expires_at: LATER,
        principal: Some(principal()),
        version: Version::FIRST,
    }
}

fn update(number: u32) -> Update {
    Update {
        key: id(number),
        payload: payload(),
        expires_at: Some(LATER),
        principal: Some(principal()),
        expected: None,
    }
}

/// Every operation of a store whose table holds ids in clear. Returns the texts of all errors.
pub(crate) async fn everything(store: &dyn Store) -> Vec<String> {
    let mut errors = Vec::new();
    let few = NonZeroU32::new(50).unwrap();
    let mut note = |error: Option<session_core::Error>| {
        errors.extend(error.map(|error| format!("{error} {error:?}")));
    };
    note(store.create(&create(1), NOW).await.err());
    // A key that is taken, a payload that no text column of Postgres holds.
    note(store.create(&create(1), NOW).await.err());
    let zero = Payload::from(format!("{}\0", SECRETS[1]));
    note(store.create(&Create { payload: zero, ..create(2) }, NOW).await.err());
    note(store.load(&Load::new(id(1)), NOW).await.err());
    note(store.update(&update(1), NOW).await.err());
    note(store.touch(&Touch { key: id(1), expires_at: LATER, expected: None }, NOW).await.err());
    let rotate = Rotate {
        from: id(1),
        to: id(3),
        payload: Some(payload()),
        expires_at: None,
        principal: Some(principal()),
        expected: None,
        mode: DestroyMode::Keep,
    };
    note(store.rotate(&rotate, NOW).await.err());
    note(store.fate(&id(1), NOW).await.err());
    note(store.list(&Filter::default(), None, few, NOW).await.err());
    note(store.count(&Filter::default(), NOW).await.err());
    let writes: Vec<Write> = (10..20)
        .map(|number| Write::Create(create(number)))
        .chain([Write::Update(update(3)), Write::Create(create(3))])
        .collect();
    note(store.write_many(&writes, NOW).await.err());
    let loads: Vec<Load> = (1..20).map(|number| Load::new(id(number))).collect();
    note(store.load_many(&loads, NOW).await.err());
    note(store.destroy(&Destroy { key: id(3), mode: DestroyMode::Forget }, NOW).await.err());
    let end = DestroyPrincipal {
        principal: principal(),
        except: Some(id(10)),
        created_before: None,
        mode: DestroyMode::Keep,
    };
    note(store.destroy_principal(&end, NOW).await.err());
    note(store.forget_principal(&principal(), NOW).await.err());
    note(store.purge_expired(LATER, few).await.err());
    errors
}
