//! What needs other processes, other users or other file systems. The test starts itself again for the other process,
//! which the variable `ROLE` tells what to do. What this machine does not permit is shown as ignored, with the reason.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed, Trial};
use rusqlite::Connection;
use session_core::contract::{Created, Filter, Store as _};
use session_core::{ErrorKind, Updated};
use session_sqlite::SqliteStore;

use crate::support::{Folder, NOW, create, load, update};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("processes::ten_processes_create_the_table_at_once", ten_processes),
        Trial::test("processes::two_processes_lose_no_update", two_processes),
        Trial::test("processes::what_was_acknowledged_survives_kill_9", kill_9),
        Trial::test(
            "processes::a_lock_of_another_process_is_waited_for_and_then_told",
            lock_of_another_process,
        ),
        Trial::test("processes::a_file_that_is_no_database_is_told_and_left_alone", not_a_database),
        Trial::test("processes::a_missing_folder_is_told", missing_folder),
        Trial::ignorable_test("processes::a_read_only_file_is_told", read_only),
        Trial::ignorable_test("processes::a_full_disk_is_told_and_loses_nothing", full_disk),
        Trial::ignorable_test("processes::a_file_that_is_made_belongs_to_its_owner_alone", private_file),
    ]
}

// What the other processes do.

/// Does what `ROLE` says, in place of the tests.
pub(crate) fn play(role: &str) {
    runtime().block_on(act(role));
}

async fn act(role: &str) {
    let path = PathBuf::from(std::env::var_os("DATABASE").unwrap());
    let name = std::env::var("NAME").unwrap_or_default();
    match role {
        "create the table" => {
            let store = SqliteStore::connect(&path).await.unwrap();
            store.create_table().await.unwrap();
            store.create_table().await.unwrap();
            assert_eq!(store.create(&create(&name, "{}"), NOW).await.unwrap(), Created::Created);
            assert!(load(&store, &name, NOW).await.is_some());
        }
        "count up" => {
            let store = SqliteStore::connect(&path).await.unwrap();
            let mut saved = 0;
            while saved < ROUNDS {
                let version = load(&store, "counter", NOW).await.unwrap().version;
                let update = update("counter", "{}", Some(version.get()));
                match store.update(&update, NOW).await.unwrap() {
                    Updated::Saved(_) => saved += 1,
                    Updated::Stale => {}
                    Updated::Gone => panic!("the counter is gone"),
                }
            }
        }
        "write without end" => {
            let store = SqliteStore::connect(&path).await.unwrap();
            store.create_table().await.unwrap();
            let mut callers = Vec::new();
            for caller in 0..8 {
                let store = store.clone();
                callers.push(tokio::spawn(async move {
                    for number in 0_u64.. {
                        let name = format!("{caller}-{number}");
                        store.create(&create(&name, name.as_str()), NOW).await.unwrap();
                        // One write, so that no line is torn when the process is killed.
                        std::io::stdout().write_all(format!("{name}\n").as_bytes()).unwrap();
                    }
                }));
            }
            for caller in callers {
                caller.await.unwrap();
            }
        }
        "lock" => {
            let db = Connection::open(&path).unwrap();
            db.execute_batch("BEGIN IMMEDIATE").unwrap();
            println!("locked");
            std::io::stdin().read_line(&mut String::new()).unwrap();
        }
        "open" => match SqliteStore::connect(&path).await {
            Ok(_) => println!("opened"),
            Err(error) => println!("{:?} {error}", error.kind()),
        },
        other => panic!("no such role: {other}"),
    }
}

const ROUNDS: i64 = 100;

fn other(role: &str, path: &Path, name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env("ROLE", role).env("DATABASE", path).env("NAME", name);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Ends with its test.
struct Process(Child);

impl Process {
    fn start(mut command: Command) -> Process {
        Process(command.spawn().unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

// The tests.

fn ten_processes() -> Result<(), Failed> {
    let folder = Folder::new();
    let path = folder.database();
    let mut processes: Vec<_> =
        (0..10).map(|number| Process::start(other("create the table", &path, &number.to_string()))).collect();
    for process in &mut processes {
        let status = process.0.wait()?;
        ensure(status.success(), || format!("a process ended with {status}"))?;
    }
    let count = runtime()
        .block_on(async { SqliteStore::connect(&path).await?.count(&Filter::default(), NOW).await })?;
    ensure(count == 10, || format!("{count} sessions instead of 10"))
}

fn two_processes() -> Result<(), Failed> {
    let folder = Folder::new();
    let path = folder.database();
    runtime().block_on(async {
        let store = SqliteStore::connect(&path).await?;
        store.create_table().await?;
        store.create(&create("counter", "{}"), NOW).await
    })?;
    let mut processes = [(); 2].map(|()| Process::start(other("count up", &path, "")));
    for process in &mut processes {
        let status = process.0.wait()?;
        ensure(status.success(), || format!("a process ended with {status}"))?;
    }
    let record = runtime().block_on(async {
        Ok::<_, Failed>(load(&SqliteStore::connect(&path).await?, "counter", NOW).await)
    })?;
    let version = record.unwrap().version.get();
    ensure(version == 1 + 2 * ROUNDS, || format!("version {version} instead of {}", 1 + 2 * ROUNDS))
}

fn kill_9() -> Result<(), Failed> {
    let folder = Folder::new();
    let path = folder.database();
    let mut process = Process::start(other("write without end", &path, ""));
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
    let mut acknowledged: Vec<String> = lines.by_ref().take(500).collect::<Result<_, _>>()?;
    process.kill();
    // What it said before it died, up to the last whole line.
    acknowledged.extend(lines.map_while(Result::ok));
    ensure(acknowledged.len() >= 500, || format!("only {} lines", acknowledged.len()))?;
    runtime().block_on(async {
        let store = SqliteStore::connect(&path).await?;
        for name in &acknowledged {
            let record = load(&store, name, NOW).await;
            let payload = record.map(|record| record.payload);
            ensure(payload.is_some_and(|payload| payload.as_str() == name), || format!("{name} is lost"))?;
        }
        ensure(store.diagnose().await?.is_empty(), || "the doctor finds something".to_owned())?;
        let created = store.create(&create("after", "{}"), NOW).await?;
        ensure(created == Created::Created, || "no write works afterwards".to_owned())
    })
}

fn lock_of_another_process() -> Result<(), Failed> {
    let folder = Folder::new();
    let path = folder.database();
    runtime().block_on(async {
        let store = SqliteStore::builder().path(&path).busy_timeout(Duration::from_millis(100)).build()?;
        store.create_table().await?;
        let mut process = Process::start(other("lock", &path, ""));
        BufReader::new(process.0.stdout.as_mut().unwrap()).read_line(&mut String::new())?;
        let began = Instant::now();
        let error = store.create(&create("a", "{}"), NOW).await.unwrap_err();
        ensure(error.kind() == ErrorKind::Unavailable && !error.is_unreachable(), || format!("{error:?}"))?;
        ensure(!error.is_in_doubt(), || format!("{error:?}"))?;
        ensure(began.elapsed() < Duration::from_secs(10), || format!("it took {:?}", began.elapsed()))?;
        load(&store, "a", NOW).await;
        // The system releases the lock of a process that is killed.
        process.kill();
        let created = store.create(&create("a", "{}"), NOW).await?;
        ensure(created == Created::Created, || format!("{created:?}"))
    })
}

fn not_a_database() -> Result<(), Failed> {
    let folder = Folder::new();
    let path = folder.database();
    let text = "Dear diary, this is certainly not a database. ".repeat(100);
    std::fs::write(&path, &text)?;
    let error = runtime().block_on(SqliteStore::connect(&path)).unwrap_err();
    ensure(error.kind() == ErrorKind::Backend, || format!("{error:?}"))?;
    ensure(error.to_string().contains("not a database"), || error.to_string())?;
    ensure(std::fs::read_to_string(&path)? == text, || "the file was changed".to_owned())
}

fn missing_folder() -> Result<(), Failed> {
    let folder = Folder::new();
    let path = folder.path().join("missing").join("sessions.db");
    let error = runtime().block_on(SqliteStore::connect(path)).unwrap_err();
    ensure(error.kind() == ErrorKind::Unavailable && error.is_unreachable(), || format!("{error:?}"))?;
    ensure(error.to_string().contains("folder exists"), || error.to_string())
}

/// Rights do not hold root back, so the file is opened by another user's process.
fn read_only() -> Result<Completion, Failed> {
    let Some(nobody) = nobody() else {
        return Ok(Completion::ignored_with("not run: no user to open the file as"));
    };
    let folder = Folder::new();
    let path = folder.database();
    runtime().block_on(async { SqliteStore::connect(&path).await?.create_table().await })?;
    set_mode(&path, 0o444)?;
    set_mode(folder.path(), 0o755)?;
    let mut command = other("open", &path, "");
    nobody(&mut command);
    let output = match command.output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(output) => {
            return Ok(Completion::ignored_with(format!(
                "not run: the other user's process: {}",
                output.status
            )));
        }
        Err(error) => {
            return Ok(Completion::ignored_with(format!("not run: the other user cannot run this: {error}")));
        }
    };
    ensure(output.contains("Backend sqlite: connect: the database is read-only"), || output.clone())?;
    Ok(Completion::Completed)
}

fn full_disk() -> Result<Completion, Failed> {
    let folder = Folder::new();
    let Some(mount) = Mount::tmpfs(folder.path(), "size=4m") else {
        return Ok(Completion::ignored_with("not run: this user may not mount a tmpfs"));
    };
    runtime().block_on(async {
        let path = folder.database();
        let filler = folder.path().join("filler");
        let store = SqliteStore::connect(&path).await?;
        store.create_table().await?;
        std::fs::write(&filler, vec![0; 1 << 20])?;
        let mut kept = Vec::new();
        let error = loop {
            let name = format!("s{}", kept.len());
            match store.create(&create(&name, "x".repeat(16 << 10)), NOW).await {
                Ok(_) => kept.push(name),
                Err(error) => break error,
            }
        };
        ensure(!kept.is_empty(), || "not one session fits".to_owned())?;
        ensure(error.kind() == ErrorKind::Backend && error.code() == Some("13"), || format!("{error:?}"))?;
        ensure(error.to_string().contains("disk is full"), || error.to_string())?;
        ensure(!error.is_unreachable() && !error.is_in_doubt(), || format!("{error:?}"))?;
        for name in &kept {
            ensure(load(&store, name, NOW).await.is_some(), || format!("{name} is lost"))?;
        }
        ensure(load(&store, &format!("s{}", kept.len()), NOW).await.is_none(), || {
            "the refused session is there".to_owned()
        })?;
        // With room it goes on, without being opened anew.
        std::fs::remove_file(&filler)?;
        store.create(&create("again", "{}"), NOW).await?;
        drop(store);
        let count = SqliteStore::connect(&path).await?.count(&Filter::default(), NOW).await?;
        ensure(count == u64::try_from(kept.len() + 1)?, || {
            format!("{count} sessions instead of {}", kept.len() + 1)
        })
    })?;
    drop(mount);
    Ok(Completion::Completed)
}

fn private_file() -> Result<Completion, Failed> {
    let folder = Folder::new();
    let store = folder.builder().build()?;
    runtime().block_on(store.create_table())?;
    for file in ["sessions.db", "sessions.db-wal", "sessions.db-shm"] {
        match mode(&folder.path().join(file))? {
            None => return Ok(Completion::ignored_with("not run: this system has no such rights")),
            Some(mode) => ensure(mode == 0o600, || format!("{file} has the mode {mode:o}"))?,
        }
    }
    Ok(Completion::Completed)
}

// Tools.

fn ensure(condition: bool, or: impl FnOnce() -> String) -> Result<(), Failed> {
    if condition { Ok(()) } else { Err(or().into()) }
}

/// A file system that is unmounted with its test.
struct Mount(PathBuf);

impl Mount {
    fn tmpfs(folder: &Path, options: &str) -> Option<Mount> {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).stderr(Stdio::null());
        command.status().ok()?.success().then(|| Mount(folder.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).status());
    }
}

/// Makes a command run as somebody whom rights hold back.
#[cfg(unix)]
fn nobody() -> Option<fn(&mut Command)> {
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::process::CommandExt as _;

    let folder = Folder::new();
    Some(if folder.path().metadata().ok()?.uid() == 0 {
        |command| _ = command.uid(65_534).gid(65_534)
    } else {
        |_| {}
    })
}

#[cfg(not(unix))]
fn nobody() -> Option<fn(&mut Command)> {
    None
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_path: &Path, _mode: u32) -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn mode(path: &Path) -> std::io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(Some(path.metadata()?.permissions().mode() & 0o777))
}

#[cfg(not(unix))]
fn mode(_path: &Path) -> std::io::Result<Option<u32>> {
    Ok(None)
}
