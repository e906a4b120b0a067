//! Which characters Python takes for one another under `(?i)`.
//!
//! Python compares simple lower-case mappings and adds letters that share an upper case, so `(?i)i` matches `İ` and
//! `ı`; Rust's regular expressions fold by another table. A letter in ignore-case parts therefore becomes the set of
//! its cases here, and a letter whose set is not certain is refused.

/// Letters with more than one lower and one upper case, or with an irregular pair (Unicode 15).
const GROUPS: [&str; 29] = [
    "Ii\u{130}\u{131}",
    "Kk\u{212A}",
    "Ss\u{17F}",
    "\u{B5}\u{39C}\u{3BC}",
    "\u{C5}\u{E5}\u{212B}",
    "\u{DF}\u{1E9E}",
    "\u{1C4}\u{1C5}\u{1C6}",
    "\u{1C7}\u{1C8}\u{1C9}",
    "\u{1CA}\u{1CB}\u{1CC}",
    "\u{1F1}\u{1F2}\u{1F3}",
    "\u{345}\u{399}\u{3B9}\u{1FBE}",
    "\u{392}\u{3B2}\u{3D0}",
    "\u{395}\u{3B5}\u{3F5}",
    "\u{398}\u{3B8}\u{3D1}\u{3F4}",
    "\u{39A}\u{3BA}\u{3F0}",
    "\u{3A0}\u{3C0}\u{3D6}",
    "\u{3A1}\u{3C1}\u{3F1}",
    "\u{3A3}\u{3C2}\u{3C3}",
    "\u{3A6}\u{3C6}\u{3D5}",
    "\u{3A9}\u{3C9}\u{2126}",
    "\u{412}\u{432}\u{1C80}",
    "\u{414}\u{434}\u{1C81}",
    "\u{41E}\u{43E}\u{1C82}",
    "\u{421}\u{441}\u{1C83}",
    "\u{422}\u{442}\u{1C84}\u{1C85}",
    "\u{42A}\u{44A}\u{1C86}",
    "\u{462}\u{463}\u{1C87}",
    "\u{1C88}\u{A64A}\u{A64B}",
    "\u{1E60}\u{1E61}\u{1E9B}",
];

/// Returns all characters equal to `letter` when case is ignored, itself included; `None` when that is not certain.
pub(super) fn cases(letter: char, ascii: bool) -> Option<Vec<char>> {
    if ascii {
        let swapped =
            if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
        return Some(distinct(letter, swapped));
    }
    if let Some(group) = GROUPS.iter().find(|group| group.contains(letter)) {
        return Some(group.chars().collect());
    }
    let lower = only(letter.to_lowercase())?;
    let upper = only(lower.to_uppercase())?;
    let paired = only(upper.to_lowercase()) == Some(lower) && (letter == lower || letter == upper);
    paired.then(|| distinct(lower, upper))
}

fn distinct(one: char, other: char) -> Vec<char> {
    if one == other { vec![one] } else { vec![one, other] }
}

fn only(mut chars: impl Iterator<Item = char>) -> Option<char> {
    let first = chars.next()?;
    chars.next().is_none().then_some(first)
}
