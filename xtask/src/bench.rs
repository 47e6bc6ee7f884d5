//! `cargo xtask bench`: this project's store, its peers and the bare drivers on the same servers, in one run.

mod cpu;
mod html;
mod machine;
mod options;
mod plan;
mod programs;
mod results;
mod subject;
mod table;
mod worker;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::server::{self, Kind, Opened};
use crate::terminal;
use options::Options;
use plan::Place;
use results::{Backend, Report};

/// Runs the command.
pub(crate) fn run(parser: lexopt::Parser) -> Result<ExitCode> {
    let options = match options::parse(parser) {
        Ok(Some(options)) => options,
        Ok(None) => {
            terminal::say(&options::help());
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => {
            terminal::failure(&format!("{error}; see cargo xtask bench --help"));
            return Ok(ExitCode::from(2));
        }
    };
    let programs = programs::build(&options);
    let mut report =
        Report { command: options.command_line(), machine: machine::describe(), backends: Vec::new() };
    for &backend in &options.backends {
        let measured = measure(backend, &options, &programs);
        let measured =
            measured.unwrap_or_else(|error| Backend::not_run(backend.name(), format!("{error:#}")));
        table::print(&measured);
        report.backends.push(measured);
        // After each backend, so that an interruption loses one at most.
        if let Some(folder) = &options.report {
            write(&report, folder)?;
        }
    }
    if let Some(folder) = &options.report {
        terminal::say(&format!("\nreport: {}", folder.join("report.html").display()));
    }
    let failed = report.backends.iter().any(|backend| backend.not_run.is_some() && options.is_named);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn measure(backend: options::Backend, options: &Options, programs: &programs::Programs) -> Result<Backend> {
    terminal::step(&format!("\n{}", backend.name()));
    let Some(kind) = backend.server() else {
        let (folder, _guard) = programs::data_folder()?;
        let place =
            Place { url: folder.display().to_string(), server: None, described: machine::disk(&folder) };
        return plan::carry_out(backend, &place, options, programs);
    };
    let server = match server::open(kind, &options.sources)? {
        Opened::Server(server) => server,
        Opened::Unavailable(why) => return Ok(Backend::not_run(backend.name(), why)),
    };
    terminal::detail(&server.origin);
    let described = match kind {
        Kind::Postgres | Kind::Mariadb | Kind::Mysql | Kind::Mssql if server.control().is_some() => {
            format!("{}, default durability, data on {}", server.origin, machine::disk(&std::env::temp_dir()))
        }
        _ => format!("{}, durability as it is set there", server.origin),
    };
    let place = Place { url: server.url.clone(), server: cpu::Server::find(&server.url), described };
    plan::carry_out(backend, &place, options, programs)
}

fn write(report: &Report, folder: &Path) -> Result<()> {
    let name = folder.display();
    fs::create_dir_all(folder).with_context(|| format!("{name} cannot be made"))?;
    let json = serde_json::to_string_pretty(&report.json())?;
    fs::write(folder.join("report.json"), json)
        .with_context(|| format!("{name}/report.json cannot be written"))?;
    fs::write(folder.join("report.html"), html::render(report))
        .with_context(|| format!("{name}/report.html cannot be written"))?;
    Ok(())
}
