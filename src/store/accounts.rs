//! People at the dashboard: users, and who is logged in. Rare, small, and durable when they resolve.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::admin::{NewAudit, Scope};
use crate::domain::time::Timestamp;

/// What a user may do. Each role is a set of scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Retries, cancels, pauses, resumes and tests as well.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    pub const ALL: [Role; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    pub const fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Viewer => &[Scope::Read],
            Self::Operator => &[Scope::Read, Scope::Operate],
            Self::Admin => &[Scope::Admin],
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("\"{text}\" is not a role; one of viewer, operator, admin"))
    }
}

/// A person with a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: u32,
    /// Unique.
    pub name: String,
    pub role: Role,
    /// Argon2id, in PHC's string form.
    pub password: String,
    pub created: Timestamp,
}

/// A user to be made.
#[derive(Debug)]
pub struct NewUser {
    pub name: String,
    pub role: Role,
    /// As in [`User`].
    pub password: String,
}

/// What of a user is changed; a new password ends the sessions made with the old one.
#[derive(Debug, Default)]
pub struct UserChange {
    pub role: Option<Role>,
    pub password: Option<String>,
}

/// Whose session it is. What they may do is looked up at every request: a revoked token or a deleted user ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    User(u32),
    Token(u32),
    /// A user, for as long as a trusted proxy names them.
    Remote(u32),
}

/// A browser that is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// SHA-256 of what the cookie holds.
    pub hash: [u8; 32],
    pub holder: Holder,
    pub expires: Timestamp,
}

/// Sessions kept at once; beyond, the one that ends first makes room.
pub const SESSIONS_MAX: usize = 10_000;

type Answer<T> = BoxFuture<'static, Result<T, StoreError>>;

pub trait Accounts: Send + Sync {
    /// By id, without touching the disk.
    fn users(&self) -> Arc<Vec<User>>;

    /// # Errors
    /// `Conflict` for a repeated name.
    fn create_user(&self, new: NewUser, audit: NewAudit) -> Answer<User>;
    fn change_user(&self, id: u32, change: UserChange, audit: NewAudit) -> Answer<User>;
    /// Ends the user's sessions as well.
    fn delete_user(&self, id: u32, audit: NewAudit) -> Answer<()>;

    /// A session that was opened and not closed, also one that is over its time. Without touching the disk.
    fn session(&self, hash: &[u8; 32]) -> Option<Session>;
    fn open_session(&self, session: Session, audit: NewAudit) -> Answer<()>;
    fn close_session(&self, hash: [u8; 32]) -> Answer<()>;
}
