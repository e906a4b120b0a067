//! From the call a pickle describes to the job.

use super::class::{self, Meaning};
use super::error::{JobError, Name};
use super::json;
use super::pickle::{Node, Pair, Pickle, Value, find};
use super::request::{Form, Request, uuid_text};
use super::{Definition, Function, Limits, ObjectType, Rule, WebhookJob, event_type};
use crate::domain::event::EventType;

pub(super) fn read(pickle: &Pickle<'_>, limits: &Limits) -> Result<WebhookJob, JobError> {
    let call = Call::of(pickle)?;
    let data = call.required("data")?;
    let (event, netbox_event) = call.event()?;
    let object_type = call.object_type(data)?;
    let username = call.optional_text("username")?;
    let request = call.request(username)?;
    let request_id = match &request {
        Some(request) => request.id.clone(),
        None => call.argument("request_id").map_or(Ok(None), |id| uuid_text(pickle, id, "request_id"))?,
    };
    let snapshots = call.argument("snapshots").filter(|value| is_true(pickle, *value));
    let snapshots = snapshots.map(|value| json::text(pickle, "snapshots", value, limits.json)).transpose()?;
    Ok(WebhookJob {
        function: call.function,
        definition: call.definition(limits)?,
        object_type,
        event,
        netbox_event,
        timestamp: call.required_text("timestamp")?.to_owned(),
        username: username.map(str::to_owned).or_else(|| call.user_of(request.as_ref())),
        request_id,
        request,
        data: json::text(pickle, "data", data, limits.json)?,
        snapshots,
    })
}

/// The call of a webhook function with its arguments.
struct Call<'p, 'a> {
    pickle: &'p Pickle<'a>,
    function: Function,
    arguments: Value<'a>,
}

impl<'p, 'a> Call<'p, 'a> {
    /// RQ's `(function, instance, args, kwargs)`.
    fn of(pickle: &'p Pickle<'a>) -> Result<Self, JobError> {
        const WRONG: JobError = JobError::Wrong { field: "job", expected: "a call of a function" };
        let Some([function, _, positional, arguments]) = pickle.tuple(pickle.root()) else { return Err(WRONG) };
        let function = match function.as_str().ok_or(WRONG)? {
            "extras.webhooks_worker.process_webhook" => Function::ProcessWebhook,
            "extras.webhooks.send_webhook" => Function::SendWebhook,
            other => return Err(JobError::WrongFunction(Name::new(other))),
        };
        // NetBox has named all of them since 2.11; the order of the later ones has changed more than once.
        if !pickle.tuple(*positional).or_else(|| pickle.list(*positional)).is_some_and(<[_]>::is_empty) {
            return Err(JobError::Wrong { field: "args", expected: "empty: NetBox names all arguments" });
        }
        pickle.dict(*arguments).ok_or(WRONG)?;
        Ok(Self { pickle, function, arguments: *arguments })
    }

    fn argument(&self, name: &str) -> Option<Value<'a>> {
        self.pickle.get(self.arguments, name)
    }

    fn required(&self, name: &'static str) -> Result<Value<'a>, JobError> {
        self.argument(name).ok_or(JobError::Missing(name))
    }

    fn required_text(&self, name: &'static str) -> Result<&'a str, JobError> {
        self.required(name)?.as_str().ok_or(JobError::Wrong { field: name, expected: "a text" })
    }

    fn optional_text(&self, name: &'static str) -> Result<Option<&'a str>, JobError> {
        match self.argument(name).filter(|value| !value.is_none()) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(JobError::Wrong { field: name, expected: "a text" }),
        }
    }

    /// `event` to 4.0, `event_type` from 4.1.
    fn event(&self) -> Result<(EventType, String), JobError> {
        let field = if self.argument("event_type").is_some() { "event_type" } else { "event" };
        let name = self.required_text(field)?;
        let event = event_type(name).ok_or_else(|| JobError::UnknownEvent(Name::new(name)))?;
        Ok((event, name.to_owned()))
    }

    /// `object_type` from 4.4; `model_name` before.
    fn object_type(&self, data: Value<'a>) -> Result<ObjectType, JobError> {
        let Some(object_type) = self.argument("object_type") else {
            let model = self.required_text("model_name")?;
            return Ok(ObjectType { app_label: app_of(self.pickle, data, model), model: model.to_owned() });
        };
        let name = |name: &str, field: &'static str| {
            let value = self.pickle.attribute(object_type, name).ok_or(JobError::Missing(field))?;
            value.as_str().map(str::to_owned).ok_or(JobError::Wrong { field, expected: "a text" })
        };
        let app_label = Some(name("app_label", "object_type.app_label")?);
        Ok(ObjectType { app_label, model: name("model", "object_type.model")? })
    }

    fn request(&self, username: Option<&str>) -> Result<Option<Request>, JobError> {
        let form = if self.argument("username").is_some() { Form::V4_6 } else { Form::V4_7 };
        let request = self.argument("request").filter(|request| !request.is_none());
        request.map(|request| Request::read(self.pickle, request, username, form)).transpose()
    }

    /// The name for jobs that have no `username`, which are those of 4.7.
    fn user_of(&self, request: Option<&Request>) -> Option<String> {
        if self.argument("username").is_some() { None } else { request.map(|request| request.user.clone()) }
    }

    fn definition(&self, limits: &Limits) -> Result<Definition, JobError> {
        if self.function == Function::ProcessWebhook {
            let webhook = self.required("webhook")?;
            let conditions = self.pickle.attribute(webhook, "conditions").filter(|c| is_true(self.pickle, *c));
            let conditions = conditions.map(|c| json::text(self.pickle, "webhook.conditions", c, limits.json));
            let webhook_id = self.id(webhook, "id", "webhook.id")?;
            return Ok(Definition { webhook_id, rule: None, conditions: conditions.transpose()? });
        }
        let rule = self.required("event_rule")?;
        let name = self.pickle.attribute(rule, "name").ok_or(JobError::Missing("event_rule.name"))?;
        let name = name.as_str().ok_or(JobError::Wrong { field: "event_rule.name", expected: "a text" })?;
        Ok(Definition {
            webhook_id: self.id(rule, "action_object_id", "event_rule.action_object_id")?,
            rule: Some(Rule { id: self.id(rule, "id", "event_rule.id")?, name: name.to_owned() }),
            conditions: None,
        })
    }

    fn id(&self, object: Value<'a>, name: &str, field: &'static str) -> Result<i64, JobError> {
        let value = self.pickle.attribute(object, name).ok_or(JobError::Missing(field))?;
        value.as_int().filter(|id| *id > 0).ok_or(JobError::Wrong { field, expected: "an id" })
    }
}

/// The app of the model a job only gives the short name of: told by the object that `data.url` leads to.
fn app_of<'a>(pickle: &Pickle<'a>, data: Value<'a>, model: &str) -> Option<String> {
    let link = pickle.object(find(pairs_of(pickle, data)?, "url")?)?;
    let is_link = pickle.class(link).is_some_and(|class| class.name == "Hyperlink");
    let target = pickle.object(pickle.get(link.state, "obj")?)?;
    let (app, class) = class::model(pickle, target)?;
    (is_link && class.eq_ignore_ascii_case(model)).then(|| app.to_owned())
}

/// The entries of a dictionary, or of one that pickled itself as a call.
fn pairs_of<'p, 'a>(pickle: &'p Pickle<'a>, value: Value<'a>) -> Option<&'p [Pair<'a>]> {
    if let Some(pairs) = pickle.dict(value) {
        return Some(pairs);
    }
    match class::meaning(pickle, pickle.object(value)?) {
        Meaning::Same(inner) => pickle.dict(inner),
        Meaning::Pairs(pairs) => Some(pairs),
        _ => None,
    }
}

/// Whether Python takes it for true.
fn is_true<'a>(pickle: &Pickle<'a>, value: Value<'a>) -> bool {
    match value {
        Value::None | Value::Bool(false) | Value::Int(0) => false,
        Value::Str(text) => !text.is_empty(),
        Value::Node(_) => match pickle.node(value) {
            Some(Node::Dict(pairs)) => !pairs.is_empty(),
            Some(Node::List(items) | Node::Tuple(items) | Node::Set(items)) => !items.is_empty(),
            _ => true,
        },
        _ => true,
    }
}
