//! An error's number from its English message, where nothing better is there.

/// The number of an error again, from the beginning or end of its English message, for client libraries that drop it. The
/// outcomes of operations hang on none of these.
pub fn of_message(message: &str) -> Option<&'static str> {
    const BEGINNINGS: &[(&str, &str)] = &[
        ("Deadlock found", "1213"),
        // Percona's words, and MariaDB's of Galera's conflicts.
        ("WSREP detected deadlock/conflict", "1213"),
        ("Got error", "1180"),
        ("Error while appending streaming replication fragment", "1180"),
        ("Error on observer while running replication hook", "3100"),
        ("Plugin instructed the server to rollback", "3101"),
        ("The table does not comply with the requirements by an external plugin", "3098"),
        ("Cannot execute statement: impossible to write to binary log", "1665"),
        ("The client was disconnected by the server because of inactivity", "4031"),
        ("Max connect timeout reached while reaching hostgroup", "9001"),
        ("ProxySQL Error: Max connect timeout reached while reaching hostgroup", "9001"),
        ("ProxySQL Error: connection is locked to hostgroup", "9006"),
        ("Timed-out waiting to acquire database connection", "9501"),
        ("The server is currently in offline mode", "3032"),
        ("Lost connection to", "2013"),
        ("Prepared statement needs to be re-prepared", "1615"),
        ("Unknown prepared statement handler", "1243"),
        ("Table definition has changed", "1412"),
        ("The total number of locks exceeds the lock table size", "1206"),
        ("Out of memory", "1037"),
        ("You have an error in your SQL syntax", "1064"),
        ("No database selected", "1046"),
        ("Record has changed since last read", "1020"),
        ("Lock wait timeout exceeded", "1205"),
        ("Statement aborted because lock(s) could not be acquired immediately", "3572"),
        ("Query execution was interrupted (max_statement_time exceeded)", "1969"),
        ("Query execution was interrupted, maximum statement execution time exceeded", "3024"),
        ("Query execution was interrupted", "1317"),
        ("Unknown column", "1054"),
        ("Access denied", "1044"),
        // Whatever the language.
        ("BIGINT", super::number::OUT_OF_RANGE),
        ("Out of range value for column", "1264"),
        ("Got a packet bigger than", "1153"),
        ("Parameter of prepared statement which is set through mysql_send_long_data()", "1105"),
        ("Data too long for column", "1406"),
        ("Incorrect string value", "1366"),
        ("Illegal mix of collations", "1267"),
        ("Truncated incorrect ", "1292"),
        ("Encountered illegal value", "1918"),
        ("Conversion from collation", "3988"),
        ("Running in read-only mode", "1836"),
        ("Cannot execute statement in a READ ONLY transaction", "1792"),
        ("Server shutdown in progress", "1053"),
        ("WSREP has not yet prepared node", "1047"),
        ("Connection was killed", "1927"),
        ("Can't create more than max_prepared_stmt_count", "1461"),
        ("CONSTRAINT ", "4025"),
    ];
    const PARTS: &[(&str, &str, &str)] = &[
        ("Table ", " doesn't exist", "1146"),
        ("", " command denied to user ", "1142"),
        ("The ", " option so it cannot execute this statement", "1290"),
        ("The table ", " is full", "1114"),
        ("Incorrect ", " value: '", "1292"),
    ];
    let beginning = BEGINNINGS.iter().find(|(beginning, _)| message.starts_with(beginning));
    let part = || PARTS.iter().find(|(start, part, _)| message.starts_with(start) && message.contains(part));
    beginning.map(|(_, code)| *code).or_else(|| part().map(|(_, _, code)| *code))
}
