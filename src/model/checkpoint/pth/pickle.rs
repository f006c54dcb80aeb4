//! Pickles, protocols 0 to 5, as descriptions of data: nothing is imported, called or executed.
//!
//! What a pickle calls becomes an [`Node::Object`] of a class's name, so that classes nobody knows
//! here are no hindrance. Values are nodes of an arena, texts stay in the file's bytes, and both
//! the time and the memory are linear in the pickle.

use std::{borrow::Cow, collections::HashMap};

/// A node's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id(u32);

/// A value.
#[derive(Debug)]
pub(super) enum Node<'a> {
    /// None, and what no state dict needs the value of: floats, bytes.
    Other,
    Bool(bool),
    /// `None` where 64 bits do not hold it.
    Int(Option<i64>),
    Text(&'a [u8]),
    /// A class or function: its module and its name.
    Global(&'a [u8], &'a [u8]),
    /// A tuple, list or set.
    List(Vec<Id>),
    Dict(Vec<[Id; 2]>),
    /// What a class makes of arguments. It may be a kind of dict, with entries.
    Object {
        class: Id,
        arguments: Id,
        entries: Vec<[Id; 2]>,
    },
    /// What lies outside the pickle.
    Persistent(Id),
}

/// What a pickle holds.
pub(super) struct Pickle<'a> {
    nodes: Vec<Node<'a>>,
    root: Id,
}

/// Nodes that any pickle may have; more need more bytes in the file. A node takes up to 150 bytes
/// with its places on the stack and in the memo.
const FREE_NODES: usize = 1 << 18;
/// Bytes of a file for each node beyond.
const BYTES_PER_NODE: usize = 48;
const TOO_MANY: &str = "more values than a checkpoint of its length has";

const OTHER: Id = Id(0);
const FALSE: Id = Id(1);
const TRUE: Id = Id(2);
/// The empty tuple, which nothing is added to.
const EMPTY: Id = Id(3);

impl<'a> Pickle<'a> {
    /// Reads the pickle that `bytes` begin with, and leaves what follows it. The file of
    /// `file_bytes` that it is from says how much it may hold.
    pub(super) fn read(bytes: &mut &'a [u8], file_bytes: usize) -> Result<Self, String> {
        let nodes = vec![Node::Other, Node::Bool(false), Node::Bool(true), Node::List(Vec::new())];
        let most = FREE_NODES + file_bytes / BYTES_PER_NODE;
        let length = bytes.len();
        let mut machine = Machine { rest: bytes, nodes, most, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        let root = machine.run().map_err(|what| format!("{what} at byte {} of a pickle", length - machine.rest.len()))?;
        *bytes = machine.rest;
        Ok(Self { nodes: machine.nodes, root })
    }

    pub(super) fn root(&self) -> Id {
        self.root
    }

    pub(super) fn node(&self, id: Id) -> &Node<'a> {
        &self.nodes[id.0 as usize]
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node<'a>> {
        self.nodes.iter()
    }

    pub(super) fn text(&self, id: Id) -> Option<&'a [u8]> {
        if let Node::Text(text) = self.node(id) { Some(text) } else { None }
    }

    pub(super) fn whole(&self, id: Id) -> Option<usize> {
        if let Node::Int(Some(number)) = self.node(id) { usize::try_from(*number).ok() } else { None }
    }

    pub(super) fn list(&self, id: Id) -> Option<&[Id]> {
        if let Node::List(items) = self.node(id) { Some(items) } else { None }
    }

    /// A list of lengths.
    pub(super) fn wholes(&self, id: Id) -> Option<Vec<usize>> {
        self.list(id)?.iter().map(|&item| self.whole(item)).collect()
    }

    /// The class and the arguments of an object.
    pub(super) fn object(&self, id: Id) -> Option<(&'a [u8], &'a [u8], &[Id])> {
        let Node::Object { class, arguments, .. } = self.node(id) else { return None };
        let Node::Global(module, name) = self.node(*class) else { return None };
        Some((module, name, self.list(*arguments)?))
    }

    /// The entries of a dict, or of what a class that extends dicts makes.
    pub(super) fn entries(&self, id: Id) -> Option<Cow<'_, [[Id; 2]]>> {
        match self.node(id) {
            Node::Dict(entries) => Some(entries.into()),
            Node::Object { entries, .. } if !entries.is_empty() => Some(entries.into()),
            // Old pickles give an ordered dict its items as arguments.
            Node::Object { .. } => {
                let (_, name, arguments) = self.object(id)?;
                let &[items] = arguments else { return None };
                let pair = |&item: &Id| <[Id; 2]>::try_from(self.list(item)?).ok();
                if name == b"OrderedDict" { self.list(items)?.iter().map(pair).collect() } else { None }
            }
            _ => None,
        }
    }
}

struct Machine<'a> {
    rest: &'a [u8],
    nodes: Vec<Node<'a>>,
    /// How many nodes, places on the stack and in the memo it may have.
    most: usize,
    stack: Vec<Id>,
    /// Lengths of the stack.
    marks: Vec<u32>,
    memo: HashMap<u32, Id>,
}

const UNDERFLOW: &str = "more is taken from the stack than lies there";
const CUT_OFF: &str = "cut off";

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id, &'static str> {
        loop {
            let code = self.bytes(1)?[0];
            if self.stack.len().max(self.marks.len()).max(self.memo.len()) > self.most {
                return Err(TOO_MANY);
            }
            match code {
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len() as u32),
                b'0' => {
                    // Of a mark alone where nothing lies on it.
                    if self.marks.last().is_some_and(|&mark| mark as usize == self.stack.len()) {
                        self.marks.pop();
                    } else {
                        self.pop()?;
                    }
                }
                b'1' => drop(self.marked()?),
                b'2' => self.stack.push(*self.stack.last().ok_or(UNDERFLOW)?),
                // Numbers.
                b'F' => {
                    self.line()?;
                    self.stack.push(OTHER);
                }
                b'G' => self.other(8)?,
                b'I' | b'L' => match self.line()? {
                    b"00" if code == b'I' => self.stack.push(FALSE),
                    b"01" if code == b'I' => self.stack.push(TRUE),
                    line => {
                        let digits = line.strip_suffix(b"L").unwrap_or(line);
                        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.trim().parse().ok());
                        self.push(Node::Int(number))?;
                    }
                },
                b'J' => {
                    let number = i64::from(self.number(4)? as u32 as i32);
                    self.push(Node::Int(Some(number)))?;
                }
                b'K' | b'M' => {
                    let number = self.number(if code == b'K' { 1 } else { 2 })?;
                    self.push(Node::Int(Some(number as i64)))?;
                }
                0x8a | 0x8b => {
                    let bytes = self.counted(if code == 0x8a { 1 } else { 4 })?;
                    let number = match bytes {
                        [] => Some(0),
                        [.., last] if bytes.len() <= 8 => {
                            let mut number = [if last & 0x80 == 0 { 0 } else { 0xff }; 8];
                            number[..bytes.len()].copy_from_slice(bytes);
                            Some(i64::from_le_bytes(number))
                        }
                        _ => None,
                    };
                    self.push(Node::Int(number))?;
                }
                b'N' => self.stack.push(OTHER),
                0x88 => self.stack.push(TRUE),
                0x89 => self.stack.push(FALSE),
                // Texts.
                b'S' => {
                    let line = self.line()?;
                    let quoted = |quote: u8| line.strip_prefix(&[quote])?.strip_suffix(&[quote]);
                    let text = quoted(b'\'').or_else(|| quoted(b'"')).ok_or("a text without quotes")?;
                    self.push(Node::Text(text))?;
                }
                b'V' => {
                    let text = self.line()?;
                    self.push(Node::Text(text))?;
                }
                b'T' | b'U' | b'X' | 0x8c | 0x8d => {
                    let text = self.counted(match code {
                        b'U' | 0x8c => 1,
                        0x8d => 8,
                        _ => 4,
                    })?;
                    self.push(Node::Text(text))?;
                }
                // Bytes.
                b'B' | b'C' | 0x8e | 0x96 => {
                    self.counted(match code {
                        b'C' => 1,
                        b'B' => 4,
                        _ => 8,
                    })?;
                    self.stack.push(OTHER);
                }
                0x97 => self.stack.push(OTHER),
                // Lists, tuples and sets.
                b')' => self.stack.push(EMPTY),
                b']' | 0x8f => self.push(Node::List(Vec::new()))?,
                b't' | b'l' | 0x91 => {
                    let items = self.marked()?;
                    self.push(Node::List(items))?;
                }
                0x85..=0x87 => {
                    let items = self.taken(usize::from(code - 0x84))?;
                    self.push(Node::List(items))?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' | 0x90 => {
                    let items = self.marked()?;
                    self.append(items)?;
                }
                // Dicts.
                b'}' => self.push(Node::Dict(Vec::new()))?,
                b'd' => {
                    let entries = self.marked()?;
                    self.push(Node::Dict(Vec::new()))?;
                    self.set(&entries)?;
                }
                b's' => {
                    let entry = self.taken(2)?;
                    self.set(&entry)?;
                }
                b'u' => {
                    let entries = self.marked()?;
                    self.set(&entries)?;
                }
                // Classes and what they make.
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Node::Global(module, name))?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (Node::Text(module), Node::Text(name)) = (self.node(module), self.node(name)) else {
                        return Err("a class whose name is no text");
                    };
                    let global = Node::Global(module, name);
                    self.push(global)?;
                }
                0x82..=0x84 => self.other(1 << (code - 0x82))?,
                b'R' | 0x81 => {
                    let (arguments, class) = (self.pop()?, self.pop()?);
                    self.push(Node::Object { class, arguments, entries: Vec::new() })?;
                }
                0x92 => {
                    let (_named, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                    self.push(Node::Object { class, arguments, entries: Vec::new() })?;
                }
                b'i' => {
                    let (module, name) = (self.line()?, self.line()?);
                    let items = self.marked()?;
                    self.push(Node::Global(module, name))?;
                    let class = self.pop()?;
                    self.push(Node::List(items))?;
                    let arguments = self.pop()?;
                    self.push(Node::Object { class, arguments, entries: Vec::new() })?;
                }
                b'o' => {
                    let mut items = self.marked()?;
                    if items.is_empty() {
                        return Err(UNDERFLOW);
                    }
                    let class = items.remove(0);
                    self.push(Node::List(items))?;
                    let arguments = self.pop()?;
                    self.push(Node::Object { class, arguments, entries: Vec::new() })?;
                }
                // An object's attributes are not part of a state dict.
                b'b' => drop(self.pop()?),
                b'P' => {
                    self.line()?;
                    self.stack.push(OTHER);
                }
                b'Q' => {
                    let id = self.pop()?;
                    self.push(Node::Persistent(id))?;
                }
                // What is used again.
                b'p' | b'g' => {
                    let number = std::str::from_utf8(self.line()?).ok().and_then(|line| line.trim().parse().ok());
                    let at = number.ok_or("a place that is no number")?;
                    if code == b'p' { self.keep(at)? } else { self.recall(at)? }
                }
                b'q' | b'h' | b'r' | b'j' => {
                    let at = self.number(if matches!(code, b'q' | b'h') { 1 } else { 4 })? as u32;
                    if matches!(code, b'q' | b'r') { self.keep(at)? } else { self.recall(at)? }
                }
                0x94 => self.keep(self.memo.len() as u32)?,
                // Its version, the length of what follows, and that bytes are not to be changed.
                0x80 => drop(self.bytes(1)?),
                0x95 => drop(self.bytes(8)?),
                0x98 => {}
                _ => return Err("an operation that no pickle has"),
            }
        }
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(CUT_OFF)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A little-endian number of so many bytes.
    fn number(&mut self, bytes: usize) -> Result<u64, &'static str> {
        Ok(self.bytes(bytes)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// Bytes behind their count, a number of so many bytes.
    fn counted(&mut self, bytes: usize) -> Result<&'a [u8], &'static str> {
        let count = self.number(bytes)?;
        self.bytes(usize::try_from(count).map_err(|_| CUT_OFF)?)
    }

    fn line(&mut self) -> Result<&'a [u8], &'static str> {
        let end = self.rest.iter().position(|&byte| byte == b'\n').ok_or(CUT_OFF)?;
        let line = self.bytes(end)?;
        self.bytes(1)?;
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn node(&self, id: Id) -> &Node<'a> {
        &self.nodes[id.0 as usize]
    }

    fn push(&mut self, node: Node<'a>) -> Result<(), &'static str> {
        if self.nodes.len() >= self.most {
            return Err(TOO_MANY);
        }
        self.stack.push(Id(self.nodes.len() as u32));
        self.nodes.push(node);
        Ok(())
    }

    /// A value of so many bytes that nobody asks for.
    fn other(&mut self, bytes: usize) -> Result<(), &'static str> {
        self.bytes(bytes)?;
        self.stack.push(OTHER);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, &'static str> {
        // What lies under a mark is taken with the mark.
        let free = self.marks.last().map_or(0, |&mark| mark as usize);
        if self.stack.len() > free { self.stack.pop().ok_or(UNDERFLOW) } else { Err(UNDERFLOW) }
    }

    /// What lies above the last mark.
    fn marked(&mut self) -> Result<Vec<Id>, &'static str> {
        let mark = self.marks.pop().ok_or("a mark is missing")? as usize;
        Ok(self.stack.drain(mark..).collect())
    }

    /// The last so many, none of which lies under a mark.
    fn taken(&mut self, count: usize) -> Result<Vec<Id>, &'static str> {
        let free = self.marks.last().map_or(0, |&mark| mark as usize);
        let at = self.stack.len().checked_sub(count).filter(|&at| at >= free).ok_or(UNDERFLOW)?;
        Ok(self.stack.drain(at..).collect())
    }

    fn top(&mut self) -> Result<&mut Node<'a>, &'static str> {
        match self.stack.last() {
            None => Err(UNDERFLOW),
            Some(&EMPTY) => Err("items of a tuple"),
            Some(top) => Ok(&mut self.nodes[top.0 as usize]),
        }
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), &'static str> {
        match self.top()? {
            Node::List(list) => list.extend(items),
            // Of a class that extends lists, such as a deque: no state dict.
            Node::Object { .. } | Node::Other => {}
            _ => return Err("items of what is no list"),
        }
        Ok(())
    }

    /// Keys and values, in turns.
    fn set(&mut self, items: &[Id]) -> Result<(), &'static str> {
        let (pairs, rest) = items.as_chunks::<2>();
        match self.top()? {
            _ if !rest.is_empty() => return Err("a key without a value"),
            Node::Dict(entries) | Node::Object { entries, .. } => entries.extend(pairs),
            Node::Other => {}
            _ => return Err("entries of what is no dict"),
        }
        Ok(())
    }

    fn keep(&mut self, at: u32) -> Result<(), &'static str> {
        let top = *self.stack.last().ok_or(UNDERFLOW)?;
        self.memo.insert(at, top);
        Ok(())
    }

    fn recall(&mut self, at: u32) -> Result<(), &'static str> {
        let kept = *self.memo.get(&at).ok_or("a value that was never kept")?;
        self.stack.push(kept);
        Ok(())
    }
}
