//! Users and sessions in the database, kept as one snapshot in memory.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rusqlite::{Connection, params};

use super::EmbeddedStore;
use super::definitions::write_audit;
use super::tx::Tx;
use crate::domain::time::Timestamp;
use crate::store::StoreError;
use crate::store::accounts::{Accounts, Holder, NewUser, Role, SESSIONS_MAX, Session, User, UserChange};
use crate::store::admin::NewAudit;

/// Made at open, for files that were made without them.
pub const TABLES: &str = "
CREATE TABLE IF NOT EXISTS user(
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL, password TEXT NOT NULL,
  created INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS session(
  hash BLOB PRIMARY KEY, kind TEXT NOT NULL, holder INTEGER NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
";

const OF_USER: &str = "user";
const OF_TOKEN: &str = "token";
const OF_REMOTE: &str = "remote";

/// All of them at one moment.
#[derive(Debug, Default)]
pub struct People {
    users: Arc<Vec<User>>,
    sessions: HashMap<[u8; 32], Session>,
}

/// Reads users and sessions.
pub fn read(db: &Connection) -> rusqlite::Result<People> {
    let users = db
        .prepare_cached("SELECT id, name, role, password, created FROM user ORDER BY id")?
        .query_map([], |r| {
            let role: String = r.get(2)?;
            Ok(User {
                id: r.get(0)?,
                name: r.get(1)?,
                // What cannot be read may only look.
                role: role.parse().unwrap_or(Role::Viewer),
                password: r.get(3)?,
                created: Timestamp(r.get(4)?),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let sessions = db
        .prepare_cached("SELECT hash, kind, holder, expires FROM session")?
        .query_map([], |r| {
            let (hash, kind, holder): ([u8; 32], String, u32) = (r.get(0)?, r.get(1)?, r.get(2)?);
            let holder = match kind.as_str() {
                OF_USER => Holder::User(holder),
                OF_REMOTE => Holder::Remote(holder),
                _ => Holder::Token(holder),
            };
            Ok((hash, Session { hash, holder, expires: Timestamp(r.get(3)?) }))
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(People { users: Arc::new(users), sessions })
}

fn create(tx: &Tx<'_>, new: &NewUser) -> Result<u32, StoreError> {
    let known = tx.db.prepare_cached("SELECT 1 FROM user WHERE name = ?1").and_then(|mut s| s.exists([&new.name]));
    if known.map_err(|e| tx.error(e))? {
        return Err(StoreError::Conflict(format!("a user named \"{}\" exists already", new.name)));
    }
    tx.db
        .execute(
            "INSERT INTO user(name, role, password, created) VALUES(?1, ?2, ?3, ?4)",
            params![new.name, new.role.as_str(), new.password, tx.now.0],
        )
        .map_err(|e| tx.error(e))?;
    Ok(tx.db.last_insert_rowid() as u32)
}

fn change(tx: &Tx<'_>, id: u32, change: &UserChange) -> Result<(), StoreError> {
    let changed = tx
        .db
        .execute(
            "UPDATE user SET role = coalesce(?2, role), password = coalesce(?3, password) WHERE id = ?1",
            params![id, change.role.map(Role::as_str), change.password],
        )
        .map_err(|e| tx.error(e))?;
    if changed == 0 {
        return Err(StoreError::NotFound(format!("user {id}")));
    }
    if change.password.is_some() { end_sessions(tx, id) } else { Ok(()) }
}

fn end_sessions(tx: &Tx<'_>, user: u32) -> Result<(), StoreError> {
    tx.db
        .execute("DELETE FROM session WHERE kind <> ?1 AND holder = ?2", params![OF_TOKEN, user])
        .map(drop)
        .map_err(|e| tx.error(e))
}

fn delete(tx: &Tx<'_>, id: u32) -> Result<(), StoreError> {
    end_sessions(tx, id)?;
    match tx.db.execute("DELETE FROM user WHERE id = ?1", [id]).map_err(|e| tx.error(e))? {
        0 => Err(StoreError::NotFound(format!("user {id}"))),
        _ => Ok(()),
    }
}

fn open(tx: &Tx<'_>, session: &Session) -> rusqlite::Result<()> {
    tx.db.execute("DELETE FROM session WHERE expires <= ?1", [tx.now.0])?;
    tx.db.execute(
        "DELETE FROM session WHERE hash IN (SELECT hash FROM session ORDER BY expires DESC LIMIT -1 OFFSET ?1)",
        [SESSIONS_MAX as i64 - 1],
    )?;
    let (kind, holder) = match session.holder {
        Holder::User(id) => (OF_USER, id),
        Holder::Token(id) => (OF_TOKEN, id),
        Holder::Remote(id) => (OF_REMOTE, id),
    };
    tx.db
        .execute(
            "INSERT OR REPLACE INTO session(hash, kind, holder, expires) VALUES(?1, ?2, ?3, ?4)",
            params![session.hash, kind, holder, session.expires.0],
        )
        .map(drop)
}

impl EmbeddedStore {
    /// A change of people: written, then in force.
    fn repeople<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let shared = self.shared.clone();
        let changed = move |tx: &mut Tx<'_>| {
            let value = change(tx)?;
            Ok((read(tx.db).map_err(|e| tx.error(e))?, value))
        };
        let applied = move |(people, value)| {
            shared.set_people(people);
            value
        };
        self.shared.write(changed, applied).boxed()
    }
}

impl Accounts for EmbeddedStore {
    fn users(&self) -> Arc<Vec<User>> {
        self.shared.people().users.clone()
    }

    fn create_user(&self, new: NewUser, audit: NewAudit) -> BoxFuture<'static, Result<User, StoreError>> {
        self.repeople(move |tx| {
            let id = create(tx, &new)?;
            write_audit(tx, &audit)?;
            Ok(User { id, name: new.name, role: new.role, password: new.password, created: tx.now })
        })
    }

    fn change_user(
        &self,
        id: u32,
        wanted: UserChange,
        audit: NewAudit,
    ) -> BoxFuture<'static, Result<User, StoreError>> {
        self.repeople(move |tx| {
            change(tx, id, &wanted)?;
            write_audit(tx, &audit)?;
            let people = read(tx.db).map_err(|e| tx.error(e))?;
            let found = people.users.iter().find(|user| user.id == id).cloned();
            found.ok_or_else(|| StoreError::NotFound(format!("user {id}")))
        })
    }

    fn delete_user(&self, id: u32, audit: NewAudit) -> BoxFuture<'static, Result<(), StoreError>> {
        self.repeople(move |tx| {
            delete(tx, id)?;
            write_audit(tx, &audit)
        })
    }

    fn session(&self, hash: &[u8; 32]) -> Option<Session> {
        self.shared.people().sessions.get(hash).copied()
    }

    fn open_session(&self, session: Session, audit: NewAudit) -> BoxFuture<'static, Result<(), StoreError>> {
        self.repeople(move |tx| {
            open(tx, &session).map_err(|e| tx.error(e))?;
            write_audit(tx, &audit)
        })
    }

    fn close_session(&self, hash: [u8; 32]) -> BoxFuture<'static, Result<(), StoreError>> {
        self.repeople(move |tx| {
            tx.db.execute("DELETE FROM session WHERE hash = ?1", params![hash]).map(drop).map_err(|e| tx.error(e))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreConfig;
    use std::path::Path;

    fn store(folder: &Path) -> EmbeddedStore {
        EmbeddedStore::open(StoreConfig {
            path: folder.to_owned(),
            relaxed: false,
            max_backlog: 10,
            idempotency_window: std::time::Duration::from_secs(1),
            max_template_origins: 1,
        })
        .expect("a store")
    }

    fn audit() -> NewAudit {
        NewAudit { actor: "test".into(), action: "user.create", target: "user".into(), detail: serde_json::Value::Null }
    }

    fn ann() -> NewUser {
        NewUser { name: "ann".into(), role: Role::Operator, password: "phc".into() }
    }

    #[actix_rt::test]
    async fn users_and_sessions_outlive_a_restart() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let first = store(folder.path());
        let user = first.create_user(ann(), audit()).await.expect("a user");
        assert!(matches!(first.create_user(ann(), audit()).await, Err(StoreError::Conflict(_))));
        let session = Session { hash: [7; 32], holder: Holder::User(user.id), expires: Timestamp(i64::MAX) };
        first.open_session(session, audit()).await.expect("a session");
        let others = [Holder::Token(user.id), Holder::Remote(user.id)];
        for (n, holder) in (8..).zip(others) {
            first.open_session(Session { hash: [n; 32], holder, ..session }, audit()).await.expect("a session");
        }
        drop(first);
        let second = store(folder.path());
        assert_eq!(second.users().as_slice(), [user]);
        assert_eq!(second.session(&[7; 32]), Some(session));
        assert_eq!([8, 9].map(|n| second.session(&[n; 32]).map(|session| session.holder)), others.map(Some));
        second.close_session([7; 32]).await.expect("it closes");
        assert_eq!(second.session(&[7; 32]), None);
    }

    #[actix_rt::test]
    async fn a_new_password_and_a_deletion_end_the_sessions() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = store(folder.path());
        let id = store.create_user(ann(), audit()).await.expect("a user").id;
        let session = |n| Session { hash: [n; 32], holder: Holder::User(id), expires: Timestamp(i64::MAX) };
        store.open_session(session(1), audit()).await.expect("a session");
        let role = UserChange { role: Some(Role::Admin), password: None };
        assert_eq!(store.change_user(id, role, audit()).await.expect("it changes").role, Role::Admin);
        assert!(store.session(&[1; 32]).is_some());
        let password = UserChange { role: None, password: Some("other".into()) };
        store.change_user(id, password, audit()).await.expect("it changes");
        assert!(store.session(&[1; 32]).is_none());
        store.open_session(session(2), audit()).await.expect("a session");
        let remote = Session { holder: Holder::Remote(id), ..session(3) };
        store.open_session(remote, audit()).await.expect("a session");
        store.delete_user(id, audit()).await.expect("it exists");
        assert!(store.session(&[2; 32]).is_none() && store.session(&[3; 32]).is_none() && store.users().is_empty());
        assert!(matches!(store.delete_user(id, audit()).await, Err(StoreError::NotFound(_))));
    }
}
