//! The stack machine of the pickle format, protocols 2 to 5, as far as NetBox's jobs use it.
//!
//! # Source
//! Python's `Lib/pickletools.py`, which documents every opcode; PEP 307, PEP 3154 and PEP 574.

use super::super::Limits;
use super::super::error::JobError;
use super::reader::Reader;
use super::{Global, Node, NodeId, Object, Pair, Pickle, Value};

/// Values that wait at one time. Python writes collections in batches of 1000.
const MAX_STACK: usize = 1 << 17;
/// Open collections. Python's own pickler gives up at a depth of about 1000.
const MAX_MARKS: usize = 2_000;
/// Room for a usual job: it remembers some 500 values.
const USUAL: usize = 640;
const HIGHEST_PROTOCOL: u8 = 5;

/// Reads a pickle without running any of it.
pub(in super::super) fn load<'a>(data: &'a [u8], limits: &Limits) -> Result<Pickle<'a>, JobError> {
    let mut machine = Machine {
        input: Reader::new(data),
        stack: Vec::with_capacity(USUAL),
        marks: Vec::new(),
        memo: Vec::with_capacity(USUAL),
        nodes: Vec::with_capacity(USUAL),
        max_memo: limits.memo,
    };
    for _ in 0..limits.steps {
        let opcode = machine.input.byte()?;
        if opcode == op::STOP {
            let root = machine.pop()?;
            return Ok(Pickle { nodes: machine.nodes, root });
        }
        machine.step(opcode)?;
    }
    Err(JobError::TooComplex { what: "steps", limit: limits.steps })
}

struct Machine<'a> {
    input: Reader<'a>,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: Vec<Value<'a>>,
    nodes: Vec<Node<'a>>,
    max_memo: usize,
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: u8) -> Result<(), JobError> {
        match opcode {
            op::PROTO => {
                let known = self.input.byte()? <= HIGHEST_PROTOCOL;
                if known { Ok(()) } else { Err(self.bad("an unknown protocol")) }
            }
            op::FRAME => {
                let length = self.input.size::<8>()?;
                if length <= self.input.remaining() { Ok(()) } else { Err(self.bad("a frame ends too late")) }
            }
            op::MARK => self.mark(),
            op::POP => self.discard(),
            op::POP_MARK => self.pop_mark().map(drop),
            op::DUP => {
                let top = self.top()?;
                self.push(top)
            }
            op::MEMOIZE | op::BINPUT | op::LONG_BINPUT | op::BINGET | op::LONG_BINGET => self.memo(opcode),
            op::APPEND | op::APPENDS | op::ADDITEMS | op::SETITEM | op::SETITEMS => self.fill(opcode),
            op::GLOBAL | op::STACK_GLOBAL | op::REDUCE | op::NEWOBJ | op::NEWOBJ_EX | op::BUILD => self.object(opcode),
            op::NONE | op::NEWTRUE | op::NEWFALSE | op::BINFLOAT => self.atom(opcode),
            op::BININT | op::BININT1 | op::BININT2 | op::LONG1 | op::LONG4 => self.integer(opcode),
            op::SHORT_BINUNICODE | op::BINUNICODE | op::BINUNICODE8 => self.text(opcode),
            op::SHORT_BINBYTES | op::BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => self.blob(opcode),
            _ => self.collection(opcode),
        }
    }

    fn atom(&mut self, opcode: u8) -> Result<(), JobError> {
        let value = match opcode {
            op::NEWTRUE => Value::Bool(true),
            op::NEWFALSE => Value::Bool(false),
            op::BINFLOAT => Value::Float(f64::from_be_bytes(self.input.array()?)),
            _ => Value::None,
        };
        self.push(value)
    }

    fn integer(&mut self, opcode: u8) -> Result<(), JobError> {
        let value = match opcode {
            op::BININT1 => Value::Int(self.input.byte()?.into()),
            op::BININT2 => Value::Int(u16::from_le_bytes(self.input.array()?).into()),
            op::BININT => Value::Int(i32::from_le_bytes(self.input.array()?).into()),
            op::LONG1 => long(self.input.block::<1>()?),
            _ => long(self.input.block::<4>()?),
        };
        self.push(value)
    }

    fn text(&mut self, opcode: u8) -> Result<(), JobError> {
        let bytes = match opcode {
            op::SHORT_BINUNICODE => self.input.block::<1>()?,
            op::BINUNICODE => self.input.block::<4>()?,
            _ => self.input.block::<8>()?,
        };
        self.push(std::str::from_utf8(bytes).map_or(Value::BadText, Value::Str))
    }

    fn blob(&mut self, opcode: u8) -> Result<(), JobError> {
        let bytes = match opcode {
            op::SHORT_BINBYTES => self.input.block::<1>()?,
            op::BINBYTES => self.input.block::<4>()?,
            _ => self.input.block::<8>()?,
        };
        self.push(Value::Bytes(bytes))
    }

    fn collection(&mut self, opcode: u8) -> Result<(), JobError> {
        let node = match opcode {
            op::EMPTY_LIST => Node::List(Vec::new()),
            op::EMPTY_DICT => Node::Dict(Vec::new()),
            op::EMPTY_SET => Node::Set(Vec::new()),
            op::EMPTY_TUPLE => Node::Tuple(Vec::new()),
            op::TUPLE1 => Node::Tuple(self.pop_last(1)?),
            op::TUPLE2 => Node::Tuple(self.pop_last(2)?),
            op::TUPLE3 => Node::Tuple(self.pop_last(3)?),
            op::TUPLE => Node::Tuple(self.pop_mark()?),
            op::FROZENSET => Node::Set(self.pop_mark()?),
            _ => return Err(self.bad("an opcode no job of NetBox has")),
        };
        self.push_node(node)
    }

    fn object(&mut self, opcode: u8) -> Result<(), JobError> {
        match opcode {
            op::GLOBAL => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                let (Ok(module), Ok(name)) = (std::str::from_utf8(module), std::str::from_utf8(name)) else {
                    return Err(self.bad("a class has no readable name"));
                };
                self.push_node(Node::Global(Global { module, name }))
            }
            op::STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Some(module), Some(name)) = (module.as_str(), name.as_str()) else {
                    return Err(self.bad("a class has no readable name"));
                };
                self.push_node(Node::Global(Global { module, name }))
            }
            op::BUILD => self.build(),
            _ => {
                let kwargs = if opcode == op::NEWOBJ_EX { self.pop()? } else { Value::None };
                let (args, callable) = (self.pop()?, self.pop()?);
                let (pairs, items) = (Vec::new(), Vec::new());
                let object = Object { callable, args, kwargs, state: Value::None, pairs, items };
                self.push_node(Node::Object(Box::new(object)))
            }
        }
    }

    fn build(&mut self) -> Result<(), JobError> {
        let state = self.pop()?;
        match self.top_node() {
            Some(Node::Object(object)) => {
                object.state = state;
                Ok(())
            }
            _ => Err(self.bad("state for what is no object")),
        }
    }

    /// Puts what was gathered into the collection below it.
    fn fill(&mut self, opcode: u8) -> Result<(), JobError> {
        let values = match opcode {
            op::APPEND => self.pop_last(1)?,
            op::SETITEM => self.pop_last(2)?,
            _ => self.pop_mark()?,
        };
        let keyed = matches!(opcode, op::SETITEM | op::SETITEMS);
        if keyed && values.len() % 2 != 0 {
            return Err(self.bad("a key without a value"));
        }
        match (self.top_node(), keyed) {
            (Some(Node::List(items) | Node::Set(items)), false) => items.extend(values),
            (Some(Node::Object(object)), false) => object.items.extend(values),
            (Some(Node::Dict(pairs)), true) => pairs.extend(in_pairs(&values)),
            (Some(Node::Object(object)), true) => object.pairs.extend(in_pairs(&values)),
            _ => return Err(self.bad("items for what takes none")),
        }
        Ok(())
    }

    fn memo(&mut self, opcode: u8) -> Result<(), JobError> {
        let index = match opcode {
            op::MEMOIZE => self.memo.len(),
            op::BINPUT | op::BINGET => self.input.size::<1>()?,
            _ => self.input.size::<4>()?,
        };
        if matches!(opcode, op::BINGET | op::LONG_BINGET) {
            let value = *self.memo.get(index).ok_or_else(|| self.bad("a reference to nothing"))?;
            return self.push(value);
        }
        let top = self.top()?;
        if index >= self.max_memo {
            return Err(JobError::TooComplex { what: "remembered values", limit: self.max_memo });
        }
        // Python numbers them without gaps; a gap would be memory for nothing.
        if index > self.memo.len() {
            return Err(self.bad("a remembered value out of turn"));
        }
        match self.memo.get_mut(index) {
            Some(slot) => *slot = top,
            None => self.memo.push(top),
        }
        Ok(())
    }

    fn mark(&mut self) -> Result<(), JobError> {
        if self.marks.len() == MAX_MARKS {
            return Err(JobError::TooComplex { what: "open collections", limit: MAX_MARKS });
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn push_node(&mut self, node: Node<'a>) -> Result<(), JobError> {
        let id = u32::try_from(self.nodes.len()).map_err(|_| self.bad("too many values"))?;
        self.nodes.push(node);
        self.push(Value::Node(NodeId(id)))
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), JobError> {
        if self.stack.len() == MAX_STACK {
            return Err(JobError::TooComplex { what: "waiting values", limit: MAX_STACK });
        }
        self.stack.push(value);
        Ok(())
    }

    /// Where the innermost open collection begins: what lies below is not for taking.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Value<'a>, JobError> {
        let top = self.stack.get(self.floor()..).and_then(<[_]>::last);
        top.copied().ok_or_else(|| self.bad("a value is missing"))
    }

    fn top_node(&mut self) -> Option<&mut Node<'a>> {
        match self.top() {
            Ok(Value::Node(NodeId(id))) => self.nodes.get_mut(id as usize),
            _ => None,
        }
    }

    fn pop(&mut self) -> Result<Value<'a>, JobError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// POP takes a mark if nothing lies above it.
    fn discard(&mut self) -> Result<(), JobError> {
        if self.stack.len() == self.floor() && self.marks.pop().is_some() {
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn pop_last(&mut self, count: usize) -> Result<Vec<Value<'a>>, JobError> {
        let start = self.stack.len().checked_sub(count).filter(|start| *start >= self.floor());
        Ok(self.stack.split_off(start.ok_or_else(|| self.bad("values are missing"))?))
    }

    fn pop_mark(&mut self) -> Result<Vec<Value<'a>>, JobError> {
        let start = self.marks.pop().ok_or_else(|| self.bad("the end of a collection that was not begun"))?;
        Ok(self.stack.split_off(start))
    }

    fn bad(&self, what: &'static str) -> JobError {
        self.input.bad(what)
    }
}

fn in_pairs<'a>(values: &[Value<'a>]) -> impl Iterator<Item = Pair<'a>> {
    values.chunks_exact(2).map(|pair| (pair[0], pair[1]))
}

fn long(bytes: &[u8]) -> Value<'_> {
    let Some(last) = bytes.last() else { return Value::Int(0) };
    if bytes.len() > 8 {
        return Value::Long(bytes);
    }
    let mut wide = [if last & 0x80 == 0 { 0 } else { 0xff }; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(wide))
}

/// Opcodes by Python's names.
mod op {
    pub(super) const MARK: u8 = b'(';
    pub(super) const STOP: u8 = b'.';
    pub(super) const POP: u8 = b'0';
    pub(super) const POP_MARK: u8 = b'1';
    pub(super) const DUP: u8 = b'2';
    pub(super) const BINBYTES: u8 = b'B';
    pub(super) const SHORT_BINBYTES: u8 = b'C';
    pub(super) const BINFLOAT: u8 = b'G';
    pub(super) const BININT: u8 = b'J';
    pub(super) const BININT1: u8 = b'K';
    pub(super) const BININT2: u8 = b'M';
    pub(super) const NONE: u8 = b'N';
    pub(super) const REDUCE: u8 = b'R';
    pub(super) const BINUNICODE: u8 = b'X';
    pub(super) const EMPTY_LIST: u8 = b']';
    pub(super) const APPEND: u8 = b'a';
    pub(super) const BUILD: u8 = b'b';
    pub(super) const GLOBAL: u8 = b'c';
    pub(super) const APPENDS: u8 = b'e';
    pub(super) const BINGET: u8 = b'h';
    pub(super) const LONG_BINGET: u8 = b'j';
    pub(super) const BINPUT: u8 = b'q';
    pub(super) const LONG_BINPUT: u8 = b'r';
    pub(super) const SETITEM: u8 = b's';
    pub(super) const TUPLE: u8 = b't';
    pub(super) const SETITEMS: u8 = b'u';
    pub(super) const EMPTY_TUPLE: u8 = b')';
    pub(super) const EMPTY_DICT: u8 = b'}';
    pub(super) const PROTO: u8 = 0x80;
    pub(super) const NEWOBJ: u8 = 0x81;
    pub(super) const TUPLE1: u8 = 0x85;
    pub(super) const TUPLE2: u8 = 0x86;
    pub(super) const TUPLE3: u8 = 0x87;
    pub(super) const NEWTRUE: u8 = 0x88;
    pub(super) const NEWFALSE: u8 = 0x89;
    pub(super) const LONG1: u8 = 0x8a;
    pub(super) const LONG4: u8 = 0x8b;
    pub(super) const SHORT_BINUNICODE: u8 = 0x8c;
    pub(super) const BINUNICODE8: u8 = 0x8d;
    pub(super) const BINBYTES8: u8 = 0x8e;
    pub(super) const EMPTY_SET: u8 = 0x8f;
    pub(super) const ADDITEMS: u8 = 0x90;
    pub(super) const FROZENSET: u8 = 0x91;
    pub(super) const NEWOBJ_EX: u8 = 0x92;
    pub(super) const STACK_GLOBAL: u8 = 0x93;
    pub(super) const MEMOIZE: u8 = 0x94;
    pub(super) const FRAME: u8 = 0x95;
    pub(super) const BYTEARRAY8: u8 = 0x96;
}
