//! Conditions and templates mean here what they mean in NetBox: compared with Python, and with what a real NetBox sent.

mod conditions;
mod fixtures;
mod generator;
mod limits;
#[path = "../support/python.rs"]
mod python;
mod templates;
