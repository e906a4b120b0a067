//! What people order of many deliveries: of those that are selected, or of all that a filter matches.

use actix_web::{HttpRequest, HttpResponse};

use super::confirm::Confirm;
use super::failure::Failure;
use super::form::Form;
use super::frame::{self, Frame, go};
use super::rows::Names;
use super::session::{Person, safe_return};
use super::show;
use crate::domain::delivery::DeliveryState;
use crate::domain::ids::{EndpointId, Named, PublicId, WebhookId};
use crate::store::archive::Page;
use crate::store::{BulkKind, Filter};
use crate::web::State;
use crate::web::api::delivery_actions as api;
use crate::web::auth::Operate;
use crate::web::error::ApiError;
use crate::web::filter::{DELIVERY_FILTERS, parse};

/// Deliveries that may be selected one by one, each of which is two commits.
const SELECTED_MAX: usize = 200;
/// Deliveries that are counted for a question when no kept counter knows.
const COUNTED_MAX: usize = 1_000;
/// What can be retried, and what can be canceled.
const RETRYABLE: [DeliveryState; 3] = [DeliveryState::Failed, DeliveryState::Canceled, DeliveryState::Retrying];
pub const CANCELABLE: [DeliveryState; 3] = [DeliveryState::Pending, DeliveryState::Retrying, DeliveryState::InFlight];

type Fields = Vec<(String, String)>;

/// What an order is about, in words and as a form repeats it.
struct Chosen {
    what: String,
    fields: Fields,
    /// How many of the selected ones are older than what was delivered; of a filter nobody has looked.
    older: u64,
}

/// `POST …/deliveries/confirm/`: the selected ones are asked about by number, all matching ones by filter.
pub async fn confirm(
    person: Person<Operate>,
    state: State,
    req: HttpRequest,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who));
    let (retry, all) = match form.get("action") {
        "retry" => (true, false),
        "cancel" => (false, false),
        "retry-all" => (true, true),
        "cancel-all" => (false, true),
        _ => return Err(ApiError::bad_request("no action was chosen").into()),
    };
    let chosen = if all { all_matching(&state, &form, retry).await? } else { selected(&state, &form, retry).await? };
    question(frame, &state, &form, (retry, all), chosen).page()
}

fn question(frame: Frame, state: &State, form: &Form, (retry, all): (bool, bool), chosen: Chosen) -> Confirm {
    let Chosen { what, mut fields, older } = chosen;
    let (verb, word, text) = match retry {
        true => (
            "Retry",
            "retry",
            "Each that is failed, canceled or waiting for a retry is sent again, in the original order.",
        ),
        false => ("Cancel", "cancel", "Each that waits will not be sent. Canceled ones can be retried later."),
    };
    let warning = (older > 0).then(|| {
        let are = show::counted_are(older, "delivery", "deliveries");
        format!("{are} older than what was already delivered of the same object: the receiver may end up with the older state.")
    });
    fields.push(("do".to_owned(), word.to_owned()));
    fields.push(("return".to_owned(), form.get("return").to_owned()));
    let back = safe_return(form.get("return"), &state.config().server.base_path);
    Confirm {
        text: vec![format!("{verb} {what}."), text.to_owned()],
        warning,
        action: frame.at(if all { "/bulk-actions/" } else { "/deliveries/selected/" }),
        fields,
        option: (retry && (all || older > 0))
            .then_some(("skip", "Leave out those whose object already has a newer delivered event")),
        button: if retry { "Retry them" } else { "Cancel them" },
        danger: !retry || older > 0,
        back: back.unwrap_or_else(|| frame.at("/deliveries/")),
        frame: frame.page("deliveries", format!("{verb} {what}?")),
    }
}

/// The ids that a form selects, in the original order.
fn selection(form: &Form) -> Result<Vec<PublicId>, ApiError> {
    let ids = form.all("id");
    if ids.is_empty() {
        return Err(ApiError::bad_request("Nothing is selected: go back and tick some rows."));
    }
    if ids.len() > SELECTED_MAX {
        let detail = format!("{} are selected, {SELECTED_MAX} at most can be; take all that match instead.", ids.len());
        return Err(ApiError::bad_request(detail));
    }
    let mut ids: Vec<PublicId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
    ids.sort_by_key(|id| match id.named() {
        Some(Named::Delivery(delivery)) => delivery.0,
        _ => i64::MAX,
    });
    ids.dedup();
    Ok(ids)
}

async fn selected(state: &State, form: &Form, retry: bool) -> Result<Chosen, ApiError> {
    let ids = selection(form)?;
    let mut older = 0;
    for id in ids.iter().filter(|_| retry) {
        older += u64::from(is_older(state, *id).await?);
    }
    let what = show::counted(ids.len() as u64, "selected delivery", "selected deliveries");
    Ok(Chosen { what, fields: ids.into_iter().map(|id| ("id".to_owned(), id.to_string())).collect(), older })
}

/// Whether a later event of the same object already reached that webhook.
async fn is_older(state: &State, id: PublicId) -> Result<bool, ApiError> {
    match id.named() {
        Some(Named::Delivery(delivery)) => Ok(state.store.newer_delivered(delivery).await?),
        _ => Ok(false),
    }
}

async fn all_matching(state: &State, form: &Form, retry: bool) -> Result<Chosen, ApiError> {
    let said = pairs(form);
    if said.is_empty() && !retry {
        return Err(cancels_everything());
    }
    let mut filter = parse(said.clone(), DELIVERY_FILTERS, &state.models())?;
    // Only of these is anything done.
    let able = if retry { RETRYABLE } else { CANCELABLE };
    filter.states = able.into_iter().filter(|s| filter.states.is_empty() || filter.states.contains(s)).collect();
    let how_many = match filter.states.is_empty() {
        true => show::counted(0, "delivery", "deliveries"),
        false => how_many(state, filter).await?,
    };
    let what = format!("{how_many}{}", in_words(state, &said));
    let fields = form.all("filter").into_iter().map(|pair| ("filter".to_owned(), pair)).collect();
    Ok(Chosen { what, fields, older: 0 })
}

/// How many deliveries a filter means; of many that nobody has counted, how many at least.
pub async fn how_many(state: &State, filter: Filter) -> Result<String, ApiError> {
    let listed = state.store.deliveries(filter, Page::first(COUNTED_MAX)).await?;
    let seen = listed.rows.len() as u64;
    Ok(match listed.count {
        Some(n) => show::counted(n, "delivery", "deliveries"),
        None if listed.next.is_none() && listed.looked.is_none() => show::counted(seen, "delivery", "deliveries"),
        None => format!("at least {}", show::counted(seen, "delivery", "deliveries")),
    })
}

fn cancels_everything() -> ApiError {
    ApiError::bad_request("To cancel everything that waits, filter by the states pending and retrying first.")
}

/// A filter as people say it, with the names of what it means.
fn in_words(state: &State, pairs: &Fields) -> String {
    let names = Names::of(state);
    let word = |(name, value): &(String, String)| match (name.as_str(), value.parse()) {
        ("status", _) => format!("state {}", show::words(value)),
        ("webhook_id", Ok(id)) => format!("webhook {}", names.webhook(WebhookId(id))),
        ("endpoint_id", Ok(id)) => format!("to {}", names.endpoint(EndpointId(id))),
        _ => format!("{} {value}", show::words(&name.replace("__gte", " from").replace("__lt", " before"))),
    };
    match pairs.is_empty() {
        true => ", without any filter".to_owned(),
        false => format!(": {}", pairs.iter().map(word).collect::<Vec<_>>().join(", ")),
    }
}

/// The filter that a form repeats as `name=value`.
fn pairs(form: &Form) -> Fields {
    let split = |pair: String| pair.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
    form.all("filter").into_iter().filter_map(split).collect()
}

/// `POST …/deliveries/selected/`
pub async fn carry_out(person: Person<Operate>, state: State, form: Form) -> Result<HttpResponse, Failure> {
    let (retry, skip) = (form.get("do") == "retry", form.get("skip") == "yes");
    let mut done = 0u64;
    // One after another: an older one of an object is in line before a newer one is.
    for id in selection(&form)? {
        if retry && skip && is_older(&state, id).await? {
            continue;
        }
        let outcome = match retry {
            true => api::retry_one(&state, &person.who.name, id).await.map(drop),
            false => api::cancel_one(&state, &person.who.name, id).await,
        };
        match outcome {
            Ok(()) => done += 1,
            // Its state does not allow it, or it is gone: the others are done all the same.
            Err(error) if matches!(actix_web::ResponseError::status_code(&error).as_u16(), 404 | 409) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let notice = match (done, retry) {
        (0, _) => "selected-none".to_owned(),
        (n, true) => format!("selected-retried:{n}"),
        (n, false) => format!("selected-canceled:{n}"),
    };
    let list = format!("{}{}/deliveries/", state.config().server.base_path, super::PATH);
    Ok(frame::back(&form, &state, list, &notice))
}

/// `POST …/bulk-actions/`: starts one and shows how far it is.
pub async fn start(person: Person<Operate>, state: State, form: Form) -> Result<HttpResponse, Failure> {
    let kind = match form.get("do") {
        "retry" => BulkKind::Retry { skip_if_newer_delivered: form.get("skip") == "yes" },
        "cancel" => BulkKind::Cancel,
        _ => return Err(ApiError::bad_request("no action was chosen").into()),
    };
    let filter = pairs(&form);
    if kind == BulkKind::Cancel && filter.is_empty() {
        return Err(cancels_everything().into());
    }
    let bulk = api::start_bulk(&state, &person.who.name, kind, filter).await?;
    Ok(go(format!("{}{}/bulk-actions/{}/", state.config().server.base_path, super::PATH, bulk.id)))
}
