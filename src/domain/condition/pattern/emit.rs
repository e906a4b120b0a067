//! Writes a parsed pattern in the syntax of `fancy-regex`, relying on none of its flags and shorthands.
//!
//! Its `\w`, `\s`, `\b`, `$` and `\Z` mean something else than Python's, so everything is spelled out.

use std::fmt::Write as _;

use super::ast::{Anchor, Category, CharSet, Greed, Kind, Node, Repeat};

/// Python's `\w`: letters and numbers of any kind and the underscore, but no marks.
const WORD: &str = r"\p{L}\p{N}_";
/// `str.isspace`, as ranges of code points.
const SPACE: &str =
    r"\x{9}-\x{d}\x{1c}-\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}";
const ASCII_WORD: &str = "a-zA-Z0-9_";
const ASCII_SPACE: &str = r"\x{9}-\x{d}\x{20}";

/// Returns the whole pattern, which matches at the start of a text only.
pub(super) fn whole(node: &Node) -> String {
    let mut out = String::from(r"\A(?:");
    match node {
        Node::Choice(branches) => {
            for (index, branch) in branches.iter().enumerate() {
                if index > 0 {
                    out.push('|');
                }
                last_branch(&mut out, branch);
            }
        }
        _ => last_branch(&mut out, node),
    }
    out.push(')');
    out
}

/// Writes a branch behind which nothing follows: a final `$` may then take the newline, which needs no look-ahead and
/// so leaves the whole to the engine that runs in linear time.
fn last_branch(out: &mut String, branch: &Node) {
    const END: &str = r"\x{a}?\z";
    match branch {
        Node::Anchor(Anchor::TextEndOrNewline) => out.push_str(END),
        Node::Sequence(parts) => match parts.split_last() {
            Some((Node::Anchor(Anchor::TextEndOrNewline), before)) => {
                before.iter().for_each(|part| node(out, part));
                out.push_str(END);
            }
            _ => node(out, branch),
        },
        _ => node(out, branch),
    }
}

fn node(out: &mut String, part: &Node) {
    match part {
        Node::Empty => out.push_str("(?:)"),
        Node::Char(c) => char(out, *c),
        Node::Set(set) => char_set(out, set),
        Node::Any { newline: true } => out.push_str("(?s:.)"),
        Node::Any { newline: false } => out.push_str(r"[^\x{a}]"),
        Node::Anchor(at) => anchor(out, *at),
        Node::Group { number: Some(_), body } => wrapped(out, "(", body),
        Node::Group { number: None, body } => wrapped(out, "(?:", body),
        Node::Look { behind: false, negative: false, body } => wrapped(out, "(?=", body),
        Node::Look { behind: false, negative: true, body } => wrapped(out, "(?!", body),
        Node::Look { behind: true, negative: false, body } => wrapped(out, "(?<=", body),
        Node::Look { behind: true, negative: true, body } => wrapped(out, "(?<!", body),
        Node::Atomic(body) => wrapped(out, "(?>", body),
        Node::Repeat(times) => repeat(out, times),
        // Enclosed, so that a digit that follows is not taken for a part of the number.
        Node::Reference(group) => put(out, format_args!(r"(?:\{group})")),
        Node::Sequence(parts) => parts.iter().for_each(|part| node(out, part)),
        Node::Choice(branches) => {
            for (index, branch) in branches.iter().enumerate() {
                if index > 0 {
                    out.push('|');
                }
                node(out, branch);
            }
        }
    }
}

fn wrapped(out: &mut String, open: &str, body: &Node) {
    out.push_str(open);
    node(out, body);
    out.push(')');
}

fn repeat(out: &mut String, times: &Repeat) {
    if times.greed == Greed::Possessive {
        out.push_str("(?>");
    }
    match &*times.body {
        single @ (Node::Char(_) | Node::Set(_) | Node::Any { .. } | Node::Group { .. }) => node(out, single),
        other => wrapped(out, "(?:", other),
    }
    match (times.min, times.max) {
        (0, None) => out.push('*'),
        (1, None) => out.push('+'),
        (0, Some(1)) => out.push('?'),
        (min, None) => put(out, format_args!("{{{min},}}")),
        (min, Some(max)) => put(out, format_args!("{{{min},{max}}}")),
    }
    match times.greed {
        Greed::Greedy => {}
        Greed::Lazy => out.push('?'),
        Greed::Possessive => out.push(')'),
    }
}

fn anchor(out: &mut String, at: Anchor) {
    match at {
        Anchor::TextStart => out.push_str(r"\A"),
        Anchor::LineStart => out.push_str("(?m:^)"),
        Anchor::TextEnd => out.push_str(r"\z"),
        Anchor::TextEndOrNewline => out.push_str(r"(?=\x{a}?\z)"),
        Anchor::LineEnd => out.push_str("(?m:$)"),
        Anchor::Word { inside, ascii } => {
            let word = if ascii { ASCII_WORD } else { WORD };
            if inside {
                // Python up to 3.13 finds no `\B` in an empty text.
                put(out, format_args!(r"(?:(?<=[{word}])(?=[{word}])|(?<![{word}])(?![{word}])(?!\A\z))"));
            } else {
                put(out, format_args!("(?:(?<=[{word}])(?![{word}])|(?<![{word}])(?=[{word}]))"));
            }
        }
    }
}

fn char_set(out: &mut String, set: &CharSet) {
    out.push_str(if set.negated { "[^" } else { "[" });
    for (first, last) in &set.ranges {
        char(out, *first);
        if last > first {
            out.push('-');
            char(out, *last);
        }
    }
    for category in &set.categories {
        let members = members(*category);
        if category.negated {
            put(out, format_args!("[^{members}]"));
        } else {
            out.push_str(members);
        }
    }
    out.push(']');
}

fn members(category: Category) -> &'static str {
    match (category.kind, category.ascii) {
        (Kind::Digit, false) => r"\p{Nd}",
        (Kind::Digit, true) => "0-9",
        (Kind::Word, false) => WORD,
        (Kind::Word, true) => ASCII_WORD,
        (Kind::Space, false) => SPACE,
        (Kind::Space, true) => ASCII_SPACE,
    }
}

fn char(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() {
        out.push(c);
    } else {
        put(out, format_args!(r"\x{{{:x}}}", u32::from(c)));
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string cannot fail");
}
