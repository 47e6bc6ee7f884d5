//! Encryption and passwords, on servers of the tests' own with a certificate made on the spot.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use libtest_mimic::Trial;
use mysql_async::prelude::Queryable;
use session_core::contract::{Store, Write};
use session_core::{Error, ErrorKind};
use session_diesel::{Credentials, MysqlBuilder, MysqlStore, Tls};

use super::support::{connection_pool, drop_table, numbers_of, raw, sql, store};
use crate::support::scratch::{Scratch, command_as, find, run};
use crate::support::{NOW, create, fresh_table, load, touch, trial};

const FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/local/mysql/bin"];

pub(super) fn trials() -> Vec<Trial> {
    let openssl = find("openssl", &[]).err();
    let mariadb = find("mariadbd", &FOLDERS).and_then(|_| find("mariadb-install-db", &[])).err();
    let mysql = mysqld().err();
    vec![
        trial("mysql::connections::tls_is_verified_by_mariadb", mariadb.clone().or(openssl.clone()), || {
            tls_is_verified(Scratch::new("mariadb-tls"), mariadb_server)
        }),
        trial("mysql::connections::tls_is_verified_by_mysql", mysql.clone().or(openssl.clone()), || {
            tls_is_verified(Scratch::new("mysql-tls"), mysql_server)
        }),
        trial("mysql::connections::a_log_of_statements_on_mariadb", mariadb, || {
            a_log_of_statements(Scratch::new("mariadb-log"), mariadb_server_with)
        }),
        trial("mysql::connections::a_log_of_statements_on_mysql", mysql.clone(), || {
            a_log_of_statements(Scratch::new("mysql-log"), mysql_server_with)
        }),
        trial(
            "mysql::connections::a_password_is_sent_encrypted",
            mysql.or(openssl),
            a_password_is_sent_encrypted,
        ),
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
    mariadb_server_with(server, &[]);
}

fn mariadb_server_with(server: &mut Scratch, more: &[&str]) {
    let data = prepared(server);
    run(command_as("mysql", &find("mariadb-install-db", &[]).unwrap())
        .arg("--no-defaults")
        .arg(format!("--datadir={}", data.display()))
        .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
        // A server that starts removes every other one's temporary tables from the folder for them.
        .env("TMPDIR", &data)
        .current_dir("/"));
    start(server, &find("mariadbd", &FOLDERS).unwrap(), &data, more);
}

fn mysql_server(server: &mut Scratch) {
    mysql_server_with(server, &[]);
}

fn mysql_server_with(server: &mut Scratch, more: &[&str]) {
    let data = prepared(server);
    run(command_as("mysql", &mysqld().unwrap())
        .args(["--no-defaults", "--initialize-insecure"])
        .arg(format!("--datadir={}", data.display()))
        .current_dir("/"));
    start(server, &mysqld().unwrap(), &data, &[&["--mysqlx=OFF"], more].concat());
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
    server.start(command.env("TMPDIR", data).current_dir("/"));
}

/// A binary log of statements, which InnoDB refuses at READ COMMITTED; and, without `ssl`, no encryption.
async fn a_log_of_statements(mut server: Scratch, run: fn(&mut Scratch, &[&str])) {
    run(&mut server, &["--log-bin=log", "--server-id=1", "--binlog-format=STATEMENT", "--ssl=OFF"]);
    let url = format!("mysql://root@127.0.0.1:{}/mysql", server.port);
    let store = MysqlStore::builder().url(&url).table(fresh_table("logged")).build().unwrap();
    store.create_table().await.unwrap();
    store.create(&create("a"), NOW).await.unwrap();
    assert!(load(&store, "a").await.is_some());
    store.touch(&touch("a", None), NOW).await.unwrap();
    let writes = ["b", "c"].map(|id| Write::Create(create(id)));
    assert!(store.write_many(&writes, NOW).await.unwrap().iter().all(Result::is_ok));
    store.purge_expired(NOW, std::num::NonZeroU32::MIN).await.unwrap();
    let says = |findings: &[session_core::Finding], what: &str| {
        findings.iter().any(|finding| format!("{finding:?}").contains(what))
    };
    assert!(says(&store.diagnose().await.unwrap(), "SET GLOBAL binlog_format"));

    // Connections of the application's that are at READ COMMITTED all the same.
    let pool = connection_pool(&url, 1, super::support::READ_COMMITTED);
    let given = MysqlStore::builder().pool(pool).table(fresh_table("logged")).build().unwrap();
    let error = given.create(&create("d"), NOW).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Backend, "{error}");
    assert!(error.to_string().contains("set binlog_format to ROW") && !error.is_in_doubt(), "{error}");
    assert!(says(&given.diagnose().await.unwrap(), "every write fails with 1665"));

    let plain = MysqlStore::builder().url(format!("{url}?ssl-mode=REQUIRED")).build().unwrap();
    let error = plain.server_time().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Backend, "{error}");
    assert!(error.to_string().contains("ssl-mode=DISABLED"), "{error}");
}

pub(super) async fn credentials_of_a_callback_are_asked_for_each_connection(url: String) {
    let user = format!("asked_{}", std::process::id());
    let mut owner = raw(&url).await;
    owner.query_drop(format!("CREATE USER {user}@'%' IDENTIFIED BY 'first'")).await.unwrap();
    owner.query_drop(format!("GRANT ALL ON *.* TO {user}@'%'")).await.unwrap();
    let password = Arc::new(Mutex::new(Ok("first")));
    let asked = Arc::new(AtomicU32::new(0));
    let (now, count, name) = (Arc::clone(&password), Arc::clone(&asked), user.clone());
    let ask = move || {
        count.fetch_add(1, Ordering::SeqCst);
        let (name, password) = (name.clone(), *now.lock().unwrap());
        async move {
            let closed = |()| Error::unavailable("the vault is closed");
            password.map(|password| Credentials::new(name, password)).map_err(closed)
        }
    };
    let store = MysqlStore::builder().url(&url).credentials_from(ask).pool_size(1).build().unwrap();
    store.server_time().await.unwrap();
    store.server_time().await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let cut = async |owner: &mut mysql_async::Conn| {
        let of = format!("SELECT id FROM information_schema.PROCESSLIST WHERE user = '{user}'");
        for id in owner.query::<u64, _>(of).await.unwrap() {
            owner.query_drop(format!("KILL {id}")).await.unwrap();
        }
    };
    // The password changes, and the next connection has the new one.
    owner.query_drop(format!("ALTER USER {user}@'%' IDENTIFIED BY 'second'")).await.unwrap();
    *password.lock().unwrap() = Ok("second");
    cut(&mut owner).await;
    store.server_time().await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    // An error of the callback is the caller's, with its kind.
    *password.lock().unwrap() = Err(());
    cut(&mut owner).await;
    let error = store.server_time().await.unwrap_err();
    assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Unavailable, false), "{error}");
    assert!(error.to_string().contains("the vault is closed"), "{error}");
    *password.lock().unwrap() = Ok("hunter2");
    let error = store.server_time().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Backend, Some("1045")), "{error}");
    assert!(!format!("{error} {error:?} {store:?}").contains("hunter2"));
    drop(store);
    owner.query_drop(format!("DROP USER {user}@'%'")).await.unwrap();
}

async fn tls_is_verified(mut server: Scratch, run: fn(&mut Scratch)) {
    run(&mut server);
    let url = |host: &str, query: &str| format!("mysql://root@{host}:{}/mysql{query}", server.port);
    let ca = server.path("ca.pem");
    let query = format!("?ssl-mode=VERIFY_IDENTITY&ssl-ca={}", ca.display());
    let pem = |name: &str| std::fs::read(server.path(name)).unwrap();
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
        // Nothing that is to be tried again: somebody has to change something, and is told what.
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Backend, false), "{error}");
        assert!(error.to_string().contains("`ssl-ca`"), "{error}");
    };
    // Another CA; the right CA and the wrong name; the CAs that everybody trusts.
    let verified = |host: &str| builder(host, "").tls(Tls::Verified);
    refused(verified("localhost").root_certificates(pem("other.pem"))).await;
    refused(verified("127.0.0.1").root_certificates(pem("ca.pem"))).await;
    refused(verified("localhost")).await;
    let blind = builder("127.0.0.1", "").tls(Tls::Unverified).build().unwrap();
    assert!(load(&blind, "a").await.is_some());
    let store = verified("localhost").root_certificates(pem("ca.pem")).build().unwrap();
    assert!(load(&store, "a").await.is_some());
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
    let pem = std::fs::read(server.path("ca.pem")).unwrap();
    for tls in [Tls::Disabled, Tls::Verified] {
        // The server forgets the digests.
        root.query_drop("FLUSH PRIVILEGES").await.unwrap();
        for _ in 0..2 {
            let url = format!("mysql://app:{encoded}@localhost:{}/mysql", server.port);
            let store = MysqlStore::builder().url(url).tls(tls).root_certificates(pem.clone());
            store.build().unwrap().server_time().await.unwrap();
        }
    }
    let url = format!("mysql://app:hunter3@localhost:{}/mysql", server.port);
    let error = MysqlStore::builder().url(url).build().unwrap().server_time().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Backend, Some("1045")), "{error}");
}

pub(super) async fn a_closed_connection_is_replaced(url: String) {
    let pool = connection_pool(&url, 4, "SET autocommit = 1");
    let store = MysqlStore::builder().pool(pool.clone()).table(fresh_table("closed")).build().unwrap();
    store.create_table().await.unwrap();
    store.create(&create("a"), NOW).await.unwrap();
    for round in 0..5 {
        let loads = (0..4).map(|_| load(&store, "a"));
        assert!(futures_util::future::join_all(loads).await.into_iter().all(|load| load.is_some()));
        // All of the pool's connections at once, to learn their numbers.
        let mut connections = Vec::new();
        for _ in 0..pool.status().size {
            connections.push(pool.get().await.unwrap());
        }
        let mut ids = Vec::new();
        for connection in &mut connections {
            ids.extend(numbers_of(connection, "SELECT CONNECTION_ID()").await);
        }
        drop(connections);
        let mut killer = raw(&url).await;
        for id in ids {
            killer.query_drop(format!("KILL {id}")).await.unwrap();
        }
        assert!(load(&store, "a").await.is_some(), "round {round}");
    }
    drop_table(&url, "closed").await;
}

pub(super) async fn a_refused_connection_says_why(url: String) {
    let nowhere = MysqlStore::connect("mysql://u:hunter2@127.0.0.1:1/d").await.unwrap_err();
    assert!(nowhere.is_unreachable() && !nowhere.is_in_doubt(), "{nowhere}");
    assert!(!format!("{nowhere} {nowhere:?}").contains("hunter2"));
    let (base, _) = url.rsplit_once('/').unwrap();
    let missing = MysqlStore::connect(format!("{base}/no_such_database")).await.unwrap_err();
    assert!(["1049", "1044"].contains(&missing.code().unwrap()), "{missing}");
    let (scheme, rest) = url.split_once("://").unwrap();
    let host = rest.rsplit_once('@').unwrap().1;
    sql(&url, "CREATE USER IF NOT EXISTS 'known'@'%' IDENTIFIED BY 'another'").await;
    for (user, codes) in [("known", &["1045"][..]), ("nobody", &["1045", "1251", "1698"])] {
        // For a user that is not there the server asks for some account's login method, which may be one that nobody has
        // any more, or one without a password.
        let refused = MysqlStore::connect(format!("{scheme}://{user}:hunter2@{host}")).await.unwrap_err();
        assert!(codes.contains(&refused.code().unwrap()), "{user}: {refused}");
        assert_error(&refused, ErrorKind::Backend, refused.code().unwrap(), false);
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    }
    sql(&url, "DROP USER 'known'@'%'").await;

    // A user who may read and not write.
    let owner = store(&url, "denied").await;
    owner.create(&create("a"), NOW).await.unwrap();
    let table = fresh_table("denied");
    sql(&url, "CREATE USER IF NOT EXISTS 'reader'@'%' IDENTIFIED BY 'hunter2'").await;
    sql(&url, &format!("GRANT SELECT ON `{table}` TO 'reader'@'%'")).await;
    let (_, database) = url.rsplit_once('/').unwrap();
    let host = host.split('/').next().unwrap();
    let reader = format!("{scheme}://reader:hunter2@{host}/{database}");
    let reader = MysqlStore::builder().url(reader).table(table).build().unwrap();
    assert!(load(&reader, "a").await.is_some());
    assert_error(&reader.touch(&touch("a", None), NOW).await.unwrap_err(), ErrorKind::Backend, "1142", false);
    sql(&url, "DROP USER 'reader'@'%'").await;
    drop_table(&url, "denied").await;
}

fn assert_error(error: &Error, kind: ErrorKind, code: &str, in_doubt: bool) {
    assert_eq!((error.kind(), error.code()), (kind, Some(code)), "{error}");
    assert_eq!(error.is_in_doubt(), in_doubt, "{error}");
}

pub(super) async fn credentials_may_stand_apart_from_the_url(url: String) {
    let user = format!("t_{}_apart", std::process::id());
    sql(&url, &format!("CREATE USER '{user}'@'%' IDENTIFIED BY 'p@:/w é'")).await;
    let (scheme, rest) = url.split_once("://").unwrap();
    let host = rest.rsplit_once('@').unwrap().1.split('/').next().unwrap();
    for url in [format!("{scheme}://{host}"), format!("{scheme}://nobody:hunter2@{host}")] {
        let builder = || MysqlStore::builder().url(&url);
        builder().credentials(&user, "p@:/w é").build().unwrap().server_time().await.unwrap();
        let refused = builder().credentials(&user, "hunter2").build().unwrap().server_time().await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Some("1045"), "{refused}");
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    }
    sql(&url, &format!("DROP USER '{user}'@'%'")).await;
}
