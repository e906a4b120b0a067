//! The binary: everything lives in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    netbox_webhookd::cli::main()
}
