//! A network as a Python file that PyTorch trains.

use super::Network;
use crate::{
    Error, Result,
    graph::{
        Activation, Calculate, Calculation, ConstId, Coordinates, Extent, Filter, Graph, Nearest, Node, NodeId, Op, Output, PoolKind,
        Rearrange, TensorType,
    },
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

"#;

/// Functions that only some networks call, by what calls them.
const FUNCTIONS: [(&str, &str); 4] = [
    (
        "Constant(",
        r#"

class Constant(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.register_buffer("value", torch.zeros(shape))

    def forward(self):
        return self.value if self.value.dim() == 3 else self.value[:, None, None]
"#,
    ),
    (
        "resampled(",
        r#"

def resampled(x, sizes, scales, coordinates, nearest):
    for axis, size, scale in zip((2, 3), sizes, scales):
        length = x.shape[axis]
        size = int(length * scale) if size is None else size
        scale = size / length if scale is None else scale
        at = torch.arange(size, device=x.device, dtype=torch.float32)
        if coordinates == "align_corners":
            at = at * (length - 1) / max(size - 1, 1)
        elif coordinates == "asymmetric":
            at = at / scale
        elif coordinates == "pytorch_half_pixel" and size == 1:
            at = at * 0
        else:
            at = (at + 0.5) / scale - 0.5
        if nearest:
            rounded = {"floor": at.floor(), "ceil": at.ceil(), "round_prefer_floor": (at - 0.5).ceil(), "round_prefer_ceil": (at + 0.5).floor()}
            x = x.index_select(axis, rounded[nearest].long().clamp(0, length - 1))
        else:
            low = at.floor()
            part = (at - low).view(-1, *[1] * (3 - axis))
            low, high = [place.long().clamp(0, length - 1) for place in (low, low + 1)]
            x = x.index_select(axis, low) * (1 - part) + x.index_select(axis, high) * part
    return x
"#,
    ),
    (
        "rearranged(",
        r#"

def rearranged(x, start, axes, to):
    pixels = x.shape[2] * x.shape[3]
    index = torch.tensor(start[0] * pixels + start[1], device=x.device)
    for length, step, step_pixels in axes:
        index = index[..., None] + torch.arange(length, device=x.device) * (step * pixels + step_pixels)
    return x.flatten(1)[:, index.flatten()].view(len(x), *to)
"#,
    ),
    (
        "top_k(",
        r#"

def top_k(x, k, is_smallest, is_last, places):
    values, order = torch.sort(x.flip(1) if is_last else x, 1, descending=not is_smallest, stable=True)
    order = x.shape[1] - 1 - order if is_last else order
    return (order.to(x.dtype) if places else values)[:, :k]
"#,
    ),
];

const NETWORK: &str = r#"

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
    /// such a file with trained ones. Its tensors have the network's sides where they are of known
    /// lengths; else they are `[n, c, h, w]`, and results of one pixel `[n, c]`.
    ///
    /// # Errors
    /// [`Error::Model`] for operations that have no form there, each by its node.
    pub fn to_pytorch(&self) -> Result<String> {
        let mut graph = self.graph().clone();
        graph.compact();
        let names = graph.to_json().map_err(Error::Model)?.names;
        let mut written = Written { graph: &graph, names: &names, layers: String::new(), forward: String::new(), tensors: String::new() };
        let mut refused = Vec::new();
        for (at, node) in graph.nodes().iter().enumerate().filter(|(_, node)| !matches!(node.op, Op::Input { .. })) {
            match written.value(at, node) {
                Ok(value) => written.forward += &format!("        x{at} = {value}  # {}\n", node.name.replace(char::is_control, " ")),
                Err(what) => refused.push(format!("`{}` ({}{what})", node.name, node.op.name())),
            }
        }
        refused.extend(graph.suppressions().iter().map(|last| format!("`{}` (NonMaxSuppression)", last.name)));
        if !refused.is_empty() {
            return Err(Error::Model(format!("no form in PyTorch have {}", refused.join(", "))));
        }
        // Tensors with other sides than the graph has inside.
        let mut entering = String::new();
        for input in graph.inputs().iter().filter(|input| !are_maps(&input.tensor)) {
            if let [Some(c), Some(h), Some(w)] = [1, 2, 3].map(|axis| input.tensor.fixed(axis)) {
                entering += &format!("        x{0} = x{0}.reshape(-1, {c}, {h}, {w})\n", input.node.0);
            }
        }
        let results = graph.outputs().iter().map(|Output { node, tensor, .. }| {
            let lengths: Option<Vec<String>> = tensor.sides().skip(1).map(|side| Some(side.split_once('=')?.1.into())).collect();
            let is_vector = [2, 3].iter().all(|&axis| tensor.fixed(axis) == Some(1));
            let shaped = match lengths {
                Some(lengths) if tensor.is_batched() && !are_maps(tensor) => format!(".reshape(-1, {})", lengths.join(", ")),
                _ if is_vector => ".flatten(1)".into(),
                _ => String::new(),
            };
            format!("x{}{shaped}", node.0)
        });
        let results = results.collect::<Vec<_>>().join(", ");
        let inputs = graph.inputs().iter().map(|input| format!(", x{}", input.node.0)).collect::<String>();
        let calls = |(call, _): &(&str, &str)| written.forward.contains(call) || written.layers.contains(call);
        let functions: String = FUNCTIONS.iter().filter(|function| calls(function)).map(|(_, text)| *text).collect();
        let name = self.name().replace(|c: char| c.is_control() || "\"\\".contains(c), " ");
        Ok(format!(
            "\"\"\"{name} for PyTorch, as ghostnet wrote it: `Network().load(\"FILE.safetensors\")`.\"\"\"{HEAD}{functions}{NETWORK}{}\n    def forward(self{inputs}):\n{entering}{}        return {results}\n{TAIL}\n\n# Where the file has the module's tensors.\nTENSORS = {{\n{}}}\n",
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

    /// A constant of a node, `[c, 1, 1]` or `[c, h, w]`, that training leaves as it is.
    fn constant(&mut self, at: usize, node: &Node, id: ConstId) -> String {
        let sides = self.graph.constant(id).shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        format!("{}()", self.layer(at, node, &format!("Constant({sides})"), &[("value", id)]))
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
            Op::Constant(id) => format!("{}.expand(len({}), -1, -1, -1)", self.constant(at, node, *id), x(0)),
            Op::Calculate(Calculate { by, operand }) => {
                let (a, b) = (x(0), operand.map_or_else(|| x(1), |id| self.constant(at, node, id)));
                match by {
                    Calculation::Add => format!("{a} + {b}"),
                    Calculation::Multiply => format!("{a} * {b}"),
                    Calculation::Subtract => format!("{a} - {b}"),
                    Calculation::SubtractFrom => format!("{b} - {a}"),
                    Calculation::Divide => format!("{a} / {b}"),
                    Calculation::DivideInto => format!("{b} / {a}"),
                    Calculation::Minimum => format!("torch.minimum({a}, {b})"),
                    Calculation::Maximum => format!("torch.maximum({a}, {b})"),
                    Calculation::Power => format!("{a} ** {b}"),
                    Calculation::PowerOf => format!("{b} ** {a}"),
                    Calculation::Equal => format!("({a} == {b}).to({a}.dtype)"),
                }
            }
            Op::Resample(resample) => {
                let none = || ["None", "None"].map(String::from);
                let [sizes, scales] = match resample.extent {
                    Extent::Sizes(sizes) => [sizes.map(|size| size.to_string()), none()],
                    Extent::Scales(scales) => [none(), scales.map(|scale| format!("{scale:?}"))],
                    Extent::Like => [[2, 3].map(|axis| format!("{}.shape[{axis}]", x(1))), none()],
                };
                let coordinates = name_of(resample.coordinates, &Coordinates::NAMES);
                let nearest = match resample.filter {
                    Filter::Nearest(nearest) => format!("\"{}\"", name_of(nearest, &Nearest::NAMES)),
                    Filter::Bilinear => "None".into(),
                };
                let [sizes, scales] = [sizes, scales].map(|sides| sides.join(", "));
                format!("resampled({}, ({sizes}), ({scales}), \"{coordinates}\", {nearest})", x(0))
            }
            Op::Rearrange(Rearrange { start, axes, to, .. }) => {
                let axes = axes.iter().map(|axis| format!("({}, {}, {})", axis.len, axis.channels, axis.pixels));
                let axes = axes.collect::<Vec<_>>().join(", ");
                format!("rearranged({}, {start:?}, [{axes}], {to:?})", x(0))
            }
            Op::TopK(top_k) => {
                let [is_smallest, is_last, places] = [top_k.is_smallest, top_k.is_last, top_k.places].map(bool);
                format!("top_k({}, {}, {is_smallest}, {is_last}, {places})", x(0), top_k.k)
            }
            _ => return Err(String::new()),
        })
    }
}

/// Whether a tensor's sides are images, channels, rows and columns.
fn are_maps(tensor: &TensorType) -> bool {
    tensor.sides().map(|side| side.chars().take_while(|c| *c != '=').collect::<String>()).eq(["n", "c", "h", "w"])
}

fn name_of<T: PartialEq>(value: T, names: &[(&'static str, T)]) -> &'static str {
    names.iter().find(|(_, named)| *named == value).expect("each has a name").0
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
