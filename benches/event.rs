//! The events that are fed: a NetBox site of 2 KB in the form of the webhook backend.

use super::support::wall_micros;

/// Size of one event, as the issue of speed defines it.
pub const SIZE: usize = 2048;

/// What an update of a site carries besides its id, with the spread of text that compresses as real ones do.
const SITE: &str = r#""url":"/api/dcim/sites/54/","display_url":"/dcim/sites/54/","display":"Berlin 1","name":"Berlin 1","slug":"berlin-1","status":{"value":"active","label":"Active"},"region":{"id":3,"url":"/api/dcim/regions/3/","display":"Germany","name":"Germany","slug":"germany","description":"","site_count":0,"_depth":1},"group":null,"tenant":{"id":11,"url":"/api/tenancy/tenants/11/","display":"Acm\u00e9 GmbH","name":"Acm\u00e9 GmbH","slug":"acme","description":"\u00fcn\u00efcode \u2603"},"facility":"DC 4","time_zone":"Europe/Berlin","description":"Second hall, north wing","physical_address":"Gutenbergstra\u00dfe 4\n10587 Berlin","shipping_address":"","latitude":52.520008,"longitude":13.404954,"comments":"Access by badge only; call the desk on +49 30 000000 first.","asns":[{"id":1,"url":"/api/ipam/asns/1/","display":"AS64512","asn":64512,"description":""}],"tags":[{"id":1,"url":"/api/extras/tags/1/","display_url":"/extras/tags/1/","display":"prod","name":"prod","slug":"prod","color":"4caf50"},{"id":7,"url":"/api/extras/tags/7/","display_url":"/extras/tags/7/","display":"monitored","name":"monitored","slug":"monitored","color":"2196f3"}],"custom_fields":{"contract":"2026-0711","floor_space_m2":1840,"power_feeds":["A","B"],"go_live":"2026-03-01","owner":"facilities"},"created":"2026-01-23T19:38:15.128880Z","last_updated":"2026-11-23T19:38:15.128901Z","circuit_count":4,"device_count":212,"ipaddress_count":0,"prefix_count":18,"rack_count":24,"virtualmachine_count":0,"vlan_count":36"#;

/// Writes the event; `data` begins with the object's id and the moment of sending, which receivers look for.
pub fn write(out: &mut Vec<u8>, model: &str, object: u64) {
    let start = out.len();
    let micros = wall_micros();
    let head = format!(
        r#"{{"event":"updated","signal_received_timestamp":1508769597.5,"model":"{model}","data":{{"id":{object},"sent_us":{micros},{SITE},"padding":""#
    );
    out.extend_from_slice(head.as_bytes());
    out.resize(start + SIZE - 3, b'.');
    out.extend_from_slice(br#""}}"#);
}

/// One event as [`write()`] makes it.
pub fn one(object: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(SIZE);
    write(&mut out, "Site", object);
    out
}

/// The moment of sending in a body, if it stands where [`write()`] puts it.
pub fn sent_micros(body: &[u8]) -> Option<u64> {
    number_after(body, b"\"sent_us\":")
}

/// The object's id in a body.
pub fn object(body: &[u8]) -> Option<u64> {
    number_after(body, b"\"id\":")
}

fn number_after(body: &[u8], name: &[u8]) -> Option<u64> {
    let near = &body[..body.len().min(200)];
    let start = near.windows(name.len()).position(|w| w == name)? + name.len();
    let digits = near[start..].iter().take_while(|b| b.is_ascii_digit());
    Some(digits.fold(0, |n: u64, b| n.wrapping_mul(10).wrapping_add(u64::from(b - b'0'))))
}
