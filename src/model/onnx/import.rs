//! An ONNX graph on its way to one of ours.

use super::{
    fold,
    proto::{self, Node},
    value::{MOST_SIDES, Numbers, Source, Value, contiguous, merged},
};
#[cfg(not(target_arch = "wasm32"))]
use crate::graph::NonMaxSuppression;
use crate::{
    AnyTensor,
    graph::{Activation, Axis, Calculate, Calculation, ConstId, Element, Graph, NodeId, Op, Rearrange, Shape},
    text::Sides,
};
use std::collections::{BTreeMap, BTreeSet};

/// Maps of a node: channels, rows and columns.
pub(super) type Maps = (NodeId, [usize; 3]);

/// Operators that move windows over the maps of images.
const WINDOWS: [&str; 9] =
    ["Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "BatchNormalization", "Resize", "Upsample"];

/// Rows and columns of an input that leaves them open, where nobody says.
const USUAL_SIZE: [usize; 2] = [224, 224];

/// Makes what a node computes of its inputs, of which some may be left out.
pub(super) type Operator = fn(&mut Import<'_>, &Node<'_>, &[Option<Value>]) -> Result<Vec<Value>, String>;

/// What surrounds a graph.
pub(super) struct Around<'a> {
    /// Operators by their names.
    pub operators: &'a [(&'a str, Operator)],
    /// Rows and columns of inputs that leave them open.
    pub size: Option<[usize; 2]>,
    /// Tensors that inputs will have, by name.
    pub given: &'a [(String, AnyTensor)],
    /// The bytes of a tensor that lies in another file.
    pub external: &'a dyn Fn(&proto::Tensor<'_>) -> Result<Vec<u8>, String>,
}

pub(super) struct Import<'m> {
    pub graph: Graph,
    pub opset: i64,
    pub shapes: Vec<Shape>,
    pub inputs: Vec<Shape>,
    pub values: BTreeMap<&'m str, Value>,
    /// What only leaves the network, by the names of the tensors.
    #[cfg(not(target_arch = "wasm32"))]
    pub last: BTreeMap<String, NonMaxSuppression>,
    constants: BTreeMap<String, ConstId>,
    /// The node at hand, for names.
    pub title: &'m str,
    /// Whether anything depends on the inputs' rows and columns.
    pub is_fixed: bool,
    /// Maps with zeros around others: those, and how many zeros.
    pub padded: BTreeMap<NodeId, (NodeId, [usize; 2], [isize; 2])>,
    /// Values of 8 bits: the same before their zero point was added, and that.
    pub rounded: BTreeMap<NodeId, (NodeId, f32)>,
    /// Whether images are not independent, so that there has to be one.
    pub is_single: bool,
    /// How many words of four bytes constants may still take, beside those of the file, to be held
    /// or to be computed with: a few bytes may ask for any number.
    room: usize,
    /// The same, for a convolution's filters that fit its input: there are files whose weights are
    /// all alike.
    room_for_filters: usize,
}

/// [`Import::room_for_filters`] at first.
const FILTERS: usize = 1 << 26;

/// [`Import::room`] of any file, and more for each of its bytes.
const ROOM: [usize; 2] = [8 << 20, 4];

/// What nodes say of inputs.
pub(super) struct Uses<'a> {
    /// Windows move over the maps of some.
    pub has_windows: bool,
    /// Those that are transposed first.
    pub transposed: BTreeSet<&'a str>,
}

/// Nodes that are not covered, by operator.
#[derive(Default)]
struct Refused(BTreeMap<String, Vec<(String, String)>>);

/// Which inputs are taken as the constants that were given for them.
#[derive(Clone, Copy, PartialEq)]
enum Fixed {
    None,
    /// Those of whole numbers: shapes, places, sides.
    Whole,
    /// All but the first.
    AllButFirst,
}

/// The graph of a model, and the inputs that became constants: only where it cannot be without. The
/// error is one line.
pub(super) fn graph(model: &proto::Model<'_>, around: &Around<'_>) -> Result<(Graph, Vec<String>), String> {
    let first = with_inputs(model, around, Fixed::None);
    if around.given.is_empty() || first.is_ok() {
        return first;
    }
    let ways = [Fixed::Whole, Fixed::AllButFirst];
    ways.into_iter().map(|fixed| with_inputs(model, around, fixed)).find(Result::is_ok).unwrap_or(first)
}

fn with_inputs(model: &proto::Model<'_>, around: &Around<'_>, fixed: Fixed) -> Result<(Graph, Vec<String>), String> {
    let mut made = import(model, around, fixed, false)?;
    if made.is_sized {
        drop(made);
        // What was open is not: once more, with sides that say so.
        made = import(model, around, fixed, true)?;
    }
    Ok((made.graph, made.fixed))
}

struct Made {
    graph: Graph,
    /// Inputs that became constants.
    fixed: Vec<String>,
    /// Whether it needs inputs of the size that was assumed though they leave it open.
    is_sized: bool,
}

fn import<'m>(model: &proto::Model<'m>, around: &Around<'_>, fixed: Fixed, is_sized: bool) -> Result<Made, String> {
    let mut import = Import {
        graph: Graph::new(),
        opset: model.opset,
        shapes: Vec::new(),
        inputs: Vec::new(),
        values: BTreeMap::new(),
        #[cfg(not(target_arch = "wasm32"))]
        last: BTreeMap::new(),
        constants: BTreeMap::new(),
        title: "",
        is_fixed: false,
        padded: BTreeMap::new(),
        rounded: BTreeMap::new(),
        is_single: false,
        room: ROOM[0] + ROOM[1] * model.length,
        room_for_filters: FILTERS,
    };
    for tensor in &model.graph.initializers {
        let value = Value::of(tensor, around.external)?;
        if !tensor.external.is_empty() {
            import.room += 4 * ROOM[1] * value.held();
        }
        import.values.insert(tensor.name, value);
    }
    let nodes = &model.graph.nodes;
    let first = |node: &Node<'m>| node.inputs.first().copied().filter(|_| node.op == "Transpose");
    let mut uses = Uses { has_windows: nodes.iter().any(|node| WINDOWS.contains(&node.op)), transposed: BTreeSet::new() };
    // To collect them is to sort them, which is large in the browser package.
    nodes.iter().filter_map(first).for_each(|name| _ = uses.transposed.insert(name));
    let (mut open, mut constants) = (false, Vec::new());
    // Old files list weights among the inputs.
    let known: Vec<bool> = model.graph.inputs.iter().map(|info| import.values.contains_key(info.name)).collect();
    for (info, _) in model.graph.inputs.iter().zip(known).filter(|(_, is_known)| !is_known) {
        let is_first = import.inputs.is_empty() && constants.is_empty();
        let given = around.given.iter().find(|(name, _)| name == info.name).map(|(_, tensor)| tensor);
        match given {
            Some(tensor) if fixed == Fixed::AllButFirst && !is_first || fixed == Fixed::Whole && tensor.data.element() != Element::F32 => {
                import.values.insert(info.name, Value::given(tensor));
                constants.push(info.name.to_string());
            }
            _ => open |= import.input(info, &uses, around.size.unwrap_or(USUAL_SIZE), is_sized)?,
        }
    }
    let mut refused = Refused::default();
    for node in &model.graph.nodes {
        import.node(node, around, &mut refused);
    }
    refused.check()?;
    for info in &model.graph.outputs {
        import.is_single |= import.output(info)?;
    }
    if import.is_single {
        // A result has no side for the images.
        import.graph.fix_batch(1);
    }
    Ok(Made { graph: import.graph, fixed: constants, is_sized: open && import.is_fixed && !is_sized })
}

impl Refused {
    fn add(&mut self, node: &Node<'_>, why: String) {
        let op = if node.domain.is_empty() || node.domain == "ai.onnx" { node.op.into() } else { format!("{}.{}", node.domain, node.op) };
        self.0.entry(op).or_default().push((node.title().into(), why));
    }

    fn check(self) -> Result<(), String> {
        const SHOWN: usize = 3;
        if self.0.is_empty() {
            return Ok(());
        }
        let operator = |(op, nodes): (&String, &Vec<(String, String)>)| {
            let names: Vec<&str> = nodes.iter().take(SHOWN).map(|(name, _)| &name[..]).collect();
            let more = if nodes.len() > SHOWN { format!(" and {} more", nodes.len() - SHOWN) } else { String::new() };
            format!("{op} (`{}`{more}): {}", names.join("`, `"), nodes[0].1)
        };
        let all: Vec<String> = self.0.iter().map(operator).collect();
        Err(format!("operators that are not covered: {}", all.join("; ")))
    }
}

impl<'m> Import<'m> {
    /// A constant as a node, which has to be for one image.
    pub fn constant(&mut self, value: &Value) -> Result<Value, String> {
        let made = self.constant_maps("constant", value, [value.count(), 1, 1])?;
        self.is_single = true;
        Ok(Value { batch: None, ..Self::view_of_vector(made, &value.dims()) })
    }

    /// Maps of constant values, row by row, for as many images as there are.
    pub fn constant_maps(&mut self, name: &str, value: &Value, maps: [usize; 3]) -> Result<Maps, String> {
        let input = self.graph.inputs().first().map(|input| input.node).ok_or("a constant, and there is no input")?;
        self.fits(value.count())?;
        let values = value.floats().ok_or("an input is no constant")?;
        let constant = self.matrix(&named(name, "value"), &maps, values)?;
        self.add(name, Op::Constant(constant), &[input])
    }

    fn node(&mut self, node: &Node<'m>, around: &Around<'_>, refused: &mut Refused) {
        self.title = node.title();
        if !matches!(node.domain, "" | "ai.onnx") {
            return refused.add(node, "no operator of ONNX's own".into());
        }
        let Some((_, operator)) = around.operators.iter().find(|(name, _)| *name == node.op) else {
            return refused.add(node, "no such operator here".into());
        };
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(made) = self.behind_last(node) {
            return made.unwrap_or_else(|why| refused.add(node, why));
        }
        let mut inputs = Vec::new();
        for name in &node.inputs {
            match self.values.get(name) {
                Some(value) => inputs.push(Some(value.clone())),
                None if name.is_empty() => inputs.push(None),
                // Of a node that was refused, or of none.
                None => return,
            }
        }
        // Constants that repeat what they hold are spelled out by most operators.
        let mut spelled = inputs.iter().flatten().filter(|value| value.is_constant() && value.count() > value.held());
        let fits = if node.op == "Conv" { Ok(()) } else { spelled.try_for_each(|value| self.take(value.count())) };
        let made = fits.and_then(|()| match node.op {
            "Constant" => fold::constant(node, around.external).map(|value| vec![value]),
            _ => operator(self, node, &inputs),
        });
        let made = made.and_then(|values| values.iter().try_for_each(|value| self.check(value, &inputs)).map(|()| values));
        match made {
            Ok(values) => self.values.extend(node.outputs.iter().copied().zip(values)),
            Err(why) => refused.add(node, why),
        }
    }

    /// Whether constants may hold so many values more.
    pub fn fits(&self, values: usize) -> Result<(), String> {
        if values > self.room { Err(format!("constants of {values} values, and there is room for {}", self.room)) } else { Ok(()) }
    }

    fn take(&mut self, values: usize) -> Result<(), String> {
        self.fits(values)?;
        self.room -= values;
        Ok(())
    }

    /// What an operator made: of few sides, and a constant that is not one of its inputs is
    /// counted.
    fn check(&mut self, made: &Value, inputs: &[Option<Value>]) -> Result<(), String> {
        if made.axes.len() > MOST_SIDES {
            return Err(format!("{} sides; {MOST_SIDES} are the most", made.axes.len()));
        }
        let Source::Constant(numbers) = &made.source else { return Ok(()) };
        let is_input = |input: &Value| matches!(&input.source, Source::Constant(held) if held.is(numbers));
        if inputs.iter().flatten().any(is_input) { Ok(()) } else { self.take(numbers.words()) }
    }

    /// Adds a node of ours.
    pub fn add(&mut self, suffix: &str, op: Op, inputs: &[NodeId]) -> Result<Maps, String> {
        let name = if suffix.is_empty() { self.title.to_string() } else { format!("{}.{suffix}", self.title) };
        let node = self.graph.add(name, op, inputs).map_err(|error| error.to_string())?;
        let shape = self.graph.next_shape(&self.shapes, &self.inputs).map_err(|error| error.to_string())?;
        self.shapes.push(shape);
        Ok((node, [shape.c, shape.h, shape.w]))
    }

    /// A constant of ours of a file's; one of a name is taken once.
    pub fn weights(&mut self, name: &str, shape: &[usize], value: &Value) -> Result<ConstId, String> {
        let key = format!("{name}:{}", Sides(shape));
        if let Some(id) = self.constants.get(&key) {
            return Ok(*id);
        }
        if value.count() > value.held() {
            let left = self.room_for_filters.checked_sub(value.count());
            self.room_for_filters = left.ok_or_else(|| format!("constants of more than {FILTERS} values"))?;
        }
        let data: std::sync::Arc<[f32]> = match value.numbers() {
            Some(Numbers::F32(values)) => values,
            Some(numbers) => (0..numbers.len()).map(|at| numbers.float(at)).collect(),
            None => return Err(format!("`{name}` has to be a constant")),
        };
        let id = self.graph.add_constant(name, shape, data).map_err(|error| error.to_string())?;
        self.constants.insert(key, id);
        Ok(id)
    }

    /// A matrix of ours that belongs to the node at hand.
    pub fn matrix(&mut self, suffix: &str, shape: &[usize], data: Vec<f32>) -> Result<ConstId, String> {
        self.take(data.len())?;
        self.graph.add_constant(format!("{}.{suffix}", self.title), shape, data).map_err(|error| error.to_string())
    }

    /// A constant of ours that belongs to the node at hand.
    pub fn made(&mut self, suffix: &str, data: Vec<f32>) -> Result<ConstId, String> {
        let shape = [data.len()];
        self.matrix(suffix, &shape, data)
    }

    /// The tensor `dims` that lies on a node row by row: all sides over channels, or channels, rows
    /// and columns.
    pub fn view((node, source): Maps, dims: &[usize]) -> Value {
        let [c, h, w] = source;
        let axes = match *dims {
            [n, dc, dh, dw] if [dc, dh, dw] == source => vec![
                Axis { len: n, channels: 0, pixels: 0 },
                Axis { len: c, channels: 1, pixels: 0 },
                Axis { len: h, channels: 0, pixels: w as isize },
                Axis { len: w, channels: 0, pixels: 1 },
            ],
            [n, dc, pixels] if dc == c && pixels == h * w && pixels > 1 => vec![
                Axis { len: n, channels: 0, pixels: 0 },
                Axis { len: c, channels: 1, pixels: 0 },
                Axis { len: pixels, channels: 0, pixels: 1 },
            ],
            _ => contiguous(dims),
        };
        Value { source: Source::Node(node, source), axes, start: [0, 0], batch: Some(0), is_whole: false, least: None }
    }

    /// Whether a view walks over all values of its node in their own order.
    pub fn walks_all(&self, value: &Value) -> bool {
        let Source::Node(_, [c, h, w]) = value.source else { return false };
        let (mut pixels, mut channels) = (1, 1);
        for axis in value.axes.iter().rev().filter(|axis| axis.len != 1) {
            if pixels < h * w {
                if (axis.channels, axis.pixels) != (0, pixels as isize) {
                    return false;
                }
                pixels *= axis.len;
            } else {
                if (axis.channels, axis.pixels) != (channels as isize, 0) {
                    return false;
                }
                channels *= axis.len;
            }
        }
        value.start == [0, 0] && (channels, pixels) == (c, h * w)
    }

    /// The values as maps of these channels, rows and columns, in the order of the view's sides.
    pub fn maps(&mut self, value: &Value, to: [usize; 3]) -> Result<Maps, String> {
        let Source::Node(node, of) = value.source else { return Err("an input is a constant".into()) };
        if of == to && self.walks_all(value) {
            return Ok((node, of));
        }
        let sides: Vec<Axis> = value.axes.iter().copied().filter(|axis| axis.len != 1).collect();
        let rearrange = Rearrange { of, start: value.start, axes: merged(&sides), to };
        // Channels in a row are a slice, for maps of any size.
        if let Some(channels) = rearrange.channels()
            && channels.windows(2).all(|pair| pair[0] + 1 == pair[1])
        {
            return self.add("slice", Op::Slice { start: value.start[0], len: to[0] }, &[node]);
        }
        self.is_fixed = true;
        self.add("order", Op::Rearrange(rearrange), &[node])
    }

    /// The maps of a tensor `[n, c, h, w]`, `[n, c, l]` or `[n, c]`.
    pub fn tensor(&mut self, value: &Value) -> Result<Maps, String> {
        let dims = value.dims();
        match (value.batch, &dims[..]) {
            (Some(0), &[_, c, h, w]) => self.maps(value, [c, h, w]),
            (Some(0), &[_, c, l]) => self.maps(value, [c, 1, l]),
            (Some(0), &[_, c]) => self.maps(value, [c, 1, 1]),
            _ => Err(format!("a tensor of shape {} has no images in front, or more than four sides", Sides(&dims))),
        }
    }

    /// So many channels at so many pixels, whichever rows and columns these are, in the order of
    /// the view's sides.
    pub fn pixels(&mut self, value: &Value, [c, pixels]: [usize; 2]) -> Result<Maps, String> {
        if let Source::Node(node, of) = value.source
            && of[0] == c
            && of[1] * of[2] == pixels
            && self.walks_all(value)
        {
            return Ok((node, of));
        }
        self.maps(value, [c, 1, pixels])
    }

    /// All values of an image as channels, row by row.
    pub fn vector(&mut self, value: &Value) -> Result<Maps, String> {
        self.maps(value, [value.count(), 1, 1])
    }

    /// The same tensor, so that it lies row by row.
    pub fn in_order(&mut self, value: &Value) -> Result<Value, String> {
        let made = self.vector(value)?;
        Ok(Value { batch: value.batch, ..Self::view_of_vector(made, &value.dims()) })
    }

    pub fn view_of_vector((node, source): Maps, dims: &[usize]) -> Value {
        Value { source: Source::Node(node, source), axes: contiguous(dims), start: [0, 0], batch: Some(0), is_whole: false, least: None }
    }

    /// A function of every value: of the node, so that the view stays.
    pub fn each(&mut self, suffix: &str, value: &Value, op: Op) -> Result<Value, String> {
        let Source::Node(node, _) = value.source else { return Err("its input is a constant".into()) };
        let (node, source) = self.add(suffix, op, &[node])?;
        Ok(Value { source: Source::Node(node, source), ..value.clone() })
    }

    /// A calculation with a constant for each channel of the node.
    pub fn with_vector(&mut self, suffix: &str, value: &Value, by: Calculation, operand: Vec<f32>) -> Result<Value, String> {
        let operand = Some(self.made(&named(suffix, "operand"), operand)?);
        self.each(suffix, value, Op::Calculate(Calculate { by, operand }))
    }

    /// A calculation of maps with a constant for each of their values.
    pub fn with_maps(&mut self, suffix: &str, (node, source): Maps, by: Calculation, operand: Vec<f32>) -> Result<Maps, String> {
        let operand = Some(self.matrix(&named(suffix, "operand"), &source, operand)?);
        self.add(suffix, Op::Calculate(Calculate { by, operand }), &[node])
    }

    /// The square of every value.
    pub fn squared(&mut self, suffix: &str, value: &Value) -> Result<Value, String> {
        let Source::Node(node, _) = value.source else { return Err("its input is a constant".into()) };
        let (node, source) = self.add(suffix, Op::Multiply, &[node, node])?;
        Ok(Value { source: Source::Node(node, source), ..value.clone() })
    }

    pub fn activated(&mut self, suffix: &str, value: &Value, activation: Activation) -> Result<Value, String> {
        self.each(suffix, value, Op::Activate(activation))
    }

    /// The channels of a view's node, for each of which constants have a value.
    pub fn channels_of(&self, value: &Value) -> Result<usize, String> {
        let Source::Node(_, [c, ..]) = value.source else { return Err("its input is a constant".into()) };
        self.fits(c.saturating_mul(4)).map(|()| c)
    }

    /// `value * scale + shift` for every value.
    pub fn scaled(&mut self, suffix: &str, value: &Value, scale: f32, shift: f32) -> Result<Value, String> {
        let c = self.channels_of(value)?;
        self.scaled_by(suffix, value, vec![scale; c], vec![shift; c])
    }

    /// `value * scale + shift`, with a scale and a shift for each channel of the node.
    pub fn scaled_by(&mut self, suffix: &str, value: &Value, scale: Vec<f32>, shift: Vec<f32>) -> Result<Value, String> {
        let (zeros, ones) = (vec![0.0; scale.len()], vec![1.0; scale.len()]);
        let name = |part: &str| named(suffix, part);
        let (weight, bias) = (self.made(&name("scale"), scale)?, self.made(&name("shift"), shift)?);
        let (mean, var) = (self.made(&name("mean"), zeros)?, self.made(&name("var"), ones)?);
        self.each(suffix, value, Op::BatchNorm { weight, bias, mean, var, eps: 0.0 })
    }
}

/// The name of a part of what a suffix stands for.
fn named(suffix: &str, part: &str) -> String {
    if suffix.is_empty() { part.into() } else { format!("{suffix}.{part}") }
}
