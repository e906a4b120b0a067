//! What a pickle says, as plain values. Nothing in it is imported or called: an object is what would have been called,
//! with which arguments and which state.

mod machine;
mod reader;

pub(super) use machine::load;

/// A value borrows its text from the pickle. Deliberately not `Debug`: pickles of jobs hold secrets.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bit: two's complement, least significant byte first, more than 8 bytes.
    Long(&'a [u8]),
    Float(f64),
    Str(&'a str),
    /// A text that is not UTF-8 (Python writes lone surrogates); harmless where nobody looks at it.
    BadText,
    Bytes(&'a [u8]),
    /// Anything that has parts, or that others may refer to.
    Node(NodeId),
}

impl<'a> Value<'a> {
    pub(super) fn as_str(self) -> Option<&'a str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_int(self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(int),
            _ => None,
        }
    }

    pub(super) fn is_none(self) -> bool {
        matches!(self, Self::None)
    }
}

/// Place in [`Pickle::nodes`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(u32);

pub(super) type Pair<'a> = (Value<'a>, Value<'a>);

pub(super) enum Node<'a> {
    List(Vec<Value<'a>>),
    Tuple(Vec<Value<'a>>),
    Set(Vec<Value<'a>>),
    Dict(Vec<Pair<'a>>),
    Global(Global<'a>),
    Object(Box<Object<'a>>),
}

/// A class or function by name.
#[derive(Clone, Copy)]
pub(super) struct Global<'a> {
    pub(super) module: &'a str,
    pub(super) name: &'a str,
}

/// The result of a call that is not made: `callable(*args, **kwargs)`, then items and state put into it.
pub(super) struct Object<'a> {
    pub(super) callable: Value<'a>,
    pub(super) args: Value<'a>,
    pub(super) kwargs: Value<'a>,
    pub(super) state: Value<'a>,
    pub(super) pairs: Vec<Pair<'a>>,
    pub(super) items: Vec<Value<'a>>,
}

pub(super) struct Pickle<'a> {
    nodes: Vec<Node<'a>>,
    root: Value<'a>,
}

impl<'a> Pickle<'a> {
    pub(super) fn root(&self) -> Value<'a> {
        self.root
    }

    pub(super) fn node(&self, value: Value<'a>) -> Option<&Node<'a>> {
        match value {
            Value::Node(NodeId(id)) => self.nodes.get(id as usize),
            _ => None,
        }
    }

    pub(super) fn object(&self, value: Value<'a>) -> Option<&Object<'a>> {
        match self.node(value)? {
            Node::Object(object) => Some(object),
            _ => None,
        }
    }

    pub(super) fn dict(&self, value: Value<'a>) -> Option<&[Pair<'a>]> {
        match self.node(value)? {
            Node::Dict(pairs) => Some(pairs),
            _ => None,
        }
    }

    pub(super) fn list(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match self.node(value)? {
            Node::List(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match self.node(value)? {
            Node::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// What the object would be made by; `None` if that is not a plain name.
    pub(super) fn class(&self, object: &Object<'a>) -> Option<Global<'a>> {
        self.global(object.callable)
    }

    pub(super) fn global(&self, value: Value<'a>) -> Option<Global<'a>> {
        match self.node(value)? {
            Node::Global(global) => Some(*global),
            _ => None,
        }
    }

    /// An entry of a dictionary; the last of that name, as in Python.
    pub(super) fn get(&self, dict: Value<'a>, key: &str) -> Option<Value<'a>> {
        find(self.dict(dict)?, key)
    }

    /// An attribute of an object, as its state gives it.
    pub(super) fn attribute(&self, object: Value<'a>, name: &str) -> Option<Value<'a>> {
        self.get(self.object(object)?.state, name)
    }
}

pub(super) fn find<'a>(pairs: &[Pair<'a>], key: &str) -> Option<Value<'a>> {
    pairs.iter().rev().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| *value)
}
