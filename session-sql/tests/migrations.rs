//! The files in `migrations`, which the migration tools of applications take as they are, say what `create_table` does.
//!
//! `UPDATE_MIGRATIONS=1 cargo test -p session-sql --features mysql,postgres,sqlite --test migrations` writes the files of
//! the newest version anew, which is right only as long as that was never released.

use std::fs;
use std::path::{Path, PathBuf};

use session_core::{KeyFormat, TableName};
use session_sql::{mysql, postgres, sqlite};

/// What makes a table of each database, with the defaults of all options.
fn schemas() -> [(&'static str, String); 3] {
    let (table, key_format, limit_subquery) = (TableName::default(), KeyFormat::default(), true);
    let postgres = postgres::Native::new(postgres::NativeOptions {
        table: table.clone(),
        key_format,
        table_options: postgres::TableOptions::default(),
        limit_subquery,
        ordered: true,
    });
    let mysql = mysql::Native::new(mysql::NativeOptions { table: table.clone(), key_format, limit_subquery });
    let sqlite = sqlite::Native::new(table, key_format);
    [
        ("postgres", postgres.schema_sql().to_owned()),
        ("mysql", format!("{};\n", mysql.schema_sql())),
        ("sqlite", sqlite.schema_sql().to_owned()),
    ]
}

fn drop_table(database: &str) -> &'static str {
    if database == "mysql" { "DROP TABLE `sessions`;\n" } else { "DROP TABLE \"sessions\";\n" }
}

/// The files of version 1 for each tool, in the names that it asks for.
fn files(database: &str, schema: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database);
    vec![
        (folder.join("sqlx/20261128000001_sessions.sql"), schema.to_owned()),
        (folder.join("refinery/V1__sessions.sql"), schema.to_owned()),
        (folder.join("diesel/2026-11-28-000001_sessions/up.sql"), schema.to_owned()),
        (folder.join("diesel/2026-11-28-000001_sessions/down.sql"), drop_table(database).to_owned()),
    ]
}

#[test]
fn each_tool_s_files_are_what_create_table_does() {
    for (database, schema) in schemas() {
        for (path, expected) in files(database, &schema) {
            if std::env::var_os("UPDATE_MIGRATIONS").is_some() {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, &expected).unwrap();
            }
            let found = fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(found, expected, "{} is not what `create_table` does", path.display());
        }
    }
}
