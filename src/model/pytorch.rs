//! A network as a Python file that PyTorch trains.

use super::Network;
use crate::{
    Error, Result,
    graph::{Activation, ConstId, Graph, Node, NodeId, Op, PoolKind},
    json::Value,
};

const HEAD: &str = r#"

import json
import struct

import torch
from torch import nn
from torch.nn import functional as F


def read(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(length)), file.read()


class Affine(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict()
"#;

const TAIL: &str = r#"
    def load(self, path):
        """Takes the weights of the one-file network, stored in f32."""
        header, data = read(path)
        state = self.state_dict()
        for key, name in TENSORS.items():
            start, end = header[name]["data_offsets"]
            if header[name]["dtype"] != "F32":
                raise ValueError(f"{name} is stored in {header[name]['dtype']}, not F32")
            values = torch.frombuffer(bytearray(data[start:end]), dtype=torch.float32)
            state[key] = values.view(header[name]["shape"])
        self.load_state_dict(state)
        return self

    def save(self, path, like):
        """Writes the one-file network `like` with these weights."""
        header, data = read(like)
        data = bytearray(data)
        state = self.state_dict()
        for key, name in TENSORS.items():
            start, end = header[name]["data_offsets"]
            values = state[key].detach().float().cpu().flatten().tolist()
            data[start:end] = struct.pack(f"<{len(values)}f", *values)
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text + data)
"#;

impl Network {
    /// A Python file with the network as a PyTorch module, in which `Network().load(FILE)` takes
    /// the weights of the file that [`Network::save`] writes in f32, and `save(FILE, FILE)` writes
    /// such a file with trained ones. Its tensors are `[n, c, h, w]`, and results of one pixel
    /// `[n, c]`.
    ///
    /// # Errors
    /// [`Error::Model`] for an operation that has no form there, by its node.
    pub fn to_pytorch(&self) -> Result<String> {
        let mut graph = self.graph().clone();
        graph.compact();
        let names = graph.to_json().map_err(Error::Model)?.names;
        let mut written = Written { graph: &graph, names: &names, layers: String::new(), forward: String::new(), tensors: String::new() };
        for (at, node) in graph.nodes().iter().enumerate() {
            if !matches!(node.op, Op::Input { .. }) {
                let what = |what: String| Error::Model(format!("`{}` ({}) has no form in PyTorch{what}", node.name, node.op.name()));
                let value = written.value(at, node).map_err(what)?;
                written.forward += &format!("        x{at} = {value}  # {}\n", node.name.replace(char::is_control, " "));
            }
        }
        let results = graph.outputs().iter().map(|output| {
            let is_vector = [2, 3].iter().all(|&axis| output.tensor.fixed(axis) == Some(1));
            format!("x{}{}", output.node.0, if is_vector { ".flatten(1)" } else { "" })
        });
        let results = results.collect::<Vec<_>>().join(", ");
        let inputs = graph.inputs().iter().map(|input| format!(", x{}", input.node.0)).collect::<String>();
        let name = self.name().replace(|c: char| c.is_control() || "\"\\".contains(c), " ");
        Ok(format!(
            "\"\"\"{name} for PyTorch, as ghostnet wrote it: `Network().load(\"FILE.safetensors\")`.\"\"\"{HEAD}{}\n    def forward(self{inputs}):\n{}        return {results}\n{TAIL}\n\n# Where the file has the module's tensors.\nTENSORS = {{\n{}}}\n",
            written.layers, written.forward, written.tensors
        ))
    }
}

struct Written<'a> {
    graph: &'a Graph,
    names: &'a [String],
    layers: String,
    forward: String,
    tensors: String,
}

impl Written<'_> {
    /// Adds a module with these tensors; how `forward` calls it.
    fn layer(&mut self, at: usize, node: &Node, module: &str, tensors: &[(&str, ConstId)]) -> String {
        let name: String = node.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let key = format!("n{at}_{name}");
        self.layers += &format!("        self.layers[\"{key}\"] = {module}\n");
        for (part, id) in tensors {
            self.tensors += &format!("    \"layers.{key}.{part}\": {},\n", Value::Text((&*self.names[id.0]).into()));
        }
        format!("self.layers[\"{key}\"]")
    }

    /// What `forward` computes for a node. The error is what the operation's name does not tell.
    fn value(&mut self, at: usize, node: &Node) -> Result<String, String> {
        let shape = |id: ConstId| self.graph.constant(id).shape.clone();
        let x = |of: usize| format!("x{}", node.inputs[of].0);
        let bool = |is: bool| if is { "True" } else { "False" };
        let all = |id: ConstId, wanted: f32| self.graph.constant(id).data.iter().all(|&value| value == wanted);
        // Left, right, above, below.
        let padded = |pad: [usize; 2], more: [isize; 2], value: &str| {
            let [far_h, far_w] = [0, 1].map(|axis| pad[axis] as isize + more[axis]);
            format!("F.pad({}, ({}, {far_w}, {}, {far_h}){value})", x(0), pad[1], pad[0])
        };
        Ok(match &node.op {
            Op::Conv(conv) => {
                let ([c_out, of_group, kh, kw], groups) = (shape(conv.weight).try_into().map_err(|_| String::new())?, conv.groups);
                let ([sh, sw], [dh, dw], is_even) = (conv.stride, conv.dilation, conv.pad_more == [0, 0]);
                let ([ph, pw], bias) = (if is_even { conv.pad } else { [0, 0] }, bool(conv.bias.is_some()));
                let input = if is_even { x(0) } else { padded(conv.pad, conv.pad_more, "") };
                let c_in: usize = of_group * groups;
                let module =
                    format!("nn.Conv2d({c_in}, {c_out}, ({kh}, {kw}), ({sh}, {sw}), ({ph}, {pw}), ({dh}, {dw}), {groups}, bias={bias})");
                let tensors: Vec<_> = [("weight", conv.weight)].into_iter().chain(conv.bias.map(|bias| ("bias", bias))).collect();
                let called = format!("{}({input})", self.layer(at, node, &module, &tensors));
                activated(conv.activation, &called)?
            }
            Op::BatchNorm { weight, bias, mean, var, eps } if *eps == 0.0 && all(*mean, 0.0) && all(*var, 1.0) => {
                let module = format!("Affine({})", self.graph.channels(NodeId(at)));
                format!("{}({})", self.layer(at, node, &module, &[("weight", *weight), ("bias", *bias)]), x(0))
            }
            Op::BatchNorm { weight, bias, mean, var, eps } => {
                let module = format!("nn.BatchNorm2d({}, eps={eps:?})", self.graph.channels(NodeId(at)));
                let tensors = [("weight", *weight), ("bias", *bias), ("running_mean", *mean), ("running_var", *var)];
                format!("{}({})", self.layer(at, node, &module, &tensors), x(0))
            }
            Op::Linear { weight, bias, activation } => {
                let side = shape(*weight);
                let module = format!("nn.Linear({}, {}, bias={})", side[1], side[0], bool(bias.is_some()));
                let tensors: Vec<_> = [("weight", *weight)].into_iter().chain(bias.map(|bias| ("bias", bias))).collect();
                let called = format!("{}({}.flatten(1))[:, :, None, None]", self.layer(at, node, &module, &tensors), x(0));
                activated(*activation, &called)?
            }
            Op::Activate(Activation::PRelu(slope)) => {
                let module = format!("nn.PReLU({})", self.graph.channels(NodeId(at)));
                format!("{}({})", self.layer(at, node, &module, &[("weight", *slope)]), x(0))
            }
            Op::Activate(activation) => activated(*activation, &x(0))?,
            Op::Add => format!("{} + {}", x(0), x(1)),
            Op::Multiply => format!("{} * {}", x(0), x(1)),
            Op::Concat => format!("torch.cat([{}], 1)", (0..node.inputs.len()).map(x).collect::<Vec<_>>().join(", ")),
            Op::Slice { start, len } => format!("{}[:, {start}:{}]", x(0), start + len),
            Op::Pool(pool) => {
                let ([kh, kw], [sh, sw], [ph, pw]) = (pool.kernel, pool.stride, pool.pad);
                match pool.kind {
                    PoolKind::Max => {
                        let input = padded(pool.pad, pool.pad_more, ", value=float(\"-inf\")");
                        format!("F.max_pool2d({input}, ({kh}, {kw}), ({sh}, {sw}))")
                    }
                    PoolKind::Mean { count_pad } if pool.pad_more == [0, 0] => {
                        let count = bool(count_pad);
                        format!("F.avg_pool2d({}, ({kh}, {kw}), ({sh}, {sw}), ({ph}, {pw}), count_include_pad={count})", x(0))
                    }
                    PoolKind::Mean { .. } => return Err(": means with uneven padding".into()),
                }
            }
            Op::GlobalPool => format!("{}.mean((2, 3), keepdim=True)", x(0)),
            Op::Softmax => format!("{}.softmax(1)", x(0)),
            _ => return Err(String::new()),
        })
    }
}

fn activated(activation: Activation, x: &str) -> Result<String, String> {
    Ok(match activation {
        Activation::Identity => x.into(),
        Activation::Relu => format!("F.relu({x})"),
        Activation::Relu6 => format!("F.relu6({x})"),
        Activation::HardSigmoid => format!("F.hardsigmoid({x})"),
        Activation::HardSwish => format!("F.hardswish({x})"),
        Activation::Sigmoid => format!("torch.sigmoid({x})"),
        Activation::Silu => format!("F.silu({x})"),
        Activation::Tanh => format!("torch.tanh({x})"),
        Activation::Exp => format!("torch.exp({x})"),
        Activation::Sqrt => format!("torch.sqrt({x})"),
        Activation::Abs => format!("torch.abs({x})"),
        Activation::Erf => format!("torch.erf({x})"),
        Activation::Gelu => format!("F.gelu({x})"),
        Activation::PRelu(_) | Activation::Round8(_) => return Err(format!(": {}", activation.name())),
    })
}
