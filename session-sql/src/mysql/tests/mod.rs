//! The outcomes of both layouts, against a scripted server.

mod batch;
mod connect_typeorm;
mod engine;
mod native;

use session_core::{DestroyMode, KeyFormat, TableName, Version};

use super::{Native, NativeOptions};
use crate::scripted::Answer;
use crate::scripted::words::{LATER, NOW, key, record, rows};

const MODES: [DestroyMode; 3] = [DestroyMode::Forget, DestroyMode::Keep, DestroyMode::Remove];

const MARIADB: &str = "10.11.6-MariaDB-log";
const MYSQL: &str = "8.0.46";

/// What the server says it is, which is asked first. Its largest packet is 1 MiB.
fn is(version: &str) -> Answer {
    Answer::Rows(vec![vec![version.into(), (1 << 20).into(), "web".into()]])
}

fn native(limit_subquery: bool) -> Native {
    let (table, key_format) = (TableName::default(), KeyFormat::Hashed);
    Native::new(NativeOptions { table, key_format, limit_subquery })
}

fn version(number: i64) -> Option<Version> {
    Some(Version::new(number))
}
