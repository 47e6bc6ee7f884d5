//! The tests of packages that are workspaces of their own, so that `cargo test` runs them, or says that it left them out.

use std::path::Path;
use std::process::Command;

#[test]
fn the_benchmark_measures_what_it_says() {
    test("bench/harness", "");
}

#[test]
#[ignore = "an application on cot has packages of its own, and takes minutes to compile: cargo xtask ci cot"]
fn an_application_on_cot_keeps_its_sessions() {
    test("tests/cot", "");
}

#[test]
#[ignore = "migration tools have packages of their own, and take minutes to compile: cargo xtask ci migrations"]
fn migration_tools_make_the_table() {
    test("tests/migrations", "sqlite::");
}

/// Runs the tests of the package in this folder whose name contains `filter`.
fn test(folder: &str, filter: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("it is in tests/features");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target folder");
    let mut cargo = Command::new(std::env::var_os("CARGO").expect("cargo runs the tests"));
    cargo.args(["test", "--locked", "--manifest-path"]).arg(root.join(folder).join("Cargo.toml"));
    cargo.arg("--target-dir").arg(target).args(["--", filter]);
    // What cargo says of this package to its tests.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            cargo.env_remove(name);
        }
    }
    let tested = cargo.output().expect("cargo can be started");
    let (said, why) = (String::from_utf8_lossy(&tested.stdout), String::from_utf8_lossy(&tested.stderr));
    assert!(tested.status.success() && said.contains(" passed"), "{said}\n{why}");
}
