//! Finding, reading and checking the configuration.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::document::Document;
use super::error::{ConfigError, Place, Problem};
use super::policy::EndpointRule;
use super::sections::SECTIONS;
use super::{Config, FileWebhook};

/// Variable that names the file when no `--config` does.
const ENV_FILE: &str = "NETBOX_WEBHOOKD_CONFIG";

/// Looked for in this order when nobody names a file.
const DEFAULT_FILES: [&str; 2] = ["config.toml", "/etc/netbox-webhookd/config.toml"];

/// A configuration and where it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// `None`: no file was found, the built-in defaults hold.
    pub file: Option<PathBuf>,
    explicit: Option<PathBuf>,
}

impl Loaded {
    /// A configuration made by a program (`demo`, tests); it stays as it is on SIGHUP.
    pub fn built(config: Config) -> Self {
        Self { config, file: None, explicit: None }
    }

    /// Reads the same place again, as SIGHUP asks for: as far as it is right, and all that is wrong with it.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn survey_again(&self) -> Result<(Loaded, Vec<Problem>), ConfigError> {
        Config::survey(self.explicit.as_deref())
    }
}

impl Config {
    /// Loads `explicit`, else `$NETBOX_WEBHOOKD_CONFIG`, else `./config.toml`, else
    /// `/etc/netbox-webhookd/config.toml`, else the defaults; the environment overrides single keys.
    ///
    /// # Errors
    /// A file that cannot be read, or every problem found in it and in the environment.
    pub fn load(explicit: Option<&Path>) -> Result<Loaded, ConfigError> {
        match Self::survey(explicit)? {
            (loaded, problems) if problems.is_empty() => Ok(loaded),
            (Loaded { file, .. }, problems) => Err(ConfigError::Invalid { file, problems }),
        }
    }

    /// The same, but a configuration with problems is given as far as it is right, so that others may look for more.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn survey(explicit: Option<&Path>) -> Result<(Loaded, Vec<Problem>), ConfigError> {
        let env: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let file = find_file(explicit, &env);
        let text = match &file {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|reason| ConfigError::Unreadable { path: path.clone(), reason })?,
            None => String::new(),
        };
        let (config, problems) = Config::read(&text, &env);
        Ok((Loaded { config, file, explicit: explicit.map(Path::to_owned) }, problems))
    }

    /// The configuration that a file's text and the variables make.
    ///
    /// # Errors
    /// Every problem, in the order of the file, then those of the environment.
    pub fn parse(text: &str, env: &[(String, String)]) -> Result<Config, Vec<Problem>> {
        match Self::read(text, env) {
            (config, problems) if problems.is_empty() => Ok(config),
            (_, problems) => Err(problems),
        }
    }

    fn read(text: &str, env: &[(String, String)]) -> (Config, Vec<Problem>) {
        let mut problems = Vec::new();
        let names: Vec<&'static str> = SECTIONS.iter().map(|(name, _)| *name).collect();
        let mut document = Document::read(text, env, &names, &mut problems);
        let mut config = Config::default();
        for (name, section) in SECTIONS {
            let table = document.take(name);
            let (switch, header) = (table.place("enabled"), table.place("remote_user_header"));
            table.apply(section(&mut config), &mut problems);
            if name == "redis" {
                // The queue's Redis is [redis], except for the keys it overrides.
                config.intake.netbox_queue.redis = config.redis.clone();
            }
            if name == "auth" {
                problems.extend(lacks_proxies(&config, header));
            }
            if name == "intake.netbox_queue" {
                problems.extend(lacks_netbox(&config, switch));
            }
        }
        for table in document.endpoints {
            config.endpoints.extend(EndpointRule::read(table, &mut problems));
        }
        config.file_webhooks = file_webhooks(document.webhooks, &mut problems);
        problems.sort();
        (config, problems)
    }
}

fn find_file(explicit: Option<&Path>, env: &[(String, String)]) -> Option<PathBuf> {
    let named = || env.iter().find(|(name, value)| name == ENV_FILE && !value.is_empty());
    explicit
        .map(Path::to_owned)
        .or_else(|| named().map(|(_, path)| PathBuf::from(path)))
        .or_else(|| DEFAULT_FILES.iter().map(PathBuf::from).find(|path| path.exists()))
}

/// Jobs of NetBox's queue name webhooks by their ids there: NetBox itself must be asked for them.
fn lacks_netbox(config: &Config, switch: Place) -> Option<Problem> {
    let asked = !config.netbox.url.is_empty() && !config.netbox.token.is_empty();
    (config.intake.netbox_queue.enabled && !asked).then(|| {
        let message = "needs netbox.url and netbox.token: the jobs do not hold the webhooks' definitions".to_owned();
        Problem::new(switch, "intake.netbox_queue.enabled", message)
    })
}

/// Without a proxy to believe, the header would be set and mean nothing.
fn lacks_proxies(config: &Config, header: Place) -> Option<Problem> {
    (!config.auth.remote_user_header.is_empty() && config.server.trusted_proxies.is_empty()).then(|| {
        let message = "needs server.trusted_proxies: the header is believed from these alone".to_owned();
        Problem::new(header, "auth.remote_user_header", message)
    })
}

/// Only their shape is checked here; the catalog knows what a definition may say.
fn file_webhooks(tables: Vec<(usize, serde_json::Value)>, problems: &mut Vec<Problem>) -> Vec<FileWebhook> {
    let mut webhooks: Vec<FileWebhook> = Vec::with_capacity(tables.len());
    let mut named: HashMap<String, usize> = HashMap::with_capacity(tables.len());
    for (line, value) in tables {
        let name = value.get("name").and_then(serde_json::Value::as_str).unwrap_or_default();
        if name.is_empty() {
            let message = "every [[webhook]] needs a name, a text in quotes that no other has".to_owned();
            problems.push(Problem::new(Place::Line(line), "webhook.name", message));
        } else if let Some(first) = named.get(name) {
            let message = format!("\"{name}\" is already the name of the [[webhook]] in line {first}");
            problems.push(Problem::new(Place::Line(line), "webhook.name", message));
        }
        named.entry(name.to_owned()).or_insert(line);
        webhooks.push(FileWebhook { line, value });
    }
    webhooks
}
