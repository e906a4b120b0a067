//! The REST API, one file per resource.

pub mod audit;
pub mod bulk_actions;
pub mod deliveries;
pub mod delivery_actions;
pub mod delivery_view;
pub mod docs;
pub mod endpoint_figures;
pub mod endpoint_list;
pub mod endpoints;
pub mod events;
pub mod health;
pub mod index;
pub mod metrics;
pub mod schema;
pub mod sent_request;
pub mod status;
pub mod stream;
pub mod tokens;
pub mod users;
pub mod waiting;
pub mod webhook_tools;
pub mod webhooks;
