//! Parses, runs, maps the result to an exit code. Everything else is in the library, so that tests can call it.

use std::process::ExitCode;

fn main() -> ExitCode {
    mcpkit::run(std::env::args_os()).into()
}
