//! What only a real server shows, beside the conformance suite: its errors, its prepared statements, its encryption,
//! poolers before it. A test whose server is not there is shown as ignored, with the reason.

#![expect(clippy::unwrap_used, reason = "a test that finds what it does not expect has failed")]

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    let each_form = support::trial("support::each_form_of_a_secret_is_found", None, || async {
        support::listener::each_form_is_found();
    });
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    let mut trials: Vec<Trial> = vec![each_form];
    #[cfg(not(any(feature = "mysql", feature = "postgres")))]
    let mut trials: Vec<Trial> = Vec::new();
    #[cfg(feature = "postgres")]
    trials.extend(postgres::trials());
    #[cfg(feature = "mysql")]
    trials.extend(mysql::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
