//! The documents are short, their links lead somewhere, and every dependency has its reason.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The longest line of a document, in characters.
const LINE: usize = 110;
/// Documents with a limit of their own, in lines.
const SHORT: [(&str, usize); 2] = [("ARCHITECTURE.md", 130), ("README.md", 200)];
/// Not ours, or made.
const ELSEWHERE: [&str; 4] = ["target", "node_modules", ".git", "report"];

#[test]
fn no_line_is_long() {
    let long: Vec<_> = documents()
        .into_iter()
        .flat_map(|(path, text)| {
            let lines = text.lines().enumerate().filter(|(_, line)| line.chars().count() > LINE);
            lines.map(|(number, _)| format!("{}:{}", path.display(), number + 1)).collect::<Vec<_>>()
        })
        .collect();
    assert!(long.is_empty(), "over {LINE} characters: {long:?}");
}

#[test]
fn the_first_documents_are_short() {
    for (name, most) in SHORT {
        let lines = fs::read_to_string(Path::new(ROOT).join(name)).unwrap().lines().count();
        assert!(lines <= most, "{name} has {lines} lines, and may have {most}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    let mut followed = 0;
    for (path, text) in documents() {
        for link in links(&text) {
            if link.contains("://") {
                continue;
            }
            followed += 1;
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let is_there = target.exists();
            let has_heading =
                || heading.is_empty() || headings(&fs::read_to_string(&target).unwrap()).contains(heading);
            if !is_there || !has_heading() {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(followed > 50, "{followed}");
}

#[test]
fn every_dependency_has_its_reason() {
    let reasons = fs::read_to_string(Path::new(ROOT).join("docs/dependencies.md")).unwrap();
    let named: BTreeSet<_> = reasons
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .flat_map(|names| names.split(", "))
        .collect();
    let mut unnamed = BTreeSet::new();
    for (path, text) in found("toml") {
        // The benchmark is a workspace of its own.
        if path.file_name().is_some_and(|name| name == "Cargo.toml")
            && !path.starts_with(Path::new(ROOT).join("bench"))
        {
            let ours = |name: &String| name.starts_with("session-") || name == "conformance";
            unnamed.extend(
                dependencies(&text).into_iter().filter(|name| !ours(name) && !named.contains(name.as_str())),
            );
        }
    }
    assert!(named.len() > 40, "{named:?}");
    assert!(unnamed.is_empty(), "docs/dependencies.md does not say why they are there: {unnamed:?}");
}

/// The names under the headings of dependencies.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut is_within = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if let Some(heading) = line.strip_prefix('[') {
            is_within = heading.trim_end_matches(']').ends_with("dependencies");
        } else if let (true, Some((name, _))) = (is_within, line.split_once(['=', '.']))
            && !line.starts_with([' ', '#', '"', ']'])
        {
            // Two versions of one crate have two names.
            names.push(name.trim().trim_end_matches("-0-14").to_owned());
        }
    }
    names
}

/// What stands between `](` and `)`, and after `[name]: `, outside of code.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        let inline = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let named = line.strip_prefix('[').and_then(|line| line.split_once("]: ")).map(|(_, link)| link);
        links.extend(inline.chain(named).map(str::to_owned));
    }
    links
}

/// The anchors of a document's headings, as forges make them.
fn headings(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

fn documents() -> Vec<(PathBuf, String)> {
    let documents = found("md");
    assert!(documents.len() > 25, "{}", documents.len());
    documents
}

/// Every file whose name ends so, and what is in it.
fn found(extension: &str) -> Vec<(PathBuf, String)> {
    let mut folders = vec![PathBuf::from(ROOT)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if ELSEWHERE.iter().any(|elsewhere| path.ends_with(elsewhere)) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    files
}
