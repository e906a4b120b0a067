//! What people order of one delivery, by its buttons.

use actix_web::{HttpRequest, HttpResponse, web};

use super::confirm::Confirm;
use super::failure::Failure;
use super::form::Form;
use super::frame::{Frame, back, go, with_notice};
use super::session::Person;
use crate::domain::ids::PublicId;
use crate::web::State;
use crate::web::api::{deliveries::find, delivery_actions as api};
use crate::web::auth::Operate;

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
