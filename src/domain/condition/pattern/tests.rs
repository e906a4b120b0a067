//! Patterns that Python and the engine below read differently, and those that are refused.

use super::{GivenUp, MAX_PATTERN, MAX_TEXT, Pattern};

fn compiled(pattern: &str) -> Pattern {
    Pattern::new(pattern).unwrap_or_else(|error| panic!("{pattern:?} is supported: {error}"))
}

fn refusal(pattern: &str) -> String {
    match Pattern::new(pattern) {
        Ok(_) => panic!("{pattern:?} is accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn patterns_match_as_in_python() {
    let table = [
        ("b", "ab", false),
        ("", "ab", true),
        ("a|b", "xb", false),
        ("a$", "a\n", true),
        ("a$", "a\n\n", false),
        (r"a\Z", "a\n", false),
        ("(?m)a$\n^b", "a\nb", true),
        ("(?:a$|b)\n", "a\n", true),
        (".", "\n", false),
        ("(?s).", "\n", true),
        (r"\w", "\u{301}", false),
        (r"\w", "²", true),
        (r"\s", "\u{1c}", true),
        (r"\d", "٣", true),
        (r"(?a)\d", "٣", false),
        (r"a\b²", "a²", false),
        ("(?i)i", "İ", true),
        ("(?i)[k-k]", "\u{212A}", true),
        ("(?i)STRASSE", "straße", false),
        ("(?i)MÜNCHEN", "münchen", true),
        (r"(\w)\1", "aa", true),
        (r"(?P<x>\w)-(?P=x)", "a-b", false),
        (r"\141", "a", true),
        (r"\x61\u0062\U00000063", "abc", true),
        ("a{,2}b", "aab", true),
        ("a{x}", "a{x}", true),
        ("[]a]", "]", true),
        ("[a&&b]", "&", true),
        ("[*-.]", "+", true),
        ("(?x) a  b # c\n c", "abc", true),
        ("a(?#comment)+b", "aab", true),
        ("a++a", "aaa", false),
        ("(?>a|ab)c", "abc", false),
        ("(b+?)*+(?=a)", "bbba", true),
        ("(?<=a)b", "ab", false),
        ("a(?<=a)b", "ab", true),
        (r"\B", "", false),
    ];
    for (pattern, text, expected) in table {
        assert_eq!(compiled(pattern).matches(text), Ok(expected), "{pattern:?} on {text:?}");
    }
}

#[test]
fn what_cannot_be_carried_over_is_refused_and_named() {
    let table = [
        ("(a)?(?(1)b|c)", "a conditional, `(?(1)...)`, is not supported (at character 7)"),
        (r"\N{DIGIT ONE}", r"`\N{...}` is not supported"),
        (r"\ud800", "no character has this code"),
        ("(?=a)*", "repeating what takes no character"),
        ("(a|ab){2,}+", "a possessive count of a group is not supported"),
        (r"(?:(a)|b)*\1", "a reference to group 1 from outside of the repeat"),
        (r"(?i)(a)\1", "a reference to a group under `(?i)` is not supported"),
        (r"(a)(?<=\1)", "a reference to a group in a look-behind is not supported"),
        ("(?i)ŉ", "`ŉ` under `(?i)` is not supported"),
        ("(?i)[一-龥]", "a class of more than 2048 characters under `(?i)` is not supported"),
        ("a{1001}", "more than 1000 repetitions are not supported"),
        (r"\w{200}", "the pattern is too large"),
        ("(?<=a*)b", "a look-behind must have a fixed width"),
        ("(?<name>a)", "Python writes a named group `(?P<name>...)`"),
        ("a(?i)", "flags for the whole pattern stand at its very start"),
        (r"a\z", r"Python 3.12 has no `\z`"),
        (r"\p{L}", r"`\p` has no meaning in Python's patterns"),
        (r"(a\1)", "group 1 is referred to from inside itself"),
        (r"\1", "there is no group 1 before this place"),
        ("a**", "a repeat of a repeat"),
        ("*", "nothing to repeat"),
        ("[b-a]", "the range `b-a` runs backwards"),
        ("[a", "a `[` without its `]`"),
        ("a)", "a `)` without its `(`"),
        ("(?L)a", "`L` is not supported as a flag here"),
    ];
    for (pattern, expected) in table {
        let said = refusal(pattern);
        assert!(said.starts_with(expected), "{pattern:?}: {said:?} should begin with {expected:?}");
    }
}

#[test]
fn patterns_are_bounded() {
    compiled(&"a".repeat(MAX_PATTERN));
    assert!(refusal(&"a".repeat(MAX_PATTERN + 1)).starts_with("a pattern has at most 1000 characters"));
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    compiled(&nested(23));
    assert!(refusal(&nested(24)).starts_with("groups are nested more than 23 deep"));
    assert!(refusal("(?:(?:a{1000}){1000}){1000}").starts_with("the pattern is too large"));
}

#[test]
fn a_runaway_pattern_is_given_up() {
    let runaway = compiled(r"(?:a|aa)+(?!c)\b(?=d)");
    assert_eq!(runaway.matches(&"a".repeat(5_000)), Err(GivenUp::TooManySteps));
    assert_eq!(runaway.matches("aad"), Ok(false));
}

#[test]
fn a_pattern_is_not_run_on_an_endless_text() {
    let pattern = compiled("(?s).*b");
    assert_eq!(pattern.matches(&"a".repeat(MAX_TEXT)), Ok(false));
    assert_eq!(pattern.matches(&"a".repeat(MAX_TEXT + 1)), Err(GivenUp::TextTooLong));
}
