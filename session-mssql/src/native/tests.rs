//! What must hold for every statement.

use session_core::{KeyFormat, TableName};
use session_sql::Statement;

use super::Native;
use super::parts::ByMode;
use super::statements::Statements;

const FORMATS: [KeyFormat; 2] = [KeyFormat::Hashed, KeyFormat::Plain];

fn of(table: &str, format: KeyFormat) -> Native {
    Native::new(TableName::new(table).unwrap(), format)
}

/// Every statement that names the table, but for the one that makes it.
fn all(native: &Native) -> Vec<&str> {
    let Statements {
        create,
        load,
        update,
        update_expected,
        touch,
        touch_expected,
        fate,
        destroy,
        rotate,
        destroy_principal,
        destroy_others,
        forget_principal,
        purge,
        list,
        list_bytes,
        count,
        clear,
    } = &native.sql;
    let many = &native.many;
    let single = [
        create,
        load,
        update,
        update_expected,
        touch,
        touch_expected,
        fate,
        forget_principal,
        purge,
        clear,
        &many.load,
        &many.create,
        &many.update,
        &many.touch,
    ];
    let by_mode = [destroy, rotate, destroy_principal, destroy_others, &many.destroy];
    let by_mode = by_mode.iter().flat_map(|ByMode { forget, keep, remove }| [forget, keep, remove]);
    let by_filter = [&list.first, &list.after, &list_bytes.first, &list_bytes.after, count];
    let by_filter = by_filter.iter().flat_map(|both| [&both.all, &both.principal]);
    single.into_iter().chain(by_mode).chain(by_filter).map(Statement::sql).collect()
}

#[test]
fn every_statement_names_the_table_quoted_and_with_its_schema() {
    for format in FORMATS {
        let native = of("web.sessions", format);
        for statement in all(&native) {
            assert!(statement.contains("[web].[sessions]"), "{statement}");
        }
    }
}

#[test]
fn no_statement_reads_a_clock_or_merges() {
    for statement in all(&of("sessions", KeyFormat::Hashed)) {
        for word in ["GETDATE", "GETUTCDATE", "SYSUTCDATETIME", "CURRENT_TIMESTAMP", "MERGE", "TRUNCATE"] {
            assert!(!statement.contains(word), "{word} in {statement}");
        }
    }
}

#[test]
fn no_place_and_no_name_is_left_unfilled() {
    for format in FORMATS {
        for statement in all(&of("sessions", format)) {
            assert!(!statement.contains(['{', '}', ':']), "{statement}");
        }
    }
}

#[test]
fn no_update_has_the_deleted_row_in_its_output() {
    for statement in all(&of("sessions", KeyFormat::Hashed)) {
        for update in statement.split("; ").filter(|part| part.contains("UPDATE ")) {
            assert!(!update.contains("OUTPUT deleted"), "{update}");
        }
    }
}

#[test]
fn an_update_reads_a_version_that_it_did_not_expect_after_it_has_changed_the_row() {
    let native = of("sessions", KeyFormat::Hashed);
    for update in [native.sql.update.sql(), native.many.update.sql()] {
        let (before, after) = update.split_once("SELECT").unwrap();
        assert!(before.contains("BEGIN TRANSACTION; UPDATE") && !before.contains("inserted.[version]"));
        assert!(after.contains("[version] FROM") && after.ends_with("COMMIT TRANSACTION"), "{update}");
    }
}

/// Under READ_COMMITTED_SNAPSHOT a reader takes no locks unless it is told to.
#[test]
fn what_decides_by_what_it_reads_asks_for_the_locks_that_row_versions_spare() {
    let Statements { rotate, destroy_principal, destroy_others, .. } = of("sessions", KeyFormat::Hashed).sql;
    for rotate in [rotate.forget, rotate.keep, rotate.remove] {
        assert!(rotate.sql().contains("FROM [sessions] WITH (UPDLOCK, ROWLOCK) WHERE"), "{rotate:?}");
    }
    for ByMode { forget, keep, remove } in [destroy_principal, destroy_others] {
        for update in [forget, keep] {
            assert!(update.sql().contains("UPDATE [sessions] WITH (HOLDLOCK)"), "{update:?}");
        }
        assert!(remove.sql().contains("DELETE FROM [sessions] WITH (HOLDLOCK)"), "{remove:?}");
    }
}

#[test]
fn what_is_forgotten_is_wiped_in_the_same_step() {
    let native = of("sessions", KeyFormat::Hashed);
    let Statements { destroy, destroy_principal, destroy_others, forget_principal, .. } = &native.sql;
    let ends = [&destroy.forget, &destroy_principal.forget, &destroy_others.forget];
    for wiping in ends.into_iter().chain([forget_principal, &native.many.destroy.forget]) {
        assert!(wiping.sql().contains("[payload] = N'', [principal] = NULL"), "{wiping:?}");
    }
    let looks = forget_principal.sql().matches("WHERE [principal] =").count();
    assert_eq!(looks, 2, "in one transaction: {forget_principal:?}");
    let rotate = native.sql.rotate.forget.sql();
    assert!(rotate.contains("N'', @expires_at, @created_at, @version, NULL"), "{rotate}");
}

#[test]
fn a_payload_that_is_known_is_left_out_as_a_text() {
    let native = of("sessions", KeyFormat::Hashed);
    for load in [&native.sql.load, &native.many.load] {
        assert!(load.sql().contains("THEN CAST(NULL AS nvarchar(max)) ELSE"), "{load:?}");
    }
}

#[test]
fn a_plain_key_is_compared_by_its_text_and_its_length() {
    let native = of("sessions", KeyFormat::Plain);
    assert!(native.sql.fate.sql().contains("[key] = @P1 AND [key_bytes] = DATALENGTH(@P1)"));
    assert!(native.schema.contains("[key] nvarchar(255) COLLATE Latin1_General_BIN2 NOT NULL"));
    assert!(native.schema.contains("PRIMARY KEY CLUSTERED ([key], [key_bytes])"));
}

#[test]
fn a_hashed_key_is_32_bytes() {
    let native = of("sessions", KeyFormat::Hashed);
    assert!(native.sql.fate.sql().contains("[key] = CAST(@P1 AS binary(32))"));
    assert!(native.schema.contains("[key] binary(32) NOT NULL"));
}

#[test]
fn a_batch_counts_in_the_collation_that_it_cuts_in() {
    for format in FORMATS {
        let native = of("sessions", format);
        for sql in all(&native).into_iter().filter(|sql| sql.contains("OPENJSON")) {
            // Nothing measures or cuts a text in the collation of a database, which may count otherwise.
            for call in ["LEN(", "SUBSTRING("] {
                for (at, _) in sql.match_indices(call) {
                    let argument = &sql[at + call.len()..];
                    let argument = &argument[..argument.find([',', ')']).unwrap()];
                    let exact = argument.ends_with("COLLATE Latin1_General_BIN2");
                    assert!(
                        exact || argument.starts_with("@P") && sql[at..].contains("AS binary(32)"),
                        "{argument}: {sql}"
                    );
                }
            }
        }
    }
}
