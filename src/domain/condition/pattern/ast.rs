//! A regular expression of Python's `re` as a tree, its flags already resolved.

/// One part of a pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Empty,
    Char(char),
    Set(CharSet),
    /// `.`, which takes a newline only under `(?s)`.
    Any {
        newline: bool,
    },
    Anchor(Anchor),
    /// A group; with a number when it captures.
    Group {
        number: Option<usize>,
        body: Box<Node>,
    },
    Look {
        behind: bool,
        negative: bool,
        body: Box<Node>,
    },
    Atomic(Box<Node>),
    Repeat(Repeat),
    Reference(usize),
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
}

/// `*`, `+`, `?` or `{m,n}` behind a part.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Repeat {
    pub body: Box<Node>,
    pub min: u32,
    /// `None`: without end.
    pub max: Option<u32>,
    pub greed: Greed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greed {
    Greedy,
    Lazy,
    Possessive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// `\A`, and `^` without `(?m)`.
    TextStart,
    /// `^` under `(?m)`.
    LineStart,
    /// `\Z`.
    TextEnd,
    /// `$` without `(?m)`: the end, or before a newline that ends the text.
    TextEndOrNewline,
    /// `$` under `(?m)`.
    LineEnd,
    /// `\b`, or `\B` when `inside`.
    Word { inside: bool, ascii: bool },
}

/// `\d`, `\w`, `\s`, or the opposite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Category {
    pub kind: Kind,
    pub negated: bool,
    pub ascii: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Digit,
    Word,
    Space,
}

/// `[...]`, a category, or a letter in all its cases.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CharSet {
    pub negated: bool,
    pub ranges: Vec<(char, char)>,
    pub categories: Vec<Category>,
}

impl Node {
    /// Returns the fewest and the most characters this part consumes; `None` is without end.
    pub(super) fn width(&self) -> (u64, Option<u64>) {
        match self {
            Node::Empty | Node::Anchor(_) | Node::Look { .. } => (0, Some(0)),
            Node::Char(_) | Node::Set(_) | Node::Any { .. } => (1, Some(1)),
            Node::Group { body, .. } | Node::Atomic(body) => body.width(),
            Node::Repeat(repeat) => repeat.width(),
            // Whatever its group took, so anything.
            Node::Reference(_) => (0, None),
            Node::Sequence(parts) => parts.iter().map(Node::width).fold((0, Some(0)), |sum, part| {
                (sum.0.saturating_add(part.0), sum.1.zip(part.1).map(|(a, b)| a.saturating_add(b)))
            }),
            Node::Choice(branches) => branches
                .iter()
                .map(Node::width)
                .reduce(|one, other| (one.0.min(other.0), one.1.zip(other.1).map(|(a, b)| a.max(b))))
                .unwrap_or((0, Some(0))),
        }
    }
}

impl Repeat {
    fn width(&self) -> (u64, Option<u64>) {
        let (least, most) = self.body.width();
        let most = match (most, self.max) {
            (Some(0), _) => Some(0),
            // `{0}` counts as up to once: a look-behind with such a part is not taken below.
            (Some(most), Some(max)) => Some(most.saturating_mul(u64::from(max.max(1)))),
            _ => None,
        };
        (least.saturating_mul(u64::from(self.min)), most)
    }
}
