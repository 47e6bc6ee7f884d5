//! What an error of the server means for the call and for its connection, by its SQLSTATE.

use session_core::{Error, ErrorKind};

use crate::{Fault, Link};

pub use super::message::of_message;

/// A division by zero: how a statement of ours says that it is to be sent again.
pub(super) const LOOK_AGAIN: &str = "22012";

/// The routine of the server in which a trigger's own error begins (pl_exec.c), as the protocol tells it.
const RAISE: &str = "exec_stmt_raise";

/// What is said of a trigger's own error, in place of its words.
const RAISED: &str = "a trigger or a rule on the table refuses this; its words may quote a value, and stand in the server's \
    log";

/// What is said of an error that is not in the table.
const UNKNOWN: &str = "the server answered with an error that is not known here; its words may quote a value, and stand in \
    the server's log";

/// What is said in place of the server's words, which quote the value.
const VALUE_REFUSED: &str = "the server takes a value for one that cannot be; run the doctor on the table, and look at what \
    triggers, rules and domains make of it";

const NOT_IN_ENCODING: &str =
    "the database's encoding lacks a character of the session; make a database with ENCODING 'UTF8'";

pub(super) const NUL_IN_TEXT: &str =
    "Postgres cannot hold a U+0000 in text; encode the payload without it, as JSON does";

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    /// Given up in favour of another; the same call may succeed at once.
    Conflict,
    /// The statement's plan does not fit the table any more; a new connection plans anew.
    Altered,
    MissingTable,
    MissingColumn,
    MissingRight,
    /// The server gave up waiting, for a lock or for the statement's end.
    GaveUp,
    /// A standby, or a server told to be one.
    OnlyReads,
    /// The connection ends, and with it maybe the server.
    Ended,
    /// A pooler mixes prepared statements of several clients.
    Mixed,
    TooLarge,
    TooLong,
    OutOfRange,
    NulInText,
    /// The database's encoding lacks it.
    Character,
    /// The server's words quote a value.
    Value,
    DiskFull,
    /// Connections, memory: later there may be some.
    Scarce,
    Constraint,
    /// A trigger's own error, in words of its author's.
    Raised,
    /// What the server's own words say.
    Refused,
    /// Not in the table: whose words it has is not known either.
    Unknown,
}

/// Whether an error leaves it open what was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    /// The statement, or its transaction, was rolled back or never begun.
    Nothing,
    /// It may have come after the commit.
    Maybe,
}

use Done::{Maybe, Nothing};

/// Everything that is decided on: SQLSTATEs, and after them classes of such, with where that is said. What is not here
/// leaves doubt. "A" is appendix A of Postgres' manual, "errcodes.txt" its source; an ERROR of a statement aborts the
/// transaction (manual, 55.2.2 and 13.4), so that class by class nothing was changed.
#[rustfmt::skip]
const TABLE: &[(&str, Means, Done, &str)] = &[
    (LOOK_AGAIN, Means::Conflict, Nothing, "ours; A: division_by_zero"),
    ("40P01", Means::Conflict, Nothing, "A: deadlock_detected; 13.3.4: one transaction is aborted"),
    ("40001", Means::Conflict, Nothing, "A: serialization_failure; 13.2.2; CockroachDB: RETRY_*, also at COMMIT"),
    ("40002", Means::Constraint, Nothing, "A: transaction_integrity_constraint_violation"),
    ("40000", Means::Conflict, Nothing, "A: transaction_rollback"),
    ("40003", Means::Refused, Maybe, "A: statement_completion_unknown; CockroachDB: result is ambiguous"),
    ("0A000", Means::Altered, Nothing, "plancache.c: cached plan must not change result type"),
    ("42P01", Means::MissingTable, Nothing, "A: undefined_table"),
    ("3F000", Means::MissingTable, Nothing, "A: invalid_schema_name"),
    ("42703", Means::MissingColumn, Nothing, "A: undefined_column"),
    ("42501", Means::MissingRight, Nothing, "A: insufficient_privilege; aclchk.c"),
    ("55P03", Means::GaveUp, Nothing, "A: lock_not_available; lock_timeout"),
    ("57014", Means::GaveUp, Nothing, "A: query_canceled; syncrep.c makes a WARNING of it once the commit is written"),
    ("25006", Means::OnlyReads, Nothing, "A: read_only_sql_transaction; utility.c: cannot execute … during recovery"),
    ("25P03", Means::Ended, Nothing, "A: idle_in_transaction_session_timeout: the open transaction is rolled back"),
    ("25P04", Means::GaveUp, Nothing, "A: transaction_timeout (17): the open transaction is rolled back"),
    ("57P05", Means::Ended, Nothing, "A: idle_session_timeout: nothing of what was sent is read any more"),
    ("57P01", Means::Ended, Maybe, "A: admin_shutdown; syncrep.c: may come after the local commit; PgBouncer: client.c"),
    ("57P02", Means::Ended, Maybe, "A: crash_shutdown; postgres.c: quickdie"),
    ("57P03", Means::Ended, Maybe, "A: cannot_connect_now; pgpool sends it for a lost backend"),
    ("57P04", Means::Ended, Maybe, "A: database_dropped"),
    ("26000", Means::Mixed, Nothing, "A: invalid_sql_statement_name; PgBouncer's FAQ"),
    ("42P05", Means::Mixed, Nothing, "A: duplicate_prepared_statement; PgBouncer's FAQ"),
    ("54000", Means::TooLarge, Nothing, "A: program_limit_exceeded; mcxt.c: invalid memory alloc request size"),
    ("22001", Means::TooLong, Nothing, "A: string_data_right_truncation"),
    ("22003", Means::OutOfRange, Nothing, "A: numeric_value_out_of_range"),
    ("22021", Means::NulInText, Nothing, "A: character_not_in_repertoire; wchar.c"),
    ("22P05", Means::Character, Nothing, "A: untranslatable_character; wchar.c quotes its bytes"),
    ("53100", Means::DiskFull, Nothing, "A: disk_full; md.c; a full disk of the log is a PANIC, which ends in 57P02"),
    ("53200", Means::Scarce, Nothing, "A: out_of_memory"),
    ("53300", Means::Scarce, Nothing, "A: too_many_connections; PgBouncer: no more connections allowed"),
    ("23", Means::Constraint, Nothing, "A: integrity constraint violation. Of ours nothing violates one"),
    ("08", Means::Ended, Maybe, "A: connection exception; PgBouncer sends 08P01 for a server that it lost (objects.c)"),
    ("53", Means::Scarce, Nothing, "A: insufficient resources; RDS Proxy"),
    ("57", Means::Ended, Maybe, "A: operator intervention"),
    ("21", Means::Refused, Nothing, "A: cardinality violation"),
    ("22", Means::Value, Nothing, "A: data exception; numutils.c, uuid.c and others quote the value"),
    ("25", Means::Refused, Nothing, "A: invalid transaction state"),
    ("26", Means::Refused, Nothing, "A: invalid SQL statement name"),
    ("28", Means::Refused, Nothing, "A: invalid authorization specification"),
    ("3D", Means::Refused, Nothing, "A: invalid catalog name"),
    ("3F", Means::Refused, Nothing, "A: invalid schema name"),
    ("42", Means::Refused, Nothing, "A: syntax error or access rule violation"),
    ("44", Means::Refused, Nothing, "A: WITH CHECK OPTION violation"),
    ("54", Means::Refused, Nothing, "A: program limit exceeded"),
    ("P0", Means::Raised, Nothing, "A: PL/pgSQL error: of a trigger"),
    ("55", Means::Refused, Nothing, "A: object not in prerequisite state"),
    // 58 (system error: I/O; pgpool, pgcat) and XX (internal error; Odyssey, Supavisor, pgcat) are left open: poolers
    // send both when they lose a server, whatever it was doing.
    ("58", Means::Refused, Maybe, "A: system error"),
    ("XX", Means::Refused, Maybe, "A: internal error"),
];

/// True if a pooler mixes prepared statements of several clients, and the statement was not run.
pub fn is_mixed(code: &str) -> bool {
    decision(code).0 == Means::Mixed
}

fn decision(code: &str) -> (Means, Done) {
    let found = TABLE.iter().find(|(entry, ..)| *entry == code);
    let class = || TABLE.iter().find(|(entry, ..)| entry.len() == 2 && code.get(..2) == Some(entry));
    found.or_else(class).map_or((Means::Unknown, Maybe), |(_, means, done, _)| (*means, *done))
}

/// The words of an error, by the routine of the server that gave it: none of a trigger's own, whatever code it chose.
pub fn words<'a>(routine: Option<&str>, message: &'a str) -> &'a str {
    if routine == Some(RAISE) { "" } else { message }
}

/// Classifies what the server, or a pooler before it, answered to a statement. `message` is its own, as
/// [`words`] gives it, and `schema_sql` is what would make the table.
pub fn fault(code: Option<&str>, message: &str, schema_sql: &str) -> Fault {
    use Link::{Lost, Sound, Unfit};

    let (means, done) = code.map_or((Means::Unknown, Maybe), decision);
    let says = |what: &str| if message.is_empty() { what.to_owned() } else { format!("{what} ({message})") };
    let backend = |what: String| Error::new(ErrorKind::Backend, what);
    let (error, link) = match means {
        // Of our own making: whoever sent the statement sends it again.
        Means::Conflict if code == Some(LOOK_AGAIN) => {
            (Error::new(ErrorKind::Conflict, "the sessions changed meanwhile"), Sound)
        }
        Means::Conflict => {
            let what = "the server gave up this operation in favour of another";
            (Error::new(ErrorKind::Conflict, what), Sound)
        }
        Means::Altered => (Error::new(ErrorKind::Conflict, says("the table was altered meanwhile")), Lost),
        Means::MissingTable => (
            backend(says(&format!("the table is missing; call `create_table`, or run this: {schema_sql}"))),
            Sound,
        ),
        Means::MissingColumn => (backend(says("the table lacks a column; run the doctor on it")), Sound),
        Means::MissingRight => (backend(says(missing_right(message))), Sound),
        Means::GaveUp => (Error::unavailable(says("the server gave up waiting")), Sound),
        Means::OnlyReads => (
            Error::unavailable(
                "this server only reads: a standby; connect with target_session_attrs=read-write",
            )
            .with_unreachable(),
            Lost,
        ),
        Means::Ended => {
            (Error::unavailable(says("the server ended the connection")).with_unreachable(), Lost)
        }
        Means::Mixed => (
            backend(says(
                "a pooler between here and the server mixes prepared statements; build the store with \
                 `pgbouncer(true)`",
            )),
            Unfit,
        ),
        Means::TooLarge => {
            (Error::new(ErrorKind::TooLarge, "the payload is over what Postgres can hold"), Sound)
        }
        Means::TooLong => {
            let what = "a value is longer than its column; run the doctor on the table";
            (Error::new(ErrorKind::TooLarge, what), Sound)
        }
        Means::OutOfRange => (backend("a number is out of its column's range".to_owned()), Sound),
        Means::NulInText => (Error::invalid_input(NUL_IN_TEXT), Sound),
        Means::Character => (Error::invalid_input(NOT_IN_ENCODING), Sound),
        Means::Value => (backend(VALUE_REFUSED.to_owned()), Sound),
        Means::DiskFull => (backend("the server's disk is full; free or add space".to_owned()), Sound),
        Means::Scarce => (Error::unavailable(says("the server lacks resources")), Unfit),
        // There is one more constraint on the table. The message names it and no value.
        Means::Constraint => (backend(says("the table has a constraint that is not ours; drop it")), Sound),
        Means::Raised => (backend(RAISED.to_owned()), Unfit),
        Means::Refused if message.is_empty() => (backend(RAISED.to_owned()), Unfit),
        Means::Refused => (backend(format!("the server answered: {message}")), Unfit),
        Means::Unknown => (backend(UNKNOWN.to_owned()), Unfit),
    };
    Fault { error: with_code(error.with_in_doubt(done == Maybe), code), link }
}

/// The same of an error whose severity is FATAL or PANIC: whoever sent it ends the connection, and it may have struck after
/// the commit. Poolers send all that befalls them so, with a number that says nothing: pgcat 58000, pgpool and Supavisor
/// XX000.
pub fn ended(code: &str, message: &str, schema_sql: &str) -> Fault {
    let error = match decision(code) {
        (Means::Refused | Means::Unknown, Maybe) => {
            Error::unavailable(format!("the server, or a pooler before it, ended the connection ({message})"))
                .with_unreachable()
                .with_code(code)
        }
        _ => fault(Some(code), message, schema_sql).error,
    };
    Fault::new(error.with_in_doubt(true), Link::Lost)
}

/// What to grant. The message tells it in English, and else both are said.
fn missing_right(message: &str) -> &'static str {
    if message.starts_with("permission denied for schema") {
        "the user may not do that; grant USAGE on the schema, and for `create_table` grant CREATE on the schema too, or \
         have its owner run `schema_sql`"
    } else if message.starts_with("must be owner") {
        "only the table's owner may do that; run `schema_sql` as the owner"
    } else if message.starts_with("permission denied for database") {
        "the user may not do that; grant CONNECT on the database, and CREATE to make a schema"
    } else if message.starts_with("permission denied for") {
        "the user may not do that; grant SELECT, INSERT, UPDATE and DELETE on the table"
    } else {
        "the user may not do that; grant SELECT, INSERT, UPDATE and DELETE on the table and USAGE on its schema; for \
         `create_table` grant CREATE on the schema"
    }
}

/// What a user who may not make the table is told, in place of [`fault`]'s advice.
pub(super) fn making_the_table(error: Error) -> Error {
    if error.code() != Some("42501") {
        return error;
    }
    let advice = "the user may not make the table or its indexes; grant CREATE on the schema, and USAGE (from PostgreSQL \
        15 on, nobody but its owner has CREATE on `public`), or let the owner run the statements of `schema_sql`";
    Error::new(ErrorKind::Backend, advice).with_code("42501").with_in_doubt(false).with_source(error)
}

/// Classifies why the server, or a pooler before it, refuses a connection. Nothing was sent that could change anything.
pub fn refused(code: &str, message: &str) -> Error {
    let backend = |what: String| Error::new(ErrorKind::Backend, what);
    let error = match code {
        "28000" if message.contains("no encryption") || message.contains("SSL off") => backend(format!(
            "the server takes this user over TLS only ({message}); write sslmode=verify-full into the URL"
        )),
        "28P01" | "28000" => {
            backend(format!("the server refuses this user ({message}); check name, password and pg_hba.conf"))
        }
        "3D000" => backend(format!("{message}; create it, or correct the URL")),
        "42501" => backend(format!("{message}; grant CONNECT on the database to the user")),
        "53300" => Error::unavailable(format!(
            "{message}; raise max_connections, or make the pools of all processes smaller"
        )),
        // PgBouncer's number for whatever it has against a client. It never translates its words.
        _ if message.contains("unsupported startup parameter")
            || message.contains("command-line options") =>
        {
            backend(format!(
                "the pooler refuses a setting of this connection ({message}); build the store with `pgbouncer(true)`, and \
             leave `options` out of the URL"
            ))
        }
        "08P01" if message.starts_with("no such") => backend(format!(
            "the pooler refuses the connection ({message}); correct the URL, or add it there"
        )),
        _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
            Error::unavailable(format!("the server takes no connection now ({message})")).with_unreachable()
        }
        "40001" | "40P01" | "55P03" => Error::unavailable(message).with_unreachable(),
        // An internal error: of Supavisor (EMAXCONNSESSION, ECHECKOUTTIMEOUT, EDBHANDLEREXITED, ECIRCUITBREAKER), of pgpool
        // that lost a server, or of a server.
        _ if code.starts_with("XX") && !is_about_the_login(message) => {
            Error::unavailable(format!("the server takes no connection now ({message})")).with_unreachable()
        }
        _ => backend(format!("the server refuses the connection: {message}")),
    };
    error.with_code(code).with_in_doubt(false)
}

/// What a pooler says, in English, of a login that will not do later either.
fn is_about_the_login(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["not found", "not allowed", "allow_list", "required", "authenticat", "password", "unsupported"]
        .iter()
        .any(|part| message.contains(part))
}

fn with_code(error: Error, code: Option<&str>) -> Error {
    match code {
        Some(code) => error.with_code(code),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(message: &str) -> Fault {
        fault(of_message(message), message, "CREATE TABLE …")
    }

    #[test]
    fn a_message_is_classified_with_its_sqlstate() {
        use Link::{Lost, Sound, Unfit};
        let table = [
            ("deadlock detected", ErrorKind::Conflict, "40P01", Sound),
            ("could not serialize access due to concurrent update", ErrorKind::Conflict, "40001", Sound),
            ("division by zero", ErrorKind::Conflict, LOOK_AGAIN, Sound),
            ("relation \"sessions\" does not exist", ErrorKind::Backend, "42P01", Sound),
            ("column \"version\" does not exist", ErrorKind::Backend, "42703", Sound),
            ("column t.version of relation \"x\" does not exist", ErrorKind::Backend, "42703", Sound),
            ("permission denied for table sessions", ErrorKind::Backend, "42501", Sound),
            ("canceling statement due to statement timeout", ErrorKind::Unavailable, "57014", Sound),
            ("canceling statement due to lock timeout", ErrorKind::Unavailable, "55P03", Sound),
            ("terminating connection due to administrator command", ErrorKind::Unavailable, "57P01", Lost),
            ("the database system is shutting down", ErrorKind::Unavailable, "57P03", Lost),
            ("cannot execute UPDATE in a read-only transaction", ErrorKind::Unavailable, "25006", Lost),
            ("prepared statement \"s1\" does not exist", ErrorKind::Backend, "26000", Unfit),
            ("invalid memory alloc request size 1073741824", ErrorKind::TooLarge, "54000", Sound),
            ("cached plan must not change result type", ErrorKind::Conflict, "0A000", Lost),
        ];
        for (message, kind, code, link) in table {
            let fault = server(message);
            assert_eq!(fault.error.kind(), kind, "{message}");
            assert_eq!(fault.error.code(), Some(code), "{message}");
            assert_eq!(fault.link, link, "{message}");
        }
    }

    #[test]
    fn what_is_not_known_to_have_changed_nothing_is_in_doubt() {
        let known = [
            "22012", "40001", "40P01", "0A000", "42P01", "42703", "42501", "55P03", "57014", "25006",
            "26000", "54000", "53100", "53200", "53300", "57P05", "25P03", "23505", "22021", "42601",
            "21000", "28000", "3D000",
        ];
        for code in known {
            assert!(!fault(Some(code), "mit anderen Worten", "").error.is_in_doubt(), "{code}");
        }
        let open = [
            "08000", "08003", "08006", "08007", "08P01", "40003", "57P01", "57P02", "57P03", "57P04",
            "57P0X", "58000", "58030", "XX000", "XX001", "72000", "HV000", "F0000", "99999", "", "é",
        ];
        for code in open {
            assert!(fault(Some(code), "server conn crashed?", "").error.is_in_doubt(), "{code}");
        }
        for lost in ["08P01", "08006", "57P01", "57P03"] {
            let Fault { error, link } = fault(Some(lost), "server conn crashed?", "");
            assert!(error.kind() == ErrorKind::Unavailable && error.is_unreachable(), "{lost}");
            assert_eq!(link, Link::Lost, "{lost}");
        }
    }

    #[test]
    fn a_message_that_quotes_a_value_is_not_passed_on() {
        for (code, message) in [
            ("22P02", "invalid input syntax for type uuid: \"secret\""),
            ("22003", "value \"secret\" is out of range for type integer"),
            ("22007", "invalid input syntax for type timestamp: \"secret\""),
            ("22001", "value too long for type character varying(3): secret"),
            ("22P05", "character with byte sequence 0x73 secret in encoding \"UTF8\" has no equivalent"),
            ("54000", "secret"),
        ] {
            for (code, what) in [(Some(code), "by its code"), (of_message(message), "by its words")] {
                if code.is_none() {
                    continue;
                }
                let Fault { error, link } = fault(code, message, "");
                assert!(!format!("{error} {error:?}").contains("secret"), "{what}: {error:?}");
                assert_eq!((error.is_in_doubt(), link), (false, Link::Sound), "{message}");
            }
        }
        // A client library that drops the code has to know the words.
        assert_eq!(of_message("invalid input syntax for type uuid: \"x\""), Some("22P02"));
        assert_eq!(of_message("value \"x\" is out of range for type integer"), Some("22003"));
        let latin = fault(Some("22P05"), "", "").error;
        assert_eq!(latin.kind(), ErrorKind::InvalidInput);
        assert!(latin.to_string().contains("ENCODING 'UTF8'"), "{latin}");
    }

    #[test]
    fn whoever_ends_a_connection_may_come_again_whatever_number_it_has() {
        for (code, message) in [
            ("58000", "could not get connection from the pool - AllServersDown"),
            ("XX000", "unable to read data from DB node 0"),
            ("XX000", "(ECHECKOUTTIMEOUT) unable to check out connection from the pool after 5000ms"),
            ("57P01", "terminating connection due to administrator command"),
            ("08P01", "server conn crashed?"),
            ("99999", "the moon is full"),
        ] {
            let Fault { error, link } = ended(code, message, "");
            assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, Some(code)), "{error}");
            assert!(error.is_in_doubt() && error.is_unreachable() && link == Link::Lost, "{error}");
        }
        // What has to be mended is said all the same.
        let wrong = ended("28P01", "password authentication failed", "");
        assert_eq!((wrong.error.kind(), wrong.link), (ErrorKind::Backend, Link::Lost));
    }

    #[test]
    fn each_entry_has_a_source_and_stands_once() {
        for (index, (code, _, _, source)) in TABLE.iter().enumerate() {
            assert!(matches!(code.len(), 2 | 5) && !source.is_empty(), "{code}");
            assert!(TABLE[..index].iter().all(|(other, ..)| other != code), "{code} stands twice");
        }
    }

    #[test]
    fn a_missing_right_says_what_to_grant_in_any_language() {
        let grant = |message: &str| fault(Some("42501"), message, "").error.to_string();
        assert!(grant("permission denied for schema public").contains("grant CREATE on the schema"));
        assert!(grant("permission denied for table sessions").contains("grant SELECT"));
        assert!(!grant("permission denied for table sessions").contains("CREATE"));
        let german = grant("keine Berechtigung für Schema public");
        assert!(german.contains("grant SELECT") && german.contains("grant CREATE on the schema"), "{german}");
        assert!(grant("must be owner of table sessions").contains("owner"));
    }

    #[test]
    fn who_may_not_make_the_table_is_told_of_the_schema_s_right() {
        for message in ["permission denied for schema public", "keine Berechtigung für Schema public"] {
            let denied = making_the_table(fault(Some("42501"), message, "").error);
            assert!(denied.to_string().contains("grant CREATE on the schema"), "{denied}");
            assert_eq!((denied.code(), denied.is_in_doubt()), (Some("42501"), false));
        }
        let other = making_the_table(server("deadlock detected").error);
        assert_eq!(other.kind(), ErrorKind::Conflict);
    }

    #[test]
    fn an_answer_of_the_server_leaves_no_doubt_and_the_end_of_a_connection_does() {
        assert!(!server("deadlock detected").error.is_in_doubt());
        assert!(!server("permission denied for table sessions").error.is_in_doubt());
        assert!(server("terminating connection due to administrator command").error.is_in_doubt());
    }

    #[test]
    fn a_missing_table_says_how_to_make_it() {
        assert!(server("relation \"sessions\" does not exist").error.to_string().contains("CREATE TABLE …"));
    }

    #[test]
    fn what_nobody_knows_is_in_doubt_and_its_words_are_not_passed_on() {
        for code in [None, Some("U0001"), Some("72000")] {
            let Fault { error, .. } = fault(code, "the moon is secret", "");
            assert_eq!((error.kind(), error.code(), error.is_in_doubt()), (ErrorKind::Backend, code, true));
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn what_a_trigger_says_is_not_passed_on_whatever_code_it_chooses() {
        for code in ["P0001", "U0001", "23514", "42501", "42P01", "55P03", "53200", "44000", "XX000"] {
            let Fault { error, .. } = fault(Some(code), words(Some("exec_stmt_raise"), "not secret"), "");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("secret") && !shown.contains("()"), "{shown}");
        }
        let raised = fault(Some("P0001"), "not secret", "").error;
        assert!(!raised.to_string().contains("secret") && !raised.is_in_doubt(), "{raised}");
        let checked = words(Some("ExecConstraints"), "violates check constraint \"other\"");
        assert!(fault(Some("23514"), checked, "").error.to_string().contains("other"));
    }

    #[test]
    fn a_refused_connection_says_whether_the_server_is_there() {
        assert_eq!(refused("28P01", "password authentication failed").kind(), ErrorKind::Backend);
        assert!(refused("57P03", "the database system is starting up").is_unreachable());
        for (code, message, unreachable) in [
            ("08P01", "pgbouncer cannot connect to server", true),
            ("08P01", "server login has been failing, try again later (server_login_retry)", true),
            ("57P01", "terminating", true),
            ("08P01", "unsupported startup parameter: extra_float_digits", false),
            ("08P01", "no such database: app", false),
            (
                "28000",
                "no pg_hba.conf entry for host \"10.0.0.1\", user \"u\", database \"d\", no encryption",
                false,
            ),
            ("42501", "permission denied for database \"d\"", false),
            ("XX000", "Tenant or user not found", false),
            ("XX000", "(ESSLREQUIRED) SSL connection is required", false),
            ("XX000", "(EMAXCONNSESSION) max clients reached in session mode", true),
            ("XX000", "(ECHECKOUTTIMEOUT) unable to check out connection from the pool after 5000ms", true),
            ("XX000", "unable to read data from DB node 0", true),
            ("58000", "AllServersDown", true),
        ] {
            let error = refused(code, message);
            assert_eq!(
                (error.is_unreachable(), error.is_transient()),
                (unreachable, unreachable),
                "{message}"
            );
            assert!(!error.is_in_doubt(), "{message}");
        }
        assert!(
            refused("28000", "no pg_hba.conf entry for …, no encryption").to_string().contains("sslmode=")
        );
        let full = refused("53300", "sorry, too many clients already");
        assert!(full.kind() == ErrorKind::Unavailable && !full.is_unreachable());
    }
}
