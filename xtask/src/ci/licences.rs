//! Whether every crate that is compiled in, or that builds or tests use, may be used.

use anyhow::{Result, bail};

use super::Counts;
use crate::workspace::Metadata;

/// Licences that ask for no more than to be named. SPDX identifiers.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that need a licence beyond those, and why they may.
const EXCEPTIONS: &[(&str, &str, &str)] = &[(
    "webpki-roots",
    "CDLA-Permissive-2.0",
    "a list of certificates, which are data; the licence asks only to be passed on",
)];

pub(super) fn check(metadata: &Metadata) -> Result<Counts> {
    let packages = metadata.all();
    let mut findings = Vec::new();
    for package in &packages {
        let Some(licence) = &package.licence else {
            findings.push(format!("{} {} states no licence", package.name, package.version));
            continue;
        };
        let extra =
            EXCEPTIONS.iter().filter(|(name, _, _)| *name == package.name).map(|(_, licence, _)| *licence);
        let allowed: Vec<_> = ALLOWED.iter().copied().chain(extra).collect();
        match satisfied(licence, &allowed) {
            Ok(true) => {}
            Ok(false) => {
                findings.push(format!("{} {}: {licence} is not allowed", package.name, package.version))
            }
            Err(error) => findings.push(format!("{} {}: {error}", package.name, package.version)),
        }
    }
    crate::terminal::detail(&format!("{} packages", packages.len()));
    Ok(Counts::of_findings(&findings))
}

/// Whether these licences satisfy the SPDX expression. `/` is what `OR` was once written as.
fn satisfied(expression: &str, allowed: &[&str]) -> Result<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let answer = any(&mut rest, allowed)?;
    if !rest.is_empty() {
        bail!("`{expression}` is no licence expression");
    }
    Ok(answer)
}

fn any(words: &mut &[&str], allowed: &[&str]) -> Result<bool> {
    let mut answer = all(words, allowed)?;
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        // Not `||`, which would not read what follows.
        answer |= all(words, allowed)?;
    }
    Ok(answer)
}

fn all(words: &mut &[&str], allowed: &[&str]) -> Result<bool> {
    let mut answer = one(words, allowed)?;
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        answer &= one(words, allowed)?;
    }
    Ok(answer)
}

fn one(words: &mut &[&str], allowed: &[&str]) -> Result<bool> {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let answer = any(words, allowed)?;
            let [")", rest @ ..] = *words else { bail!("a parenthesis is not closed") };
            *words = rest;
            Ok(answer)
        }
        [licence, "WITH", exception, rest @ ..] => {
            *words = rest;
            Ok(allowed.contains(&format!("{licence} WITH {exception}").as_str()))
        }
        [licence, rest @ ..] if !["OR", "AND", "WITH", ")"].contains(licence) => {
            *words = rest;
            Ok(allowed.contains(licence))
        }
        _ => bail!("a licence is missing in the expression"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_mean_what_spdx_says() {
        let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "ISC"];
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT OR GPL-3.0", true),
            ("GPL-3.0 OR MIT", true),
            ("MIT AND GPL-3.0", false),
            ("GPL-3.0/MIT", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("MIT WITH LLVM-exception", false),
            ("(MIT OR GPL-3.0) AND ISC", true),
            ("MIT OR GPL-3.0 AND GPL-2.0", true),
            ("(MIT OR GPL-3.0) AND GPL-2.0", false),
        ] {
            assert_eq!(satisfied(expression, &allowed).expect(expression), expected, "{expression}");
        }
        for nonsense in ["", "MIT OR", "(MIT", "MIT)", "OR MIT", "MIT ISC"] {
            assert!(satisfied(nonsense, &allowed).is_err(), "{nonsense}");
        }
    }
}
