//! The outcomes of both layouts, against a scripted server.

mod batch;
mod connect_typeorm;
mod native;

use session_core::{SessionKey, TableName};

use super::{Native, NativeOptions, TableOptions, Typeorm};
use crate::ConnectTypeorm;
use crate::scripted::Answer;
use crate::scripted::words::{LATER, NOW, key, record, rows};

fn native() -> Native {
    Native::new(NativeOptions {
        table: TableName::default(),
        key_format: session_core::KeyFormat::Hashed,
        table_options: TableOptions::default(),
        limit_subquery: true,
        ordered: true,
    })
}

fn typeorm() -> Typeorm {
    Typeorm::new(TableName::new(ConnectTypeorm::TABLE).unwrap(), ConnectTypeorm::new(), true)
}

/// What it says it is, without distributed tables.
fn is_postgres() -> Answer {
    Answer::Rows(vec![vec!["PostgreSQL 15.14".into(), 0.into()]])
}

fn id(text: &str) -> SessionKey {
    SessionKey::from_text(text)
}
