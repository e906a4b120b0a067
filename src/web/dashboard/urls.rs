//! The table of all pages. A test holds their paths to [`PATH`](super::PATH) and [`HOOKS`](super::HOOKS).

use super::{
    access, assets, audit, bulk, deliveries, delivery, endpoint, endpoints, events, failed, live, login, many, orders,
    overview, service, setup, webhooks,
};
use crate::web::urls::{ADMIN, OPERATE, READ, Url, url};

/// Every page and form, below `server.base_path`, with the scope its reader needs. Where two fit, the first one is taken.
pub const PAGES: &[Url] = &[
    url("/admin/webhook-backend-status/assets/{hash}/{name}", &[("GET", None, |r| r.to(assets::get))]),
    url(
        "/admin/webhook-backend-status/login/",
        &[("GET", None, |r| r.to(login::show)), ("POST", None, |r| r.to(login::enter))],
    ),
    url("/admin/webhook-backend-status/logout/", &[("POST", None, |r| r.to(login::leave))]),
    url("/admin/webhook-backend-status/theme/", &[("POST", None, |r| r.to(login::theme))]),
    url(
        "/admin/webhook-backend-status/setup/{secret}/",
        &[("GET", None, |r| r.to(setup::show)), ("POST", None, |r| r.to(setup::create))],
    ),
    url("/admin/webhook-backend-status/", &[("GET", READ, |r| r.to(overview::show))]),
    url("/admin/webhook-backend-status/stream/", &[("GET", READ, |r| r.to(live::follow))]),
    url("/admin/webhook-backend-status/deliveries/", &[("GET", READ, |r| r.to(deliveries::list))]),
    url("/admin/webhook-backend-status/deliveries/confirm/", &[("POST", OPERATE, |r| r.to(many::confirm))]),
    url("/admin/webhook-backend-status/deliveries/selected/", &[("POST", OPERATE, |r| r.to(many::carry_out))]),
    url("/admin/webhook-backend-status/deliveries/{id}/", &[("GET", READ, |r| r.to(delivery::show))]),
    url("/admin/webhook-backend-status/deliveries/{id}/retry/", &[("POST", OPERATE, |r| r.to(orders::retry))]),
    url("/admin/webhook-backend-status/deliveries/{id}/resend/", &[("POST", OPERATE, |r| r.to(orders::resend))]),
    url("/admin/webhook-backend-status/deliveries/{id}/cancel/", &[("POST", OPERATE, |r| r.to(orders::cancel))]),
    url(
        "/admin/webhook-backend-status/bulk-actions/",
        &[("GET", READ, |r| r.to(bulk::list)), ("POST", OPERATE, |r| r.to(many::start))],
    ),
    url("/admin/webhook-backend-status/bulk-actions/{id}/", &[("GET", READ, |r| r.to(bulk::get))]),
    url("/admin/webhook-backend-status/bulk-actions/{id}/cancel/", &[("POST", OPERATE, |r| r.to(bulk::cancel))]),
    url("/admin/webhook-backend-status/failed/", &[("GET", READ, |r| r.to(failed::show))]),
    url("/admin/webhook-backend-status/endpoints/", &[("GET", READ, |r| r.to(endpoints::list))]),
    url("/admin/webhook-backend-status/endpoints/{id}/", &[("GET", READ, |r| r.to(endpoint::show))]),
    url("/admin/webhook-backend-status/endpoints/{id}/pause/", &[("POST", OPERATE, |r| r.to(endpoint::pause))]),
    url("/admin/webhook-backend-status/endpoints/{id}/resume/", &[("POST", OPERATE, |r| r.to(endpoint::resume))]),
    url("/admin/webhook-backend-status/endpoints/{id}/policy/", &[("POST", ADMIN, |r| r.to(endpoint::change))]),
    url("/admin/webhook-backend-status/events/", &[("GET", READ, |r| r.to(events::list))]),
    url(
        "/admin/webhook-backend-status/events/try/",
        &[("GET", READ, |r| r.to(events::ask)), ("POST", READ, |r| r.to(events::answer))],
    ),
    url("/admin/webhook-backend-status/events/{id}/", &[("GET", READ, |r| r.to(events::show))]),
    url("/admin/webhook-backend-status/audit/", &[("GET", READ, |r| r.to(audit::list))]),
    url("/admin/webhook-backend-status/service/", &[("GET", READ, |r| r.to(service::show))]),
    url("/admin/webhook-backend-status/access/", &[("GET", ADMIN, |r| r.to(access::show))]),
    url("/admin/webhook-backend-status/access/tokens/", &[("POST", ADMIN, |r| r.to(access::create_token))]),
    url("/admin/webhook-backend-status/access/tokens/{id}/revoke/", &[("POST", ADMIN, |r| r.to(access::revoke_token))]),
    url("/admin/webhook-backend-status/access/users/", &[("POST", ADMIN, |r| r.to(access::create_user))]),
    url("/admin/webhook-backend-status/access/users/{id}/", &[("POST", ADMIN, |r| r.to(access::change_user))]),
    url("/admin/webhook-backend-status/access/users/{id}/delete/", &[("POST", ADMIN, |r| r.to(access::delete_user))]),
    url("/admin/extras/webhook/", &[("GET", READ, |r| r.to(webhooks::list))]),
    url(
        "/admin/extras/webhook/add/",
        &[("GET", ADMIN, |r| r.to(webhooks::add)), ("POST", ADMIN, |r| r.to(webhooks::create))],
    ),
    url("/admin/extras/webhook/{id}/", &[("GET", READ, |r| r.to(webhooks::show))]),
    url(
        "/admin/extras/webhook/{id}/edit/",
        &[("GET", ADMIN, |r| r.to(webhooks::edit)), ("POST", ADMIN, |r| r.to(webhooks::change))],
    ),
    url("/admin/extras/webhook/{id}/enable/", &[("POST", ADMIN, |r| r.to(webhooks::enable))]),
    url("/admin/extras/webhook/{id}/test/", &[("POST", OPERATE, |r| r.to(webhooks::test))]),
    url("/admin/extras/webhook/{id}/delete/", &[("POST", ADMIN, |r| r.to(webhooks::delete))]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::dashboard::{HOOKS, PATH};

    #[test]
    fn two_locations_hold_every_page() {
        for page in PAGES {
            let below = [PATH, HOOKS].iter().any(|path| page.path.starts_with(&format!("{path}/")));
            assert!(below, "{}", page.path);
        }
    }
}
