//! What mysql_async makes of a URL.

use mysql_async::{Opts, UrlError};
use session_core::{Error, Result};
use session_sql::mysql::url;

/// What is read: by the connector, or by mysql_async.
const TAKEN: &[&str] = &[
    "ssl-mode",
    "ssl-ca",
    "socket",
    "tcp_keepalive",
    "tcp_nodelay",
    "prefer_socket",
    "max_allowed_packet",
    "wait_timeout",
    "compression",
    "enable_cleartext_plugin",
    "secure_auth",
    "require_ssl",
    "verify_ca",
    "verify_identity",
    "built_in_roots",
];

/// The URL in mysql_async's words, but for `ssl-mode` and `ssl-ca`.
pub(super) fn read(url: &str) -> Result<String> {
    url::read(url, TAKEN)
}

pub(super) fn opts(url: &str) -> Result<Opts> {
    Opts::from_url(url).map_err(|error| {
        let what = match &error {
            // Neither a parameter's name nor its value: what stands at a wrong place may be a password.
            UrlError::UnknownParameter { .. } => "a parameter is unknown",
            UrlError::InvalidParamValue { .. } => "a parameter has a value that it cannot have",
            UrlError::FeatureRequired { .. } => "a parameter asks for what is not built in",
            _ => "it is not a URL",
        };
        Error::invalid_input(format!(
            "the MySQL URL cannot be read ({what}); use mysql://user:password@host:port/database?ssl-mode=REQUIRED, \
             with %40 for an @ in a password"
        ))
    })
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind;

    use super::*;

    #[test]
    fn each_form_means_the_same_as_elsewhere() {
        for (url, expected) in [
            ("mysql://ann:p%40w@db:3307/app", "db 3307 ann p@w app -"),
            ("mariadb://ann@db/app", "db 3306 ann - app -"),
            ("mysql://ann@[::1]:3307/app", "::1 3307 ann - app -"),
            ("mysql://ann@localhost/app?socket=/run/m.sock", "localhost 3306 ann - app /run/m.sock"),
            ("mysql://ann@/app?Socket=/run/m.sock", "localhost 3306 ann - app /run/m.sock"),
            ("mysql://ann@db/app?charset=utf8mb4&useUnicode=true", "db 3306 ann - app -"),
            ("mysql://ann@db/app?characterEncoding=UTF-8&serverTimezone=UTC", "db 3306 ann - app -"),
            ("mysql://ann@db/app?timezone=%2B00:00&collation=utf8mb4_bin", "db 3306 ann - app -"),
            ("mysql://ann@localhost/app?unix_socket=%2Frun%2Fm.sock", "localhost 3306 ann - app /run/m.sock"),
            ("mysql://ann@db/app?tcp_keepalive=5000&TCP_NODELAY=true", "db 3306 ann - app -"),
            ("mysql://db", "db 3306 - - - -"),
        ] {
            let opts = opts(&read(url).expect(url)).expect(url);
            let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
            let host = opts.ip_or_hostname().trim_matches(['[', ']']);
            let found = [
                host.to_owned(),
                opts.tcp_port().to_string(),
                text(opts.user()),
                text(opts.pass()),
                text(opts.db_name()),
                text(opts.socket()),
            ];
            assert_eq!(found.join(" "), expected, "{url}");
        }
    }

    #[test]
    fn the_mode_of_encryption_has_several_spellings() {
        for name in ["ssl-mode", "ssl_mode", "sslmode", "sslMode", "SSL-MODE"] {
            assert_eq!(
                read(&format!("mysql://u@db/d?{name}=VERIFY_CA")).unwrap(),
                "mysql://u@db/d?ssl-mode=VERIFY_CA"
            );
        }
        assert_eq!(read("mysql://u@db/d?ssl_ca=/a%20b").unwrap(), "mysql://u@db/d?ssl-ca=/a%20b");
    }

    #[test]
    fn what_cannot_mean_the_same_is_refused_with_what_to_write() {
        for (url, says) in [
            ("mysqlx://u@db/app", "classic port"),
            ("jdbc:mysql://db/app?user=u", "JDBC"),
            ("postgres://u@db/app", "mysql://"),
            ("hunter2", "mysql://"),
            ("mysql:///app", "names no host"),
            ("mysql://u@/app", "?socket="),
            ("mysql://u@%2Frun%2Fm.sock/app", "?socket="),
            ("mysql://u@a,b/app", "name one"),
            ("mysql://u@db/app?ssl-cert=c.pem", "log in with a password"),
            ("mysql://u@db/app?useSSL=true", "`ssl-mode`"),
            ("mysql://u@db/app?connect-timeout=3", "`login_timeout`"),
            ("mysql://u@db/app?connect_timeout=3", "`login_timeout`"),
            ("mysql://u@db/app?charset=latin1", "utf8mb4"),
            ("mysql://u@db/app?pool_max=3", "`pool_size`"),
            ("mysql://u@db/app?conn_ttl=3", "`idle_timeout`"),
            ("mysql://u@db/app?stmt_cache_size=3", "leave it out"),
            ("mysql://u@db/app?client_found_rows=false", "leave it out"),
            ("mysql://db/app?user=u&password=p", "before the host"),
            ("mysql://u@db/app?ssl-moda=REQUIRED", "is it `ssl-mode`?"),
            ("mysql+srv://u@db/app", "not looked up"),
            ("mysql://u@db/app?hunter2=1", "unknown"),
            ("mysql://u@db/app?tcp_nodelay=hunter2", "cannot have"),
        ] {
            let error = read(url).and_then(|url| opts(&url)).expect_err(url);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}");
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(says) && !shown.contains("hunter2"), "{url}: {shown}");
        }
    }
}
