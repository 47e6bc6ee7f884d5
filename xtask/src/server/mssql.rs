//! SQL Server, and Babelfish, which is a PostgreSQL that speaks SQL Server's protocol, from local programs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::local::{Home, Local, Recipe};
use super::postgres::TIME_ZONE;
use super::ready::{Probe, silence};
use super::{Controlled, Found, Server, free_port, password, unprivileged};
use crate::process;

const BABELFISH: &str = "BABELFISH_HOME";

/// A login to ask with whether the server is ready.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The ADO connection string of a server on this machine.
pub(super) fn url(port: u16, login: &Login, encrypt: &str) -> String {
    format!(
        "Server=tcp:127.0.0.1,{port};Database=master;User ID={};Password={};Encrypt={encrypt};TrustServerCertificate=true",
        login.user, login.password
    )
}

pub(super) fn open(babelfish: Option<&Path>) -> Result<Found> {
    let named = babelfish.map(PathBuf::from).or_else(|| std::env::var_os(BABELFISH).map(PathBuf::from));
    if let Some(folder) = named {
        let bin = folder.join("bin");
        return if process::is_executable(&bin.join("initdb")) {
            open_babelfish(&bin).map(Ok)
        } else {
            Ok(Err(format!("no Babelfish in {} (there is no bin/initdb)", folder.display())))
        };
    }
    match process::find("sqlservr", &[PathBuf::from("/opt/mssql/bin")]) {
        Some(program) => open_sqlservr(program).map(Ok),
        None => Ok(Err(format!(
            "no local programs (sqlservr is neither on PATH nor in /opt/mssql/bin, and neither --babelfish nor \
             {BABELFISH} names a Babelfish)"
        ))),
    }
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
    let login = Login { user: "sa".to_owned(), password: password()? };
    let port = free_port()?;
    let mut arguments = vec!["--mount".to_owned()];
    if !process::is_root() {
        arguments.extend(["--user".to_owned(), "--map-root-user".to_owned()]);
    }
    let script = format!("mount --bind \"$1\" /var/opt/mssql && exec {drop_rights}\"$2\"");
    arguments.extend(["sh", "-c", &script, "sqlservr"].map(str::to_owned));
    let mut arguments: Vec<_> = arguments.into_iter().map(Into::into).collect();
    arguments.extend([base.into_os_string(), program.clone().into_os_string()]);
    let recipe = Recipe {
        home,
        program: unshare,
        arguments,
        environment: vec![
            ("ACCEPT_EULA", "Y".to_owned()),
            ("MSSQL_PID", "Developer".to_owned()),
            ("MSSQL_SA_PASSWORD", login.password.clone()),
            ("MSSQL_TCP_PORT", port.to_string()),
            ("MSSQL_IP_ADDRESS", "127.0.0.1".to_owned()),
            ("TZ", TIME_ZONE.to_owned()),
        ],
        stop: Signal::SIGTERM,
        port,
        probe: Probe::Tds(Some(login.clone())),
    };
    Server::started(
        url(port, &login, "true"),
        format!("SQL Server from {}", program.display()),
        Local::start(recipe)?,
    )
}

fn open_babelfish(bin: &Path) -> Result<Server> {
    let home = Home::new("babelfish", unprivileged(&["postgres", "nobody"])?)?;
    let login = Login { user: "sessions".to_owned(), password: password()? };
    let password_file = home.write("password", &login.password)?;
    let data = home.folder.join("data");
    let limit = Duration::from_secs(180);
    let mut make = home.command(&bin.join("initdb"));
    make.args(["--username=postgres", "--auth-local=trust", "--auth-host=md5", "--encoding=UTF8"])
        .args(["--locale=C.UTF-8", "--no-sync", "--pwfile"])
        .arg(&password_file)
        .arg("--pgdata")
        .arg(&data);
    process::must(&mut make, limit)?;
    let port = free_port()?;
    let tds_port = free_port_after(port)?;
    let folder = home.folder.display().to_string();
    let encrypt = if certify(&home)? { "true" } else { "DANGER_PLAINTEXT" };
    let settings = [
        format!("ssl={}", if encrypt == "true" { "on" } else { "off" }),
        format!("ssl_cert_file={folder}/server.crt"),
        format!("ssl_key_file={folder}/server.key"),
        "shared_preload_libraries=babelfishpg_tds".to_owned(),
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        format!("unix_socket_directories={folder}"),
        "babelfishpg_tds.listen_addresses=127.0.0.1".to_owned(),
        format!("babelfishpg_tds.port={tds_port}"),
        "babelfishpg_tds.unix_socket_directories=".to_owned(),
        format!("timezone={TIME_ZONE}"),
        "max_connections=200".to_owned(),
    ];
    let mut arguments = vec!["-D".into(), data.into_os_string()];
    arguments.extend(settings.into_iter().flat_map(|setting| ["-c".into(), setting.into()]));
    let psql = |database: &str, commands: &[String]| {
        let mut command = home.command(&bin.join("psql"));
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", &folder, "-U", "postgres"]);
        command.args(["-p", &port.to_string(), "-d", database, "-f", "-"]);
        (command, commands.join("\n"))
    };
    // The password goes through a pipe: an argument could be read by everybody on this machine.
    let set_up = [
        psql(
            "postgres",
            &[
                format!(
                    "CREATE USER {0} WITH SUPERUSER CREATEDB CREATEROLE PASSWORD '{1}' INHERIT;",
                    login.user, login.password
                ),
                format!("CREATE DATABASE babelfish_db OWNER {};", login.user),
            ],
        ),
        psql(
            "babelfish_db",
            &[
                "SET client_min_messages = warning;".to_owned(),
                "CREATE EXTENSION IF NOT EXISTS babelfishpg_tds CASCADE;".to_owned(),
                format!("GRANT ALL ON SCHEMA sys TO {};", login.user),
                "ALTER SYSTEM SET babelfishpg_tsql.database_name = 'babelfish_db';".to_owned(),
                "ALTER DATABASE babelfish_db SET babelfishpg_tsql.migration_mode = 'multi-db';".to_owned(),
                "SELECT pg_reload_conf() \\g /dev/null".to_owned(),
            ],
        ),
        // In a connection of its own: only then is the mode above in force.
        psql("babelfish_db", &[format!("CALL sys.initialize_babelfish('{}');", login.user)]),
    ];
    let mut server = Local::start(Recipe {
        home,
        program: bin.join("postgres"),
        arguments,
        environment: vec![("TZ", TIME_ZONE.to_owned())],
        stop: Signal::SIGINT,
        port,
        probe: Probe::Postgres,
    })?;
    for (mut command, input) in set_up {
        process::feed(&mut command, &input, limit).with_context(|| {
            format!("Babelfish cannot be set up; the end of its log:\n{}", server.log_tail())
        })?;
    }
    server.expect(tds_port, Probe::Tds(Some(login.clone())))?;
    Server::started(url(tds_port, &login, encrypt), format!("Babelfish from {}", bin.display()), server)
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

/// Another free port than this one.
fn free_port_after(port: u16) -> Result<u16> {
    let _taken = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port))?;
    free_port()
}

/// Says hello as SQL Server's clients do, and logs in if there is a login: SQL Server answers the hello long before its
/// databases can be used.
pub(super) fn ask(stream: &mut TcpStream, login: Option<&Login>) -> Result<String, String> {
    // Version, encryption (not supported by this client), end.
    let hello = [&[0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff][..], &[0; 6][..], &[2][..]].concat();
    let answer = exchange(stream, 0x12, &hello)?;
    let Some(login) = login else { return Ok(String::new()) };
    if encryption_of(&answer) == Some(3) {
        // It insists on encryption, which this probe does not speak; then the hello must do.
        return Ok(String::new());
    }
    let answer = exchange(stream, 0x10, &login_packet(login)?)?;
    outcome(&answer)
}

fn exchange(stream: &mut TcpStream, kind: u8, body: &[u8]) -> Result<Vec<u8>, String> {
    let length = u16::try_from(body.len() + 8).map_err(|error| error.to_string())?;
    let [high, low] = length.to_be_bytes();
    let packet = [&[kind, 1, high, low, 0, 0, 1, 0][..], body].concat();
    stream.write_all(&packet).map_err(|error| silence(&error))?;
    let mut answer = Vec::new();
    loop {
        let mut head = [0; 8];
        stream.read_exact(&mut head).map_err(|error| silence(&error))?;
        if head[0] != 4 {
            return Err("something that is not SQL Server answered".to_owned());
        }
        let length = usize::from(u16::from_be_bytes([head[2], head[3]])).saturating_sub(8);
        let mut part = vec![0; length];
        stream.read_exact(&mut part).map_err(|error| silence(&error))?;
        answer.extend(part);
        if head[1] & 1 == 1 {
            return Ok(answer);
        }
    }
}

/// The value of the hello's option 1: 0 off, 1 on, 2 not supported, 3 required.
fn encryption_of(hello: &[u8]) -> Option<u8> {
    let option = hello.chunks(5).take_while(|option| option.first() != Some(&0xff)).find(|o| o[0] == 1)?;
    let offset = u16::from_be_bytes([*option.get(1)?, *option.get(2)?]);
    hello.get(usize::from(offset)).copied()
}

/// The LOGIN7 message: fixed fields, a table of offsets and lengths, then the texts in UTF-16.
fn login_packet(login: &Login) -> Result<Vec<u8>, String> {
    const FIXED: usize = 94;
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let hide = |byte: u8| byte.rotate_left(4) ^ 0xa5;
    let texts = [
        utf16("xtask"),
        utf16(&login.user),
        utf16(&login.password).into_iter().map(hide).collect(),
        utf16("xtask"),
        utf16("127.0.0.1"),
        Vec::new(),
        utf16("xtask"),
        Vec::new(),
        utf16("master"),
    ];
    let short =
        |number: usize| u16::try_from(number).map(u16::to_le_bytes).map_err(|error| error.to_string());
    let mut table = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    for text in &texts {
        table.extend(short(FIXED + data.len())?);
        table.extend(short(text.len() / 2)?);
        data.extend(text);
    }
    table.extend([0; 6]); // the client's id
    let end = short(FIXED + data.len())?;
    for _ in 0..3 {
        table.extend(end); // integrated login, database file, new password: none
        table.extend([0; 2]);
    }
    table.extend([0; 4]);
    let total = u32::try_from(FIXED + data.len()).map_err(|error| error.to_string())?;
    let mut packet = total.to_le_bytes().to_vec();
    packet.extend(0x7400_0004_u32.to_le_bytes()); // TDS 7.4
    packet.extend(4096_u32.to_le_bytes());
    packet.extend([0; 12]); // client's version, process and connection
    packet.extend([0xe0, 0x03, 0, 0]); // usual flags
    packet.extend([0; 8]); // time zone and language
    packet.extend(table);
    packet.extend(data);
    Ok(packet)
}

/// Walks through the answer's tokens to the login's acknowledgement or the reason why there is none.
fn outcome(mut tokens: &[u8]) -> Result<String, String> {
    let mut refusal = "the login was neither accepted nor refused".to_owned();
    while let [token, rest @ ..] = tokens {
        let [low, high, rest @ ..] = rest else { break };
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let body = rest.get(..length).unwrap_or_default();
        match token {
            0xad => return Ok(acknowledged(body)),
            0xaa => refusal = message(body).unwrap_or(refusal),
            0xab | 0xe3 => {}
            _ => break,
        }
        tokens = rest.get(length..).unwrap_or_default();
    }
    Err(refusal)
}

/// Interface, protocol version, then the program's name and version.
fn acknowledged(body: &[u8]) -> String {
    let characters = body.get(5).copied().map_or(0, usize::from);
    let name = text(body.get(6..6 + characters * 2).unwrap_or_default());
    let version = body.get(6 + characters * 2..).unwrap_or_default();
    match version {
        [major, minor, ..] => format!("{} {major}.{minor}", name.trim_end_matches('\0')),
        _ => name,
    }
}

/// Number, state and class of the error, then its text.
fn message(body: &[u8]) -> Option<String> {
    let characters = usize::from(u16::from_le_bytes([*body.get(6)?, *body.get(7)?]));
    Some(text(body.get(8..8 + characters * 2)?))
}

fn text(utf16: &[u8]) -> String {
    let units: Vec<_> = utf16.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    String::from_utf16_lossy(&units)
}
