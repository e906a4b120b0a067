use std::fmt;

use super::JsonObject;
use super::class;
use super::error::JobError;
use super::json;
use super::pickle::{Pickle, Value};

/// What of the HTTP request to NetBox is known outside NetBox. Cookies, headers and the form stay behind.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    pub id: Option<String>,
    pub method: String,
    pub path: String,
    /// The name of the user.
    pub user: String,
    json: String,
}

/// Whose `request` a body holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `send_webhook` of 4.6, which earlier versions do not have.
    V4_6,
    /// `get_safe_request_context` of 4.7.
    V4_7,
}

impl Request {
    /// The member `request` of the body, in the form of the version that made the job.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// `username`: stands in for a user of a class that is not known.
    pub(super) fn read<'a>(
        pickle: &Pickle<'a>,
        request: Value<'a>,
        username: Option<&str>,
        form: Form,
    ) -> Result<Self, JobError> {
        let text = |name: &'static str, field: &'static str| {
            let value = pickle.attribute(request, name).ok_or(JobError::Missing(field))?;
            value.as_str().map(str::to_owned).ok_or(JobError::Wrong { field, expected: "a text" })
        };
        let id = match pickle.attribute(request, "id") {
            None => None,
            Some(value) => uuid_text(pickle, value, "request.id")?,
        };
        let user = pickle.attribute(request, "user").and_then(|user| user_name(pickle, user)).or(username);
        let user = user.ok_or(JobError::Wrong { field: "request.user", expected: "a user of NetBox" })?.to_owned();
        let (method, path) = (text("method", "request.method")?, text("path", "request.path")?);
        let mut request_json = JsonObject(String::new());
        match form {
            Form::V4_6 => {
                request_json.optional("id", id.as_deref());
                request_json.text("method", &method);
                request_json.text("path", &path);
            }
            Form::V4_7 => {
                // Python's text of no id.
                request_json.text("id", id.as_deref().unwrap_or("None"));
                request_json.text("path", &path);
                request_json.text("path_info", &text("path_info", "request.path_info")?);
                request_json.text("method", &method);
                request_json.raw("GET", &query(pickle, request)?);
            }
        }
        request_json.text("user", &user);
        let json = request_json.0 + "}";
        Ok(Self { id, method, path, user, json })
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

/// A request's id: a UUID as such or as text, or none.
pub(super) fn uuid_text<'a>(
    pickle: &Pickle<'a>,
    value: Value<'a>,
    field: &'static str,
) -> Result<Option<String>, JobError> {
    if value.is_none() {
        return Ok(None);
    }
    let of_object = || {
        let object = pickle.object(value)?;
        let class = pickle.class(object)?;
        if (class.module, class.name) == ("uuid", "UUID") { class::uuid(pickle, object) } else { None }
    };
    let text = value.as_str().map(str::to_owned).or_else(of_object);
    text.map(Some).ok_or(JobError::Wrong { field, expected: "a UUID" })
}

/// `str(user)`. A session's user comes wrapped, a token's does not.
fn user_name<'a>(pickle: &Pickle<'a>, user: Value<'a>) -> Option<&'a str> {
    let class_of = |value| pickle.class(pickle.object(value)?);
    let wrapped = class_of(user).is_some_and(|class| class.name == "unpickle_lazyobject");
    let user = if wrapped { *pickle.tuple(pickle.object(user)?.args)?.first()? } else { user };
    if class_of(user).is_some_and(|class| class.name == "AnonymousUser") {
        return Some("AnonymousUser");
    }
    pickle.attribute(user, "username")?.as_str()
}

/// The query as JSON gives it: of several values of a name the last.
///
/// # Source
/// Django's `MultiValueDict`, whose items, which Python's encoder asks for, are the last ones; `__getstate__`.
fn query<'a>(pickle: &Pickle<'a>, request: Value<'a>) -> Result<String, JobError> {
    const FIELD: &str = "request.GET";
    /// Far beyond any server's limit of a request's first line.
    const MAX_QUERY: usize = 1 << 20;
    let wrong = JobError::Wrong { field: FIELD, expected: "a query" };
    let query = pickle.attribute(request, "GET").ok_or(JobError::Missing(FIELD))?;
    let lists = pickle.attribute(query, "_data").and_then(|lists| pickle.dict(lists)).ok_or(wrong.clone())?;
    let mut object = JsonObject(String::new());
    for (name, values) in lists {
        let name = name.as_str().ok_or(wrong.clone())?;
        match pickle.list(*values).ok_or(wrong.clone())?.last() {
            Some(last) => object.raw(name, &json::text(pickle, FIELD, *last, MAX_QUERY)?),
            None => object.raw(name, "[]"),
        }
        if object.0.len() > MAX_QUERY {
            return Err(JobError::TooLarge { limit: MAX_QUERY });
        }
    }
    Ok(if object.0.is_empty() { "{}".to_owned() } else { object.0 + "}" })
}
