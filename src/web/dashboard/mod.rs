//! The pages for people: server-rendered, usable without a script, beside NetBox on its own host.
//!
//! | file | what |
//! | --- | --- |
//! | `urls` | every page |
//! | `session`, `login`, `backoff`, `setup`, `form` | who is looking, and forms that only a page of ours can send |
//! | `frame`, `failure`, `assets`, `show` | what all pages share: the frame, errors, style and script, times and numbers |
//! | the others | one page or list each |

mod access;
mod assets;
mod audit;
mod backoff;
mod bulk;
mod charts;
mod confirm;
mod deliveries;
mod delivery;
mod diff;
mod endpoint;
mod endpoints;
mod events;
mod failed;
mod failure;
mod filters;
mod form;
mod frame;
mod live;
mod login;
mod many;
mod orders;
mod overview;
mod remote;
mod rows;
mod service;
mod session;
pub mod setup;
mod show;
pub mod urls;
mod webhook_form;
mod webhooks;

pub use backoff::Backoff;
pub use failure::{explain, not_found};

/// Where the pages are, below `server.base_path`.
pub const PATH: &str = "/admin/webhook-backend-status";
/// Where webhooks are, as in NetBox.
pub const HOOKS: &str = "/admin/extras/webhook";
