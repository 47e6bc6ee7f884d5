use super::*;

fn rendered(statements: &Statements) -> Vec<&str> {
    let Statements {
        create,
        load,
        update,
        update_expected,
        touch,
        destroy,
        rotate,
        destroy_principal,
        destroy_others,
        purge,
        list,
        list_bytes,
        count,
        clear,
        load_many,
        many,
        schema,
        create_table,
    } = statements;
    let mut all: Vec<&str> =
        vec![create, load, update, update_expected, touch, purge, clear, load_many, schema, create_table];
    all.extend([many.create.as_str(), &many.update, &many.touch]);
    for both in [destroy, rotate, destroy_principal, destroy_others, &many.destroy] {
        all.extend([both.soft.as_str(), &both.hard]);
    }
    for both in [&list.first, &list.after, &list_bytes.first, &list_bytes.after, count] {
        all.extend([both.all.as_str(), &both.principal]);
    }
    all
}

fn of(table: &str, format: KeyFormat) -> Statements {
    Statements::new(&TableName::new(table).unwrap(), format)
}

#[test]
fn every_statement_names_the_table_quoted_and_with_its_schema() {
    for format in [KeyFormat::Hashed, KeyFormat::Plain] {
        for statement in rendered(&of("web.sessions", format)) {
            assert!(statement.contains("[web].[sessions]"), "{statement}");
        }
    }
}

#[test]
fn no_statement_reads_a_clock_or_merges() {
    for statement in rendered(&of("sessions", KeyFormat::Hashed)) {
        for word in ["GETDATE", "GETUTCDATE", "SYSUTCDATETIME", "CURRENT_TIMESTAMP", "MERGE", "TRUNCATE"] {
            assert!(!statement.contains(word), "{word} in {statement}");
        }
    }
}

#[test]
fn no_update_has_the_deleted_row_in_its_output() {
    for statement in rendered(&of("sessions", KeyFormat::Hashed)) {
        for update in statement.split("; ").filter(|part| part.contains("UPDATE ")) {
            assert!(!update.contains("OUTPUT deleted"), "{update}");
        }
    }
}

#[test]
fn an_update_reads_a_version_that_it_did_not_expect_after_it_has_changed_the_row() {
    let statements = of("sessions", KeyFormat::Hashed);
    for update in [statements.update, statements.many.update] {
        let (before, after) = update.split_once("SELECT").unwrap();
        assert!(before.contains("BEGIN TRANSACTION; UPDATE") && !before.contains("inserted.[version]"));
        assert!(after.contains("[version] FROM") && after.ends_with("COMMIT TRANSACTION"), "{update}");
    }
}

#[test]
fn a_purge_repeats_its_predicate_skips_locked_rows_and_gives_way() {
    let purge = of("sessions", KeyFormat::Hashed).purge;
    assert!(purge.contains(
        "DELETE TOP (@P2) FROM [sessions] WITH (ROWLOCK, READPAST, READCOMMITTEDLOCK) WHERE [expires_at] <= @P1"
    ));
    assert!(purge.contains("SET DEADLOCK_PRIORITY LOW"));
    const { assert!(PURGE_BATCH < 5_000) };
}

/// Under READ_COMMITTED_SNAPSHOT a reader takes no locks unless it is told to.
#[test]
fn what_decides_by_what_it_reads_asks_for_the_locks_that_row_versions_spare() {
    let statements = of("sessions", KeyFormat::Hashed);
    for rotate in [statements.rotate.soft, statements.rotate.hard] {
        assert!(rotate.contains("FROM [sessions] WITH (UPDLOCK, ROWLOCK) WHERE"), "{rotate}");
    }
    for both in [statements.destroy_principal, statements.destroy_others] {
        assert!(both.soft.contains("UPDATE [sessions] WITH (HOLDLOCK)"), "{}", both.soft);
        assert!(both.hard.contains("DELETE FROM [sessions] WITH (HOLDLOCK)"), "{}", both.hard);
    }
}

#[test]
fn clear_needs_no_right_but_that_to_delete() {
    let clear = of("sessions", KeyFormat::Hashed).clear;
    assert!(clear.contains("DELETE FROM [sessions]") && !clear.contains("TRUNCATE"), "{clear}");
}

#[test]
fn a_table_is_made_under_a_lock_and_in_one_transaction() {
    let create = of("web.sessions", KeyFormat::Hashed).create_table;
    let place = |part: &str| create.find(part).unwrap_or_else(|| panic!("no {part} in {create}"));
    let order = [
        "SET XACT_ABORT ON",
        "BEGIN TRANSACTION",
        "EXEC @lock = sp_getapplock",
        "IF OBJECT_ID(N'[web].[sessions]', N'U') IS NULL",
        "CREATE TABLE",
        "COMMIT TRANSACTION",
    ]
    .map(place);
    assert!(order.is_sorted(), "{create}");
}

#[test]
fn a_plain_key_is_compared_by_its_text_and_its_length() {
    let statements = of("sessions", KeyFormat::Plain);
    assert!(statements.load.contains("[key] = @P1 AND [key_bytes] = DATALENGTH(@P1)"));
    assert!(statements.schema.contains("[key] nvarchar(255) COLLATE Latin1_General_BIN2 NOT NULL"));
    assert!(statements.schema.contains("PRIMARY KEY CLUSTERED ([key], [key_bytes])"));
}

#[test]
fn a_hashed_key_is_32_bytes() {
    let statements = of("sessions", KeyFormat::Hashed);
    assert!(statements.load.contains("[key] = CAST(@P1 AS binary(32))"));
    assert!(statements.schema.contains("[key] binary(32) NOT NULL"));
}

#[test]
fn no_place_is_left_unfilled() {
    for format in [KeyFormat::Hashed, KeyFormat::Plain] {
        for statement in rendered(&of("sessions", format)) {
            assert!(!statement.contains(['{', '}']), "{statement}");
        }
    }
}
