//! Events as a NetBox 4.4 sent them, for a few objects of each kind.

use serde_json::{Value, json};

use crate::cli::rest::{Rest, RestError};

/// Goes to both receivers.
const DEVICES: [&str; 2] =
    [include_str!("../samples/dcim.device-created.json"), include_str!("../samples/dcim.device-updated.json")];

/// Goes to the flaky receiver.
const OTHERS: [&str; 11] = [
    include_str!("../samples/dcim.site-created.json"),
    include_str!("../samples/dcim.site-updated.json"),
    include_str!("../samples/dcim.rack-created.json"),
    include_str!("../samples/dcim.rack-updated.json"),
    include_str!("../samples/dcim.rack-deleted.json"),
    include_str!("../samples/dcim.interface-updated.json"),
    include_str!("../samples/ipam.prefix-created.json"),
    include_str!("../samples/ipam.ipaddress-updated.json"),
    include_str!("../samples/ipam.vlan-updated.json"),
    include_str!("../samples/tenancy.tenant-created.json"),
    include_str!("../samples/circuits.circuit-updated.json"),
];

/// The models of all samples.
pub const MODELS: [&str; 9] = [
    "dcim.device",
    "dcim.site",
    "dcim.rack",
    "dcim.interface",
    "ipam.prefix",
    "ipam.ipaddress",
    "ipam.vlan",
    "tenancy.tenant",
    "circuits.circuit",
];

/// One event in so many is about a device.
const DEVICE_EVERY: usize = 4;

/// Objects of each model: few, so that several events of one object wait for each other.
const OBJECTS: usize = 5;

/// What was sent so far.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Events accepted.
    pub events: u64,
    /// Deliveries promised for them.
    pub deliveries: u64,
    /// Events the service did not take, with its last reason.
    pub refused: u64,
    pub refusal: Option<String>,
    next: usize,
}

impl Traffic {
    /// Sends the next event through the HTTP intake.
    ///
    /// # Errors
    /// The service is gone. A refused event is counted.
    pub async fn send(&mut self, rest: &Rest) -> Result<(), RestError> {
        let event = event(self.next);
        self.next += 1;
        match rest.post("/api/events/", &event).await {
            Ok(answer) => {
                let events = answer["events"].as_array().map(Vec::as_slice).unwrap_or_default();
                self.events += answer["accepted"].as_u64().unwrap_or_default();
                self.deliveries += events.iter().filter_map(|event| event["deliveries"].as_u64()).sum::<u64>();
                Ok(())
            }
            Err(refused @ RestError::Refused { .. }) => {
                self.refused += 1;
                self.refusal = Some(refused.to_string());
                Ok(())
            }
            Err(gone) => Err(gone),
        }
    }
}

fn event(number: usize) -> Value {
    let (round, place) = (number / DEVICE_EVERY, number % DEVICE_EVERY);
    let sample = match place {
        0 => DEVICES[round % DEVICES.len()],
        _ => OTHERS[number % OTHERS.len()],
    };
    let mut event: Value = serde_json::from_str(sample).unwrap_or(Value::Null);
    event["data"]["id"] = json!(1 + round % OBJECTS);
    event
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_sample_is_an_event_of_a_known_model() {
        let events: Vec<Value> = (0..200).map(event).collect();
        let model = |e: &Value| e["object_type"].as_str().unwrap_or("none").to_owned();
        let models: HashSet<String> = events.iter().map(model).collect();
        assert_eq!(models, MODELS.iter().map(ToString::to_string).collect());
        assert!(events.iter().all(|e| e["data"]["id"].as_u64().is_some_and(|id| (1..=5).contains(&id))));
        assert_eq!(events.iter().filter(|e| model(e) == "dcim.device").count(), 50);
    }
}
