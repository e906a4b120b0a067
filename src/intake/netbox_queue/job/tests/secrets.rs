//! Nothing that must stay behind gets out: every fixture holds a password hash, the made ones also cookies and secrets.

use super::super::WebhookJob;
use super::{jobs_in, unpacked};

/// Parts of the hash, the session, the form, headers and the webhook that the fixtures hold.
const SECRETS: [&str; 9] = [
    "pbkdf2_sha256$",
    "sessionid",
    "csrf",
    "madeupsession",
    "madeupsecret",
    "madeuptoken",
    "madeuppassword",
    "secret@example.com",
    "QUERY_STRING",
];

fn assert_clean(name: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{name}: {secret} in {text}");
    }
}

#[test]
fn the_fixtures_hold_secrets_to_be_kept() {
    let holds = |packed: &[u8], secret: &str| unpacked(packed).windows(secret.len()).any(|w| w == secret.as_bytes());
    let holding = |secret: &str| jobs_in("").chain(jobs_in("made")).filter(|(_, packed)| holds(packed, secret)).count();
    let counts = ["pbkdf2_sha256$", "sessionid", "madeupsecret"].map(holding);
    assert!(counts[0] >= 30 && counts[1] >= 20 && counts[2] >= 7, "{counts:?}");
}

#[test]
fn no_text_a_job_gives_holds_a_secret() {
    for (name, packed) in jobs_in("").chain(jobs_in("made")) {
        match WebhookJob::decode(&packed) {
            Ok(job) => {
                assert_clean(&name, &job.event_json());
                assert_clean(&name, &format!("{job:?} {job:#?} {:?} {:?}", job.definition, job.request));
                assert_clean(&name, job.definition.conditions.as_deref().unwrap_or_default());
                let debug = format!("{job:?}");
                assert!(!debug.contains("RQ Sit") && !debug.contains("adm") && !debug.contains("/dcim/"), "{debug}");
            }
            Err(error) => assert_clean(&name, &format!("{error} {error:?}")),
        }
    }
}

#[test]
fn an_error_shows_no_value_even_where_a_name_was_expected() {
    for stolen in ["pbkdf2_sha256$600000$x", "a b", "ü", ""] {
        for error in [
            super::super::JobError::WrongFunction(super::super::error::Name::new(stolen)),
            super::super::JobError::UnknownEvent(super::super::error::Name::new(stolen)),
        ] {
            assert!(error.to_string().contains("(something unreadable)"), "{error}");
        }
    }
}
