//! The keywords of a connection string: tiberius passes over those that it does not know, and so would connect to
//! something else than ADO.NET does.

use session_core::{Error, Result};
use session_sql::nearest;

/// ADO.NET's other names, and those that tiberius knows.
const SAME: &[(&str, &str)] = &[
    ("addr", "server"),
    ("address", "server"),
    ("network address", "server"),
    ("data source", "server"),
    ("initial catalog", "database"),
    ("databasename", "database"),
    ("uid", "user id"),
    ("user", "user id"),
    ("username", "user id"),
    ("pwd", "password"),
    ("app", "application name"),
    ("applicationname", "application name"),
    ("trust server certificate", "trustservercertificate"),
    ("host name in certificate", "hostnameincertificate"),
    ("hostname in certificate", "hostnameincertificate"),
    ("trusted_connection", "integrated security"),
    ("integratedsecurity", "integrated security"),
    ("workstationid", "workstation id"),
    ("wsid", "workstation id"),
    ("application intent", "applicationintent"),
    ("multi subnet failover", "multisubnetfailover"),
];

/// What tiberius does as ADO.NET does it.
const KNOWN: &[&str] = &[
    "server",
    "database",
    "user id",
    "password",
    "application name",
    "encrypt",
    "trustservercertificate",
    "trustservercertificateca",
    "hostnameincertificate",
    "integrated security",
    "workstation id",
    "multisubnetfailover",
];

/// What concerns ADO.NET's own pool, retries and time-outs, for which the builder has its options, or changes nothing of
/// what a store sends.
const WITHOUT_EFFECT: &[&str] = &[
    "asynchronous processing",
    "command timeout",
    "connect retry count",
    "connect retry interval",
    "connect timeout",
    "connection lifetime",
    "connection reset",
    "connection timeout",
    "connectretrycount",
    "connectretryinterval",
    "current language",
    // ODBC's: which client library.
    "driver",
    "mars_connection",
    "enlist",
    "ip address preference",
    "ipaddresspreference",
    "language",
    "load balance timeout",
    "max pool size",
    "min pool size",
    "multiple active result sets",
    "multipleactiveresultsets",
    "packet size",
    "persist security info",
    "persistsecurityinfo",
    "pool blocking period",
    "poolblockingperiod",
    "pooling",
    "replication",
    "timeout",
    "transaction binding",
    "type system version",
];

/// What this driver has no way for, the values with which it changes nothing all the same, and what to do.
const REFUSED: &[(&str, &[&str], &str)] = &[
    (
        "applicationintent",
        &["readwrite"],
        "asks for a server that only reads, and a session store writes; leave it out",
    ),
    ("failover partner", &[], "is not tried; name the listener of an availability group as `Server`"),
    ("failoverpartner", &[], "is not tried; name the listener of an availability group as `Server`"),
    (
        "authentication",
        &["sqlpassword", "sql password"],
        "is not known; log in with user and password, or give a `config`",
    ),
    ("attachdbfilename", &[], "attaches no file here; name the `Database`"),
    ("extended properties", &[], "attaches no file here; name the `Database`"),
    ("initial file name", &[], "attaches no file here; name the `Database`"),
    ("user instance", &["false", "no"], "starts no instance here; name the server"),
    ("context connection", &["false", "no"], "is for programs inside of the server; name the server"),
    ("network library", &["dbmssocn"], "is TCP here; leave it out"),
    ("network", &["dbmssocn"], "is TCP here; leave it out"),
    ("net", &["dbmssocn"], "is TCP here; leave it out"),
    (
        "column encryption setting",
        &["disabled"],
        "is not known; leave it out, and do not encrypt the table's columns",
    ),
    ("server certificate", &[], "is not read; name the authority with `TrustServerCertificateCA`"),
    ("servercertificate", &[], "is not read; name the authority with `TrustServerCertificateCA`"),
    ("server spn", &[], "cannot be named; leave it out"),
    ("serverspn", &[], "cannot be named; leave it out"),
];

/// The same string with tiberius' keywords, or what to write instead.
pub(crate) fn translated(text: &str) -> Result<String> {
    let mut result = String::with_capacity(text.len());
    for pair in pairs(text) {
        let Some((name, value)) = pair.split_once('=') else {
            // tiberius says what is wrong with it.
            result.push_str(pair);
            result.push(';');
            continue;
        };
        let name = name.trim().to_ascii_lowercase();
        let name = SAME.iter().find(|(other, _)| *other == name).map_or(name.as_str(), |(_, known)| *known);
        let plain = value.trim().trim_matches(['\'', '"', '{', '}']).to_ascii_lowercase();
        if WITHOUT_EFFECT.contains(&name) {
            continue;
        }
        if let Some((_, fine, what)) = REFUSED.iter().find(|(refused, ..)| *refused == name) {
            if fine.contains(&plain.as_str()) {
                continue;
            }
            return refuse(&format!("`{name}` {what}"));
        }
        if !KNOWN.contains(&name) {
            // Not its name: it may be a piece of a password.
            let words = KNOWN.iter().copied().chain(SAME.iter().map(|(other, _)| *other));
            let meant = nearest(name, words).map(|meant| format!(" (is it `{meant}`?)")).unwrap_or_default();
            return refuse(&format!(
                "it has a keyword that is not known{meant}; correct it or leave it out, and put a value with `;` in quotes",
            ));
        }
        let value = match (name, plain.as_str()) {
            ("server", server)
                if ["np:", "lpc:", "admin:", "\\\\", "(localdb)"].iter().any(|p| server.starts_with(p)) =>
            {
                return refuse("the server is reached over TCP alone; write `Server=tcp:host,1433`");
            }
            ("encrypt", "mandatory") => "true",
            ("encrypt", "optional") => "false",
            _ => value,
        };
        result.push_str(&format!("{name}={value};"));
    }
    if result.ends_with(';') {
        result.pop();
    }
    Ok(result)
}

/// The string's parts between semicolons that stand in no quotes.
fn pairs(text: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut quote, mut is_value, mut is_begin) = (Vec::new(), 0, None, false, false);
    for (place, sign) in text.char_indices() {
        match (quote, sign) {
            (Some(end), sign) if sign == end => quote = None,
            (Some(_), _) => {}
            (None, ';') => {
                parts.push(&text[begin..place]);
                (begin, is_value, is_begin) = (place + 1, false, false);
            }
            (None, '=') if !is_value => (is_value, is_begin) = (true, true),
            (None, '\'' | '"' | '{') if is_begin => {
                quote = Some(if sign == '{' { '}' } else { sign });
                is_begin = false;
            }
            // A quote that is doubled inside of quotes closes them and opens them again.
            (None, '\'' | '"') if is_value && text[..place].ends_with(sign) => quote = Some(sign),
            (None, sign) if !sign.is_whitespace() => is_begin = false,
            (None, _) => {}
        }
    }
    parts.push(&text[begin..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

fn refuse<T>(what: &str) -> Result<T> {
    Err(Error::invalid_input(format!("the connection string cannot be used: {what}")))
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind;

    use super::*;

    #[test]
    fn each_keyword_of_ado_net_means_the_same() {
        for (text, expected) in [
            ("Server=tcp:h,1433;User=u;Password=p", "server=tcp:h,1433;user id=u;password=p"),
            ("Data Source=h;Initial Catalog=d;UID=u;PWD=p", "server=h;database=d;user id=u;password=p"),
            ("Network Address=h", "server=h"),
            ("addr = h ; Address=i", "server= h ;server=i"),
            ("Server=h;Encrypt=Mandatory", "server=h;encrypt=true"),
            ("Server=h;Encrypt=Optional", "server=h;encrypt=false"),
            (
                "Server=h;Encrypt=strict;Trust Server Certificate=yes",
                "server=h;encrypt=strict;trustservercertificate=yes",
            ),
            (
                "Driver={ODBC Driver 18 for SQL Server};Server=tcp:h,1433;UID=u;PWD={a;b}",
                "server=tcp:h,1433;user id=u;password={a;b}",
            ),
            ("Server=h;Trusted_Connection=yes", "server=h;integrated security=yes"),
            ("Server=h;Password='a;b=c''d;e';App=x", "server=h;password='a;b=c''d;e';application name=x"),
            ("Server=h;Password={a;b};Database=d", "server=h;password={a;b};database=d"),
            ("Server=h;Password=a'b;Database=d", "server=h;password=a'b;database=d"),
            ("Server=h;ApplicationIntent=ReadWrite;Network Library=DBMSSOCN", "server=h"),
            (
                "Server=tcp:x.database.windows.net,1433;Initial Catalog=db;Persist Security Info=False;User ID=u;Password=p;\
                 MultipleActiveResultSets=False;Encrypt=True;TrustServerCertificate=False;Connection Timeout=30;",
                "server=tcp:x.database.windows.net,1433;database=db;user id=u;password=p;encrypt=True;\
                 trustservercertificate=False",
            ),
        ] {
            assert_eq!(translated(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_has_no_way_here_is_refused_and_shows_no_value() {
        for text in [
            "Server=h;ApplicationIntent=ReadOnly",
            "Server=h;Failover Partner=hunter2",
            "Server=h;Authentication=Active Directory Default",
            "Server=h;AttachDBFilename=hunter2",
            "Server=h;User Instance=true",
            "Server=h;Column Encryption Setting=Enabled",
            "Server=h;Server Certificate=hunter2",
            "Server=h;Network Library=dbnmpntw",
            "Server=np:\\\\.\\pipe\\sql",
            "Server=(localdb)\\MSSQLLocalDB",
            "Server=admin:h",
            "Server=h;Password=a;hunter2=b",
            "Server=h;Databse=hunter2",
        ] {
            let error = translated(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        let slip = translated("Server=h;Databse=d").unwrap_err();
        assert!(slip.to_string().contains("is it `database`?"), "{slip}");
    }
}
