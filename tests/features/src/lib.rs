//! No code: cargo gives a crate all features that any of the packages it builds asks for. So the tests of all packages,
//! which `cargo test` runs, are compiled with those that this one names.
