//! Kernels alone: a launch as a plan of its own, for tests, for measurements, and for whoever wants
//! a single kernel.
//!
//! [`Case::new`] makes one of a kernel's `Problem`. A room's `cases.rs` says in a line of text what
//! it can be measured and tested on, such as `1x80x14x14 --out 184 --gate`: [`Cases`] is what such
//! a line may hold, and which lines the tests take.

use crate::{
    Error, Result,
    device::{Choice, Tile},
    graph::{Activated, Activation, ConstId, Constant, Graph, Op, Shape},
    json::Value,
    plan::{
        ConstantCache, Kernel, Plan, PlanInput, PlanOptions, PlanOutput, Precision, check_size,
        emit::{Emitter, Gate, Residual, TensorView},
        layout::Layout,
    },
};
use std::cell::Cell;

/// A launch alone.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it computes, in words.
    pub name: String,
    /// The plan, in which each tensor has a slot of its own.
    pub plan: Plan,
    /// What it reads.
    pub inputs: Vec<Operand>,
    /// What it writes.
    pub outputs: Vec<Operand>,
}

/// A tensor of a case.
#[derive(Debug, Clone)]
pub struct Operand {
    /// Where its values are.
    pub at: PlanOutput,
    /// How they are stored.
    pub precision: Precision,
}

impl Case {
    /// The case that `lower` adds to an empty plan: with tensors of [`Alone`], and a kernel's
    /// `lower` on its emitter.
    ///
    /// # Errors
    /// What `lower` gives, and [`Error::Model`] where it adds no launch or no tensor.
    pub fn new(name: impl Into<String>, options: &PlanOptions, lower: impl FnOnce(&mut Alone<'_>) -> Result<()>) -> Result<Self> {
        let (name, mut cache) = (name.into(), ConstantCache::new());
        let mut alone = Alone { name, emit: Emitter::new(options, &mut cache), operands: Vec::new(), inside: 0, random: Random::default() };
        lower(&mut alone)?;
        let Alone { name, emit, operands, .. } = alone;
        let Some(first) = operands.iter().find(|operand| !operand.is_written).or(operands.first()) else {
            return Err(Error::Model(format!("{name}: a case needs a tensor")));
        };
        let PlanOutput { name: input, shape, layout, tensor, .. } = first.view.leaving(first.name).1;
        let input = (first.view.storage, PlanInput { name: input, slot: 0, shape, layout, tensor });
        let mut plan = emit.finish(vec![input], operands.iter().map(|operand| operand.view.leaving(operand.name)).collect());
        if plan.steps.is_empty() {
            return Err(Error::Model(format!("{name}: a case needs a launch")));
        }
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for (operand, at) in operands.iter().zip(std::mem::take(&mut plan.outputs)) {
            if operand.is_written {
                plan.outputs.push(at.clone());
            }
            let list = if operand.is_written { &mut outputs } else { &mut inputs };
            list.push(Operand { at, precision: operand.view.precision });
        }
        Ok(Self { name, plan, inputs, outputs })
    }

    /// The contents of the plan's slots: each named input's `[n, c, h, w]` values at their place,
    /// zeros elsewhere.
    ///
    /// # Errors
    /// [`Error::Shape`] for a name that no input has, and for a wrong number of values.
    pub fn slots(&self, inputs: &[(&str, &[f32])]) -> Result<Vec<Vec<u8>>> {
        let mut slots: Vec<Vec<u8>> = self.plan.slots.iter().map(|&bytes| vec![0; bytes]).collect();
        for &(name, values) in inputs {
            let Some(Operand { at, precision }) = self.inputs.iter().find(|input| input.at.name == name) else {
                let names: Vec<&str> = self.inputs.iter().map(|input| &*input.at.name).collect();
                return Err(Error::shape(&self.name, format!("no input is called `{name}`: there are {}", names.join(", "))));
            };
            if values.len() != at.shape.count() {
                let what = format!("`{name}` {} has {} values, {} were given", at.shape, at.shape.count(), values.len());
                return Err(Error::shape(&self.name, what));
            }
            let slot = &mut slots[at.slot];
            let mut lanes = precision.from_bytes(slot);
            at.pack(values, &mut lanes);
            *slot = precision.to_bytes(&lanes).into_owned();
        }
        Ok(slots)
    }

    /// The `[n, c, h, w]` values of each output, from what a run left in the slots.
    pub fn results(&self, slots: &[Vec<u8>]) -> Vec<Vec<f32>> {
        self.outputs.iter().map(|Operand { at, precision }| at.unpack(&precision.from_bytes(&slots[at.slot]))).collect()
    }
}

/// A case under construction.
pub struct Alone<'a> {
    name: String,
    /// What a kernel's `lower` adds its launch to.
    pub emit: Emitter<'a>,
    operands: Vec<Made>,
    /// Blocks of channels in front of and behind each tensor.
    inside: usize,
    random: Random,
}

struct Made {
    name: &'static str,
    view: TensorView,
    is_written: bool,
}

impl Alone<'_> {
    /// An input with its channels in order.
    ///
    /// # Errors
    /// [`Error::Limit`] where it has more blocks than shaders count.
    pub fn input(&mut self, name: &'static str, shape: Shape) -> Result<TensorView> {
        self.input_in(name, shape, &Layout::plain(shape.c))
    }

    /// An input in a layout; errors as [`Alone::input`].
    pub fn input_in(&mut self, name: &'static str, shape: Shape, layout: &Layout) -> Result<TensorView> {
        self.operand(name, shape, layout, false)
    }

    /// An output with its channels in order; errors as [`Alone::input`].
    pub fn output(&mut self, name: &'static str, shape: Shape) -> Result<TensorView> {
        self.output_in(name, shape, &Layout::plain(shape.c))
    }

    /// An output in a layout; errors as [`Alone::input`].
    pub fn output_in(&mut self, name: &'static str, shape: Shape, layout: &Layout) -> Result<TensorView> {
        self.operand(name, shape, layout, true)
    }

    fn operand(&mut self, name: &'static str, shape: Shape, layout: &Layout, is_written: bool) -> Result<TensorView> {
        let around = Layout::plain((layout.blocks() + 2 * self.inside) * 4);
        let whole = self.buffer(Shape { c: around.lanes().len(), ..shape }, around)?;
        let view = whole.part(self.inside, shape.c, layout.clone());
        Ok(self.add(name, view, is_written))
    }

    /// A gate on `input`: an input `[n, c, 1, 1]`, f32, in the other's layout. `is_bounded`: its
    /// values are at most 1.
    pub fn gate(&mut self, input: &TensorView, is_bounded: bool) -> Gate {
        let shape = Shape { h: 1, w: 1, ..input.shape };
        let view = self.emit.tensor(shape, input.layout.clone(), Precision::F32);
        Gate { view: self.add("gate", view, false), is_bounded }
    }

    /// A tensor that is not listed: whole, or one that holds others; errors as [`Alone::input`].
    pub fn buffer(&mut self, shape: Shape, layout: Layout) -> Result<TensorView> {
        check_size(&self.name, shape, &layout)?;
        let precision = self.emit.precision();
        Ok(self.emit.tensor(shape, layout, precision))
    }

    /// Lists a tensor that was made otherwise among the case's.
    pub fn add(&mut self, name: &'static str, view: TensorView, is_written: bool) -> TensorView {
        self.operands.push(Made { name, view: view.clone(), is_written });
        view
    }
}

/// What a kernel's cases are made of beside tensors.
impl Alone<'_> {
    /// Made-up weights of this shape, so large that sums of products stay near 1.
    pub(crate) fn weight(&mut self, shape: &[usize]) -> Result<Constant> {
        const MOST: usize = 1 << 28;
        let count = shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side)).unwrap_or(usize::MAX);
        if count > MOST {
            return Err(Error::Limit { what: format!("{}: weights", self.name), needed: count as u64, limit: MOST as u64 });
        }
        let inputs: usize = shape[1..].iter().product();
        let scale = 1.5 / (inputs.max(1) as f32).sqrt();
        Ok(Constant { name: "weight".into(), shape: shape.to_vec(), data: (0..count).map(|_| self.random.value() * scale).collect() })
    }

    /// Made-up values of a bias, unless the case is without.
    pub(crate) fn bias(&mut self, given: &Given<'_>, count: usize) -> Option<Vec<f32>> {
        (!given.has("no-bias")).then(|| (0..count).map(|_| self.random.value() * 0.5).collect())
    }

    /// An activation of `c` channels, with made-up values of its parameter, if it has one.
    pub(crate) fn activation(&mut self, given: &Given<'_>, name: &str, default: Activation, c: usize) -> Result<MadeUp> {
        let by = given.any_activation(name, default)?;
        let mut values = |scale: f32| Some((0..c).map(|_| self.random.value() * scale).collect::<Vec<f32>>());
        let parameter = match by {
            Activation::PRelu(_) => values(0.5),
            Activation::Round8(_) => values(64.0).map(|low| low.into_iter().map(|low| low.round() - 128.0).collect()),
            _ => None,
        };
        Ok(MadeUp { by, parameter })
    }

    /// What `--residual` adds to a result in a layout; errors as [`Alone::input`].
    pub(crate) fn residual(&mut self, given: &Given<'_>, shape: Shape, layout: &Layout) -> Result<Option<Residual>> {
        let bounds = [Activation::Identity, Activation::Relu, Activation::Relu6].map(|activation| (activation.name(), activation));
        let activation = given.one_of("residual-activation", &bounds, Activation::Identity)?;
        let view = given.has("residual").then(|| self.input_in("residual", shape, layout)).transpose()?;
        Ok(view.map(|view| Residual { view, activation }))
    }

    /// The shape of what an operation without constants makes of several inputs; errors are the
    /// graph's.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn shape_of_all(&self, inputs: &[Shape], op: Op) -> Result<Shape> {
        let mut graph = Graph::new();
        let input = |(at, shape): (usize, &Shape)| graph.add_input_of(at.to_string(), shape.c, crate::graph::TensorType::maps());
        let ids = inputs.iter().enumerate().map(input).collect::<Result<Vec<_>>>()?;
        let node = graph.add(&self.name, op, &ids)?;
        Ok(graph.shapes(inputs)?[node.0])
    }

    /// The shape of what an operation makes of an input; errors are the graph's.
    pub(crate) fn shape_of(&self, input: Shape, constants: &[&Constant], op: impl FnOnce(&[ConstId]) -> Op) -> Result<Shape> {
        let mut graph = Graph::new();
        let x = graph.add_input(input.c)?;
        let ids: Vec<ConstId> = constants.iter().map(|&constant| graph.push_constant(constant.clone())).collect();
        let node = graph.add(&self.name, op(&ids), &[x])?;
        Ok(graph.shapes(&[input])?[node.0])
    }

    /// The case's name, which is its step's.
    pub(crate) fn name(&self) -> String {
        self.name.clone()
    }

    /// What is wrong with the case.
    pub(crate) fn error(&self, what: impl Into<String>) -> Error {
        Error::shape(&self.name, what)
    }
}

/// An activation with made-up values of its parameter.
pub(crate) struct MadeUp {
    by: Activation,
    parameter: Option<Vec<f32>>,
}

impl MadeUp {
    /// It, by reference.
    pub(crate) fn get(&self) -> Activated<'_> {
        Activated { by: self.by, parameter: self.parameter.as_deref() }
    }
}

/// A linear congruential generator (Knuth's MMIX constants).
#[derive(Default)]
struct Random(u64);

impl Random {
    /// From -1 to 1.
    fn value(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// What a kernel is tested and measured on.
pub struct Cases {
    /// The kernel.
    pub kernel: Kernel,
    /// What a case's first word says, such as `NxCxHxW`.
    pub shape: &'static str,
    /// What may follow it.
    pub options: &'static [CaseOption],
    /// Makes a tile the choice's, for kernels that have a choice of tiles.
    pub tile: Option<fn(&mut Choice, Tile)>,
    /// The tests' cases: shapes of GhostNet's layers, and odd ones.
    pub cases: &'static [&'static str],
    /// Makes a case.
    pub build: fn(&Given<'_>, &mut Alone<'_>) -> Result<()>,
}

/// An option of a case.
#[derive(Debug, Clone, Copy)]
pub struct CaseOption {
    /// Its name, without dashes.
    pub name: &'static str,
    /// What its value is; empty for a switch.
    pub value: &'static str,
    /// What it means.
    pub about: &'static str,
}

impl CaseOption {
    pub(crate) const fn new(name: &'static str, value: &'static str, about: &'static str) -> Self {
        Self { name, value, about }
    }
}

/// Of every kernel.
const COMMON: [CaseOption; 2] = [
    CaseOption::new("parts", "AxB..", "The input's channels are parts of so many, each padded to whole blocks"),
    CaseOption::new("inside", "N", "Each tensor has N blocks of others' channels in front of and behind its own"),
];

/// Of kernels that have a choice of tiles.
const TILE: CaseOption = CaseOption::new("tile", "WxPxBxU", "Invocations, pixels and blocks of each, blocks whose loads are under way");

// Options of several kernels.
pub(crate) const OUT: CaseOption = CaseOption::new("out", "C", "Output channels [default: the input's]");
pub(crate) const ACTIVATION: CaseOption = CaseOption::new("activation", "NAME", "Such as relu, hard_swish or p_relu [default: identity]");
pub(crate) const NO_BIAS: CaseOption = CaseOption::new("no-bias", "", "Without a bias");
pub(crate) const GATE: CaseOption = CaseOption::new("gate", "", "With a gate on its input");
pub(crate) const RESIDUAL: CaseOption = CaseOption::new("residual", "", "With a tensor that is added to its result");
pub(crate) const RESIDUAL_ACTIVATION: CaseOption =
    CaseOption::new("residual-activation", "NAME", "Of the sum: relu or relu6 [default: none]");
pub(crate) const SUMS: CaseOption = CaseOption::new("sums", "", "With each channel's sum for a squeeze-and-excite");
pub(crate) const STRIDE: CaseOption = CaseOption::new("stride", "YxX", "From one output pixel to the next [default: 1]");

impl Cases {
    /// All options that a case of this kernel may have.
    pub fn options(&self) -> impl Iterator<Item = CaseOption> {
        self.options.iter().copied().chain(self.tile.map(|_| TILE)).chain(COMMON)
    }

    /// What a text has to say, such as `NxCxHxW [--out C]`.
    pub fn usage(&self) -> String {
        let option = |option: CaseOption| format!("[--{}]", format!("{} {}", option.name, option.value).trim_end());
        let options: Vec<String> = self.options().map(option).collect();
        format!("{} {}", self.shape, options.join(" "))
    }

    /// The case that `text` says, such as `1x80x14x14 --out 184`.
    ///
    /// # Errors
    /// [`Error::Shape`] for a text that says none, with what it should say; [`Error::Limit`] for
    /// tensors that are too large.
    pub fn case(&self, text: &str, options: &PlanOptions) -> Result<Case> {
        let name = format!("{} {}", self.kernel, text.split_whitespace().collect::<Vec<_>>().join(" "));
        let given = self.parse(text).map_err(|what| Error::shape(&name, what))?;
        let mut options = options.clone();
        if let (Some(set), Some(tile)) = (self.tile, given.tile()?) {
            set(&mut options.choice, tile);
            options.choice.check().map_err(|what| Error::shape(&name, what))?;
        }
        Case::new(name, &options, |alone| {
            alone.inside = given.number_from("inside", 0, 0)?;
            (self.build)(&given, alone)?;
            given.all_read()
        })
    }

    fn parse<'t>(&self, text: &'t str) -> Result<Given<'t>, String> {
        let usage = || format!("a case is {}", self.usage());
        let mut words = text.split_whitespace();
        let shape = words.next().filter(|word| !word.starts_with('-')).ok_or_else(|| format!("no shape: {}", usage()))?;
        let sides = self.shape.split('x').count();
        let shape = numbers(shape, 1).filter(|shape| shape.len() == sides);
        let shape = shape.ok_or_else(|| format!("the shape should be {}, {sides} whole numbers from 1", self.shape))?;
        let mut values: Vec<(&'static str, &str, Cell<bool>)> = Vec::new();
        while let Some(word) = words.next() {
            let found = self.options().find(|option| word.strip_prefix("--") == Some(option.name));
            let option = found.ok_or_else(|| format!("`{word}` is no option: {}", usage()))?;
            if values.iter().any(|(name, ..)| *name == option.name) {
                return Err(format!("`{word}` is given twice"));
            }
            let value = if option.value.is_empty() { Some("") } else { words.next() };
            let value = value.ok_or_else(|| format!("`{word}` needs a value, {}", option.value))?;
            values.push((option.name, value, Cell::new(false)));
        }
        Ok(Given { kernel: self.kernel, shape, values })
    }
}

/// Whole numbers below 2^31 with an `x` between them, each at least `least`.
fn numbers(text: &str, least: usize) -> Option<Vec<usize>> {
    text.split('x').map(|side| side.parse().ok().filter(|side| (least..1 << 31).contains(side))).collect()
}

/// What a case's text says.
pub struct Given<'t> {
    kernel: Kernel,
    shape: Vec<usize>,
    /// Names, values, and whether they were asked for.
    values: Vec<(&'static str, &'t str, Cell<bool>)>,
}

impl<'t> Given<'t> {
    /// The numbers of the shape.
    pub fn sides<const N: usize>(&self) -> [usize; N] {
        self.shape[..].try_into().expect("as many as the kernel's shape has")
    }

    /// The shape as `[n, c, h, w]`.
    pub fn shape(&self) -> Shape {
        let [n, c, h, w] = self.sides();
        Shape { n, c, h, w }
    }

    /// Whether an option is there.
    pub fn has(&self, name: &str) -> bool {
        self.word(name).is_some()
    }

    /// The value of an option, if it is there.
    pub fn word(&self, name: &str) -> Option<&'t str> {
        let (_, value, was_read) = self.values.iter().find(|(given, ..)| *given == name)?;
        was_read.set(true);
        Some(value)
    }

    fn wrong(&self, name: &str, needs: &str) -> Error {
        Error::shape(self.kernel.name(), format!("--{name} needs {needs}, `{}` is none", self.word(name).unwrap_or_default()))
    }

    /// The numbers of an option such as `3x5`, each at least `least`.
    pub fn numbers(&self, name: &str, least: usize) -> Result<Option<Vec<usize>>> {
        let needs = || self.wrong(name, &format!("whole numbers from {least} with `x` between them"));
        self.word(name).map(|word| numbers(word, least).ok_or_else(needs)).transpose()
    }

    /// A number that is at least 1.
    pub fn number(&self, name: &str, default: usize) -> Result<usize> {
        self.number_from(name, 1, default)
    }

    /// A number that is at least `least`.
    pub fn number_from(&self, name: &str, least: usize, default: usize) -> Result<usize> {
        match self.numbers(name, least)?.as_deref() {
            None => Ok(default),
            Some(&[number]) => Ok(number),
            Some(_) => Err(self.wrong(name, "one number")),
        }
    }

    /// A pair (rows, columns), each at least `least`: `3x5`, or `3` for `3x3`.
    pub fn pair(&self, name: &str, least: usize, default: [usize; 2]) -> Result<[usize; 2]> {
        match self.numbers(name, least)?.as_deref() {
            None => Ok(default),
            Some(&[both]) => Ok([both; 2]),
            Some(&[rows, columns]) => Ok([rows, columns]),
            Some(_) => Err(self.wrong(name, "one number or two")),
        }
    }

    /// A pair (rows, columns) of numbers such as `1.5x0.7`, or one for both; whether they make
    /// sense the operation says.
    pub fn reals(&self, name: &str) -> Result<Option<[f32; 2]>> {
        let Some(word) = self.word(name) else { return Ok(None) };
        // Std's reader of floats would bring tables into the browser's module, which compress badly.
        let number = |text| Value::parse(text).ok()?.number().map(|number| number as f32);
        let numbers: Option<Vec<f32>> = word.split('x').map(number).collect();
        match numbers.as_deref() {
            Some(&[both]) => Ok(Some([both; 2])),
            Some(&[rows, columns]) => Ok(Some([rows, columns])),
            _ => Err(self.wrong(name, "one number or two with an `x` between them")),
        }
    }

    /// One of several things by its name.
    pub fn one_of<T: Copy>(&self, name: &str, all: &[(&str, T)], default: T) -> Result<T> {
        let Some(word) = self.word(name) else { return Ok(default) };
        let found = all.iter().find(|(known, _)| *known == word);
        let names = || all.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
        found.map(|(_, value)| *value).ok_or_else(|| self.wrong(name, &format!("one of {}", names())))
    }

    /// An activation without a parameter.
    pub fn activation(&self, name: &str, default: Activation) -> Result<Activation> {
        self.one_of(name, &Activation::PLAIN.map(|activation| (activation.name(), activation)), default)
    }

    /// Any activation.
    fn any_activation(&self, name: &str, default: Activation) -> Result<Activation> {
        let with = [Activation::PRelu(ConstId(0)), Activation::Round8(ConstId(0))];
        let all = Activation::PLAIN.into_iter().chain(with).map(|activation| (activation.name(), activation));
        self.one_of(name, &all.collect::<Vec<_>>(), default)
    }

    /// The layout of `c` channels that `--parts` says: the input's.
    pub fn layout(&self, c: usize) -> Result<Layout> {
        self.layout_of("parts", c)
    }

    /// The layout of `c` channels in the parts that an option says.
    pub fn layout_of(&self, name: &str, c: usize) -> Result<Layout> {
        let Some(parts) = self.numbers(name, 1)? else { return Ok(Layout::plain(c)) };
        let total: usize = parts.iter().sum();
        if total != c {
            return Err(Error::shape(self.kernel.name(), format!("--{name} has {total} channels, {c} are needed")));
        }
        let mut start = 0;
        let part = |len: &usize| {
            let channels = start as u32..(start + len) as u32;
            start += len;
            channels.collect()
        };
        Ok(Layout::from_parts(parts.iter().map(part).collect::<Vec<_>>()))
    }

    fn tile(&self) -> Result<Option<Tile>> {
        match self.numbers("tile", 1)?.as_deref() {
            None => Ok(None),
            Some(&[invocations, pixels, blocks, unroll]) => {
                let [invocations, pixels, blocks, unroll] = [invocations, pixels, blocks, unroll].map(|v| v as u32);
                Ok(Some(Tile { invocations, pixels, blocks, unroll }))
            }
            Some(_) => Err(self.wrong("tile", "four numbers")),
        }
    }

    /// An option that means nothing beside the others is an error.
    fn all_read(&self) -> Result<()> {
        match self.values.iter().find(|(.., was_read)| !was_read.get()) {
            Some((name, ..)) => Err(Error::shape(self.kernel.name(), format!("--{name} means nothing beside the other options"))),
            None => Ok(()),
        }
    }
}

/// The inputs of a layer of `shape`, in the layout and with the gate that a case says.
pub(crate) fn layer_input(given: &Given<'_>, alone: &mut Alone<'_>, shape: Shape) -> Result<(TensorView, Option<Gate>)> {
    let input = alone.input_in("input", shape, &given.layout(shape.c)?)?;
    let gate = given.has("gate").then(|| alone.gate(&input, !given.has("unbounded")));
    Ok((input, gate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{device::DeviceClass, kernels, plan::Form};
    use std::collections::BTreeSet;

    fn options() -> PlanOptions {
        PlanOptions { form: Form::Tensors, precision: Precision::F32, choice: Choice::new(DeviceClass::Gpu), normalise: [[0.5; 3]; 2] }
    }

    fn cases(kernel: Kernel) -> &'static Cases {
        kernels::CASES.iter().find(|cases| cases.kernel == kernel).unwrap()
    }

    #[test]
    fn every_kernel_in_plans_has_cases_and_every_option_is_in_one() {
        for cases in kernels::CASES {
            let mut used = BTreeSet::new();
            for text in cases.cases {
                let case = cases.case(text, &options()).unwrap();
                let step = case.plan.steps.last().unwrap();
                assert_eq!(step.dispatch.key.kernel, cases.kernel, "{text}");
                assert!(!case.outputs.is_empty() || !case.inputs.is_empty(), "{text}");
                used.extend(cases.parse(text).unwrap().values.iter().map(|(name, ..)| *name));
            }
            let unused: Vec<&str> = cases.options.iter().map(|option| option.name).filter(|name| !used.contains(name)).collect();
            assert!(unused.is_empty(), "no case of {} has {unused:?}", cases.kernel);
            let distinct: BTreeSet<_> = cases.cases.iter().collect();
            assert_eq!(distinct.len(), cases.cases.len(), "{}", cases.kernel);
        }
        let without: Vec<&str> =
            kernels::ALL.iter().filter(|kernel| kernels::CASES.iter().all(|c| c.kernel != **kernel)).map(|kernel| kernel.name()).collect();
        assert_eq!(without, ["decode", "resize", "sample"], "they stand around plans");
    }

    #[test]
    fn a_text_that_says_no_case_is_refused_with_what_it_should_say() {
        use kernels::{conv2d, pointwise, resample, squeeze_excite};
        for (kernel, text, what) in [
            (pointwise::KERNEL, "", "no shape: a case is NxCxHxW [--out C]"),
            (pointwise::KERNEL, "1x80x14", "the shape should be NxCxHxW, 4 whole numbers from 1"),
            (pointwise::KERNEL, "1x0x1x1", "the shape should be NxCxHxW"),
            (pointwise::KERNEL, "1x8x1x1 --kernel 3", "`--kernel` is no option: a case is NxCxHxW"),
            (pointwise::KERNEL, "1x8x1x1 --out", "`--out` needs a value, C"),
            (pointwise::KERNEL, "1x8x1x1 --out 0", "--out needs whole numbers from 1 with `x` between them, `0` is none"),
            (pointwise::KERNEL, "1x8x1x1 --out 2x2", "--out needs one number, `2x2` is none"),
            (pointwise::KERNEL, "1x8x1x1 --gate --gate", "`--gate` is given twice"),
            (pointwise::KERNEL, "1x8x1x1 --unbounded", "--unbounded means nothing beside the other options"),
            (pointwise::KERNEL, "1x8x1x1 --activation softplus", "--activation needs one of identity, relu"),
            (pointwise::KERNEL, "1x8x1x1 --parts 3x4", "--parts has 7 channels, 8 are needed"),
            (pointwise::KERNEL, "1x8x1x1 --tile 64x2", "--tile needs four numbers, `64x2` is none"),
            (pointwise::KERNEL, "1x8x1x1 --tile 63x2x2x2", "no kernel has a tile of 63 x 2 x 2, 2 at a time"),
            (pointwise::KERNEL, "1x8x99999x99999", "blocks of four channels needs 19999600002, the device allows 2147483647"),
            (pointwise::KERNEL, "1x800000x1x1 --out 800000", "weights needs 640000000000, the device allows 268435456"),
            (conv2d::KERNEL, "1x8x3x3 --kernel 5 --pad 0", "a window of 5 does not fit on 3 pixels with padding 0"),
            (resample::KERNEL, "1x8x3x3 --scale 2x2x2", "--scale needs one number or two with an `x` between them, `2x2x2` is none"),
            (resample::KERNEL, "1x8x3x3 --scale 0.1", "3 rows times 0.1 are none"),
            (resample::KERNEL, "1x8x3x3 --scale 1e99", "a scale of inf is not above 0 and finite"),
            (resample::KERNEL, "1x8x3x3 --scale inf", "--scale needs one number or two with an `x` between them, `inf` is none"),
            (conv2d::KERNEL, "1x8x3x3 --out 9 --groups 3", "cannot be split into 3 groups"),
            (squeeze_excite::KERNEL, "1x4096x1x1", "4096 channels and 1024 reduced ones, the kernel has room for 2048 and 512"),
        ] {
            let error = cases(kernel).case(text, &options()).unwrap_err().to_string();
            assert!(error.contains(what), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn values_come_back_from_where_they_were_put() {
        let case = cases(kernels::elementwise::KERNEL).case("2x6x3x5 --with add --parts 1x5 --inside 2", &options()).unwrap();
        let values: Vec<f32> = (0..180).map(|v| v as f32).collect();
        let slots = case.slots(&[("a", &values)]).unwrap();
        let a = &case.inputs[0].at;
        assert_eq!(a.unpack(&Precision::F32.from_bytes(&slots[a.slot])), values);
        let error = case.slots(&[("c", &values)]).unwrap_err().to_string();
        assert!(error.ends_with("no input is called `c`: there are a, b"), "{error}");
        let error = case.slots(&[("a", &values[1..])]).unwrap_err().to_string();
        assert!(error.ends_with("`a` [2, 6, 3, 5] has 180 values, 179 were given"), "{error}");
    }
}
