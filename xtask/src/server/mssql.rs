//! SQL Server, and Babelfish, which is a PostgreSQL that speaks SQL Server's protocol, from local programs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::local::{Home, Local, Recipe};
use super::postgres::{INIT, init, recipe};
use super::ready::Probe;
use super::{Controlled, Server, free_port, free_ports, password, unprivileged};
use crate::process::{self, Missing};

const BABELFISH: &str = "BABELFISH_HOME";

/// The ADO connection string of a server on this machine.
pub(super) fn url(port: u16, user: &str, password: &str, encrypt: &str) -> String {
    format!(
        "Server=tcp:127.0.0.1,{port};Database=master;User ID={user};Password={password};Encrypt={encrypt};\
         TrustServerCertificate=true"
    )
}

pub(super) fn open(babelfish: Option<&Path>) -> Result<Server> {
    let named = babelfish.map(PathBuf::from).or_else(|| std::env::var_os(BABELFISH).map(PathBuf::from));
    if let Some(folder) = named {
        let bin = folder.join("bin");
        if !process::is_executable(&bin.join("initdb")) {
            bail!(Missing(format!("there is no Babelfish's bin/initdb in {}", folder.display())));
        }
        return open_babelfish(&bin);
    }
    let program = process::need("sqlservr", &["/opt/mssql/bin".into()]).map_err(|error| {
        Missing(format!("{error}, and neither --babelfish nor {BABELFISH} names a Babelfish"))
    })?;
    open_sqlservr(program)
}

/// `sqlservr` keeps everything in /var/opt/mssql and cannot be told otherwise, so it gets a mount name space of its
/// own in which the temporary folder stands there.
fn open_sqlservr(program: PathBuf) -> Result<Server> {
    let unshare =
        process::find("unshare", &[]).context("sqlservr is there, but not util-linux's `unshare`")?;
    let user = unprivileged(&["mssql", "nobody"])?;
    let drop_rights = user.as_ref().map_or_else(String::new, |user| {
        format!("setpriv --reuid={} --regid={} --clear-groups ", user.uid, user.gid)
    });
    let mut home = Home::new("mssql", user)?;
    let base = home.folder.join("base");
    process::must(home.command(&"mkdir".into()).arg(&base), Duration::from_secs(10))?;
    // The name space has to be made as root: really, or as the root of a user name space.
    home.user = None;
    let password = password()?;
    let port = free_port()?;
    let script = format!("mount --bind \"$1\" /var/opt/mssql && exec {drop_rights}\"$2\"");
    let mut recipe = Recipe::new(home, unshare, Probe::SqlServer, port);
    let as_root: &[&str] = if process::is_root() { &[] } else { &["--user", "--map-root-user"] };
    let shell = ["sh", "-c", &script, "sqlservr"];
    recipe.arguments.extend(["--mount"].iter().chain(as_root).chain(&shell).map(Into::into));
    recipe.arguments.extend([base.into_os_string(), program.clone().into_os_string()]);
    recipe.environment.extend([
        ("ACCEPT_EULA", "Y".to_owned()),
        ("MSSQL_PID", "Developer".to_owned()),
        ("MSSQL_SA_PASSWORD", password.clone()),
        ("MSSQL_TCP_PORT", port.to_string()),
        ("MSSQL_IP_ADDRESS", "127.0.0.1".to_owned()),
    ]);
    let origin = format!("SQL Server from {}", program.display());
    Server::started(url(port, "sa", &password, "true"), origin, Local::start(recipe)?)
}

fn open_babelfish(bin: &Path) -> Result<Server> {
    let home = Home::new("babelfish", unprivileged(&["postgres", "nobody"])?)?;
    let (user, password) = ("sessions", password()?);
    init(&home, bin, &password, &["--auth-local=trust", "--auth-host=md5", "--locale=C.UTF-8"])?;
    let [port, tds_port] = free_ports()?;
    let folder = home.folder.display().to_string();
    let encrypt = if certify(&home)? { "true" } else { "DANGER_PLAINTEXT" };
    let settings = [
        format!("ssl={}", if encrypt == "true" { "on" } else { "off" }),
        format!("ssl_cert_file={folder}/server.crt"),
        format!("ssl_key_file={folder}/server.key"),
        "shared_preload_libraries=babelfishpg_tds".to_owned(),
        format!("unix_socket_directories={folder}"),
        "babelfishpg_tds.listen_addresses=127.0.0.1".to_owned(),
        format!("babelfishpg_tds.port={tds_port}"),
        "babelfishpg_tds.unix_socket_directories=".to_owned(),
    ];
    // In a file: an argument could be read by everybody on this machine. The mode is in force in a connection that was made
    // after it was set.
    let script = format!(
        "CREATE USER {user} WITH SUPERUSER CREATEDB CREATEROLE PASSWORD '{password}' INHERIT;
         CREATE DATABASE babelfish_db OWNER {user};
         \\connect babelfish_db
         SET client_min_messages = warning;
         CREATE EXTENSION IF NOT EXISTS babelfishpg_tds CASCADE;
         GRANT ALL ON SCHEMA sys TO {user};
         ALTER SYSTEM SET babelfishpg_tsql.database_name = 'babelfish_db';
         ALTER DATABASE babelfish_db SET babelfishpg_tsql.migration_mode = 'multi-db';
         SELECT pg_reload_conf() \\g /dev/null
         \\connect babelfish_db
         CALL sys.initialize_babelfish('{user}');"
    );
    let script = home.write("babelfish.sql", &script)?;
    let mut set_up = home.command(&bin.join("psql"));
    set_up.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", &folder, "-U", "postgres"]);
    set_up.args(["-p", &port.to_string(), "-d", "postgres", "-f"]).arg(script);
    let mut server = Local::start(recipe(home, bin.join("postgres"), port, &settings))?;
    process::must(&mut set_up, INIT)
        .with_context(|| format!("Babelfish cannot be set up; the end of its log:\n{}", server.log_tail()))?;
    server.expect(Probe::Tds, tds_port)?;
    let origin = format!("Babelfish from {}", bin.display());
    Server::started(url(tds_port, user, &password, encrypt), origin, server)
}

/// Makes a certificate that the server signs itself, if there is a program to do it.
fn certify(home: &Home) -> Result<bool> {
    let Some(openssl) = process::find("openssl", &[]) else { return Ok(false) };
    let mut make = home.command(&openssl);
    make.args(["req", "-new", "-x509", "-days", "2", "-nodes", "-subj", "/CN=localhost"]);
    make.args(["-out", "server.crt", "-keyout", "server.key"]);
    process::must(&mut make, Duration::from_secs(30))?;
    process::must(home.command(&"chmod".into()).args(["600", "server.key"]), Duration::from_secs(10))?;
    Ok(true)
}
