//! The protobuf messages of an ONNX file, as far as an importer reads them. Texts and weights stay
//! where they are in the file.
//!
//! Format: `onnx/onnx.proto`, and protobuf's wire format. Memory is bounded by the length of the
//! file: what there may be many of is counted.

use std::{iter::repeat_n, sync::Arc};

/// More nodes, attributes, tensors, their names and numbers than any mobile network has, altogether.
/// The values of tensors are not among them.
const MOST: usize = 1 << 18;

/// A field of a message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// The bytes of a fixed-width number.
    Fixed(u64),
}

/// The fields of a message, in their order.
struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let key = self.number()?;
        let field = match key & 7 {
            0 => Field::Number(self.number()?),
            1 => Field::Fixed(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let count = self.number()?;
                Field::Bytes(self.take(usize::try_from(count).ok()?)?)
            }
            5 => Field::Fixed(u32::from_le_bytes(self.take(4)?.try_into().ok()?).into()),
            _ => return None,
        };
        Some((key >> 3, field))
    }

    /// The next field; an error where the message is damaged.
    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, String> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        self.field().map(Some).ok_or_else(|| "cut off or damaged".into())
    }
}

/// Calls `each` for every field.
fn each<'a>(bytes: &'a [u8], mut each: impl FnMut(u64, Field<'a>) -> Result<(), String>) -> Result<(), String> {
    let mut fields = Fields { bytes };
    while let Some((number, field)) = fields.next()? {
        each(number, field)?;
    }
    Ok(())
}

impl<'a> Field<'a> {
    fn bytes(&self) -> Result<&'a [u8], String> {
        if let Field::Bytes(bytes) = self { Ok(bytes) } else { Err("damaged: a number where a message should be".into()) }
    }

    fn text(&self) -> Result<&'a str, String> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "damaged: a name is not UTF-8".into())
    }

    fn whole(&self) -> i64 {
        if let Field::Number(number) = self { *number as i64 } else { 0 }
    }

    fn float(&self) -> f32 {
        if let Field::Fixed(bits) = self { f32::from_bits(*bits as u32) } else { 0.0 }
    }

    /// Hands over a repeated number, packed or not.
    fn wholes(&self, mut take: impl FnMut(i64) -> Result<(), String>) -> Result<(), String> {
        let Field::Bytes(bytes) = self else { return take(self.whole()) };
        let mut packed = Fields { bytes };
        while !packed.bytes.is_empty() {
            take(packed.number().ok_or("cut off or damaged")? as i64)?;
        }
        Ok(())
    }

    fn floats(&self, mut take: impl FnMut(f32) -> Result<(), String>) -> Result<(), String> {
        let Field::Bytes(bytes) = self else { return take(self.float()) };
        bytes.as_chunks().0.iter().try_for_each(|bytes| take(f32::from_le_bytes(*bytes)))
    }
}

/// How many more things a file may hold.
struct Room(usize);

impl Room {
    fn add<T>(&mut self, to: &mut Vec<T>, item: T) -> Result<(), String> {
        self.0 = self.0.checked_sub(1).ok_or_else(|| format!("more than {MOST} nodes, tensors, attributes, names and sides"))?;
        to.push(item);
        Ok(())
    }
}

/// A file.
pub(super) struct Model<'a> {
    /// Version of ONNX's own operators.
    pub opset: i64,
    pub graph: Graph<'a>,
    /// The file's length in bytes.
    pub length: usize,
}

#[derive(Default)]
pub(super) struct Graph<'a> {
    pub nodes: Vec<Node<'a>>,
    pub initializers: Vec<Tensor<'a>>,
    pub inputs: Vec<ValueInfo<'a>>,
    pub outputs: Vec<ValueInfo<'a>>,
}

#[derive(Default)]
pub(super) struct Node<'a> {
    pub name: &'a str,
    pub op: &'a str,
    pub domain: &'a str,
    pub inputs: Vec<&'a str>,
    pub outputs: Vec<&'a str>,
    attributes: Vec<Attribute<'a>>,
}

#[derive(Default)]
struct Attribute<'a> {
    name: &'a str,
    float: f32,
    whole: i64,
    text: &'a [u8],
    tensor: Option<Box<Tensor<'a>>>,
    floats: Vec<f32>,
    wholes: Vec<i64>,
}

#[derive(Default, Clone)]
pub(super) struct Tensor<'a> {
    pub name: &'a str,
    pub dims: Vec<i64>,
    pub kind: i64,
    pub raw: &'a [u8],
    /// All of its message, and how many of its values are fields there.
    message: &'a [u8],
    floats: usize,
    wholes: usize,
    pub doubles: &'a [u8],
    /// Where its bytes are, if not in this file: `location`, `offset`, `length`.
    pub external: Vec<(&'a str, &'a str)>,
}

#[derive(Default)]
pub(super) struct ValueInfo<'a> {
    pub name: &'a str,
    pub kind: i64,
    /// `None` where the length is open.
    pub dims: Vec<Option<usize>>,
    pub has_shape: bool,
}

impl<'a> Model<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let (mut opset, mut graph, mut room) = (0, None, Room(MOST));
        each(bytes, |number, field| {
            match number {
                7 => graph = Some(Graph::parse(field.bytes()?, &mut room)?),
                8 => {
                    let (mut domain, mut version) = ("", 0);
                    each(field.bytes()?, |number, field| {
                        match number {
                            1 => domain = field.text()?,
                            2 => version = field.whole(),
                            _ => {}
                        }
                        Ok(())
                    })?;
                    if matches!(domain, "" | "ai.onnx") {
                        opset = version;
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        let graph = graph.ok_or("no ONNX file: it holds no graph")?;
        if opset < 1 {
            return Err("no ONNX file: it names no version of ONNX's operators".into());
        }
        Ok(Self { opset, graph, length: bytes.len() })
    }
}

impl<'a> Graph<'a> {
    fn parse(bytes: &'a [u8], room: &mut Room) -> Result<Self, String> {
        let mut graph = Self::default();
        each(bytes, |number, field| match number {
            1 => {
                let node = Node::parse(field.bytes()?, room)?;
                room.add(&mut graph.nodes, node)
            }
            5 => {
                let tensor = Tensor::parse(field.bytes()?, room)?;
                room.add(&mut graph.initializers, tensor)
            }
            11 | 12 => {
                let info = ValueInfo::parse(field.bytes()?, room)?;
                room.add(if number == 11 { &mut graph.inputs } else { &mut graph.outputs }, info)
            }
            15 => Err("it holds sparse tensors, which are not read".into()),
            _ => Ok(()),
        })?;
        Ok(graph)
    }
}

impl<'a> Node<'a> {
    fn parse(bytes: &'a [u8], room: &mut Room) -> Result<Self, String> {
        let mut node = Self::default();
        each(bytes, |number, field| {
            match number {
                1 => room.add(&mut node.inputs, field.text()?)?,
                2 => room.add(&mut node.outputs, field.text()?)?,
                3 => node.name = field.text()?,
                4 => node.op = field.text()?,
                5 => {
                    let attribute = Attribute::parse(field.bytes()?, room)?;
                    room.add(&mut node.attributes, attribute)?;
                }
                7 => node.domain = field.text()?,
                _ => {}
            }
            Ok(())
        })?;
        if node.op.is_empty() {
            return Err("damaged: a node without an operation".into());
        }
        Ok(node)
    }

    /// Its name, or that of its first result.
    pub fn title(&self) -> &'a str {
        if self.name.is_empty() { self.outputs.first().copied().unwrap_or("?") } else { self.name }
    }

    fn attribute(&self, name: &str) -> Option<&Attribute<'a>> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    pub fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    pub fn whole(&self, name: &str, otherwise: i64) -> i64 {
        self.attribute(name).map_or(otherwise, |attribute| attribute.whole)
    }

    pub fn float(&self, name: &str, otherwise: f32) -> f32 {
        self.attribute(name).map_or(otherwise, |attribute| attribute.float)
    }

    pub fn text(&self, name: &str, otherwise: &'static str) -> &'a str {
        self.attribute(name).map_or(otherwise, |attribute| std::str::from_utf8(attribute.text).unwrap_or("?"))
    }

    pub fn wholes(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|attribute| &attribute.wholes[..])
    }

    pub fn floats(&self, name: &str) -> Option<&[f32]> {
        self.attribute(name).map(|attribute| &attribute.floats[..])
    }

    pub fn tensor(&self, name: &str) -> Option<&Tensor<'a>> {
        self.attribute(name)?.tensor.as_deref()
    }
}

impl<'a> Attribute<'a> {
    fn parse(bytes: &'a [u8], room: &mut Room) -> Result<Self, String> {
        let mut attribute = Self::default();
        each(bytes, |number, field| {
            match number {
                1 => attribute.name = field.text()?,
                2 => attribute.float = field.float(),
                3 => attribute.whole = field.whole(),
                4 => attribute.text = field.bytes()?,
                5 => attribute.tensor = Some(Box::new(Tensor::parse(field.bytes()?, room)?)),
                7 => field.floats(|value| room.add(&mut attribute.floats, value))?,
                8 => field.wholes(|value| room.add(&mut attribute.wholes, value))?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(attribute)
    }
}

impl<'a> Tensor<'a> {
    fn parse(bytes: &'a [u8], room: &mut Room) -> Result<Self, String> {
        let mut tensor = Self { message: bytes, ..Self::default() };
        let count = |to: &mut usize| {
            *to += 1;
            Ok(())
        };
        each(bytes, |number, field| {
            match number {
                1 => field.wholes(|dim| room.add(&mut tensor.dims, dim))?,
                2 => tensor.kind = field.whole(),
                4 => field.floats(|_| count(&mut tensor.floats))?,
                5 | 7 | 11 => field.wholes(|_| count(&mut tensor.wholes))?,
                8 => tensor.name = field.text()?,
                9 => tensor.raw = field.bytes()?,
                10 => tensor.doubles = field.bytes()?,
                13 => {
                    let (mut key, mut value) = ("", "");
                    each(field.bytes()?, |number, field| {
                        match number {
                            1 => key = field.text()?,
                            2 => value = field.text()?,
                            _ => {}
                        }
                        Ok(())
                    })?;
                    room.add(&mut tensor.external, (key, value))?;
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(tensor)
    }

    /// Its values that are fields.
    pub fn floats(&self) -> Arc<[f32]> {
        self.values(self.floats, |number, field, take| if number == 4 { field.floats(take) } else { Ok(()) })
    }

    /// Its whole numbers that are fields.
    pub fn wholes(&self) -> Arc<[i64]> {
        self.values(self.wholes, |number, field, take| if matches!(number, 5 | 7 | 11) { field.wholes(take) } else { Ok(()) })
    }

    /// In one piece of as many bytes as are needed: of packed bytes that is eight times as many.
    fn values<T: Copy + Default>(
        &self,
        count: usize,
        of: impl Fn(u64, Field<'_>, &mut dyn FnMut(T) -> Result<(), String>) -> Result<(), String>,
    ) -> Arc<[T]> {
        let mut made: Arc<[T]> = repeat_n(T::default(), count).collect();
        let mut places = Arc::get_mut(&mut made).expect("nobody else has it").iter_mut();
        let mut take = |value| places.next().map(|place| *place = value).ok_or_else(String::new);
        each(self.message, |number, field| of(number, field, &mut take)).expect("they were counted");
        made
    }
}

impl<'a> ValueInfo<'a> {
    fn parse(bytes: &'a [u8], room: &mut Room) -> Result<Self, String> {
        let mut info = Self::default();
        each(bytes, |number, field| {
            match number {
                1 => info.name = field.text()?,
                2 => each(field.bytes()?, |number, field| if number == 1 { info.tensor_type(field.bytes()?, room) } else { Ok(()) })?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(info)
    }

    fn tensor_type(&mut self, bytes: &'a [u8], room: &mut Room) -> Result<(), String> {
        each(bytes, |number, field| {
            match number {
                1 => self.kind = field.whole(),
                2 => {
                    self.has_shape = true;
                    each(field.bytes()?, |number, field| {
                        if number != 1 {
                            return Ok(());
                        }
                        let mut length = None;
                        each(field.bytes()?, |number, field| {
                            if number == 1 {
                                length = usize::try_from(field.whole()).ok().filter(|length| *length > 0);
                            }
                            Ok(())
                        })?;
                        room.add(&mut self.dims, length)
                    })?;
                }
                _ => {}
            }
            Ok(())
        })
    }
}
