//! Text as people type it: part of what the lists show.

use crate::domain::attempt::ErrorKind;
use crate::domain::ids::{EndpointId, WebhookId};
use crate::store::admin::DefinitionSet;
use crate::store::embedded::filter::{Bound, Where};

/// A text, and what of the definitions has it in its name.
pub struct Text {
    /// For `LIKE … ESCAPE '\'`.
    pattern: String,
    /// By name.
    pub webhooks: Vec<WebhookId>,
    /// By payload URL.
    pub endpoints: Vec<EndpointId>,
    errors: Vec<ErrorKind>,
    /// The text is an HTTP status.
    pub code: Option<u16>,
}

impl Text {
    pub fn new(q: &str, set: &DefinitionSet) -> Self {
        let wanted = q.to_lowercase();
        let named = |name: &str| name.to_lowercase().contains(&wanted);
        let webhooks = set.webhooks.iter().filter(|w| named(&w.spec.name));
        let endpoints = set.endpoints.iter().filter(|e| named(&e.endpoint.url));
        // Pages write "http status".
        let words = |kind: &ErrorKind| named(kind.as_str()) || named(&kind.as_str().replace('_', " "));
        Self {
            pattern: format!("%{}%", q.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")),
            webhooks: webhooks.map(|w| w.id).collect(),
            endpoints: endpoints.map(|e| e.endpoint.id).collect(),
            errors: ErrorKind::ALL.into_iter().filter(words).collect(),
            code: q.parse().ok().filter(|code| (100..1_000).contains(code)),
        }
    }

    /// An event has it.
    pub fn in_event(&self) -> Where {
        let mut any = Where::default();
        let like = |column: &str| format!("{column} LIKE ? ESCAPE '\\'");
        let columns = ["e.object_id", "e.request_id", "e.label"].map(like).join(" OR ");
        any.with(format!("({columns})"), std::iter::repeat_n(Bound::Text(self.pattern.clone()), 3));
        any
    }

    /// A delivery has it, whatever its event has. Details are read only of what went wrong.
    pub fn in_delivery(&self) -> Where {
        let detail = "d.error IS NOT NULL AND EXISTS (SELECT 1 FROM attempt a
                      WHERE a.delivery = d.id AND a.detail LIKE ? ESCAPE '\\')";
        let mut of_detail = Where::default();
        of_detail.with(detail, [Bound::Text(self.pattern.clone())]);
        let mut any = vec![of_detail];
        let ids = |ids: &mut dyn Iterator<Item = u32>| ids.map(|id| Bound::Int(id.into())).collect::<Vec<_>>();
        for (column, values) in [
            ("d.webhook", ids(&mut self.webhooks.iter().map(|id| id.0))),
            ("d.endpoint", ids(&mut self.endpoints.iter().map(|id| id.0))),
            ("d.error", ids(&mut self.errors.iter().map(|kind| *kind as u32))),
            ("d.code", ids(&mut self.code.iter().map(|code| (*code).into()))),
        ] {
            let mut one = Where::default();
            one.any_of(column, values);
            any.extend((!one.is_empty()).then_some(one));
        }
        Where::either(any)
    }

    pub fn anywhere(&self) -> Where {
        Where::either(vec![self.in_delivery(), self.in_event()])
    }
}
