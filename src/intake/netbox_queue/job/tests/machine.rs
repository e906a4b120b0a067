//! The pickle machine, opcode by opcode, and what it refuses.

use super::super::pickle::load;
use super::super::{JobError, Limits, WebhookJob, json};
use super::packed;

/// The JSON text of what a pickle holds.
fn read(pickle: &[u8]) -> Result<String, JobError> {
    let limits = Limits { inflated: 1 << 20, steps: 10_000, memo: 100, json: 10_000 };
    let loaded = load(pickle, &limits)?;
    json::text(&loaded, "data", loaded.root(), limits.json)
}

fn text(pickle: &[u8]) -> String {
    read(pickle).expect("a pickle")
}

#[test]
fn atoms() {
    let cases: [(&[u8], &str); 17] = [
        (b"N.", "null"),
        (b"\x88.", "true"),
        (b"\x89.", "false"),
        (b"K\xff.", "255"),
        (b"M\xff\xff.", "65535"),
        (b"J\xff\xff\xff\xff.", "-1"),
        (b"\x8a\x00.", "0"),
        (b"\x8a\x01\x80.", "-128"),
        (b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f.", "9223372036854775807"),
        (b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00.", "18446744073709551615"),
        (b"\x8b\x02\x00\x00\x00\x00\x01.", "256"),
        (b"G\x3f\xe0\x00\x00\x00\x00\x00\x00.", "0.5"),
        (b"\x8c\x02ab.", "\"ab\""),
        (b"X\x02\x00\x00\x00ab.", "\"ab\""),
        (b"\x8d\x02\x00\x00\x00\x00\x00\x00\x00ab.", "\"ab\""),
        (b"C\x02ab.", "\"ab\""),
        (b"\x96\x02\x00\x00\x00\x00\x00\x00\x00ab.", "\"ab\""),
    ];
    for (pickle, expected) in cases {
        assert_eq!(text(pickle), expected, "{pickle:?}");
    }
}

#[test]
fn collections() {
    let cases: [(&[u8], &str); 13] = [
        (b"]K\x01a.", "[1]"),
        (b"](K\x01K\x02e.", "[1, 2]"),
        (b"}K\x01K\x02s.", "{\"1\": 2}"),
        (b"}(\x8c\x01aK\x01\x8c\x01bK\x02u.", "{\"a\": 1, \"b\": 2}"),
        (b"\x8f(K\x01\x90.", "[1]"),
        (b"(K\x01\x91.", "[1]"),
        (b").", "[]"),
        (b"K\x01\x85.", "[1]"),
        (b"K\x01K\x02\x86.", "[1, 2]"),
        (b"K\x01K\x02K\x03\x87.", "[1, 2, 3]"),
        (b"(K\x01K\x02K\x03K\x04t.", "[1, 2, 3, 4]"),
        (b"((K\x01tt.", "[[1]]"),
        (b"\x80\x05\x95\x03\x00\x00\x00\x00\x00\x00\x00]Na.", "[null]"),
    ];
    for (pickle, expected) in cases {
        assert_eq!(text(pickle), expected, "{pickle:?}");
    }
}

#[test]
fn stack_and_memo() {
    let cases: [(&[u8], &str); 7] = [
        (b"K\x01K\x020.", "1"),
        (b"K\x01(0.", "1"),
        (b"K\x01(K\x02K\x031.", "1"),
        (b"K\x012\x86.", "[1, 1]"),
        (b"K\x01\x94K\x02\x940h\x00\x86.", "[1, 1]"),
        (b"K\x01q\x00K\x02r\x01\x00\x00\x000j\x00\x00\x00\x00\x86.", "[1, 1]"),
        // Put twice in one place: the later one holds.
        (b"K\x01q\x000K\x02q\x00h\x00\x86.", "[2, 2]"),
    ];
    for (pickle, expected) in cases {
        assert_eq!(text(pickle), expected, "{pickle:?}");
    }
}

#[test]
fn objects_are_kept_as_calls_and_never_made() {
    assert_eq!(text(b"cdecimal\nDecimal\n\x8c\x041.50\x85R."), "1.5");
    assert_eq!(text(b"\x8c\x07decimal\x8c\x07Decimal\x93\x8c\x041.50\x85\x81."), "1.5");
    let system = read(b"cos\nsystem\n\x8c\x04true\x85R.").expect_err("no JSON");
    assert!(system.to_string().ends_with("os.system"), "{system}");
    // Keyword arguments are part of no known form.
    let named = read(b"cdecimal\nDecimal\n\x8c\x041.50\x85}\x8c\x01aK\x01s\x92.").expect_err("no JSON");
    assert!(named.to_string().ends_with("decimal.Decimal"), "{named}");
    // A call of what does not fit is none of REST framework's.
    let other = read(b"cbuiltins\ndict\n\x8c\x01a\x85R.").expect_err("no JSON");
    assert!(other.to_string().ends_with("builtins.dict"), "{other}");
    assert!(matches!(read(b"c__builtin__\neval\n."), Err(JobError::UnsupportedClass { .. })));
}

#[test]
fn damaged_pickles_are_refused_with_the_place() {
    let cases: [(&[u8], &str); 20] = [
        (b"", "ends too early"),
        (b".", "a value is missing"),
        (b"K", "ends too early"),
        (b"\x8c\x05ab.", "ends too early"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffab.", "ends too early"),
        (b"\x80\x06N.", "unknown protocol"),
        (b"\x95\xff\x00\x00\x00\x00\x00\x00\x00N.", "frame ends too late"),
        (b"h\x00.", "reference to nothing"),
        (b"Nq\x05.", "out of turn"),
        (b"K\x01e.", "not begun"),
        (b"N(a.", "values are missing"),
        (b"]Nb.", "what is no object"),
        (b"NK\x01a.", "takes none"),
        (b"](K\x01s.", "values are missing"),
        (b"}(K\x01u.", "without a value"),
        (b"]K\x01K\x01s.", "takes none"),
        (b"NN\x93.", "no readable name"),
        (b"cos\nsystem.", "does not end"),
        (b"P1\n.", "no job of NetBox has"),
        (b"I1\n.", "no job of NetBox has"),
    ];
    for (pickle, expected) in cases {
        let error = read(pickle).expect_err("damaged");
        assert!(
            matches!(error, JobError::BadPickle { .. }) && error.to_string().contains(expected),
            "{pickle:?}: {error}"
        );
    }
}

#[test]
fn everything_is_bounded() {
    let complex = |pickle: &[u8], what: &str| {
        let error = read(pickle).expect_err("too much");
        assert!(matches!(error, JobError::TooComplex { .. }) && error.to_string().ends_with(what), "{error}");
    };
    complex(&b"N".repeat(10_001), "steps");
    complex(&[&b"N"[..], &b"\x94".repeat(101)].concat(), "remembered values");
    complex(&b"(".repeat(2_001), "open collections");
    complex(&[&b"]".repeat(100)[..], &b"a".repeat(99), b"."].concat(), "levels of nesting");
    // A list in itself.
    complex(b"]\x94h\x00a.", "levels of nesting");
    // A dictionary in itself, by way of the call REST framework's dictionaries are.
    complex(b"}\x94\x8c\x01acbuiltins\ndict\nh\x00\x85Rs.", "levels of nesting");
    let limits = Limits { steps: 1 << 20, ..Limits::default() };
    let stack = load(&b"N".repeat(200_000), &limits).err().expect("too much");
    assert!(stack.to_string().ends_with("waiting values"), "{stack}");
}

#[test]
fn what_a_pickle_shares_may_not_grow_beyond_the_limit() {
    // Each level holds the one before ten times: 10^9 numbers out of 140 bytes.
    let mut pickle = b"]K\x01a\x94".to_vec();
    for level in 0..9 {
        pickle.extend(b"](");
        for _ in 0..10 {
            pickle.extend([b'h', level]);
        }
        pickle.extend(b"e\x94");
    }
    pickle.push(b'.');
    assert_eq!(read(&pickle), Err(JobError::TooLarge { limit: 10_000 }));
}

#[test]
fn a_packed_job_is_inflated_up_to_the_limit() {
    let zeros = packed(&vec![b'0'; 100_000]);
    let limits = Limits { inflated: 99_999, ..Limits::default() };
    assert_eq!(WebhookJob::decode_within(&zeros, &limits), Err(JobError::TooLarge { limit: 99_999 }));
    let limits = Limits { inflated: 100_000, ..limits };
    assert!(matches!(WebhookJob::decode_within(&zeros, &limits), Err(JobError::BadPickle { offset: 1, .. })));
    for damaged in [&zeros[..zeros.len() / 2], b"", b"not zlib", b"\x80\x05N."] {
        assert_eq!(WebhookJob::decode(damaged), Err(JobError::NotZlib));
    }
}

#[test]
fn a_name_twice_in_one_object_is_refused() {
    assert!(matches!(read(b"}(\x8c\x01aK\x01\x8c\x01aK\x02u."), Err(JobError::NotJson { .. })));
}
