//! A web application that keeps its sessions with session-store.
//!
//! Count in two tabs at once, sign in among other requests, see on which devices you are signed in, and sign out: here, on
//! one of them, everywhere else, or everywhere. `cargo demo` starts it.

mod app;
mod page;

use std::net::Ipv4Addr;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::signal;

const USAGE: &str = "\
A web application that keeps its sessions with session-store.

Usage: cargo demo [--database URL] [--port PORT]

  --database URL  sqlite:PATH or a path, postgres://…, mysql://…, or a SQL Server connection string
                  [default: demo.db, a SQLite file]; for any but SQLite start it as `cargo demo-all`
  --port PORT     the port on 127.0.0.1; 0 takes a free one [default: 3000]";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("demo: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let Some(options) = Options::parse()? else {
        println!("{USAGE}");
        return Ok(());
    };
    let sessions = app::open(&options.database).await.map_err(|error| in_full(&error))?;
    let sweeper = sessions.sweeper().start();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await.map_err(|error| {
        format!("port {} of 127.0.0.1 cannot be used ({error}); choose another with --port", options.port)
    })?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let backend = sessions.backend().backend();
    let router = app::router(sessions).map_err(|error| in_full(&error))?;
    println!("http://{address}  (sessions in {backend}; Ctrl-C ends it)");
    axum::serve(listener, router)
        .with_graceful_shutdown(async {
            // Without the signal the program is ended by force, which loses nothing either.
            _ = signal::ctrl_c().await;
        })
        .await
        .map_err(|error| error.to_string())?;
    sweeper.stop().await;
    Ok(())
}

struct Options {
    database: String,
    port: u16,
}

impl Options {
    /// `None` if the user asked for help.
    fn parse() -> Result<Option<Options>, String> {
        use lexopt::prelude::*;
        let mut options = Options { database: "demo.db".to_owned(), port: 3000 };
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next().map_err(|error| error.to_string())? {
            match argument {
                Long("database") => {
                    options.database =
                        arguments.value().and_then(|url| url.string()).map_err(|error| error.to_string())?;
                }
                Long("port") => {
                    options.port = arguments
                        .value()
                        .and_then(|port| port.parse())
                        .map_err(|error| format!("--port: {error}; give a number from 0 to 65535"))?;
                }
                Long("help") | Short('h') => return Ok(None),
                other => return Err(format!("{}\n\n{USAGE}", other.unexpected())),
            }
        }
        Ok(Some(options))
    }
}

/// An error and everything that it stems from, on one line.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
