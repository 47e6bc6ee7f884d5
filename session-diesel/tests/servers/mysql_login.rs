//! Encryption and passwords, on servers of the tests' own with a certificate made on the spot.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;
use mysql_async::prelude::Queryable;
use session_core::{ErrorKind, Store};
use session_diesel::{MysqlBuilder, MysqlStore, TlsMode};

use super::raw;
use crate::scratch::{Scratch, command_as, find, run};
use crate::{NOW, create, fresh_table, key, trial};

const FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/local/mysql/bin"];

pub(super) fn trials() -> Vec<Trial> {
    let openssl = find("openssl", &[]).err();
    let mariadb = find("mariadbd", &FOLDERS).and_then(|_| find("mariadb-install-db", &[])).err();
    let mysql = mysqld().err();
    vec![
        trial("mysql::tls_is_verified_by_mariadb", mariadb.or(openssl.clone()), || {
            tls_is_verified(Scratch::new("mariadb-tls"), mariadb_server)
        }),
        trial("mysql::tls_is_verified_by_mysql", mysql.clone().or(openssl.clone()), || {
            tls_is_verified(Scratch::new("mysql-tls"), mysql_server)
        }),
        trial("mysql::a_password_is_sent_encrypted", mysql.or(openssl), a_password_is_sent_encrypted),
    ]
}

/// MySQL's own: Debian's `mysqld` is MariaDB.
fn mysqld() -> Result<PathBuf, String> {
    let program = find("mysqld", &FOLDERS)?;
    let says = Command::new(&program).args(["--no-defaults", "--version"]).output();
    let says = says.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    match says.contains("MariaDB") || says.is_empty() {
        true => Err(format!("{} is not MySQL's", program.display())),
        false => Ok(program),
    }
}

fn mariadb_server(server: &mut Scratch) {
    let data = prepared(server);
    run(command_as("mysql", &find("mariadb-install-db", &[]).unwrap())
        .arg("--no-defaults")
        .arg(format!("--datadir={}", data.display()))
        .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
        .current_dir("/"));
    start(server, &find("mariadbd", &FOLDERS).unwrap(), &data, &[]);
}

fn mysql_server(server: &mut Scratch) {
    let data = prepared(server);
    run(command_as("mysql", &mysqld().unwrap())
        .args(["--no-defaults", "--initialize-insecure"])
        .arg(format!("--datadir={}", data.display()))
        .current_dir("/"));
    start(server, &mysqld().unwrap(), &data, &["--mysqlx=OFF"]);
}

fn prepared(server: &Scratch) -> PathBuf {
    server.certificates();
    server.give_to("mysql");
    server.path("data")
}

fn start(server: &mut Scratch, program: &Path, data: &Path, more: &[&str]) {
    let mut command = command_as("mysql", program);
    command.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
    command
        .arg(format!("--port={}", server.port))
        .args(["--bind-address=127.0.0.1", "--default-time-zone=-11:00"]);
    command.arg(format!("--socket={}", server.path("sock").display()));
    command.arg(format!("--pid-file={}", server.path("pid").display()));
    command.arg(format!("--ssl-cert={}", server.path("server.pem").display()));
    command.arg(format!("--ssl-key={}", server.path("server.key").display()));
    command.args(more);
    server.start(command.current_dir("/"));
}

async fn tls_is_verified(mut server: Scratch, run: fn(&mut Scratch)) {
    run(&mut server);
    let url = |host: &str, query: &str| format!("mysql://root@{host}:{}/mysql{query}", server.port);
    let ca = server.path("ca.pem");
    let query = format!("?ssl-mode=VERIFY_IDENTITY&ssl-ca={}", ca.display());
    let table = fresh_table("tls");
    let builder = |host: &str, query: &str| MysqlStore::builder().url(url(host, query)).table(table.clone());
    let store = builder("localhost", &query).build().unwrap();
    store.create_table().await.unwrap();
    store.create(&create("a"), NOW).await.unwrap();
    // What the server says: it counts the accepted handshakes.
    let accepted: (String, u64) = raw(&url("127.0.0.1", ""))
        .await
        .query_first("SHOW GLOBAL STATUS LIKE 'Ssl_finished_accepts'")
        .await
        .unwrap()
        .unwrap();
    assert!(accepted.1 > 0, "the store's connection is encrypted");

    let refused = |builder: MysqlBuilder| async move {
        let error = builder.build().unwrap().server_time().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    };
    // Another CA; the right CA and the wrong name; the CAs that everybody trusts.
    let verified = |host: &str| builder(host, "").tls(TlsMode::Verified);
    refused(verified("localhost").ca_certificate_file(server.path("other.pem"))).await;
    refused(verified("127.0.0.1").ca_certificate_file(&ca)).await;
    refused(verified("localhost")).await;
    let blind = builder("127.0.0.1", "").tls(TlsMode::Unverified).build().unwrap();
    assert!(blind.load(&key("a"), NOW).await.unwrap().is_some());
    let pem = std::fs::read(&ca).unwrap();
    let store = verified("localhost").ca_certificate_pem(pem).build().unwrap();
    assert!(store.load(&key("a"), NOW).await.unwrap().is_some());
}

/// MySQL's default since 8.0, `caching_sha2_password`: the first time the server wants the password itself, over TLS, or
/// else encrypted with its public key; later on a digest will do.
async fn a_password_is_sent_encrypted() {
    let mut server = Scratch::new("mysql-password");
    mysql_server(&mut server);
    let mut root = raw(&format!("mysql://root@127.0.0.1:{}/mysql", server.port)).await;
    let password = "hunter2 é 🦀";
    root.query_drop(format!("CREATE USER 'app'@'%' IDENTIFIED BY '{password}'")).await.unwrap();
    root.query_drop("GRANT ALL ON *.* TO 'app'@'%'").await.unwrap();
    let plugin: Option<String> =
        root.query_first("SELECT plugin FROM mysql.user WHERE user = 'app'").await.unwrap();
    assert_eq!(plugin.as_deref(), Some("caching_sha2_password"));
    let encoded: String = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for tls in [TlsMode::Disabled, TlsMode::Verified] {
        // The server forgets the digests.
        root.query_drop("FLUSH PRIVILEGES").await.unwrap();
        for _ in 0..2 {
            let url = format!("mysql://app:{encoded}@localhost:{}/mysql", server.port);
            let store = MysqlStore::builder().url(url).tls(tls).ca_certificate_file(server.path("ca.pem"));
            store.build().unwrap().server_time().await.unwrap();
        }
    }
    let url = format!("mysql://app:hunter3@localhost:{}/mysql", server.port);
    let error = MysqlStore::builder().url(url).build().unwrap().server_time().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Backend, Some("1045")), "{error}");
}
