//! Signatures that let a receiver know a request is ours. Pure.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};

use crate::domain::time::Timestamp;

/// Marks a secret whose rest is base64, as Standard Webhooks' tools hand them out.
const BASE64_SECRET: &str = "whsec_";

/// Secrets are pasted by people: padding may be missing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `X-Hook-Signature`: lower-case hex HMAC-SHA512 of the body under the secret (NetBox `extras/webhooks.py`).
pub fn hook_signature(secret: &str, body: &[u8]) -> String {
    hex(&mac::<Hmac<Sha512>>(secret.as_bytes(), &[body]))
}

/// `webhook-signature` of Standard Webhooks: `v1,<base64 HMAC-SHA256 of id.timestamp.body>`, the timestamp in whole
/// seconds. A secret that starts with `whsec_` is base64, any other is its UTF-8 bytes; so is one whose rest is not
/// base64 after all.
///
/// # Source
/// Standard Webhooks specification 1.0, "Signature scheme".
pub fn standard_signature(secret: &str, id: &str, at: Timestamp, body: &[u8]) -> String {
    let decoded = secret.strip_prefix(BASE64_SECRET).and_then(|rest| BASE64.decode(rest).ok());
    let key = decoded.as_deref().unwrap_or(secret.as_bytes());
    let seconds = at.as_secs().to_string();
    let signature = mac::<Hmac<Sha256>>(key, &[id.as_bytes(), b".", seconds.as_bytes(), b".", body]);
    format!("v1,{}", BASE64.encode(signature))
}

/// Whether a secret can be meant as it is spelled: what follows `whsec_` is base64, padded or not.
pub fn is_standard_secret(secret: &str) -> bool {
    secret.strip_prefix(BASE64_SECRET).is_none_or(|rest| BASE64.decode(rest).is_ok())
}

fn mac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("an HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 0xf)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NetBox's own signed requests: secret, body and header as captured.
    fn captured() -> Vec<(String, serde_json::Value)> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/netbox/special");
        let mut signed = Vec::new();
        for entry in std::fs::read_dir(folder).expect("the fixtures are there") {
            let path = entry.expect("a readable folder").path();
            let text = std::fs::read_to_string(&path).expect("a readable fixture");
            let fixture: serde_json::Value = serde_json::from_str(&text).expect("a JSON fixture");
            if fixture.get("secret").is_some() {
                signed.push((path.display().to_string(), fixture));
            }
        }
        signed
    }

    #[test]
    fn the_hook_signature_is_the_one_netbox_sends() {
        let signed = captured();
        assert!(signed.len() >= 12, "only {} signed fixtures", signed.len());
        for (name, fixture) in signed {
            let text = |v: &serde_json::Value| v.as_str().expect("a string").to_owned();
            let signature = hook_signature(&text(&fixture["secret"]), text(&fixture["body"]).as_bytes());
            assert_eq!(signature, text(&fixture["headers"]["X-Hook-Signature"]), "{name}");
        }
    }

    #[test]
    fn the_standard_signature_is_that_of_the_specifications_example() {
        let at = Timestamp::from_secs(1_614_265_330);
        let sign = |secret| standard_signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, br#"{"test": 2432232314}"#);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), expected);
        assert_ne!(sign("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), expected, "without the prefix it is plain text");
    }

    #[test]
    fn a_secret_is_taken_with_and_without_padding_and_even_when_it_is_no_base64() {
        let sign = |secret| standard_signature(secret, "m", Timestamp::from_secs(1), b"x");
        assert_eq!(sign("whsec_YWI="), sign("ab"));
        assert_eq!(sign("whsec_YWI"), sign("ab"));
        let literal = mac::<Hmac<Sha256>>("whsec_not base64!".as_bytes(), &[b"m.1.x"]);
        assert_eq!(sign("whsec_not base64!"), format!("v1,{}", BASE64.encode(literal)));
    }
}
