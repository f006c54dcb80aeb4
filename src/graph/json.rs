//! A graph as JSON, and back: what a one-file network holds beside its weights.
//!
//! Constants are named, and their values lie elsewhere. What is as usual is left out. Only what
//! builders use is written: a graph that passes have changed has no JSON.

#[cfg(not(target_arch = "wasm32"))]
mod suppression;

#[cfg(not(target_arch = "wasm32"))]
use super::RoiAlign;
use super::{
    Activation, Axis, Calculate, Calculation, ConstId, Constant, Conv, Coordinates, Element, Extent, Filter, Graph, Nearest, NodeId, Op,
    Output, Pool, PoolKind, Rearrange, Resample, TensorType, TopK,
};
use crate::json::{Field, Value};
use std::collections::BTreeMap;

/// Names of the choices that operations have.
const FILTERS: [(&str, Filter); 5] = {
    let [a, b, c, d] = Nearest::NAMES;
    [
        ("bilinear", Filter::Bilinear),
        (a.0, Filter::Nearest(a.1)),
        (b.0, Filter::Nearest(b.1)),
        (c.0, Filter::Nearest(c.1)),
        (d.0, Filter::Nearest(d.1)),
    ]
};
const POOLS: [(&str, PoolKind); 3] =
    [("max", PoolKind::Max), ("mean", PoolKind::Mean { count_pad: false }), ("mean_with_pad", PoolKind::Mean { count_pad: true })];

/// Takes the constant of a name out of what a file holds.
pub(crate) type Constants<'a> = &'a mut dyn FnMut(&str) -> Option<Constant>;

impl Graph {
    /// The graph of a JSON value that [`Graph::to_json`] has made; `constants` gives the values of
    /// those that it names. The error is one line.
    pub(crate) fn from_json(json: &Value<'_>, constants: Constants<'_>) -> Result<Self, String> {
        let mut reading = Reading { graph: Self::new(), constants, known: BTreeMap::new() };
        let mut top = Fields::new(json, "the graph")?;
        for input in top.list("inputs")? {
            let mut fields = Fields::new(input, "an input")?;
            let (name, channels) = (fields.text("name")?.to_string(), fields.whole("channels")?);
            let tensor = tensor(&mut fields)?;
            fields.finish()?;
            reading.graph.add_input_of(name, channels, tensor).map_err(|error| error.to_string())?;
        }
        for node in top.list("nodes")? {
            reading.node(node)?;
        }
        for output in top.list("outputs")? {
            let output = reading.output(output, "an output")?;
            reading.graph.outputs.push(output);
        }
        #[cfg(not(target_arch = "wasm32"))]
        for last in top.some_list("suppressions")? {
            reading.suppression(last)?;
        }
        for feature in top.some_list("features")? {
            let mut fields = Fields::new(feature, "a feature")?;
            let (name, node) = (fields.text("name")?.to_string(), reading.node_at(&mut fields, "node")?);
            fields.finish()?;
            reading.graph.add_feature(name, node);
        }
        if top.has("embedding") {
            let node = reading.node_at(&mut top, "embedding")?;
            reading.graph.set_embedding(node);
        }
        top.finish()?;
        Ok(reading.graph)
    }
}

/// A graph under construction.
struct Reading<'a> {
    graph: Graph,
    constants: Constants<'a>,
    /// Constants that the graph has already.
    known: BTreeMap<String, ConstId>,
}

impl Reading<'_> {
    fn node(&mut self, json: &Value<'_>) -> Result<(), String> {
        let mut fields = Fields::new(json, "a node")?;
        let name = fields.text("name")?.to_string();
        fields.what = format!("node `{name}`");
        let inputs = fields.list("inputs")?.iter().map(|input| self.earlier(input, &fields.what)).collect::<Result<Vec<_>, _>>()?;
        let op = self.op(&mut fields)?;
        fields.finish()?;
        self.graph.add(name, op, &inputs).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// A node that is there already: so there are no circles.
    fn earlier(&self, number: &Value<'_>, of: &str) -> Result<NodeId, String> {
        let count = self.graph.nodes().len();
        let known = number.whole().filter(|at| *at < count);
        known.map(NodeId).ok_or_else(|| format!("{of}: {number} is no earlier node: there are {count}"))
    }

    fn output(&self, json: &Value<'_>, what: &str) -> Result<Output, String> {
        let mut fields = Fields::new(json, what)?;
        let (name, node) = (fields.text("name")?.to_string(), self.node_at(&mut fields, "node")?);
        let tensor = tensor(&mut fields)?;
        fields.finish()?;
        Ok(Output { name, node, tensor })
    }

    fn node_at(&self, fields: &mut Fields<'_>, key: &'static str) -> Result<NodeId, String> {
        let value = fields.value(key)?;
        self.earlier(value, &fields.what)
    }

    fn op(&mut self, fields: &mut Fields<'_>) -> Result<Op, String> {
        Ok(match fields.text("op")? {
            "conv" => Op::Conv(Conv {
                stride: fields.pair_or("stride", [1, 1])?,
                pad: fields.pair_or("pad", [0, 0])?,
                pad_more: fields.steps_or_none("pad_more")?,
                dilation: fields.pair_or("dilation", [1, 1])?,
                groups: fields.whole_or("groups", 1)?,
                activation: self.activation_or_none(fields)?,
                bias: self.some_constant(fields, "bias")?,
                ..Conv::new(self.constant(fields, "weight")?)
            }),
            "batch_norm" => Op::BatchNorm {
                weight: self.constant(fields, "weight")?,
                bias: self.constant(fields, "bias")?,
                mean: self.constant(fields, "mean")?,
                var: self.constant(fields, "var")?,
                eps: fields.number("eps")?,
            },
            "linear" => Op::Linear {
                weight: self.constant(fields, "weight")?,
                bias: self.some_constant(fields, "bias")?,
                activation: self.activation_or_none(fields)?,
            },
            "activate" => Op::Activate(self.activation(fields)?),
            "add" => Op::Add,
            "multiply" => Op::Multiply,
            "constant" => Op::Constant(self.constant(fields, "value")?),
            "calculate" => {
                Op::Calculate(Calculate { by: fields.one_of("by", &Calculation::NAMES)?, operand: self.some_constant(fields, "operand")? })
            }
            "concat" => Op::Concat,
            "slice" => Op::Slice { start: fields.whole("start")?, len: fields.whole("len")? },
            "pool" => Op::Pool(Pool {
                kind: fields.one_of("kind", &POOLS)?,
                kernel: fields.pair("kernel")?,
                stride: fields.pair_or("stride", [1, 1])?,
                pad: fields.pair_or("pad", [0, 0])?,
                pad_more: fields.steps_or_none("pad_more")?,
            }),
            "global_pool" => Op::GlobalPool,
            "resample" => Op::Resample(Resample {
                extent: match (fields.has("sizes"), fields.has("scales")) {
                    (true, _) => Extent::Sizes(fields.pair("sizes")?),
                    (false, true) => Extent::Scales(fields.numbers("scales")?),
                    (false, false) => Extent::Like,
                },
                filter: fields.one_of("filter", &FILTERS)?,
                coordinates: fields.one_of("coordinates", &Coordinates::NAMES)?,
            }),
            "softmax" => Op::Softmax,
            "top_k" => Op::TopK(TopK {
                k: fields.whole("k")?,
                is_smallest: fields.whole_or("is_smallest", 0)? != 0,
                is_last: fields.whole_or("is_last", 0)? != 0,
                places: fields.whole_or("places", 0)? != 0,
            }),
            "rearrange" => Op::Rearrange(Rearrange {
                of: fields.whole_list("of")?,
                start: fields.pair("start")?,
                axes: fields.axes()?,
                to: fields.whole_list("to")?,
            }),
            #[cfg(not(target_arch = "wasm32"))]
            "roi_align" => Op::RoiAlign(RoiAlign {
                cells: fields.pair("cells")?,
                samples: fields.whole("samples")?,
                scales: fields.reals("scales")?,
                aligned: fields.whole_or("aligned", 0)? != 0,
                side: fields.number("side")?,
            }),
            other => return Err(format!("{}: operation `{other}` is unknown to this version", fields.what)),
        })
    }

    fn activation(&mut self, fields: &mut Fields<'_>) -> Result<Activation, String> {
        let name = fields.text("activation")?;
        let parameter = self.some_constant(fields, "parameter")?;
        let with = if parameter.is_some() { " with a parameter" } else { "" };
        Activation::named(name, parameter).ok_or_else(|| format!("{}: activation `{name}`{with} is unknown to this version", fields.what))
    }

    fn activation_or_none(&mut self, fields: &mut Fields<'_>) -> Result<Activation, String> {
        if fields.has("activation") { self.activation(fields) } else { Ok(Activation::Identity) }
    }

    fn some_constant(&mut self, fields: &mut Fields<'_>, key: &'static str) -> Result<Option<ConstId>, String> {
        if fields.has(key) { self.constant(fields, key).map(Some) } else { Ok(None) }
    }

    fn constant(&mut self, fields: &mut Fields<'_>, key: &'static str) -> Result<ConstId, String> {
        let name = fields.text(key)?;
        if let Some(id) = self.known.get(name) {
            return Ok(*id);
        }
        let constant = (self.constants)(name).ok_or_else(|| format!("{}: there is no tensor `{name}`", fields.what))?;
        let id = self.graph.push_constant(constant);
        self.known.insert(name.into(), id);
        Ok(id)
    }
}

fn element_or(fields: &mut Fields<'_>, usual: Element) -> Result<Element, String> {
    if !fields.has("type") {
        return Ok(usual);
    }
    let name = fields.text("type")?;
    Element::named(name).ok_or_else(|| format!("{}: type `{name}` is none of f32, i32, i64, bool", fields.what))
}

fn tensor(fields: &mut Fields<'_>) -> Result<TensorType, String> {
    let element = element_or(fields, Element::F32)?;
    let what = fields.what.clone();
    let sides = fields.list("sides")?.iter().map(Value::text).collect::<Option<Vec<_>>>();
    let sides = sides.ok_or_else(|| format!("{what}: sides are texts"))?;
    TensorType::new(element, sides).map_err(|error| format!("{what}: {error}"))
}

/// An object of a document: what it holds is asked for by name, and nothing may be left.
struct Fields<'a> {
    fields: &'a [Field<'a>],
    used: Vec<&'static str>,
    /// What it is, for messages.
    what: String,
}

impl<'a> Fields<'a> {
    fn new(json: &'a Value<'a>, what: &str) -> Result<Self, String> {
        match json {
            Value::Object(fields) => Ok(Self { fields, used: Vec::new(), what: what.into() }),
            _ => Err(format!("{what} is no object")),
        }
    }

    fn has(&self, key: &str) -> bool {
        self.fields.iter().any(|(name, _)| *name == key)
    }

    fn value(&mut self, key: &'static str) -> Result<&'a Value<'a>, String> {
        self.used.push(key);
        let found = self.fields.iter().rfind(|(name, _)| *name == key).map(|(_, value)| value);
        found.ok_or_else(|| format!("{} has no `{key}`", self.what))
    }

    /// A value that is wrong.
    fn wrong(&self, key: &str, wanted: &str) -> String {
        format!("{}: `{key}` is not {wanted}", self.what)
    }

    fn text(&mut self, key: &'static str) -> Result<&'a str, String> {
        self.value(key)?.text().ok_or_else(|| self.wrong(key, "a text"))
    }

    fn list(&mut self, key: &'static str) -> Result<&'a [Value<'a>], String> {
        self.value(key)?.list().ok_or_else(|| self.wrong(key, "a list"))
    }

    fn some_list(&mut self, key: &'static str) -> Result<&'a [Value<'a>], String> {
        if self.has(key) { self.list(key) } else { Ok(&[]) }
    }

    fn whole(&mut self, key: &'static str) -> Result<usize, String> {
        self.value(key)?.whole().ok_or_else(|| self.wrong(key, "a whole number"))
    }

    fn whole_or(&mut self, key: &'static str, usual: usize) -> Result<usize, String> {
        if self.has(key) { self.whole(key) } else { Ok(usual) }
    }

    fn pair(&mut self, key: &'static str) -> Result<[usize; 2], String> {
        match self.list(key)? {
            [a, b] => a.whole().zip(b.whole()).map(|(a, b)| [a, b]),
            _ => None,
        }
        .ok_or_else(|| self.wrong(key, "two whole numbers"))
    }

    fn pair_or(&mut self, key: &'static str, usual: [usize; 2]) -> Result<[usize; 2], String> {
        if self.has(key) { self.pair(key) } else { Ok(usual) }
    }

    fn whole_list<const N: usize>(&mut self, key: &'static str) -> Result<[usize; N], String> {
        let numbers = self.list(key)?.iter().map(Value::whole).collect::<Option<Vec<_>>>();
        numbers.and_then(|numbers| numbers.try_into().ok()).ok_or_else(|| self.wrong(key, "a list of whole numbers"))
    }

    /// Two whole numbers that may be negative.
    fn steps_or_none(&mut self, key: &'static str) -> Result<[isize; 2], String> {
        if !self.has(key) {
            return Ok([0, 0]);
        }
        match self.list(key)? {
            [a, b] => a.step().zip(b.step()).map(|(a, b)| [a, b]),
            _ => None,
        }
        .ok_or_else(|| self.wrong(key, "two whole numbers"))
    }

    /// Any count of numbers.
    #[cfg(not(target_arch = "wasm32"))]
    fn reals(&mut self, key: &'static str) -> Result<Vec<f32>, String> {
        let finite = |json: &Value<'_>| json.number().map(|number| number as f32).filter(|number| number.is_finite());
        let numbers = self.list(key)?.iter().map(finite).collect::<Option<Vec<_>>>();
        numbers.ok_or_else(|| self.wrong(key, "a list of numbers"))
    }

    /// Length, channels and pixels of each axis.
    fn axes(&mut self) -> Result<Vec<Axis>, String> {
        let axis = |json: &Value<'_>| match json.list()? {
            [len, channels, pixels] => Some(Axis { len: len.whole()?, channels: channels.step()?, pixels: pixels.step()? }),
            _ => None,
        };
        let axes = self.list("axes")?.iter().map(axis).collect::<Option<Vec<_>>>();
        axes.ok_or_else(|| self.wrong("axes", "a list of three whole numbers each"))
    }

    fn number(&mut self, key: &'static str) -> Result<f32, String> {
        let number = self.value(key)?.number().map(|number| number as f32).filter(|number| number.is_finite());
        number.ok_or_else(|| self.wrong(key, "a number"))
    }

    fn numbers(&mut self, key: &'static str) -> Result<[f32; 2], String> {
        match self.list(key)? {
            [a, b] => a.number().zip(b.number()).map(|(a, b)| [a as f32, b as f32]),
            _ => None,
        }
        .ok_or_else(|| self.wrong(key, "two numbers"))
    }

    fn one_of<T: Copy>(&mut self, key: &'static str, names: &[(&str, T)]) -> Result<T, String> {
        let given = self.text(key)?;
        let found = names.iter().find(|(name, _)| *name == given);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            format!("{}: `{key}` is `{given}`, none of {}", self.what, known.join(", "))
        })
    }

    /// Fails if there is something that nobody asked for.
    fn finish(self) -> Result<(), String> {
        match self.fields.iter().find(|(name, _)| !self.used.contains(&&**name)) {
            Some((name, _)) => Err(format!("{}: `{name}` is unknown to this version", self.what)),
            None => Ok(()),
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod write {
    use super::*;
    use crate::graph::Constant;

    /// A graph as JSON.
    pub(crate) struct Written {
        /// What [`Graph::from_json`] reads.
        pub json: Value<'static>,
        /// The constants' names there, each once, in their order.
        pub names: Vec<String>,
    }

    impl Graph {
        /// The graph as JSON, and the names that its constants have there.
        ///
        /// The error names a node that a pass has made.
        pub(crate) fn to_json(&self) -> Result<Written, String> {
            let names = unique(&self.constants);
            let nodes =
                self.nodes.iter().skip(self.inputs.len()).map(|node| self.node_json(node, &names)).collect::<Result<Vec<_>, _>>()?;
            let inputs = self.inputs.iter().map(|input| end(&input.name, &input.tensor, ("channels", self.channels(input.node))));
            let mut fields = vec![
                field("inputs", Value::List(inputs.collect())),
                field("nodes", Value::List(nodes)),
                field("outputs", Value::List(self.outputs.iter().map(output).collect())),
            ];
            if !self.suppressions.is_empty() {
                fields.push(field("suppressions", Value::List(self.suppressions.iter().map(suppression::json).collect())));
            }
            let feature = |(name, node): &(String, NodeId)| Value::Object(vec![field("name", text(name)), field("node", whole(node.0))]);
            if !self.features.is_empty() {
                fields.push(field("features", Value::List(self.features.iter().map(feature).collect())));
            }
            fields.extend(self.embedding.map(|node| field("embedding", whole(node.0))));
            Ok(Written { json: Value::Object(fields), names })
        }

        fn node_json(&self, node: &crate::graph::Node, names: &[String]) -> Result<Value<'static>, String> {
            let inputs = Value::List(node.inputs.iter().map(|id| whole(id.0)).collect());
            let mut fields = vec![field("name", text(&node.name)), field("op", text(node.op.name())), field("inputs", inputs)];
            let mut say = |key: &'static str, value| fields.push(field(key, value));
            let constant = |id: &ConstId| text(&names[id.0]);
            let is_function = matches!(node.op, Op::Activate(_));
            let say_activation = |activation: Activation, say: &mut dyn FnMut(&'static str, Value<'static>)| {
                if activation != Activation::Identity || is_function {
                    say("activation", text(activation.name()));
                }
                activation.parameter().iter().for_each(|parameter| say("parameter", constant(parameter)));
            };
            match &node.op {
                Op::Conv(conv) if !(conv.gate || conv.residual.is_some() || conv.pool) => {
                    say("weight", constant(&conv.weight));
                    conv.bias.iter().for_each(|bias| say("bias", constant(bias)));
                    let usual = Conv::new(conv.weight);
                    for (key, value, usual) in
                        [("stride", conv.stride, usual.stride), ("pad", conv.pad, usual.pad), ("dilation", conv.dilation, usual.dilation)]
                    {
                        if value != usual {
                            say(key, pair(value));
                        }
                    }
                    more(conv.pad_more).into_iter().for_each(|value| say("pad_more", value));
                    if conv.groups != 1 {
                        say("groups", whole(conv.groups));
                    }
                    say_activation(conv.activation, &mut say);
                }
                Op::BatchNorm { weight, bias, mean, var, eps } => {
                    for (key, id) in [("weight", weight), ("bias", bias), ("mean", mean), ("var", var)] {
                        say(key, constant(id));
                    }
                    say("eps", number(*eps));
                }
                Op::Linear { weight, bias, activation: then } => {
                    say("weight", constant(weight));
                    bias.iter().for_each(|bias| say("bias", constant(bias)));
                    say_activation(*then, &mut say);
                }
                Op::Activate(activation) => say_activation(*activation, &mut say),
                Op::TopK(top_k) => {
                    say("k", whole(top_k.k));
                    for (key, is_so) in [("is_smallest", top_k.is_smallest), ("is_last", top_k.is_last), ("places", top_k.places)] {
                        if is_so {
                            say(key, whole(1));
                        }
                    }
                }
                Op::Constant(id) => say("value", constant(id)),
                Op::Calculate(calculate) => {
                    say("by", name_of(&Calculation::NAMES, calculate.by));
                    calculate.operand.iter().for_each(|operand| say("operand", constant(operand)));
                }
                Op::Slice { start, len } => {
                    say("start", whole(*start));
                    say("len", whole(*len));
                }
                Op::Pool(pool) => {
                    say("kind", name_of(&POOLS, pool.kind));
                    say("kernel", pair(pool.kernel));
                    say("stride", pair(pool.stride));
                    say("pad", pair(pool.pad));
                    more(pool.pad_more).into_iter().for_each(|value| say("pad_more", value));
                }
                Op::Resample(resample) => {
                    match resample.extent {
                        Extent::Sizes(sizes) => say("sizes", pair(sizes)),
                        Extent::Scales(scales) => say("scales", Value::List(scales.map(number).into())),
                        Extent::Like => {}
                    }
                    say("filter", name_of(&FILTERS, resample.filter));
                    say("coordinates", name_of(&Coordinates::NAMES, resample.coordinates));
                }
                Op::Rearrange(rearrange) => {
                    let axis = |axis: &Axis| Value::List(vec![whole(axis.len), step(axis.channels), step(axis.pixels)]);
                    say("of", Value::List(rearrange.of.map(whole).into()));
                    say("start", pair(rearrange.start));
                    say("axes", Value::List(rearrange.axes.iter().map(axis).collect()));
                    say("to", Value::List(rearrange.to.map(whole).into()));
                }
                Op::RoiAlign(roi_align) => {
                    say("cells", pair(roi_align.cells));
                    say("samples", whole(roi_align.samples));
                    say("scales", Value::List(roi_align.scales.iter().copied().map(number).collect()));
                    if roi_align.aligned {
                        say("aligned", whole(1));
                    }
                    say("side", number(roi_align.side));
                }
                Op::Add | Op::Multiply | Op::Concat | Op::GlobalPool | Op::Softmax => {}
                Op::Input { .. } | Op::Conv(_) | Op::ResampleProduct(_) | Op::Ghost(_) | Op::SqueezeExcite(_) | Op::Separable(_) => {
                    return Err(format!("`{}` ({}) is made by passes only", node.name, node.op.name()));
                }
            }
            Ok(Value::Object(fields))
        }
    }

    fn end(name: &str, tensor: &TensorType, more: (&'static str, usize)) -> Value<'static> {
        let mut fields = vec![field("name", text(name)), field(more.0, whole(more.1))];
        if tensor.element != Element::F32 {
            fields.push(field("type", text(tensor.element.name())));
        }
        fields.push(field("sides", Value::List(tensor.sides().map(|side| Value::Text(side.into())).collect())));
        Value::Object(fields)
    }

    pub(super) fn output(output: &Output) -> Value<'static> {
        end(&output.name, &output.tensor, ("node", output.node.0))
    }

    /// The constants' names, where two are alike with a number.
    fn unique(constants: &[Constant]) -> Vec<String> {
        let mut taken = std::collections::BTreeSet::new();
        let name = |constant: &Constant| {
            let mut name = constant.name.clone();
            let mut number = 2;
            while !taken.insert(name.clone()) {
                name = format!("{}.{number}", constant.name);
                number += 1;
            }
            name
        };
        constants.iter().map(name).collect()
    }

    pub(super) fn field(key: &'static str, value: Value<'static>) -> Field<'static> {
        (key.into(), value)
    }

    pub(super) fn text(text: &str) -> Value<'static> {
        Value::Text(text.to_string().into())
    }

    pub(super) fn whole(number: usize) -> Value<'static> {
        Value::Number(number.to_string().into())
    }

    pub(super) fn number(number: f32) -> Value<'static> {
        Value::Number(format!("{number:?}").into())
    }

    fn step(step: isize) -> Value<'static> {
        Value::Number(step.to_string().into())
    }

    fn more(more: [isize; 2]) -> Option<Value<'static>> {
        (more != [0, 0]).then(|| Value::List(more.map(step).into()))
    }

    fn pair(pair: [usize; 2]) -> Value<'static> {
        Value::List(pair.map(whole).into())
    }

    fn name_of<T: Copy + PartialEq>(names: &[(&str, T)], value: T) -> Value<'static> {
        let (name, _) = names.iter().find(|(_, named)| *named == value).expect("every choice has a name");
        text(name)
    }
}
