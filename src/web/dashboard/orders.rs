//! What people order of deliveries: one by its buttons, several by selection or filter.

use actix_web::{HttpRequest, HttpResponse, web};

use super::confirm::Confirm;
use super::failure::Failure;
use super::form::Form;
use super::frame::{self, Frame, back, go, with_notice};
use super::session::Person;
use super::show;
use crate::domain::ids::PublicId;
use crate::store::BulkKind;
use crate::store::archive::Page;
use crate::web::State;
use crate::web::api::{deliveries::find, delivery_actions as api};
use crate::web::auth::Operate;
use crate::web::error::ApiError;
use crate::web::filter::{DELIVERY_FILTERS, parse};

/// Deliveries that may be selected one by one: a page holds no more.
const SELECTED_MAX: usize = 1_000;

/// `POST …/deliveries/{id}/retry/`
pub async fn retry(
    person: Person<Operate>,
    state: State,
    req: HttpRequest,
    id: web::Path<PublicId>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("deliveries", "Retry this delivery?");
    let page = frame.at(&format!("/deliveries/{id}/"));
    let row = find(&state, *id).await?;
    if !form.has("sure") && state.store.newer_delivered(row.id).await? {
        let warning = "A newer event of the same object was already delivered to this webhook. The receiver may end up \
                       with the older state.";
        let ask = Confirm {
            text: vec![format!("Delivery {id} of {} {}.", row.event.model, row.event.object_id.unwrap_or_default())],
            warning: Some(warning.to_owned()),
            action: frame.at(&format!("/deliveries/{id}/retry/")),
            fields: vec![("return".to_owned(), form.get("return").to_owned())],
            option: None,
            button: "Retry it all the same",
            danger: true,
            back: page,
            frame,
        };
        return ask.page();
    }
    let newer = api::retry_one(&state, &person.who.name, *id).await?;
    Ok(back(&form, &state, page, if newer { "retried-older" } else { "retried" }))
}

/// `POST …/deliveries/{id}/resend/`
pub async fn resend(
    person: Person<Operate>,
    state: State,
    req: HttpRequest,
    id: web::Path<PublicId>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("deliveries", "Send it again?");
    let row = find(&state, *id).await?;
    if !form.has("sure") {
        let newer = state.store.newer_delivered(row.id).await?;
        let older =
            "A newer event of the same object was delivered since; the receiver may end up with the older state.";
        let ask = Confirm {
            text: vec![
                format!("Delivery {id} of {} {}.", row.event.model, row.event.object_id.unwrap_or_default()),
                "It was delivered. A new delivery of the same event goes at the end of the queue.".to_owned(),
            ],
            warning: newer.then(|| older.to_owned()),
            action: frame.at(&format!("/deliveries/{id}/resend/")),
            fields: Vec::new(),
            option: None,
            button: "Send it again",
            danger: newer,
            back: frame.at(&format!("/deliveries/{id}/")),
            frame,
        };
        return ask.page();
    }
    let new = api::resend_one(&state, &person.who.name, *id).await?;
    Ok(go(with_notice(&frame.at(&format!("/deliveries/{new}/")), "resent")))
}

/// `POST …/deliveries/{id}/cancel/`
pub async fn cancel(
    person: Person<Operate>,
    state: State,
    req: HttpRequest,
    id: web::Path<PublicId>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("deliveries", "Cancel this delivery?");
    let page = frame.at(&format!("/deliveries/{id}/"));
    let row = find(&state, *id).await?;
    if !form.has("sure") {
        let object = row.event.object_id.unwrap_or_default();
        let ask = Confirm {
            text: vec![format!(
                "Delivery {id} of {} {object} will not be sent. It can be retried later.",
                row.event.model
            )],
            warning: None,
            action: frame.at(&format!("/deliveries/{id}/cancel/")),
            fields: Vec::new(),
            option: None,
            button: "Cancel the delivery",
            danger: true,
            back: page,
            frame,
        };
        return ask.page();
    }
    api::cancel_one(&state, &person.who.name, *id).await?;
    Ok(go(with_notice(&page, "canceled")))
}

/// What is meant by a button above the list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Retry,
    Cancel,
}

/// `POST …/deliveries/confirm/`: the selected ones are asked about by number, all matching ones by filter.
pub async fn confirm(
    person: Person<Operate>,
    state: State,
    req: HttpRequest,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who));
    let (wanted, all) = match form.get("action") {
        "retry" => (Wanted::Retry, false),
        "cancel" => (Wanted::Cancel, false),
        "retry-all" => (Wanted::Retry, true),
        "cancel-all" => (Wanted::Cancel, true),
        _ => return Err(ApiError::bad_request("no action was chosen").into()),
    };
    let verb = if wanted == Wanted::Retry { "Retry" } else { "Cancel" };
    let (what, fields) = if all { all_matching(&state, &form).await? } else { selected(&form)? };
    let retry = wanted == Wanted::Retry;
    let text = if retry {
        "Each that is failed, canceled or waiting for a retry is sent again, in the original order."
    } else {
        "Each that waits will not be sent. Canceled ones can be retried later."
    };
    let back = super::session::safe_return(form.get("return"), &state.config().server.base_path);
    let mut fields = fields;
    fields.push(("do".to_owned(), if retry { "retry" } else { "cancel" }.to_owned()));
    fields.push(("return".to_owned(), form.get("return").to_owned()));
    let ask = Confirm {
        text: vec![format!("{verb} {what}."), text.to_owned()],
        warning: None,
        action: frame.at(if all { "/bulk-actions/" } else { "/deliveries/selected/" }),
        fields,
        option: (all && retry).then_some(("skip", "Leave out those whose object already has a newer delivered event")),
        button: if retry { "Retry them" } else { "Cancel them" },
        danger: !retry,
        back: back.unwrap_or_else(|| frame.at("/deliveries/")),
        frame: frame.page("deliveries", format!("{verb} {what}?")),
    };
    ask.page()
}

type Fields = Vec<(String, String)>;

fn selected(form: &Form) -> Result<(String, Fields), ApiError> {
    let ids = form.all("id");
    if ids.is_empty() {
        return Err(ApiError::bad_request("Nothing is selected: go back and tick some rows."));
    }
    let what = show::counted(ids.len() as u64, "selected delivery", "selected deliveries");
    Ok((what, ids.into_iter().map(|id| ("id".to_owned(), id)).collect()))
}

async fn all_matching(state: &State, form: &Form) -> Result<(String, Fields), ApiError> {
    let filter = parse(pairs(form), DELIVERY_FILTERS, &state.models())?;
    let count = state.store.deliveries(filter, Page::first(1)).await?.count;
    let said: Vec<String> = form.all("filter");
    let how = if said.is_empty() { "without any filter".to_owned() } else { format!("with {}", said.join(", ")) };
    let what = match count {
        Some(n) => format!("{} {how}", show::counted(n, "delivery", "deliveries")),
        None => format!("all deliveries {how}"),
    };
    Ok((what, said.into_iter().map(|pair| ("filter".to_owned(), pair)).collect()))
}

/// The filter that a form repeats as `name=value`.
fn pairs(form: &Form) -> Fields {
    let split = |pair: String| pair.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
    form.all("filter").into_iter().filter_map(split).collect()
}

/// `POST …/deliveries/selected/`
pub async fn carry_out(person: Person<Operate>, state: State, form: Form) -> Result<HttpResponse, Failure> {
    let ids = form.all("id");
    if ids.len() > SELECTED_MAX {
        return Err(ApiError::bad_request(format!("{SELECTED_MAX} deliveries at most can be selected")).into());
    }
    let retry = form.get("do") == "retry";
    let mut done = 0u64;
    for id in ids.iter().filter_map(|id| id.parse::<PublicId>().ok()) {
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
        let detail = "To cancel everything that waits, filter by the states pending and retrying first.";
        return Err(ApiError::bad_request(detail).into());
    }
    let bulk = api::start_bulk(&state, &person.who.name, kind, filter).await?;
    Ok(go(format!("{}{}/bulk-actions/{}/", state.config().server.base_path, super::PATH, bulk.id)))
}
