//! The command line: what can be asked for, and which exit code answers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::catalog;
use crate::config::ConfigError;
use crate::server;
use crate::store::accounts::Role;
use crate::telemetry;

mod check;
mod demo;
mod folder;
mod import;
mod output;
pub mod receiver;
mod remote;
mod rest;
mod tokens;
mod users;

/// Exit code of a usage or configuration error; clap uses the same.
const USAGE: u8 = 2;

/// A standalone webhook backend for NetBox: ordered, throttled, retried, never lost.
#[derive(Debug, Parser)]
#[command(name = "netbox-webhookd", version, disable_help_subcommand = true)]
struct Cli {
    /// Configuration file; else $NETBOX_WEBHOOKD_CONFIG, ./config.toml, /etc/netbox-webhookd/config.toml
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service (default)
    Serve,
    /// Validate the configuration and print the effective one, secrets masked; exit 0, or 2 with every problem
    Check,
    /// A test receiver: prints each request, verifies X-Hook-Signature, answers 200
    Receiver {
        /// Address and port to listen on
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
        listen: SocketAddr,
        /// Secret of the webhook; without it signatures are printed, not verified
        #[arg(long, value_name = "SECRET")]
        secret: Option<String>,
    },
    /// API tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Accounts of the dashboard
    #[command(subcommand)]
    User(UserCommand),
    /// How the service and its endpoints are
    Status {
        #[command(flatten)]
        remote: Remote,
    },
    /// Definitions
    Webhooks {
        #[command(flatten)]
        remote: Remote,
    },
    /// Deliveries, newest first
    Deliveries {
        /// Only these, repeatable: status=failed, endpoint_id=3, model=dcim.device, …
        #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
        filter: Vec<(String, String)>,
        /// At most so many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        #[command(flatten)]
        remote: Remote,
    },
    /// Send failed, canceled or waiting deliveries again
    Retry {
        #[command(flatten)]
        which: Which,
        /// By filter only: leave out those whose object already has a newer delivered event
        #[arg(long, requires = "filter", conflicts_with = "ids")]
        skip_if_newer_delivered: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Give up deliveries that wait
    Cancel {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        remote: Remote,
    },
    /// Hold back all deliveries of endpoints
    Pause {
        /// Id or URL
        #[arg(required = true)]
        endpoints: Vec<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Let deliveries of endpoints go again, and close their breaker
    Resume {
        /// Id or URL
        #[arg(required = true)]
        endpoints: Vec<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Take over the webhooks and event rules of a NetBox as definitions; shows what would be done, --write does it
    ImportNetbox(ImportNetbox),
    /// Copy the whole store into a new file, also while the service runs
    Backup {
        /// The file to write
        file: PathBuf,
    },
    /// Write what is readable of a damaged store into a new folder
    Recover {
        /// The folder to write
        folder: PathBuf,
    },
    /// Everything on one machine with no set-up: the service, two receivers and events of NetBox
    Demo {
        /// End after this with a summary, e.g. 15s; without it the demo stays
        #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
        length: Option<Duration>,
    },
}

#[derive(Debug, Args)]
struct ImportNetbox {
    /// Where NetBox is; else netbox.url of the configuration
    #[arg(long, value_name = "URL")]
    netbox_url: Option<String>,
    /// An API token of NetBox that may view webhooks and event rules; else netbox.token of the configuration
    #[arg(long, value_name = "TOKEN")]
    netbox_token: Option<String>,
    /// Only show what would be created or changed (default)
    #[arg(long, conflicts_with = "write")]
    dry_run: bool,
    /// Create and change definitions
    #[arg(long)]
    write: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token and print it once
    Create {
        /// What it is for; unique
        #[arg(long)]
        name: String,
        /// What it may do: ingest, read, operate, admin
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
        scopes: Vec<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// List the tokens, without their texts
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Make a token useless
    Revoke {
        /// Id or name
        #[arg(value_name = "TOKEN")]
        which: String,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make an account; the password is asked for, or read from stdin
    Create {
        /// What they log in as; unique
        name: String,
        /// viewer (looks), operator (retries, pauses, …) or admin (everything)
        #[arg(long)]
        role: Role,
        #[command(flatten)]
        remote: Remote,
    },
    /// List the accounts
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Delete an account and end its sessions
    Delete {
        /// Id or name
        #[arg(value_name = "USER")]
        which: String,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Which deliveries an order is for.
#[derive(Args, Debug)]
#[group(required = true)]
struct Which {
    /// Ids of deliveries
    #[arg(value_name = "ID", conflicts_with = "filter")]
    ids: Vec<String>,
    /// All that match, repeatable: status=failed, endpoint_id=3, model=dcim.device, …
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    filter: Vec<(String, String)>,
}

/// How the running service is reached.
#[derive(Args, Debug)]
struct Remote {
    /// Address of the service; else as its configuration says
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// API token; else the admin token of the configuration or of the data folder
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("netbox-webhookd: {error:#}");
            // Whoever called us with a broken configuration is told apart from a service that failed.
            if error.is::<ConfigError>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let config = cli.config.as_deref();
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(config),
        Command::Check => check::run(config),
        Command::Receiver { listen, secret } => on_system(receiver::run(listen, secret)),
        Command::ImportNetbox(asked) => on_system(import::run(config, asked)),
        Command::Backup { file } => folder::backup(config, &file),
        Command::Recover { folder } => folder::recover(config, &folder),
        Command::Demo { length } => on_system(demo::run(length)),
        Command::Token(command) => on_system(tokens::run(config, command)),
        Command::User(command) => on_system(users::run(config, command)),
        Command::Status { remote } => on_system(remote::status(config, remote)),
        Command::Webhooks { remote } => on_system(remote::webhooks(config, remote)),
        Command::Deliveries { filter, limit, remote } => on_system(remote::deliveries(config, remote, filter, limit)),
        Command::Retry { which, skip_if_newer_delivered, remote } => {
            on_system(remote::retry(config, remote, which, skip_if_newer_delivered))
        }
        Command::Cancel { which, remote } => on_system(remote::cancel(config, remote, which)),
        Command::Pause { endpoints, remote } => on_system(remote::order(config, remote, endpoints, "pause")),
        Command::Resume { endpoints, remote } => on_system(remote::order(config, remote, endpoints, "resume")),
    }
}

fn serve(config: Option<&Path>) -> anyhow::Result<ExitCode> {
    // With its definitions, so that a faulty one ends with exit code 2 like any other configuration error.
    let (loaded, _) = catalog::load(config)?;
    telemetry::init(&loaded.config.log)?;
    Ok(server::serve(loaded))
}

/// Runs one command on an actix system of its own: awc and the receiver need one.
fn on_system(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    actix_rt::System::new().block_on(command)
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("give KEY=VALUE, like status=failed".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match crate::config::parse_duration(text)? {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(["netbox-webhookd"].iter().chain(args))
    }

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_what_happens_without_a_command() {
        let cli = parse(&["--config", "x.toml"]).expect("a file alone");
        assert!(cli.command.is_none());
        assert_eq!(cli.config, Some("x.toml".into()));
        assert_eq!(parse(&["serve", "--config", "x.toml"]).expect("after the command").config, Some("x.toml".into()));
    }

    #[test]
    fn a_retry_names_ids_or_a_filter_but_not_both() {
        assert!(parse(&["retry"]).is_err());
        assert!(parse(&["retry", "id", "--filter", "status=failed"]).is_err());
        assert!(parse(&["retry", "id", "--skip-if-newer-delivered"]).is_err());
        assert!(parse(&["retry", "--filter", "status"]).is_err());
        assert!(parse(&["retry", "a", "b"]).is_ok());
        assert!(parse(&["retry", "--filter", "status=failed", "--skip-if-newer-delivered"]).is_ok());
    }

    #[test]
    fn scopes_may_be_given_with_commas() {
        let cli = parse(&["token", "create", "--name", "n", "--scope", "read,operate"]).expect("two scopes");
        let Some(Command::Token(TokenCommand::Create { scopes, .. })) = cli.command else { panic!("another command") };
        assert_eq!(scopes, ["read", "operate"]);
    }

    #[test]
    fn usage_errors_exit_with_2() {
        assert_eq!(parse(&["demo", "--for", "soon"]).expect_err("no duration").exit_code(), i32::from(USAGE));
    }
}
