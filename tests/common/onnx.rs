//! ONNX files under construction.
#![allow(dead_code)] // each test binary uses its own part

use ghostnet::Network;

/// A protobuf message under construction.
#[derive(Default, Clone)]
pub struct Message(pub Vec<u8>);

impl Message {
    pub fn number(mut self, mut number: u64) -> Self {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
        self
    }

    pub fn whole(self, field: u64, value: i64) -> Self {
        self.number(field << 3).number(value as u64)
    }

    pub fn bytes(self, field: u64, bytes: &[u8]) -> Self {
        let mut made = self.number(field << 3 | 2).number(bytes.len() as u64);
        made.0.extend(bytes);
        made
    }

    pub fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    pub fn message(self, field: u64, message: Self) -> Self {
        self.bytes(field, &message.0)
    }
}

/// What an attribute holds.
pub enum Is<'a> {
    Whole(i64),
    Wholes(&'a [i64]),
    Float(f32),
    Text(&'a str),
}

/// An ONNX graph under construction.
#[derive(Default, Clone)]
pub struct Onnx(pub Message);

impl Onnx {
    fn end(&mut self, field: u64, kind: i64, name: &str, dims: &[i64]) {
        let side = |shape: Message, &len: &i64| match len {
            0 => shape.message(1, Message::default().text(2, "open")),
            len => shape.message(1, Message::default().whole(1, len)),
        };
        let shape = dims.iter().fold(Message::default(), side);
        let tensor = Message::default().whole(1, kind).message(2, shape);
        let info = Message::default().text(1, name).message(2, Message::default().message(1, tensor));
        self.0 = std::mem::take(&mut self.0).message(field, info);
    }

    pub fn input(self, name: &str, dims: &[i64]) -> Self {
        self.input_of(1, name, dims)
    }

    /// An input of one of ONNX's types.
    pub fn input_of(mut self, kind: i64, name: &str, dims: &[i64]) -> Self {
        self.end(11, kind, name, dims);
        self
    }

    pub fn output(mut self, name: &str) -> Self {
        self.end(12, 1, name, &[]);
        self
    }

    pub fn weights(mut self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensor = dims.iter().fold(Message::default(), |tensor, &dim| tensor.whole(1, dim));
        self.0 = self.0.message(5, tensor.whole(2, 1).text(8, name).bytes(9, &raw));
        self
    }

    /// A constant of signed bytes.
    pub fn bytes_of(mut self, name: &str, dims: &[i64], values: &[u8]) -> Self {
        let tensor = dims.iter().fold(Message::default(), |tensor, &dim| tensor.whole(1, dim));
        self.0 = self.0.message(5, tensor.whole(2, 3).text(8, name).bytes(9, values));
        self
    }

    pub fn wholes(mut self, name: &str, values: &[i64]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.0 = self.0.message(5, Message::default().whole(1, values.len() as i64).whole(2, 7).text(8, name).bytes(9, &raw));
        self
    }

    /// A node whose name is its first result's.
    pub fn node(mut self, op: &str, inputs: &[&str], outputs: &[&str], attributes: &[(&str, Is<'_>)]) -> Self {
        let mut node = inputs.iter().fold(Message::default(), |node, name| node.text(1, name));
        node = outputs.iter().fold(node, |node, name| node.text(2, name)).text(3, outputs[0]).text(4, op);
        for (name, value) in attributes {
            let attribute = Message::default().text(1, name);
            let attribute = match value {
                Is::Whole(value) => attribute.whole(3, *value),
                Is::Wholes(values) => values.iter().fold(attribute, |attribute, &value| attribute.whole(8, value)),
                Is::Float(value) => {
                    let mut made = attribute.number(2 << 3 | 5);
                    made.0.extend(value.to_le_bytes());
                    made
                }
                Is::Text(text) => attribute.text(4, text),
            };
            node = node.message(5, attribute);
        }
        self.0 = self.0.message(1, node);
        self
    }

    pub fn file(self) -> Vec<u8> {
        let opset = Message::default().text(1, "").whole(2, 13);
        Message::default().whole(1, 8).text(2, "tests").message(7, self.0).message(8, opset).0
    }

    pub fn network(self) -> ghostnet::Result<Network> {
        Network::from_bytes("n.onnx", &self.file())
    }
}
