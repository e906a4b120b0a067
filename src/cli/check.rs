//! `check`: is the configuration right, and what is in force?

use std::path::Path;
use std::process::ExitCode;

use super::output;
use crate::catalog;
use crate::config::effective;

/// Prints the effective configuration, or fails with every problem.
pub fn run(config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let (loaded, _) = catalog::load(config)?;
    let source = match &loaded.file {
        Some(file) => format!("# from {} and the environment", file.display()),
        None => "# no configuration file: the built-in defaults and the environment".to_owned(),
    };
    output::print(&format!("{source}\n\n{}", effective(&loaded.config)))?;
    Ok(ExitCode::SUCCESS)
}
