//! What is taken as a MySQL URL: that of MySQL's shell and connectors, or refused with what to write.

use session_core::{Error, Result};

use crate::nearest;

/// Other spellings of what is read here: of MySQL's own clients, of sqlx, of JDBC and Go.
const SPELLINGS: &[(&str, &str)] = &[
    ("ssl_mode", "ssl-mode"),
    ("sslmode", "ssl-mode"),
    ("ssl_ca", "ssl-ca"),
    ("sslca", "ssl-ca"),
    ("ssl_cert", "ssl-cert"),
    ("sslcert", "ssl-cert"),
    ("ssl_key", "ssl-key"),
    ("sslkey", "ssl-key"),
    ("unix_socket", "socket"),
    ("unixsocket", "socket"),
    ("unix-socket", "socket"),
    ("enable-cleartext-plugin", "enable_cleartext_plugin"),
    ("allowcleartextpasswords", "enable_cleartext_plugin"),
];

/// Parameters that change nothing here: what they ask for is so, or concerns what a store has not. Times are numbers, and
/// texts are compared byte by byte.
const WITHOUT_EFFECT: &[&str] = &[
    "useunicode",
    "get-server-public-key",
    "allowpublickeyretrieval",
    "collation",
    "connectioncollation",
    "timezone",
    "time_zone",
    "time-zone",
    "servertimezone",
    "connectiontimezone",
    "loc",
    "parsetime",
    "reset_connection",
];

/// Parameters that are refused, and what to write.
const REFUSED: &[(&str, &str)] = &[
    ("ssl-capath", "name a file with `ssl-ca`"),
    ("ssl-cert", "certificates of clients are not supported; log in with a password"),
    ("ssl-key", "certificates of clients are not supported; log in with a password"),
    ("sslidentity", "certificates of clients are not supported; log in with a password"),
    ("ssl-crl", "lists of revoked certificates are not supported; leave it out"),
    ("ssl-crlpath", "lists of revoked certificates are not supported; leave it out"),
    ("ssl-cipher", "the cipher cannot be chosen; leave it out"),
    ("tls-version", "TLS 1.2 and 1.3 are what is used; leave it out"),
    ("tls-versions", "TLS 1.2 and 1.3 are what is used; leave it out"),
    ("tls-ciphersuites", "the cipher cannot be chosen; leave it out"),
    ("auth-method", "the server says how to log in; leave it out"),
    ("connect-timeout", "use the builder's `login_timeout`"),
    ("connect_timeout", "use the builder's `login_timeout`"),
    ("connecttimeout", "use the builder's `login_timeout`"),
    ("timeout", "use the builder's `login_timeout`"),
    ("sockettimeout", "the deadline of a call bounds it; leave it out"),
    ("readtimeout", "the deadline of a call bounds it; leave it out"),
    ("writetimeout", "the deadline of a call bounds it; leave it out"),
    ("socket_timeout", "the deadline of a call bounds it; leave it out"),
    ("usessl", "it is `ssl-mode`: DISABLED, REQUIRED or VERIFY_IDENTITY"),
    ("requiressl", "it is `ssl-mode`: DISABLED, REQUIRED or VERIFY_IDENTITY"),
    ("verifyservercertificate", "it is `ssl-mode`: DISABLED, REQUIRED or VERIFY_IDENTITY"),
    ("sslaccept", "it is `ssl-mode`: DISABLED, REQUIRED or VERIFY_IDENTITY"),
    ("ssl", "it is `ssl-mode`: DISABLED, REQUIRED or VERIFY_IDENTITY"),
    ("tls", "it is `ssl-mode`: DISABLED, REQUIRED or VERIFY_IDENTITY"),
    ("user", "write it before the host: mysql://user:password@host:port/database"),
    ("password", "write it before the host: mysql://user:password@host:port/database"),
    ("pool_min", "a pool begins empty; leave it out"),
    ("pool_max", "use the builder's `pool_size`"),
    ("connection_limit", "use the builder's `pool_size`"),
    ("pool_timeout", "the deadline of a call bounds its wait, too; leave it out"),
    ("conn_ttl", "use the builder's `idle_timeout`"),
    ("abs_conn_ttl", "use the builder's `idle_timeout`"),
    ("abs_conn_ttl_jitter", "use the builder's `idle_timeout`"),
    ("inactive_connection_ttl", "use the builder's `idle_timeout`"),
    ("ttl_check_interval", "use the builder's `idle_timeout`"),
    ("stmt_cache_size", "a store's statements are few, and kept; leave it out"),
    ("statement-cache-capacity", "a store's statements are few, and kept; leave it out"),
    ("statement_cache_size", "a store's statements are few, and kept; leave it out"),
    ("max_statement_time", "use the builder's `statement_timeout`"),
    ("max_execution_time", "use the builder's `statement_timeout`"),
    ("innodb_lock_wait_timeout", "use the builder's `lock_timeout`"),
    ("lock_wait_timeout", "use the builder's `lock_timeout`"),
    ("sql_mode", "a store's connections have the mode that it needs; leave it out"),
    ("transaction_isolation", "a store's connections have the level that it needs; leave it out"),
    ("tx_isolation", "a store's connections have the level that it needs; leave it out"),
    ("autocommit", "a store's connections commit each statement; leave it out"),
    ("allowmultiqueries", "no statement of a store needs it; leave it out"),
    ("autoreconnect", "a store connects anew by itself; leave it out"),
];

/// The URL with those parameters alone that this client library takes, in its spelling: `taken`.
///
/// # Errors
/// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if it is none, or asks for what cannot be. No error quotes it.
pub fn read(url: &str, taken: &[&str]) -> Result<String> {
    let Some(rest) = url.strip_prefix("mysql://").or(url.strip_prefix("mariadb://")) else {
        return Err(Error::invalid_input(match url.split_once("://") {
            Some(("mysqlx", _)) => {
                "mysqlx:// is the X protocol; use mysql:// and the server's classic port, mostly 3306"
            }
            Some(("mysql+srv" | "mysqlx+srv", _)) => {
                "names of services are not looked up; use mysql:// and a host"
            }
            Some(("jdbc:mysql" | "jdbc:mariadb", _)) => {
                "this is JDBC's form; use mysql://user:password@host:port/database, with the user in front"
            }
            _ => "the MySQL URL begins with another word; use mysql://user:password@host:port/database",
        }));
    };
    let (base, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = base.split('/').next().unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let lower = name.to_ascii_lowercase();
        let spelling = SPELLINGS.iter().find(|(other, _)| *other == lower);
        let lower = spelling.map_or(lower, |(_, ours)| (*ours).to_owned());
        let is_taken = taken.contains(&lower.as_str());
        if let Some((name, instead)) = REFUSED.iter().find(|(refused, _)| *refused == lower && !is_taken) {
            return Err(Error::invalid_input(format!("the MySQL URL has `{name}`: {instead}")));
        }
        match lower.as_str() {
            known if WITHOUT_EFFECT.contains(&known) => {}
            "charset" | "character-set" | "character_set" | "characterencoding" => {
                let value = value.to_ascii_lowercase().replace('-', "");
                if !matches!(value.as_str(), "" | "utf8" | "utf8mb3" | "utf8mb4" | "utf8mb4,utf8") {
                    return Err(Error::invalid_input(format!(
                        "the MySQL URL's `{lower}` is not utf8mb4, which holds every character; leave it out"
                    )));
                }
            }
            "client_found_rows" if value == "true" => {}
            "client_found_rows" => {
                return Err(Error::invalid_input(
                    "the MySQL URL's `client_found_rows` is true here: an update that changes nothing counts; leave it out",
                ));
            }
            // The words of MySQL's shell are the same in any case.
            _ if is_taken => kept.push(format!("{lower}={value}")),
            unknown => {
                // Never the name itself: what stands at a wrong place may be a password.
                let meant = nearest(unknown, taken.iter().copied());
                let meant = meant.map(|meant| format!(" (is it `{meant}`?)")).unwrap_or_default();
                return Err(Error::invalid_input(format!(
                    "the MySQL URL has a parameter that is unknown{meant}; use \
                     mysql://user:password@host:port/database?ssl-mode=REQUIRED, with %40 for an @ in a password"
                )));
            }
        }
    }
    let has_socket = kept.iter().any(|pair| pair.starts_with("socket="));
    if hosts.contains(',') {
        return Err(Error::invalid_input(
            "the MySQL URL names several hosts; name one, or a proxy that knows which of them takes writes",
        ));
    }
    if hosts.starts_with(['/', '(']) || hosts.to_ascii_lowercase().starts_with("%2f") {
        return Err(Error::invalid_input(
            "the MySQL URL has a socket in the place of the host; write mysql://user@localhost/database?socket=/path",
        ));
    }
    let base = match hosts {
        "" if has_socket => base.replacen(authority, &format!("{authority}localhost"), 1),
        "" => {
            return Err(Error::invalid_input(
                "the MySQL URL names no host; write mysql://user@localhost/database, or, for a socket, \
                 mysql://user@localhost/database?socket=/run/mysqld/mysqld.sock",
            ));
        }
        _ => base.to_owned(),
    };
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    Ok(format!("mysql://{base}{query}"))
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind;

    use super::*;

    #[test]
    fn a_client_is_given_what_it_takes_and_nothing_else() {
        const CERTIFICATES: &[&str] = &["ssl-mode", "ssl-cert", "ssl-key"];
        let url = "mysql://u:p%40@h/d?sslCert=c.pem&ssl_key=k%20.pem&timezone=UTC&charset=utf8mb4";
        assert_eq!(read(url, CERTIFICATES).unwrap(), "mysql://u:p%40@h/d?ssl-cert=c.pem&ssl-key=k%20.pem");
        let refused = read(url, &["ssl-mode"]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(refused.to_string().contains("`ssl-cert`"), "{refused}");
        let unknown = read("mysql://u@h/d?socket=/run/m.sock", CERTIFICATES).unwrap_err();
        assert!(unknown.to_string().contains("unknown"), "{unknown}");
    }
}
