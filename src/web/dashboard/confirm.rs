//! The question before something is sent again or destroyed.

use actix_web::HttpResponse;
use askama::Template;

use super::failure::Failure;
use super::frame::{self, Frame};

/// A question with one way to say yes.
#[derive(Template)]
#[template(path = "confirm.html")]
pub struct Confirm {
    pub frame: Frame,
    /// What will happen, with number and target.
    pub text: Vec<String>,
    /// A risk, said before anything else.
    pub warning: Option<String>,
    /// Where the form goes.
    pub action: String,
    pub fields: Vec<(String, String)>,
    /// A choice that may be made: name and text of a checkbox.
    pub option: Option<(&'static str, &'static str)>,
    pub button: &'static str,
    pub danger: bool,
    /// Where "no" leads.
    pub back: String,
}

impl Confirm {
    pub fn page(&self) -> Result<HttpResponse, Failure> {
        frame::page(self)
    }
}
