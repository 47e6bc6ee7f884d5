//! `GUARANTEES.md` names exactly the cases that there are, each under its guarantee.

use std::collections::{BTreeMap, BTreeSet};

type Named = BTreeMap<String, BTreeSet<String>>;

fn in_the_document() -> Named {
    let mut named = Named::new();
    let mut guarantee = String::new();
    for line in include_str!("../../GUARANTEES.md").lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            guarantee = heading.split([':', ' ']).next().unwrap_or_default().to_owned();
        } else if let Some(case) = line.strip_prefix("- `").and_then(|rest| rest.strip_suffix('`')) {
            let is_new = named.entry(guarantee.clone()).or_default().insert(case.to_owned());
            assert!(is_new, "{guarantee} names {case} twice");
        }
    }
    named
}

#[test]
fn the_document_names_exactly_the_cases_by_guarantee() {
    let mut suite = Named::new();
    for case in conformance::cases() {
        suite.entry(case.guarantee.to_string()).or_default().insert(case.name.to_owned());
    }
    let document = in_the_document();
    for (guarantee, cases) in &suite {
        let named = document.get(guarantee).cloned().unwrap_or_default();
        let missing: Vec<_> = cases.difference(&named).collect();
        assert!(missing.is_empty(), "GUARANTEES.md, {guarantee}, does not name {missing:?}");
        let unknown: Vec<_> = named.difference(cases).collect();
        assert!(
            unknown.is_empty(),
            "GUARANTEES.md, {guarantee}, names {unknown:?}, which the suite does not have"
        );
    }
    let (suite, document): (Vec<_>, Vec<_>) = (suite.keys().collect(), document.keys().collect());
    assert_eq!(document, suite, "the guarantees that name cases");
}

#[test]
fn every_guarantee_has_a_case() {
    let proven: BTreeSet<_> = conformance::cases().into_iter().map(|case| case.guarantee).collect();
    assert_eq!(proven.len(), 16, "{proven:?}");
}

#[test]
fn no_two_cases_have_the_same_name() {
    let names: Vec<_> = conformance::cases().into_iter().map(|case| case.name).collect();
    let distinct: BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
}
