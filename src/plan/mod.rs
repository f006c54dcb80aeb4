//! Ordered dispatches over a few reused buffers: plain data, with no GPU and no kernel in it.
//!
//! Tensors have layouts ([`layout`]), and weights are packed in their order (`pack`). A plan grows
//! by an [`emit::Emitter`]. Tensors that are not alive at the same time share a slot (`slots`).
//! `src/compile.rs` says which kernel computes what. The same plan runs on the GPU
//! ([`crate::gpu`]) and on the CPU twins ([`crate::cpu`]).

mod dispatch;
pub mod emit;
pub mod layout;
pub(crate) mod pack;
mod placement;
mod products;
pub(crate) mod shuffle;
mod slots;
#[cfg(not(target_arch = "wasm32"))]
mod stage;

pub use dispatch::{Call, Dispatch, Inputs, Kernel, KernelSpec, PipelineKey, grid, padded};
pub(crate) use placement::Placement;
pub use products::{Halves, Products};
pub use slots::{Lifetime, assign_slots};
#[cfg(not(target_arch = "wasm32"))]
pub use stage::Stage;

use crate::{
    Error, Result,
    block::{Packed, Slab},
    device::Choice,
    graph::{Shape, TensorType},
    text::decimal,
};
use half::{f16, slice::HalfFloatSliceExt as _};
use layout::Layout;
use std::{borrow::Cow, collections::BTreeMap, ops::Range};

/// Where a tensor starts in its buffer, and how far apart its images are; in blocks (four channels
/// of one pixel).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// First block.
    pub offset: u32,
    /// Blocks from one image to the next.
    pub stride: u32,
}

/// How values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Precision {
    /// 32-bit floats: the reference.
    #[default]
    F32,
    /// Weights and activations stored as halves, on a GPU only: half the memory and half the
    /// traffic. It needs no feature of the device. Convolutions multiply halves where the device
    /// has `shader-f16` and [`Choice::multiplies_halves`] says so. Else all arithmetic is f32.
    ///
    /// Biases, and sums and gates of squeeze-and-excites, are f32. Activations beyond 65504 are
    /// stored as 65504; such a weight or input is refused.
    F16,
}

impl Precision {
    /// `f32` or `f16`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
        }
    }

    /// Bytes of a block of four values.
    pub fn block_bytes(self) -> usize {
        match self {
            Precision::F32 => 16,
            Precision::F16 => 8,
        }
    }

    /// The values as a kernel reads them.
    pub fn to_bytes(self, values: &[f32]) -> Cow<'_, [u8]> {
        match self {
            Precision::F32 => Cow::Borrowed(bytemuck::cast_slice(values)),
            Precision::F16 => {
                let mut halves = vec![f16::ZERO; values.len()];
                halves.convert_from_f32_slice(values);
                Cow::Owned(bytemuck::pod_collect_to_vec(&halves))
            }
        }
    }

    /// The values that a kernel wrote.
    pub fn from_bytes(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Precision::F32 => bytemuck::pod_collect_to_vec(bytes),
            Precision::F16 => bytemuck::pod_collect_to_vec::<u8, f16>(bytes).to_f32_vec(),
        }
    }

    /// Whether all values can be stored.
    ///
    /// Errors: [`Error::Shape`], for what is called `name`, where one is no finite number, or
    /// beyond what halves hold.
    pub(crate) fn check(self, name: &str, values: &[f32]) -> Result<()> {
        let (largest, bound) = match self {
            Precision::F32 => (f32::MAX, ""),
            Precision::F16 => (f16::MAX.to_f32(), ", f16 holds up to 65504"),
        };
        let Some(at) = values.iter().position(|v| v.is_nan() || v.abs() > largest) else { return Ok(()) };
        let bound = if values[at].is_finite() { bound } else { "" };
        Err(Error::shape(name, format!("value {at} is {}{bound}", decimal(values[at].into()))))
    }

    pub(crate) fn is_f16(self) -> bool {
        self == Precision::F16
    }
}

/// What goes into a run and what comes out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Form {
    /// From a normalised tensor to every result of the graph.
    Tensors,
    /// From 8-bit pixels to the `k` most probable classes, by the graph's first result.
    Classify {
        /// Classes per image.
        k: usize,
    },
}

/// What a plan is made for.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanOptions {
    /// What goes in and out.
    pub form: Form,
    /// How values are stored.
    pub precision: Precision,
    /// Which kernels run which layers.
    pub choice: Choice,
    /// Mean and standard deviation of the input's channels, for [`Form::Classify`].
    pub normalise: [[f32; 3]; 2],
}

/// Names a packed constant, the same in every plan of one graph that packs it in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConstantKey {
    /// The node's place in its graph; `None` for what is no node's.
    pub node: Option<usize>,
    /// Which part of the node, where several kernels compute it.
    pub part: &'static str,
    /// The kernel that reads it.
    pub kernel: Kernel,
    /// What it is to the kernel.
    pub role: &'static str,
    /// How it is packed.
    pub variant: usize,
}

/// Weights in the order in which a kernel reads them.
#[derive(Debug, Clone)]
pub struct PackedConstant {
    /// Its name.
    pub key: ConstantKey,
    /// Its values.
    pub data: Packed,
    /// Whether the kernel reads it in the plan's precision; otherwise always as f32.
    pub stored: bool,
}

/// Indices in shaders are 32-bit: no tensor may have more blocks than that counts.
pub(crate) fn check_size(name: &str, shape: Shape, layout: &Layout) -> Result<()> {
    const MOST: u32 = u32::MAX / 2;
    let blocks = shape.n as u128 * layout.blocks() as u128 * shape.h as u128 * shape.w as u128;
    if blocks <= u128::from(MOST) {
        return Ok(());
    }
    let what = format!("`{name}` {shape}: blocks of four channels");
    Err(Error::Limit { what, needed: u64::try_from(blocks).unwrap_or(u64::MAX), limit: MOST.into() })
}

/// Constants packed so far, kept by whoever makes several plans of one graph.
#[derive(Debug, Default)]
pub struct ConstantCache {
    packed: BTreeMap<ConstantKey, Packed>,
    slab: Slab,
}

impl ConstantCache {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The constant of this name, packed now if it was not before.
    pub(crate) fn packed(&mut self, key: &ConstantKey, pack: &dyn Fn() -> Vec<f32>) -> Packed {
        let Self { packed, slab } = self;
        packed.entry(key.clone()).or_insert_with(|| slab.keep(&pack())).clone()
    }
}

/// What a binding of a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// An activation buffer, by its number in [`Plan::slots`].
    Slot(usize),
    /// A constant, by its number in [`Plan::constants`].
    Constant(usize),
}

/// One dispatch with its buffers.
#[derive(Debug, Clone)]
pub struct Step {
    /// The node it computes, or a part of it.
    pub name: String,
    /// The launch.
    pub dispatch: Dispatch,
    /// What each of the shader's variables is bound to.
    pub bindings: Vec<(&'static str, Resource)>,
    /// Multiply-adds.
    pub macs: u64,
    /// Bytes of activations and weights that it reads, each once.
    pub read_bytes: u64,
    /// Bytes that it writes.
    pub write_bytes: u64,
}

impl Step {
    /// What the variable `name` is bound to, if it is.
    pub fn binding(&self, name: &str) -> Option<Resource> {
        self.bindings.iter().find(|(n, _)| *n == name).map(|(_, resource)| *resource)
    }
}

/// A tensor that leaves a run.
#[derive(Debug, Clone)]
pub struct PlanOutput {
    /// The result's name in the graph.
    pub name: String,
    /// The slot that holds it.
    pub slot: usize,
    /// Where in the slot.
    pub place: Place,
    /// Bytes from the slot's start to the tensor's end: what is read back. The slot, which others
    /// used before, may be far larger.
    pub bytes: usize,
    /// Its shape.
    pub shape: Shape,
    /// Its channels' order.
    pub layout: Layout,
    /// What it looks like where it leaves.
    pub tensor: TensorType,
}

/// A tensor that leaves a run, as it lies in its slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The result's name in the graph.
    pub name: String,
    /// Its shape where it leaves.
    pub shape: Vec<usize>,
    /// Where each channel of each image begins, in values. Pixels follow four values apart.
    pub starts: Vec<u32>,
}

impl Placed {
    /// Takes the tensor out of its slot's values, which [`Precision::from_bytes`] makes of its
    /// bytes.
    #[cfg(all(target_arch = "wasm32", feature = "web_detect"))]
    pub(crate) fn unpack(&self, slot: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.shape.iter().product()];
        each_value(self.starts.iter().map(|&start| start as usize), self.pixels(), |value, at| out[value] = slot[at]);
        out
    }

    /// How many pixels a channel has.
    pub(crate) fn pixels(&self) -> usize {
        self.shape.iter().product::<usize>() / self.starts.len().max(1)
    }
}

/// An input of a run.
#[derive(Debug, Clone)]
pub struct PlanInput {
    /// Its name in the graph.
    pub name: String,
    /// The slot that takes it: blocks of the tensor, or one RGBA8 word a pixel for
    /// [`Form::Classify`].
    pub slot: usize,
    /// Its shape.
    pub shape: Shape,
    /// Its channels' order.
    pub layout: Layout,
    /// What it looks like where it enters.
    pub tensor: TensorType,
}

/// Everything about a run but the values: plain data.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What goes in and out.
    pub form: Form,
    /// How values are stored.
    pub precision: Precision,
    /// The dispatches, in order.
    pub steps: Vec<Step>,
    /// Each activation buffer's size in bytes.
    pub slots: Vec<usize>,
    /// The weights the steps read.
    pub constants: Vec<PackedConstant>,
    /// The inputs, in the graph's order; with [`Form::Classify`] one.
    pub inputs: Vec<PlanInput>,
    /// The results: the graph's, or one table of `k` (class, probability bits) pairs per image for
    /// [`Form::Classify`].
    pub outputs: Vec<PlanOutput>,
}

impl Plan {
    /// The plan of one step alone, with only the slots and constants that it binds: for measuring
    /// and testing single kernels.
    pub fn only(&self, step: usize) -> Self {
        self.part(&[step])
    }

    /// The plan of some steps, as [`Plan::only`].
    pub fn part(&self, steps: &[usize]) -> Self {
        let mut steps: Vec<Step> = steps.iter().map(|&step| self.steps[step].clone()).collect();
        let (mut slots, mut constants) = (Vec::new(), Vec::new());
        for (_, resource) in steps.iter_mut().flat_map(|step| &mut step.bindings) {
            let (all, number) = match resource {
                Resource::Slot(slot) => (&mut slots, slot),
                Resource::Constant(constant) => (&mut constants, constant),
            };
            if !all.contains(number) {
                all.push(*number);
            }
            *number = all.iter().position(|n| n == number).expect("pushed above");
        }
        Self {
            steps,
            slots: slots.iter().map(|&s| self.slots[s]).collect(),
            constants: constants.iter().map(|&c| self.constants[c].clone()).collect(),
            inputs: self.inputs.iter().map(|input| PlanInput { slot: 0, ..input.clone() }).collect(),
            outputs: Vec::new(),
            ..self.clone()
        }
    }

    /// Slots that a run reads before it writes them, and then writes: inputs that the next run does
    /// not find again.
    pub fn overwritten(&self) -> Vec<usize> {
        let (mut read, mut written, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for step in &self.steps {
            let writes = step.dispatch.key.kernel.spec().writes;
            let slots = step.bindings.iter().filter_map(|(name, resource)| match resource {
                Resource::Slot(slot) => Some((writes.contains(name), *slot)),
                Resource::Constant(_) => None,
            });
            let (writes, reads): (Vec<_>, Vec<_>) = slots.partition(|(writes, _)| *writes);
            read.extend(reads.into_iter().map(|(_, slot)| slot).filter(|slot| !written.contains(slot)));
            for (_, slot) in writes {
                if read.contains(&slot) && !written.contains(&slot) {
                    lost.push(slot);
                }
                written.push(slot);
            }
        }
        lost
    }

    /// Bytes of all activation buffers.
    pub fn activation_bytes(&self) -> usize {
        self.slots.iter().sum()
    }

    /// Blocks that the twins of its steps keep in between on the CPU, one step's at a time.
    pub fn scratch_blocks(&self) -> usize {
        self.steps.iter().map(|step| (step.dispatch.key.kernel.spec().scratch)(&step.dispatch)).max().unwrap_or(0)
    }

    /// Bytes of all weights as the kernels read them.
    pub fn weight_bytes(&self) -> usize {
        self.constants.iter().map(|c| c.data.len() * self.element_bytes(c)).sum()
    }

    /// Distinct pipelines.
    pub fn pipelines(&self) -> usize {
        self.steps.iter().map(|s| &s.dispatch.key).collect::<std::collections::BTreeSet<_>>().len()
    }

    /// Multiply-adds of one run.
    pub fn macs(&self) -> u64 {
        self.steps.iter().map(|s| s.macs).sum()
    }

    /// How a constant is stored.
    pub fn precision_of(&self, constant: &PackedConstant) -> Precision {
        if constant.stored { self.precision } else { Precision::F32 }
    }

    /// Bytes of one value of a constant.
    pub fn element_bytes(&self, constant: &PackedConstant) -> usize {
        self.precision_of(constant).block_bytes() / 4
    }

    /// Images of one run.
    pub fn batch(&self) -> usize {
        self.inputs.first().map_or(0, |input| input.shape.n)
    }

    /// Puts a `[n, c, h, w]` tensor for each input into the inputs' blocks, one input's after the
    /// other's. [`Precision::to_bytes`] then makes them what the kernels read. Fewer images than
    /// the plan is for are the first blocks.
    pub fn pack_inputs(&self, tensors: &[&[f32]], out: &mut Vec<f32>) {
        out.clear();
        for (input, values) in self.inputs.iter().zip(tensors) {
            input.pack(values, out);
        }
    }

    /// Where the bytes of each input are among those of all inputs, which lie one after the other
    /// for as many images as there are; and the slot of each.
    pub fn input_ranges(&self, bytes: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
        let images = bytes / self.inputs.iter().map(|input| self.image_bytes(input)).sum::<usize>().max(1);
        self.inputs.iter().scan(0, move |end, input| {
            let start = *end;
            *end += images * self.image_bytes(input);
            Some((input.slot, start..*end))
        })
    }

    /// Bytes of all inputs, of as many images as the plan is for.
    pub fn input_bytes(&self) -> usize {
        self.inputs.iter().map(|input| input.shape.n * self.image_bytes(input)).sum()
    }

    /// Bytes of one image in an input's slot.
    fn image_bytes(&self, input: &PlanInput) -> usize {
        match self.form {
            Form::Tensors => input.layout.blocks() * input.shape.pixels() * self.precision.block_bytes(),
            Form::Classify { .. } => input.shape.pixels() * size_of::<u32>(),
        }
    }
}

impl PlanInput {
    /// Adds the blocks of a `[n, c, h, w]` tensor to `out`.
    fn pack(&self, values: &[f32], out: &mut Vec<f32>) {
        let (c, pixels) = (self.shape.c, self.shape.pixels());
        let n = values.len() / (c * pixels);
        let lanes = self.layout.lanes();
        let start = out.len();
        out.resize(start + n * lanes.len() * pixels, 0.0);
        for image in 0..n {
            for (lane, &channel) in lanes.iter().enumerate().filter(|(_, c)| **c != layout::PAD) {
                let from = &values[(image * c + channel as usize) * pixels..][..pixels];
                let to = start + (image * lanes.len() + lane / 4 * 4) * pixels + lane % 4;
                for (pixel, &value) in from.iter().enumerate() {
                    out[to + pixel * 4] = value;
                }
            }
        }
    }
}

/// Each value's place in the `[n, c, h, w]` tensor and in the slot, in which its channels begin at
/// `starts`.
fn each_value(starts: impl Iterator<Item = usize>, pixels: usize, mut each: impl FnMut(usize, usize)) {
    for (channel, start) in starts.enumerate() {
        (0..pixels).for_each(|pixel| each(channel * pixels + pixel, start + pixel * 4));
    }
}

impl PlanOutput {
    /// Takes the `[n, c, h, w]` tensor out of its slot's values, which [`Precision::from_bytes`]
    /// makes of its bytes.
    pub fn unpack(&self, slot: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.shape.count()];
        self.unpack_to(slot, &mut out);
        out
    }

    /// As [`PlanOutput::unpack`], to a place for as many values.
    pub(crate) fn unpack_to(&self, slot: &[f32], out: &mut [f32]) {
        each_value(self.starts(), self.shape.pixels(), |value, at| out[value] = slot[at]);
    }

    /// Puts a `[n, c, h, w]` tensor into its slot's values, of which [`Precision::to_bytes`] makes
    /// bytes.
    pub fn pack(&self, values: &[f32], slot: &mut [f32]) {
        each_value(self.starts(), self.shape.pixels(), |value, at| slot[at] = values[value]);
    }

    /// The shape that a tensor of `shape` has where it leaves.
    pub(crate) fn lengths(&self, shape: Shape) -> Vec<usize> {
        self.tensor.lengths(shape).unwrap_or_else(|_| vec![shape.n, shape.c, shape.h, shape.w])
    }

    /// What it is called, and where its values lie.
    pub fn placed(&self) -> Placed {
        Placed { name: self.name.clone(), shape: self.lengths(self.shape), starts: self.starts().map(|start| start as u32).collect() }
    }

    /// Where in the slot, in values, each channel of each image begins. Pixels follow four values
    /// apart.
    fn starts(&self) -> impl Iterator<Item = usize> {
        let Shape { n, c, .. } = self.shape;
        let pixels = self.shape.pixels();
        let lane_of = self.layout.lane_of(c);
        (0..n * c).map(move |at| {
            let (image, lane) = (at / c, lane_of[at % c] as usize);
            (self.place.offset as usize + image * self.place.stride as usize + lane / 4 * pixels) * 4 + lane % 4
        })
    }
}
