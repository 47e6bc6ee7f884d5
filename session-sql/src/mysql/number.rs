//! What each error number of MySQL and MariaDB means: to the caller, and to the connection that it came over.

use session_core::{Error, ErrorKind};

use crate::{Fault, Link};

pub use super::message::of_message;

/// The row's key is taken.
pub const DUPLICATE: &str = "1062";

/// A number is out of range: what ending a principal's sessions provokes if one of them moved meanwhile.
pub const OUT_OF_RANGE: &str = "1690";

/// What is said where the server asks for a password that is sent as it is.
pub const ASKS_IN_CLEAR: &str = "the server asks for the password itself, as for a cloud's token, LDAP or PAM; write \
    enable_cleartext_plugin=true into the URL of an encrypted connection";

/// What is said where a URL allows that over a connection that anybody can read.
pub const IN_CLEAR: &str = "the MySQL URL has enable_cleartext_plugin, with which the password is sent as it is; add \
    ssl-mode=VERIFY_IDENTITY";

/// What is said of a payload that is too large for the server.
pub(super) const PACKET_TOO_LARGE: &str =
    "the payload does not fit into one packet; raise max_allowed_packet on the server, or store less";

/// What is said of a trigger's own error, in place of its words.
const RAISED: &str =
    "a trigger on the table refuses this; its words may quote a value, and are not passed on";

/// What is said of an error that is not in the table.
const UNKNOWN: &str = "the server answered with an error that is not known here; its words may quote a value, and are not \
    passed on: look it up by its number";

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    /// Given up in favour of another; the same call may succeed at once.
    Conflict,
    /// What the server had prepared does not fit any more; a new connection prepares anew.
    Unprepared,
    GaveUp,
    MissingTable,
    NoDatabase,
    MissingColumn,
    MissingRight,
    Constraint,
    Unique,
    OutOfRange,
    PacketTooLarge,
    TooLong,
    /// Of the binary log's cache: fewer rows may fit.
    CacheTooSmall,
    Character,
    /// The server's words quote a value.
    Value,
    OnlyReads,
    /// The connection ends, and with it maybe the server.
    Ended,
    DiskFull,
    /// Connections, memory, locks: later there may be some.
    Scarce,
    Prepared,
    BinaryLog,
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

/// Every number that is decided on, with where that is said. What is not here leaves doubt. "S" is MySQL's server error
/// reference, "C" its client error reference, "M" MariaDB's list of error codes.
#[rustfmt::skip]
const TABLE: &[(&str, Means, Done, &str)] = &[
    ("1213", Means::Conflict, Nothing, "S: ER_LOCK_DEADLOCK, the transaction is rolled back; Galera: at COMMIT too"),
    ("1020", Means::Conflict, Nothing, "M: ER_CHECKREAD, innodb_snapshot_isolation"),
    ("1412", Means::Conflict, Nothing, "S: ER_TABLE_DEF_CHANGED"),
    ("1614", Means::Conflict, Nothing, "S: ER_XA_RBDEADLOCK"),
    ("3101", Means::Conflict, Nothing, "S: ER_TRANSACTION_ROLLBACK_DURING_COMMIT, Group Replication's certification"),
    ("8028", Means::Conflict, Nothing, "TiDB: the schema changed during the transaction, which is rolled back"),
    ("9007", Means::Conflict, Nothing, "TiDB: write conflict, the transaction is rolled back"),
    ("1615", Means::Unprepared, Nothing, "S: ER_NEED_REPREPARE"),
    ("1243", Means::Unprepared, Nothing, "S: ER_UNKNOWN_STMT_HANDLER; a proxy that changed servers"),
    ("1205", Means::GaveUp, Nothing, "S: ER_LOCK_WAIT_TIMEOUT; a statement that waits has not committed"),
    ("3572", Means::GaveUp, Nothing, "S: ER_LOCK_NOWAIT"),
    ("3024", Means::GaveUp, Nothing, "S: ER_QUERY_TIMEOUT, of SELECT alone"),
    ("1969", Means::GaveUp, Nothing, "M: ER_STATEMENT_TIMEOUT; max_statement_time does not interrupt a commit"),
    ("1317", Means::GaveUp, Maybe, "S: ER_QUERY_INTERRUPTED; Galera: also while it replicates; Vitess: any time-out"),
    ("1146", Means::MissingTable, Nothing, "S: ER_NO_SUCH_TABLE"),
    ("1046", Means::NoDatabase, Nothing, "S: ER_NO_DB_ERROR"),
    ("1049", Means::NoDatabase, Nothing, "S: ER_BAD_DB_ERROR"),
    ("1054", Means::MissingColumn, Nothing, "S: ER_BAD_FIELD_ERROR"),
    ("1044", Means::MissingRight, Nothing, "S: ER_DBACCESS_DENIED_ERROR"),
    ("1142", Means::MissingRight, Nothing, "S: ER_TABLEACCESS_DENIED_ERROR"),
    ("1143", Means::MissingRight, Nothing, "S: ER_COLUMNACCESS_DENIED_ERROR"),
    ("1227", Means::MissingRight, Nothing, "S: ER_SPECIFIC_ACCESS_DENIED_ERROR"),
    ("1048", Means::Constraint, Nothing, "S: ER_BAD_NULL_ERROR"),
    ("1364", Means::Constraint, Nothing, "S: ER_NO_DEFAULT_FOR_FIELD"),
    ("1451", Means::Constraint, Nothing, "S: ER_ROW_IS_REFERENCED_2"),
    ("1452", Means::Constraint, Nothing, "S: ER_NO_REFERENCED_ROW_2"),
    ("3819", Means::Constraint, Nothing, "S: ER_CHECK_CONSTRAINT_VIOLATED"),
    ("4025", Means::Constraint, Nothing, "M: ER_CONSTRAINT_FAILED"),
    (DUPLICATE, Means::Unique, Nothing, "S: ER_DUP_ENTRY"),
    (OUT_OF_RANGE, Means::OutOfRange, Nothing, "S: ER_DATA_OUT_OF_RANGE"),
    ("1264", Means::OutOfRange, Nothing, "S: ER_WARN_DATA_OUT_OF_RANGE"),
    ("1153", Means::PacketTooLarge, Nothing, "S: ER_NET_PACKET_TOO_LARGE: was not read"),
    ("1406", Means::TooLong, Nothing, "S: ER_DATA_TOO_LONG"),
    ("1197", Means::CacheTooSmall, Nothing, "S: ER_TRANS_CACHE_FULL: the transaction is rolled back"),
    ("1366", Means::Character, Nothing, "S: ER_TRUNCATED_WRONG_VALUE_FOR_FIELD"),
    ("1300", Means::Character, Nothing, "S: ER_INVALID_CHARACTER_STRING"),
    ("3988", Means::Character, Nothing, "S: ER_CANNOT_CONVERT_STRING"),
    ("1292", Means::Value, Nothing, "S: ER_TRUNCATED_WRONG_VALUE: Truncated incorrect … value: '…'"),
    ("1367", Means::Value, Nothing, "S: ER_ILLEGAL_VALUE_FOR_TYPE"),
    ("1411", Means::Value, Nothing, "S: ER_WRONG_VALUE_FOR_TYPE: Incorrect … value: '…' for function …"),
    ("1525", Means::Value, Nothing, "S: ER_WRONG_VALUE: Incorrect … value: '…'"),
    ("1918", Means::Value, Nothing, "M: ER_BAD_DATA: Encountered illegal value '…' when converting to …"),
    ("1290", Means::OnlyReads, Nothing, "S: ER_OPTION_PREVENTS_STATEMENT: --read-only, --super-read-only"),
    ("1792", Means::OnlyReads, Nothing, "S: ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION"),
    ("1836", Means::OnlyReads, Nothing, "S: ER_READ_ONLY_MODE; Aurora's readers"),
    ("1047", Means::Ended, Nothing, "M: ER_UNKNOWN_COM_ERROR, WSREP has not yet prepared node: refused before it runs"),
    ("4031", Means::Ended, Nothing, "S: ER_CLIENT_INTERACTION_TIMEOUT: nothing of what was sent is read any more"),
    ("1053", Means::Ended, Maybe, "S: ER_SERVER_SHUTDOWN"),
    ("1152", Means::Ended, Maybe, "S: ER_ABORTING_CONNECTION"),
    ("3032", Means::Ended, Maybe, "S: ER_SERVER_OFFLINE_MODE: logins are refused, and sessions ended"),
    ("1156", Means::Ended, Maybe, "S: ER_NET_PACKETS_OUT_OF_ORDER"),
    ("1157", Means::Ended, Maybe, "S: ER_NET_UNCOMPRESS_ERROR"),
    ("1158", Means::Ended, Maybe, "S: ER_NET_READ_ERROR"),
    ("1159", Means::Ended, Maybe, "S: ER_NET_READ_INTERRUPTED"),
    ("1160", Means::Ended, Maybe, "S: ER_NET_ERROR_ON_WRITE"),
    ("1161", Means::Ended, Maybe, "S: ER_NET_WRITE_INTERRUPTED"),
    ("1184", Means::Ended, Maybe, "S: ER_NEW_ABORTING_CONNECTION"),
    ("1927", Means::Ended, Maybe, "M: ER_CONNECTION_KILLED; MaxScale: lost connection to backend server"),
    ("3169", Means::Ended, Maybe, "S: ER_SESSION_WAS_KILLED"),
    ("2002", Means::Ended, Maybe, "C: CR_CONNECTION_ERROR, passed on by MySQL Router and ProxySQL"),
    ("2003", Means::Ended, Maybe, "C: CR_CONN_HOST_ERROR, passed on by MySQL Router and ProxySQL"),
    ("2006", Means::Ended, Maybe, "C: CR_SERVER_GONE_ERROR, passed on by ProxySQL"),
    ("2013", Means::Ended, Maybe, "C: CR_SERVER_LOST, passed on by ProxySQL, MaxScale and MySQL Router"),
    ("2055", Means::Ended, Maybe, "C: CR_SERVER_LOST_EXTENDED, passed on by ProxySQL"),
    ("9001", Means::Ended, Maybe, "ProxySQL: no server was reached; TiDB: the placement driver timed out"),
    ("1180", Means::Ended, Maybe, "S: ER_ERROR_DURING_COMMIT; Galera: a node that lost its cluster, seen done"),
    ("3100", Means::Ended, Maybe, "S: ER_RUN_HOOK_ERROR: Group Replication, before or after the group has it"),
    ("1021", Means::DiskFull, Nothing, "S: ER_DISK_FULL"),
    ("1114", Means::DiskFull, Nothing, "S: ER_RECORD_FILE_FULL"),
    ("1037", Means::Scarce, Nothing, "S: ER_OUTOFMEMORY"),
    ("1038", Means::Scarce, Nothing, "S: ER_OUT_OF_SORTMEMORY"),
    ("1040", Means::Scarce, Nothing, "S: ER_CON_COUNT_ERROR; a proxy's limit"),
    ("1041", Means::Scarce, Nothing, "S: ER_OUT_OF_RESOURCES"),
    ("1203", Means::Scarce, Nothing, "S: ER_TOO_MANY_USER_CONNECTIONS"),
    ("1206", Means::Scarce, Nothing, "S: ER_LOCK_TABLE_FULL"),
    ("1226", Means::Scarce, Nothing, "S: ER_USER_LIMIT_REACHED"),
    ("1637", Means::Scarce, Nothing, "S: ER_TOO_MANY_CONCURRENT_TRXS"),
    ("9501", Means::Scarce, Nothing, "RDS Proxy: Timed-out waiting to acquire database connection"),
    ("1461", Means::Prepared, Nothing, "S: ER_MAX_PREPARED_STMT_COUNT_REACHED"),
    ("1665", Means::BinaryLog, Nothing, "S: ER_BINLOG_STMT_MODE_AND_ROW_ENGINE: refused before it runs"),
    ("1064", Means::Refused, Nothing, "S: ER_PARSE_ERROR"),
    ("1193", Means::Refused, Nothing, "S: ER_UNKNOWN_SYSTEM_VARIABLE"),
    ("1644", Means::Raised, Nothing, "S: ER_SIGNAL_EXCEPTION: a trigger's own error, which ends its statement"),
    ("1231", Means::Refused, Nothing, "S: ER_WRONG_VALUE_FOR_VAR"),
    ("1235", Means::Refused, Nothing, "S: ER_NOT_SUPPORTED_YET"),
    ("1267", Means::Character, Nothing, "S: ER_CANT_AGGREGATE_2COLLATIONS: of a column that is not of Unicode"),
    ("1295", Means::Refused, Nothing, "S: ER_UNSUPPORTED_PS"),
    ("1305", Means::Refused, Nothing, "S: ER_SP_DOES_NOT_EXIST: a function that this server lacks"),
    ("9006", Means::Refused, Nothing, "ProxySQL: connection is locked to hostgroup …, before it is sent on"),
    ("3098", Means::Refused, Nothing, "S: ER_BEFORE_DML_VALIDATION_ERROR: Group Replication, refused before it runs"),
];

fn decision(number: &str, message: &str) -> (Means, Done) {
    // TiDB has this number for everything, and Vitess too.
    if number == "1105" {
        let packet = message.contains("max_allowed_packet") || message.contains("mysql_send_long_data");
        return if packet { (Means::PacketTooLarge, Nothing) } else { (Means::Refused, Maybe) };
    }
    // The two that number alike have different words.
    if number == "9001" && message.contains("Max connect timeout") {
        return (Means::Ended, Nothing);
    }
    let found = TABLE.iter().find(|(entry, ..)| *entry == number);
    found.map_or((Means::Unknown, Maybe), |(_, means, done, _)| (*means, *done))
}

/// The words of an error, by its SQLSTATE: none of a trigger's own, whatever number it chose.
pub fn words<'a>(sqlstate: &str, message: &'a str) -> &'a str {
    // "S: SIGNAL": the class of what the server itself does not signal.
    if sqlstate.starts_with("45") { "" } else { message }
}

/// Classifies what the server, or a proxy before it, answered to a statement. `number` is the error's, where the client
/// knows it; `schema` is what would make the table. A message that may quote a value is not passed on.
pub fn fault(number: Option<&str>, message: &str, schema: &str) -> Fault {
    use Link::{Lost, Sound, Unfit};

    let (means, done) = number.map_or((Means::Unknown, Maybe), |number| decision(number, message));
    let says = |what: &str| if message.is_empty() { what.to_owned() } else { format!("{what} ({message})") };
    let backend = |what: String| Error::new(ErrorKind::Backend, what);
    let (error, link) = match means {
        Means::Conflict => {
            let what = "the server gave up this operation in favour of another";
            (Error::new(ErrorKind::Conflict, what), Sound)
        }
        Means::Unprepared => (Error::new(ErrorKind::Conflict, "the server prepares anew"), Unfit),
        Means::GaveUp => (Error::unavailable(says("the server gave up waiting")), Sound),
        Means::MissingTable => (
            backend(says(&format!("the table is missing; call `create_table`, or run this: {schema}"))),
            Sound,
        ),
        Means::NoDatabase => (backend(says("name the database in the URL, or create it")), Sound),
        Means::MissingColumn => (backend(says("the table lacks a column; run the doctor on it")), Sound),
        Means::MissingRight => (backend(says(missing_right(message))), Sound),
        Means::Constraint => {
            (backend("the table has a constraint that is not ours; drop it".to_owned()), Sound)
        }
        Means::Unique => (backend("a unique index on the table is not ours; drop it".to_owned()), Sound),
        Means::OutOfRange => (backend("a number is out of its column's range".to_owned()), Sound),
        Means::PacketTooLarge => (Error::new(ErrorKind::TooLarge, PACKET_TOO_LARGE), Unfit),
        Means::TooLong => {
            let what = "a value is longer than its column; run the doctor on the table";
            (Error::new(ErrorKind::TooLarge, what), Sound)
        }
        Means::CacheTooSmall => {
            let what = "the transaction does not fit into the binary log's cache; raise max_binlog_cache_size";
            (Error::new(ErrorKind::TooLarge, what), Sound)
        }
        Means::Character => {
            let what = "a column lacks a character of the session; run the doctor on the table";
            (Error::invalid_input(what), Sound)
        }
        Means::Value => {
            let what = "the server takes a value for one that cannot be; run the doctor on the table, and look at what \
                        triggers make of it";
            (backend(what.to_owned()), Sound)
        }
        Means::OnlyReads => (
            Error::unavailable("this server only reads: connect to the one that writes").with_unreachable(),
            Lost,
        ),
        Means::Ended => {
            (Error::unavailable(says("the server ended the connection")).with_unreachable(), Lost)
        }
        Means::DiskFull => {
            (backend("the server's disk or tablespace is full; free or add space".to_owned()), Sound)
        }
        Means::Scarce => (Error::unavailable(says("the server lacks resources")), Unfit),
        Means::Prepared => (
            backend(says(
                "too many prepared statements; raise max_prepared_stmt_count, or make the pools smaller",
            )),
            Unfit,
        ),
        Means::BinaryLog => (
            backend(
                "the server's binary log refuses changes under READ COMMITTED; set binlog_format to ROW, or give the \
                 pool's connections REPEATABLE READ"
                    .to_owned(),
            ),
            Unfit,
        ),
        Means::Raised => (backend(RAISED.to_owned()), Unfit),
        Means::Refused if message.is_empty() => (backend(RAISED.to_owned()), Unfit),
        Means::Refused => (backend(format!("the server answered: {message}")), Unfit),
        Means::Unknown => (backend(UNKNOWN.to_owned()), Unfit),
    };
    let error = error.with_in_doubt(done == Maybe);
    let error = match number {
        Some(number) => error.with_code(number),
        None => error,
    };
    Fault::new(error, link)
}

/// What to grant: a message names the command that was denied, in English.
fn missing_right(message: &str) -> &'static str {
    let of_schema =
        ["CREATE ", "ALTER ", "INDEX ", "DROP "].iter().any(|command| message.starts_with(command));
    if of_schema {
        "the user may not do that; grant CREATE, ALTER and INDEX on the database, or run `schema_sql` as another user"
    } else {
        "the user may not do that; grant SELECT, INSERT, UPDATE and DELETE on the table, and for `create_table` grant \
         CREATE on the database"
    }
}

/// What a user who may not make the table is told, in place of [`fault`]'s advice.
pub(super) fn making_the_table(error: Error) -> Error {
    match error.code() {
        Some(code @ ("1142" | "1044" | "1370")) => {
            let code = code.to_owned();
            let advice = "the user may not make the table; grant CREATE on the database, or let somebody who may run the \
                statements of `schema_sql`";
            Error::new(ErrorKind::Backend, advice).with_code(code).with_in_doubt(false).with_source(error)
        }
        _ => error,
    }
}

/// Classifies a connection that the server, or a proxy before it, refused. Nothing was sent that could change anything.
pub fn refused(number: &str, message: &str) -> Error {
    let backend = |what: String| Error::new(ErrorKind::Backend, what);
    let error = match number {
        "1045" | "1044" | "1698" | "1130" | "3118" | "4151" => backend(format!(
            "the server refuses this user ({message}); check name, password and grants, and whether the user must \
             come over TLS (`ssl-mode=VERIFY_IDENTITY`)"
        )),
        "1820" | "1862" => backend(format!("the password has expired ({message}); set a new one")),
        "1129" => backend(format!("the server blocks this host ({message}); run FLUSH HOSTS there")),
        "3159" => backend(format!(
            "the server takes TLS only ({message}); write ssl-mode=VERIFY_IDENTITY into the URL"
        )),
        "1251" | "1524" | "2059" => backend(format!(
            "the server asks for a login method that is not known here ({message}); check the user's name, or \
             give the user caching_sha2_password"
        )),
        "1049" => backend(format!("{message}; create it, or correct the URL")),
        "1040" | "1203" | "1226" => Error::unavailable(format!(
            "{message}; raise max_connections, or make the pools of all processes smaller"
        )),
        _ => match decision(number, message).0 {
            Means::Ended | Means::GaveUp | Means::Scarce | Means::Conflict | Means::OnlyReads => {
                Error::unavailable(format!("the server takes no connection now ({message})"))
                    .with_unreachable()
            }
            _ => backend(format!("the server refuses the connection: {message}")),
        },
    };
    error.with_code(number).with_in_doubt(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(message: &str) -> Fault {
        fault(of_message(message), message, "CREATE TABLE …")
    }

    #[test]
    fn a_message_is_classified_with_its_number() {
        use ErrorKind::{Backend, Conflict, TooLarge, Unavailable};
        use Link::{Lost, Sound, Unfit};
        let table = [
            ("Deadlock found when trying to get lock; try restarting transaction", Conflict, "1213", Sound),
            ("Lock wait timeout exceeded; try restarting transaction", Unavailable, "1205", Sound),
            ("Table 'app.sessions' doesn't exist", Backend, "1146", Sound),
            ("Unknown column 'version' in 'field list'", Backend, "1054", Sound),
            ("INSERT command denied to user 'x'@'localhost' for table `app`.`s`", Backend, "1142", Sound),
            ("Got a packet bigger than 'max_allowed_packet' bytes", TooLarge, "1153", Unfit),
            ("Data too long for column 'payload' at row 1", TooLarge, "1406", Sound),
            (
                "The MariaDB server is running with the --read-only option so it cannot execute this statement",
                Unavailable,
                "1290",
                Lost,
            ),
            ("Server shutdown in progress", Unavailable, "1053", Lost),
            ("The table 'sessions' is full", Backend, "1114", Sound),
        ];
        for (message, kind, number, link) in table {
            let fault = of(message);
            assert_eq!((fault.error.kind(), fault.error.code()), (kind, Some(number)), "{message}");
            assert_eq!(fault.link, link, "{message}");
        }
        assert!(of("Table 'app.sessions' doesn't exist").error.to_string().contains("CREATE TABLE …"));
        assert!(!of("Deadlock found").error.is_in_doubt());
    }

    #[test]
    fn who_may_not_make_the_table_is_told_of_the_database_s_right() {
        let denied = making_the_table(fault(Some("1142"), "CREATE command denied", "").error);
        assert!(denied.to_string().contains("grant CREATE on the database"), "{denied}");
    }

    #[test]
    fn a_message_that_quotes_a_value_is_not_passed_on() {
        let duplicate = fault(Some(DUPLICATE), "Duplicate entry 'secret' for key 'PRIMARY'", "").error;
        assert!(!format!("{duplicate} {duplicate:?}").contains("secret"), "{duplicate:?}");
        for message in [
            "Incorrect string value: 'secret' for column 'payload'",
            "Data too long for column 'secret' at row 1",
        ] {
            let error = of(message).error;
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
        for number in ["1292", "1367", "1411", "1525", "1918", "1366", "1264", "1690"] {
            let error = fault(Some(number), "Incorrect datetime value: 'secret' for column 'x'", "").error;
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
            assert!(!error.is_in_doubt(), "{number}");
        }
        for message in ["Truncated incorrect DOUBLE value: 'x'", "Incorrect datetime value: 'x' for column"] {
            assert_eq!(of_message(message), Some("1292"), "{message}");
        }
    }

    #[test]
    fn what_a_trigger_says_is_not_passed_on_whatever_number_it_chooses() {
        for number in ["1644", "3819", "1142", "1205", "1040", "1105", "30001", "50000"] {
            let error = fault(Some(number), words("45000", "not secret"), "").error;
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("secret") && !shown.contains("()"), "{number}: {shown}");
        }
        // Without the SQLSTATE, by the number; and where that is not known either.
        for number in [Some("1644"), Some("30001"), None] {
            let error = fault(number, "not secret", "").error;
            assert!(!format!("{error} {error:?}").contains("secret"), "{number:?}: {error:?}");
        }
        assert!(!fault(Some("1644"), "", "").error.is_in_doubt());
        assert_eq!(words("42S02", "Table 'x' doesn't exist"), "Table 'x' doesn't exist");
    }

    #[test]
    fn what_is_not_known_to_have_changed_nothing_is_in_doubt() {
        let is_in_doubt = |number: &str, message: &str| fault(Some(number), message, "").error.is_in_doubt();
        for known in [
            "1213", "3101", "1205", "3572", "1969", "1146", "1054", "1142", "1062", "1690", "1153", "1406",
            "1290", "1836", "1047", "4031", "1114", "1040", "1203", "1461", "1665", "3098", "1064", "1615",
        ] {
            assert!(!is_in_doubt(known, "mit anderen Worten"), "{known}");
        }
        for open in [
            "1180", "1181", "3100", "1317", "1053", "1927", "3169", "2003", "2006", "2013", "2055", "1158",
            "1161", "1105", "9001", "9002", "8501", "1030", "1196", "65535", "",
        ] {
            assert!(is_in_doubt(open, "Lost connection to server during query"), "{open}");
        }
        assert!(fault(None, "the moon is full", "").error.is_in_doubt());
        assert!(!is_in_doubt("9001", "Max connect timeout reached while reaching hostgroup 0 after 10000ms"));
        for (number, message) in [
            ("2013", "Lost connection to MySQL server during query"),
            ("1180", "Got error 6 \"No such device or address\" during COMMIT"),
            ("1180", "Error while appending streaming replication fragment(provider status: Not connected)"),
            ("3100", "Error on observer while running replication hook 'before_commit'."),
        ] {
            let Fault { error, link } = of(message);
            assert_eq!((error.code(), link), (Some(number), Link::Lost), "{message}");
            assert!(error.is_in_doubt() && error.is_unreachable(), "{message}");
        }
        let percona =
            "WSREP detected deadlock/conflict and aborted the transaction. Try restarting the transaction";
        assert_eq!((of(percona).error.kind(), of(percona).error.is_in_doubt()), (ErrorKind::Conflict, false));
    }

    #[test]
    fn an_unknown_error_of_tidb_is_no_packet_that_is_too_large() {
        let fault = |message: &str| fault(Some("1105"), message, "").error.kind();
        assert_eq!(fault("runtime error: index out of range"), ErrorKind::Backend);
        let long =
            "Parameter of prepared statement which is set through mysql_send_long_data() is longer than …";
        assert_eq!(fault(long), ErrorKind::TooLarge);
    }

    #[test]
    fn each_entry_has_a_source_and_stands_once() {
        for (index, (number, _, _, source)) in TABLE.iter().enumerate() {
            assert!(number.parse::<u16>().is_ok() && !source.is_empty(), "{number}");
            assert!(TABLE[..index].iter().all(|(other, ..)| other != number), "{number} stands twice");
        }
    }

    #[test]
    fn a_refused_connection_is_never_in_doubt() {
        for (number, kind) in [
            ("1045", ErrorKind::Backend),
            ("1049", ErrorKind::Backend),
            ("1040", ErrorKind::Unavailable),
            ("9999", ErrorKind::Backend),
            ("3159", ErrorKind::Backend),
            ("1130", ErrorKind::Backend),
            ("1053", ErrorKind::Unavailable),
            ("1047", ErrorKind::Unavailable),
            ("1205", ErrorKind::Unavailable),
            ("2013", ErrorKind::Unavailable),
            ("9001", ErrorKind::Unavailable),
            ("9501", ErrorKind::Unavailable),
            ("3032", ErrorKind::Unavailable),
        ] {
            let error = refused(number, "Access denied");
            assert_eq!((error.kind(), error.code()), (kind, Some(number)));
            assert!(!error.is_in_doubt());
        }
    }
}
