//! The tasks of this repository: `cargo xtask COMMAND`.
//!
//! One file a command, each with a `run`. A new command is a module and a line in [`COMMANDS`]. Runs on Linux, other
//! Unixes and macOS; it depends on none of the workspace's crates, so that it works while they do not compile.

mod bench;
mod ci;
mod cleanup;
mod conformance;
mod drivers;
mod interop;
mod process;
mod report;
mod server;
mod tally;
mod terminal;
mod testing;
mod workspace;

use std::process::ExitCode;

struct Command {
    name: &'static str,
    about: &'static str,
    run: fn(lexopt::Parser) -> anyhow::Result<ExitCode>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "bench",
        about: "measure this project's store beside its peers and the bare drivers",
        run: bench::run,
    },
    Command { name: "ci", about: "check everything that needs no database server", run: ci::run },
    Command {
        name: "conformance",
        about: "prove the backends against real servers, which it starts and stops",
        run: conformance::run,
    },
    Command { name: "drivers", about: "run the drivers' own tests against real servers", run: drivers::run },
    Command {
        name: "interop",
        about: "prove that a Node application and a Rust one share live sessions",
        run: interop::run,
    },
];

fn main() -> ExitCode {
    let mut parser = lexopt::Parser::from_env();
    match dispatch(&mut parser) {
        Ok(run) => run(parser).unwrap_or_else(|error| {
            terminal::failure(&format!("{error:#}"));
            ExitCode::FAILURE
        }),
        Err(code) => code,
    }
}

fn dispatch(parser: &mut lexopt::Parser) -> Result<fn(lexopt::Parser) -> anyhow::Result<ExitCode>, ExitCode> {
    let name = match parser.next() {
        Ok(Some(lexopt::Arg::Value(name))) => name.to_string_lossy().into_owned(),
        Ok(None | Some(lexopt::Arg::Short('h') | lexopt::Arg::Long("help"))) => {
            help();
            return Err(ExitCode::SUCCESS);
        }
        Ok(Some(other)) => {
            terminal::failure(&format!("{}: see cargo xtask --help", other.unexpected()));
            return Err(ExitCode::from(2));
        }
        Err(error) => {
            terminal::failure(&error.to_string());
            return Err(ExitCode::from(2));
        }
    };
    if name == cleanup::COMMAND {
        return Err(cleanup::run());
    }
    COMMANDS.iter().find(|command| command.name == name).map(|command| command.run).ok_or_else(|| {
        let known: Vec<_> = COMMANDS.iter().map(|command| command.name).collect();
        terminal::failure(&format!("no command `{name}`: there are {}", known.join(", ")));
        ExitCode::from(2)
    })
}

fn help() {
    println!("Usage: cargo xtask COMMAND [OPTIONS]\n\nCommands (each has its own --help):");
    for command in COMMANDS {
        println!("  {:<12} {}", command.name, command.about);
    }
}
