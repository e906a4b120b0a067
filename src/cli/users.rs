//! `user create | list | delete`: over the API, or in the data folder while no service runs on it.

use std::io::{self, BufRead, IsTerminal, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::folder::{self, ACTOR};
use super::rest::{self, Reached, Rest, RestError};
use super::{Remote, UserCommand, output};
use crate::store::Accounts;
use crate::store::accounts::{NewUser, Role, User};
use crate::store::admin::{MAX_TOKEN_NAME, NewAudit, token_name};
use crate::store::embedded::EmbeddedStore;
use crate::web::passwords;

const COLUMNS: [(&str, &str); 4] = [("ID", "id"), ("NAME", "name"), ("ROLE", "role"), ("CREATED", "created")];

/// Carries one user command out.
pub async fn run(config: Option<&Path>, command: UserCommand) -> anyhow::Result<ExitCode> {
    match command {
        UserCommand::Create { name, role, remote } => {
            let password = password()?;
            let made = match reach(config, &remote).await? {
                Users::Online(rest) => {
                    let body = json!({ "name": name, "role": role, "password": password });
                    rest.post("/api/users/", &body).await?
                }
                Users::Offline(store) => create(&store, &name, role, password).await?,
            };
            if remote.json {
                output::json(&made)?;
            } else {
                output::line(&format!("{name} may log in as {}", role.as_str()))?;
            }
        }
        UserCommand::List { remote } => {
            let users = reach(config, &remote).await?.list().await?;
            if remote.json {
                output::json(&Value::Array(users))?;
            } else {
                output::print(&output::table(&users, &COLUMNS))?;
            }
        }
        UserCommand::Delete { which, remote } => {
            let users = reach(config, &remote).await?;
            let number: Option<u64> = which.parse().ok();
            let meant = |user: &Value| user["name"] == *which || (number.is_some() && user["id"].as_u64() == number);
            let found = users.list().await?.into_iter().find(meant);
            let id = found.as_ref().and_then(|u| u["id"].as_u64()).and_then(|id| u32::try_from(id).ok());
            let id = id.with_context(|| format!("no user has the id or name \"{which}\""))?;
            match users {
                Users::Online(rest) => drop(rest.delete(&format!("/api/users/{id}/")).await?),
                Users::Offline(store) => store.delete_user(id, audit("user.delete", &which, Value::Null)).await?,
            }
            output::line(&format!("user {which} is deleted"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the users are.
enum Users {
    Online(Rest),
    Offline(Box<EmbeddedStore>),
}

impl Users {
    async fn list(&self) -> Result<Vec<Value>, RestError> {
        match self {
            Self::Online(rest) => rest.all("/api/users/").await,
            Self::Offline(store) => Ok(store.users().iter().map(shown).collect()),
        }
    }
}

/// The service if one runs; else the store, whose lock tells for sure that none does.
async fn reach(config: Option<&Path>, remote: &Remote) -> anyhow::Result<Users> {
    match rest::reach(config, remote).await? {
        Reached::Service(rest) => Ok(Users::Online(rest)),
        Reached::Nobody(error) => {
            let store = folder::open(config).with_context(|| format!("no service answers ({error:#})"))?;
            Ok(Users::Offline(Box::new(store)))
        }
    }
}

async fn create(store: &EmbeddedStore, name: &str, role: Role, password: String) -> anyhow::Result<Value> {
    let Some(name) = token_name(name) else { bail!("the name must be 1 to {MAX_TOKEN_NAME} characters") };
    if let Some(objection) = passwords::objection(&password) {
        bail!("the password {objection}");
    }
    let audit = audit("user.create", name, json!({ "role": role }));
    let new = NewUser { name: name.to_owned(), role, password: passwords::hash(&password) };
    Ok(shown(&store.create_user(new, audit).await?))
}

fn audit(action: &'static str, user: &str, detail: Value) -> NewAudit {
    NewAudit { actor: ACTOR.to_owned(), action, target: format!("user {user}"), detail }
}

fn shown(user: &User) -> Value {
    json!({ "id": user.id, "name": user.name, "role": user.role, "created": user.created })
}

/// The first line of stdin; asked for twice, unseen, when a person sits there.
fn password() -> anyhow::Result<String> {
    if !io::stdin().is_terminal() {
        return line();
    }
    let first = unseen("Password: ")?;
    if unseen("Password again: ")? != first {
        bail!("the two passwords differ");
    }
    Ok(first)
}

fn line() -> anyhow::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

fn unseen(prompt: &str) -> anyhow::Result<String> {
    eprint!("{prompt}");
    io::stderr().flush()?;
    let hidden = Hidden::begin();
    let typed = line();
    drop(hidden);
    eprintln!();
    typed
}

/// While it lives the terminal shows nothing that is typed.
struct Hidden(Option<libc::termios>);

impl Hidden {
    fn begin() -> Self {
        let terminal = io::stdin().as_raw_fd();
        // SAFETY: an all-zero termios is a valid value to be filled in; the calls touch nothing else.
        unsafe {
            let mut before: libc::termios = std::mem::zeroed();
            if libc::tcgetattr(terminal, &mut before) != 0 {
                return Self(None);
            }
            let mut silent = before;
            silent.c_lflag &= !libc::ECHO;
            libc::tcsetattr(terminal, libc::TCSAFLUSH, &silent);
            Self(Some(before))
        }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // SAFETY: as it was read from the same terminal.
            unsafe { libc::tcsetattr(io::stdin().as_raw_fd(), libc::TCSAFLUSH, before) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn users_are_made_without_a_service() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("config.toml");
        std::fs::write(&file, format!("[store]\npath = \"{}\"\n", dir.path().join("data").display()))
            .expect("writable");
        let store = folder::open(Some(&file)).expect("a new store");
        assert!(create(&store, "ann", Role::Admin, "short".to_owned()).await.is_err());
        let made = create(&store, " ann ", Role::Operator, "correct horse".to_owned()).await.expect("a user");
        assert_eq!((made["name"].as_str(), made["role"].as_str()), (Some("ann"), Some("operator")));
        assert!(passwords::is("correct horse", &store.users()[0].password));
    }
}
