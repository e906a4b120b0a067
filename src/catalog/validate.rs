//! From what an administrator wrote to a valid definition, or every problem with it at once.

use std::io::Read;

use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::Value;

use super::fields::Fields;
pub use super::fields::{FieldErrors, NON_FIELD};
use crate::domain::condition::Conditions;
use crate::domain::credentials::{MASK, is_masked, unmasked_headers};
use crate::domain::event::EventType;
use crate::domain::ids::{MAX_FANOUT, WebhookId};
use crate::domain::models::Models;
use crate::domain::payload_url::{self, Target, is_template, mask_userinfo};
use crate::domain::webhook::{HttpMethod, PayloadFormat, Signing, WebhookSpec, header_lines, is_header_value};
use crate::render::template::Template;
use crate::signing::is_standard_secret;
use crate::store::admin::DefinitionSet;

/// Longest `name`, as in NetBox.
const MAX_NAME: usize = 150;
const MAX_DESCRIPTION: usize = 200;
const MAX_CONTENT_TYPE: usize = 100;
const MAX_SECRET: usize = 255;
const MAX_CA_PATH: usize = 4_096;
const MAX_HEADERS: usize = 16_384;
const MAX_TEMPLATE: usize = 1_048_576;
/// Seconds, as in NetBox 4.7.
const MAX_TIMEOUT: u32 = 3_600;
/// Largest CA file that is read, in bytes: the whole of Mozilla's list is a quarter of it.
const MAX_CA_FILE: u64 = 1_048_576;
/// What an answer of the API holds beside the definition.
const READ_ONLY: [&str; 11] = [
    "id",
    "url",
    "display",
    "endpoint_id",
    "source",
    "orphaned",
    "moving",
    "revision",
    "created",
    "last_updated",
    "last_24h",
];

/// A definition, and where it sends.
pub type Valid = (WebhookSpec, Target);

/// A new definition: `POST`, or a `[[webhook]]` of the configuration file.
///
/// # Errors
/// Every problem, by field.
pub fn create(input: &Value, models: &Models) -> Result<Valid, FieldErrors> {
    read(input, models, None, true)
}

/// `PUT`: what is required must be there. As in NetBox, an optional field that is left out keeps its value.
///
/// # Errors
/// Every problem, by field.
pub fn replace(input: &Value, old: &WebhookSpec, models: &Models) -> Result<Valid, FieldErrors> {
    read(input, models, Some(old), true)
}

/// `PATCH`: changes the fields that are given.
///
/// # Errors
/// Every problem, by field.
pub fn patch(input: &Value, old: &WebhookSpec, models: &Models) -> Result<Valid, FieldErrors> {
    read(input, models, Some(old), false)
}

/// What a definition may not do beside the others; `id` is its own, if it has one.
///
/// # Errors
/// Its name is taken, or more webhooks than an event may have deliveries would match one event.
pub fn beside(set: &DefinitionSet, id: Option<WebhookId>, spec: &WebhookSpec) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    let others = || set.webhooks.iter().filter(|w| Some(w.id) != id);
    if others().any(|w| w.spec.name == spec.name) {
        errors.add("name", "webhook with this name already exists.");
    }
    if spec.enabled && set.webhooks.len() >= MAX_FANOUT {
        for label in &spec.models {
            let crowded = EventType::ALL.into_iter().filter(|t| spec.wants(*t)).find(|t| {
                let matches = |s: &WebhookSpec| s.enabled && s.wants(*t) && s.models.contains(label);
                others().filter(|w| matches(&w.spec)).count() >= MAX_FANOUT
            });
            if let Some(event_type) = crowded {
                let event = event_type.as_str();
                errors.add("models", format!("{MAX_FANOUT} webhooks match {label} {event} already; no more can."));
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn read(input: &Value, models: &Models, old: Option<&WebhookSpec>, whole: bool) -> Result<Valid, FieldErrors> {
    let mut fields = Fields::of(input)?;
    let mut spec = old.cloned().unwrap_or_else(blank);
    if whole {
        for field in ["name", "models", "payload_url"] {
            fields.required(field);
        }
    }
    fields.string("name", &mut spec.name, MAX_NAME);
    fields.string("description", &mut spec.description, MAX_DESCRIPTION);
    fields.boolean("enabled", &mut spec.enabled);
    read_models(&mut fields, &mut spec, models);
    fields.boolean("type_create", &mut spec.type_create);
    fields.boolean("type_update", &mut spec.type_update);
    fields.boolean("type_delete", &mut spec.type_delete);
    fields.boolean("type_job_start", &mut spec.type_job_start);
    fields.boolean("type_job_end", &mut spec.type_job_end);
    fields.string("payload_url", &mut spec.payload_url, payload_url::MAX_LENGTH);
    fields.choice("http_method", &mut spec.http_method);
    fields.string("http_content_type", &mut spec.http_content_type, MAX_CONTENT_TYPE);
    fields.string("additional_headers", &mut spec.additional_headers, MAX_HEADERS);
    fields.string("body_template", &mut spec.body_template, MAX_TEMPLATE);
    fields.choice("payload_format", &mut spec.payload_format);
    fields.string("secret", &mut spec.secret, MAX_SECRET);
    fields.choice("signing", &mut spec.signing);
    fields.boolean("ssl_verification", &mut spec.ssl_verification);
    fields.string("ca_file_path", &mut spec.ca_file_path, MAX_CA_PATH);
    fields.optional_number("timeout", &mut spec.timeout, 1, MAX_TIMEOUT);
    read_conditions(&mut fields, &mut spec);
    read_follow_redirects(&mut fields);
    fields.ignore(&READ_ONLY);
    let mut errors = fields.finish();
    keep_masked(&mut spec, old, &mut errors);
    let url = check(&mut spec, old, &mut errors);
    match url {
        Some(url) if errors.is_empty() => Ok((spec, url)),
        _ => Err(errors),
    }
}

/// What a new definition starts from.
fn blank() -> WebhookSpec {
    WebhookSpec {
        name: String::new(),
        description: String::new(),
        enabled: true,
        models: Vec::new(),
        type_create: false,
        type_update: false,
        type_delete: false,
        type_job_start: false,
        type_job_end: false,
        conditions: None,
        payload_url: String::new(),
        http_method: HttpMethod::default(),
        http_content_type: "application/json".to_owned(),
        additional_headers: String::new(),
        body_template: String::new(),
        payload_format: PayloadFormat::default(),
        secret: String::new(),
        signing: Signing::default(),
        ssl_verification: true,
        ca_file_path: String::new(),
        timeout: None,
    }
}

fn read_models(fields: &mut Fields<'_>, spec: &mut WebhookSpec, models: &Models) {
    let Some(names) = fields.list("models") else { return };
    let mut labels: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        let Some(name) = name.as_str() else {
            fields.errors.add("models", format!("{name} is not a model; give names like \"dcim.site\"."));
            continue;
        };
        match models.resolve(name) {
            Ok(model) if labels.iter().any(|l| **l == *model.label) => {}
            Ok(model) => labels.push(model.label.to_string()),
            // A plugin's model that has since left the configuration does not bar other changes.
            Err(_) if spec.models.iter().any(|m| m == name) => labels.push(name.to_owned()),
            Err(e) => fields.errors.add("models", format!("{e}.")),
        }
    }
    spec.models = labels;
}

/// NetBox's condition language; what means "none" is none.
fn read_conditions(fields: &mut Fields<'_>, spec: &mut WebhookSpec) {
    let Some(conditions) = fields.value("conditions") else { return };
    spec.conditions = match conditions {
        Value::Null => None,
        Value::Object(members) if members.is_empty() => None,
        Value::String(text) if text.is_empty() => None,
        given => Some(given.clone()),
    };
    if let Some(error) = spec.conditions.as_ref().and_then(|conditions| Conditions::parse(conditions).err()) {
        fields.errors.add("conditions", format!("{error}."));
    }
}

/// Redirects are never followed: the field is there so that a definition that asks for it is refused, not misunderstood.
fn read_follow_redirects(fields: &mut Fields<'_>) {
    let mut follow = false;
    fields.boolean("follow_redirects", &mut follow);
    if follow {
        let problem = "Redirects are not followed; give the final address as payload_url.";
        fields.errors.add("follow_redirects", problem);
    }
}

/// Secrets are shown masked; sent back so, they mean what is stored.
fn keep_masked(spec: &mut WebhookSpec, old: Option<&WebhookSpec>, errors: &mut FieldErrors) {
    if spec.secret == MASK {
        match old.filter(|old| !old.secret.is_empty()) {
            Some(old) => spec.secret.clone_from(&old.secret),
            None => errors.add("secret", format!("\"{MASK}\" stands for a secret that is already set; there is none.")),
        }
    }
    if let Some(old) = old.filter(|old| mask_userinfo(&old.payload_url) == spec.payload_url) {
        spec.payload_url.clone_from(&old.payload_url);
    }
    if let Some(old) = old {
        spec.additional_headers = unmasked_headers(&spec.additional_headers, &old.additional_headers);
    }
    for name in is_masked(&spec.additional_headers) {
        let problem = format!("\"{MASK}\" stands for a value of \"{name}\" that is already set; there is none.");
        errors.add("additional_headers", problem);
    }
    if spec.payload_url.contains(&format!("://{MASK}@")) {
        errors.add("payload_url", format!("\"{MASK}\" stands for a password that is already set; give it again."));
    }
}

/// The rules over values of the right type. Only what has no error yet is looked at.
fn check(spec: &mut WebhookSpec, old: Option<&WebhookSpec>, errors: &mut FieldErrors) -> Option<Target> {
    spec.name = spec.name.trim().to_owned();
    if spec.name.is_empty() && !errors.has("name") {
        errors.add("name", "This field may not be blank.");
    }
    if !EventType::ALL.into_iter().any(|t| spec.wants(t)) {
        let types = "type_create, type_update, type_delete, type_job_start, type_job_end";
        errors.add(NON_FIELD, format!("At least one event type must be selected: {types}."));
    }
    check_headers(spec, errors);
    check_template("body_template", &spec.body_template, errors);
    check_signing(spec, errors);
    check_tls(spec, old, errors);
    check_url(spec, errors)
}

fn check_headers(spec: &mut WebhookSpec, errors: &mut FieldErrors) {
    spec.http_content_type = spec.http_content_type.trim().to_owned();
    if spec.http_content_type.is_empty() {
        errors.add("http_content_type", "This field may not be blank.");
    } else if !is_header_value(&spec.http_content_type) {
        errors.add("http_content_type", "Enter a content type of printable ASCII characters, like application/json.");
    }
    if errors.has("additional_headers") {
        return;
    }
    if is_template(&spec.additional_headers) {
        // Its lines are what it renders to.
        return check_template("additional_headers", &spec.additional_headers, errors);
    }
    for (line, reason) in header_lines(&spec.additional_headers).filter_map(Result::err) {
        errors.add("additional_headers", format!("Line {line}: {reason}."));
    }
}

/// What Jinja could not read would fail at every delivery.
fn check_template(field: &'static str, text: &str, errors: &mut FieldErrors) {
    if is_template(text)
        && !errors.has(field)
        && let Err(error) = Template::parse(text)
    {
        errors.add(field, format!("Not a valid template: {error}."));
    }
}

fn check_signing(spec: &WebhookSpec, errors: &mut FieldErrors) {
    if spec.signing != Signing::Standard || errors.has("secret") {
        return;
    }
    if spec.secret.is_empty() {
        errors.add("secret", "signing \"standard\" needs a secret.");
    } else if !is_standard_secret(&spec.secret) {
        errors.add("secret", "What follows \"whsec_\" must be base64.");
    }
}

fn check_tls(spec: &WebhookSpec, old: Option<&WebhookSpec>, errors: &mut FieldErrors) {
    if spec.ca_file_path.is_empty() || errors.has("ca_file_path") {
        return;
    }
    if !spec.ssl_verification {
        errors.add("ca_file_path", "Do not specify a CA certificate file if SSL verification is disabled.");
    }
    // An unchanged path is not looked at again: a file that went missing must not bar switching the webhook off.
    let changed = old.is_none_or(|old| old.ca_file_path != spec.ca_file_path);
    if let Some(problem) = changed.then(|| check_ca_file(&spec.ca_file_path)).and_then(Result::err) {
        errors.add("ca_file_path", problem);
    }
}

/// Whether the service can read certificates there, now.
fn check_ca_file(path: &str) -> Result<(), String> {
    let cannot = |e: std::io::Error| format!("Cannot read \"{path}\": {e}.");
    let mut pem = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    if !file.metadata().map_err(cannot)?.is_file() {
        return Err(format!("\"{path}\" is not a file."));
    }
    file.take(MAX_CA_FILE + 1).read_to_end(&mut pem).map_err(cannot)?;
    if pem.len() as u64 > MAX_CA_FILE {
        return Err(format!("\"{path}\" is larger than {MAX_CA_FILE} bytes."));
    }
    let mut certificates = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        certificate.map_err(|e| format!("\"{path}\" is not a valid PEM file: {e}."))?;
        certificates += 1;
    }
    if certificates == 0 { Err(format!("\"{path}\" holds no PEM certificate.")) } else { Ok(()) }
}

fn check_url(spec: &mut WebhookSpec, errors: &mut FieldErrors) -> Option<Target> {
    if errors.has("payload_url") {
        return None;
    }
    spec.payload_url = spec.payload_url.trim().to_owned();
    if spec.payload_url.is_empty() {
        errors.add("payload_url", "This field may not be blank.");
        return None;
    }
    check_template("payload_url", &spec.payload_url, errors);
    match Target::parse(&spec.payload_url) {
        Ok(target) => Some(target),
        Err(e) => {
            errors.add("payload_url", format!("Enter a valid URL: {e}."));
            None
        }
    }
}
