//! What became of a demo's deliveries, and whether it is all accounted for.

use std::collections::BTreeMap;

use serde_json::Value;

use super::traffic::Traffic;
use super::{Receivers, THROTTLE};

/// Complaints that are printed; more are counted.
const SHOWN: usize = 5;

/// The end of a demo.
#[derive(Debug, Default)]
pub struct Summary {
    events: u64,
    by_status: BTreeMap<String, u64>,
    attempts: u64,
    retries: u64,
    requests: u64,
    bad_signatures: u64,
    /// Undelivered for a reason, by that reason.
    explained: BTreeMap<String, u64>,
    complaints: Vec<String>,
}

impl Summary {
    /// Compares what was promised, what the service says and what the receivers saw.
    pub fn of(deliveries: &[Value], traffic: &Traffic, receivers: &Receivers) -> Self {
        let mut summary = Self {
            events: traffic.events,
            requests: receivers.requests(),
            bad_signatures: receivers.bad_signatures(),
            ..Self::default()
        };
        for delivery in deliveries {
            let arrived = delivery["id"].as_str().is_some_and(|id| receivers.accepted(id));
            summary.add(delivery, arrived);
        }
        summary.compare(deliveries.len() as u64, traffic);
        summary
    }

    /// Whether every delivery is delivered or explained.
    pub fn good(&self) -> bool {
        self.complaints.is_empty()
    }

    fn add(&mut self, delivery: &Value, arrived: bool) {
        let text = |key: &str| delivery[key].as_str().unwrap_or("unknown").to_owned();
        let (id, status, model) = (text("id"), text("status"), text("model"));
        *self.by_status.entry(status.clone()).or_default() += 1;
        let attempts = delivery["attempt_count"].as_u64().unwrap_or_default();
        self.attempts += attempts;
        self.retries += attempts.saturating_sub(1);
        let waits_for = delivery["waiting_for"]["reason"].as_str();
        let explanation = match (status.as_str(), waits_for) {
            ("delivered", _) if arrived => return,
            ("delivered", _) => {
                self.complaints.push(format!("{id} is delivered, but no receiver accepted it"));
                return;
            }
            ("in_flight", _) => "on their way".to_owned(),
            ("retrying", _) => "between two attempts".to_owned(),
            ("pending", Some("rate_limit")) => format!("queued behind the {THROTTLE} throttle"),
            ("pending", Some("behind")) if model == "dcim.device" => {
                format!("queued behind the {THROTTLE} throttle, after an older event of the same object")
            }
            ("pending", Some("behind")) => "after an older event of the same object".to_owned(),
            ("pending", Some(reason)) => format!("waiting for {reason}"),
            (status, _) => {
                self.complaints.push(format!("{id} is {status} without a reason"));
                return;
            }
        };
        *self.explained.entry(explanation).or_default() += 1;
    }

    fn compare(&mut self, listed: u64, traffic: &Traffic) {
        if listed != traffic.deliveries {
            self.complaints.push(format!("{} deliveries were promised, {listed} are listed", traffic.deliveries));
        }
        if traffic.events == 0 {
            self.complaints.push("no event was accepted".to_owned());
        }
        if let Some(reason) = &traffic.refusal {
            self.complaints.push(format!("{} events were refused: {reason}", traffic.refused));
        }
        if self.bad_signatures > 0 {
            self.complaints.push(format!("{} requests had a wrong signature", self.bad_signatures));
        }
    }

    pub fn text(&self) -> String {
        let deliveries: u64 = self.by_status.values().sum();
        let mut lines = vec![
            String::new(),
            format!("events accepted  {}", self.events),
            format!("deliveries       {deliveries}: {}", counted(&self.by_status)),
            format!("attempts         {}, of them {} retries", self.attempts, self.retries),
            format!("requests         {} arrived, {} with a wrong signature", self.requests, self.bad_signatures),
        ];
        if !self.explained.is_empty() {
            lines.push(format!("undelivered yet  {}", counted(&self.explained)));
        }
        lines.extend(self.complaints.iter().take(SHOWN).map(|complaint| format!("PROBLEM          {complaint}")));
        if self.complaints.len() > SHOWN {
            lines.push(format!("PROBLEM          and {} more", self.complaints.len() - SHOWN));
        }
        let result = if self.good() { "every delivery is delivered or explained" } else { "not all is explained" };
        lines.push(format!("result           {result}"));
        lines.join("\n") + "\n"
    }
}

fn counted(counts: &BTreeMap<String, u64>) -> String {
    let parts = counts.iter().map(|(what, count)| format!("{count} {what}"));
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn summary_of(deliveries: &[(Value, bool)], promised: u64) -> Summary {
        let mut summary = Summary { events: 1, ..Summary::default() };
        deliveries.iter().for_each(|(delivery, arrived)| summary.add(delivery, *arrived));
        let mut traffic = Traffic::default();
        (traffic.events, traffic.deliveries) = (1, promised);
        summary.compare(deliveries.len() as u64, &traffic);
        summary
    }

    #[test]
    fn what_waits_for_a_reason_is_explained() {
        let throttled =
            json!({"id": "b", "status": "pending", "attempt_count": 0, "waiting_for": {"reason": "rate_limit"}});
        let delivered = json!({"id": "a", "status": "delivered", "attempt_count": 3});
        let summary = summary_of(&[(delivered, true), (throttled, false)], 2);
        assert!(summary.good(), "{summary:?}");
        let text = summary.text();
        assert!(text.contains("2: 1 delivered, 1 pending"), "{text}");
        assert!(text.contains("3, of them 2 retries") && text.contains("1 queued behind the 2/s throttle"), "{text}");
    }

    #[test]
    fn what_is_lost_failed_or_only_claimed_is_a_problem() {
        let failed = json!({"id": "a", "status": "failed"});
        let claimed = json!({"id": "b", "status": "delivered"});
        assert_eq!(summary_of(&[(failed, false), (claimed, false)], 3).complaints.len(), 3);
        assert_eq!(summary_of(&[(json!({"id": "c", "status": "pending"}), false)], 1).complaints.len(), 1);
    }
}
