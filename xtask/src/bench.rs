//! `cargo xtask bench`: this project's store, its peers and the bare drivers on the same servers, in one run.

mod cpu;
mod options;
mod plan;
mod programs;
mod subject;
mod table;
mod worker;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use bench_report::{Measured, Report};

use crate::backend::Backend;
use crate::report::{page, write};
use crate::server;
use crate::{command_line, machine, terminal, workspace};
pub(crate) use options::Options;
use plan::Place;

/// Runs the command. Returns whether everything that was asked for by name was measured.
pub(crate) fn run(options: Options) -> Result<bool> {
    if let Some(report) = &options.figures {
        return draw(report).map(|()| true);
    }
    let programs = programs::build(&options);
    let mut machine = machine::describe();
    machine.insert("date".to_owned(), machine::date(jiff::Timestamp::now()));
    let command = command_line::own_line(std::env::args().skip(1));
    let mut report = Report { command, machine, backends: Vec::new() };
    for backend in options.backends() {
        let measured = measure(backend, &options, &programs);
        let measured =
            measured.unwrap_or_else(|error| Measured::not_run(backend.name(), format!("{error:#}")));
        table::print(&measured);
        report.backends.push(measured);
        // After each backend, so that an interruption loses one at most.
        if let Some(folder) = &options.report {
            write(folder, "report.json", &serde_json::to_string_pretty(&report)?)?;
            write(
                folder,
                "report.html",
                &page("benchmark", bench_report::STYLE, &bench_report::body(&report)),
            )?;
        }
    }
    if let Some(folder) = &options.report {
        terminal::say(format_args!("\nreport: {}", folder.join("report.html").display()));
    }
    Ok(!(options.is_named() && report.backends.iter().any(|backend| backend.not_run.is_some())))
}

/// Draws the pictures of the documents.
fn draw(report: &Path) -> Result<()> {
    let text = fs::read_to_string(report).with_context(|| format!("{} cannot be read", report.display()))?;
    let report = serde_json::from_str(&text).context("this is no report.json")?;
    let folder = workspace::root().join("docs");
    bench_report::pictures(&report).iter().try_for_each(|(name, picture)| write(&folder, name, picture))
}

fn measure(backend: Backend, options: &Options, programs: &programs::Programs) -> Result<Measured> {
    terminal::step(format_args!("\n{}", backend.name()));
    let Backend::Server(kind) = backend else {
        let (folder, _guard) = programs::data_folder()?;
        let described = machine::disk(&folder);
        let place = Place { url: folder.display().to_string(), server: None, described };
        return plan::carry_out(backend, &place, options, programs);
    };
    let server = server::open(kind, &options.sources)?;
    let described = if server.control.is_some() {
        format!("{}, default durability, data on {}", server.origin, machine::disk(&std::env::temp_dir()))
    } else {
        format!("{}, durability as it is set there", server.origin)
    };
    let place = Place { url: server.url.clone(), server: cpu::Server::find(kind, &server.url), described };
    plan::carry_out(backend, &place, options, programs)
}
