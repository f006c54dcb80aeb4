//! A plan under construction: tensors, constants and steps, with buffers that have no slot yet. It
//! knows no kernel.

use super::{
    ConstantCache, ConstantKey, Kernel, PackedConstant, Place, Plan, PlanInput, PlanOptions, PlanOutput, Precision, Products, Resource,
    Step,
    dispatch::Dispatch,
    layout::Layout,
    pack::Tiling,
    slots::{Lifetime, assign_slots},
};
use crate::{
    device::{CPU_BLOCKS, Choice, DeviceClass},
    graph::{Activation, NodeId, Shape, TensorType},
};
use std::sync::Arc;

/// A buffer before it has a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage(usize);

/// A tensor's place in a plan under construction: a range of channel blocks of a storage.
#[derive(Debug, Clone)]
pub struct TensorView {
    /// Where its values are.
    pub storage: Storage,
    /// Where in the storage.
    pub place: Place,
    /// `[n, c, h, w]`.
    pub shape: Shape,
    /// Its channels' order.
    pub layout: Layout,
    /// Where its blocks do not lie side by side: each block's number from its place on. Only
    /// `pointwise` and `relayout` read such.
    pub scattered: Option<Arc<[u32]>>,
    /// How its values are stored: as the plan says, but for gates and sums, which are f32.
    pub precision: Precision,
}

impl TensorView {
    /// Blocks of four channels.
    pub fn blocks(&self) -> usize {
        self.layout.blocks()
    }

    /// Rows and columns.
    pub fn size(&self) -> [usize; 2] {
        [self.shape.h, self.shape.w]
    }

    /// Bytes of all its images.
    pub fn bytes(&self) -> u64 {
        (self.shape.n * self.blocks() * self.shape.pixels() * self.precision.block_bytes()) as u64
    }

    /// It as a tensor that leaves a run as `name`, but for its slot, which [`Emitter::finish`]
    /// knows.
    pub(crate) fn leaving(&self, name: impl Into<String>) -> (Storage, PlanOutput) {
        let Self { storage, place, shape, layout, .. } = self.clone();
        let blocks = place.offset as usize + (shape.n - 1) * place.stride as usize + layout.blocks() * shape.pixels();
        let (name, bytes) = (name.into(), blocks * self.precision.block_bytes());
        (storage, PlanOutput { name, slot: 0, place, bytes, shape, layout, tensor: TensorType::maps() })
    }

    /// The part of it from channel block `block` on, of `channels` channels in `layout`.
    #[must_use]
    pub fn part(&self, block: usize, channels: usize, layout: Layout) -> Self {
        let offset = self.place.offset + (block * self.shape.pixels()) as u32;
        Self { place: Place { offset, ..self.place }, shape: Shape { c: channels, ..self.shape }, layout, ..self.clone() }
    }
}

/// Sums of a tensor's channels over the tiles of its map, for a squeeze-and-excite:
/// `[n][tile][block]`, f32.
#[derive(Debug, Clone, Copy)]
pub struct Sums {
    /// Where they are.
    pub storage: Storage,
    /// Tiles of an image.
    pub tiles: usize,
}

/// The gate on a convolution's input.
#[derive(Debug, Clone)]
pub struct Gate {
    /// `[n, c, 1, 1]`, f32.
    pub view: TensorView,
    /// Whether it is at most 1: else halves might not hold its products with activations.
    pub is_bounded: bool,
}

/// What is added to a convolution's activated result.
#[derive(Debug, Clone)]
pub struct Residual {
    /// Of the output's shape and layout.
    pub view: TensorView,
    /// Applied to the sum: `Identity`, or one that only bounds it.
    pub activation: Activation,
}

impl Residual {
    /// The constants by which templates know what is added, if anything is.
    pub fn defines(this: Option<&Self>) -> [(&'static str, i64); 2] {
        let activation = this.map_or(Activation::Identity, |residual| residual.activation);
        [("RESIDUAL", this.is_some().into()), ("RESIDUAL_ACTIVATION", activation.number().into())]
    }

    /// Where it lies: offset and stride, 0 where nothing is added.
    pub fn place(this: Option<&Self>) -> [u32; 2] {
        this.map_or([0, 0], |residual| [residual.view.place.offset, residual.view.place.stride])
    }
}

/// Whose constants a kernel packs: a node, or a part of one that takes several kernels.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// The node; `None` for what is no node's.
    pub node: Option<NodeId>,
    /// Which part of it; empty where it has one only.
    pub part: &'static str,
}

impl Owner {
    /// No node: what is the same for all networks, or in a plan of one kernel alone.
    pub const NONE: Self = Self { node: None, part: "" };

    /// A node that one kernel computes.
    pub fn node(node: NodeId) -> Self {
        Self { node: Some(node), part: "" }
    }

    /// A part of a node.
    pub fn part(node: NodeId, part: &'static str) -> Self {
        Self { node: Some(node), part }
    }
}

/// A step under construction.
pub struct Launch(Step);

impl Launch {
    /// A launch that computes what is called `name`.
    pub fn new(name: impl Into<String>, dispatch: Dispatch) -> Self {
        Self(Step { name: name.into(), dispatch, bindings: Vec::new(), macs: 0, read_bytes: 0, write_bytes: 0 })
    }

    /// It makes so many multiply-adds.
    #[must_use]
    pub fn macs(mut self, macs: usize) -> Self {
        self.0.macs = macs as u64;
        self
    }

    /// It reads all of a tensor as the variable `name`.
    #[must_use]
    pub fn reads(mut self, name: &'static str, view: &TensorView) -> Self {
        self.0.read_bytes += view.bytes();
        self.binds(name, view.storage)
    }

    /// It reads a tensor, if there is one.
    #[must_use]
    pub fn reads_if(self, name: &'static str, view: Option<&TensorView>) -> Self {
        match view {
            Some(view) => self.reads(name, view),
            None => self,
        }
    }

    /// It writes all of a tensor as the variable `name`.
    #[must_use]
    pub fn writes(mut self, name: &'static str, view: &TensorView) -> Self {
        self.0.write_bytes += view.bytes();
        self.binds(name, view.storage)
    }

    /// It reads a constant as the variable `name`.
    #[must_use]
    pub fn constant(mut self, name: &'static str, constant: Constant) -> Self {
        self.0.read_bytes += constant.bytes;
        self.0.bindings.push((name, Resource::Constant(constant.number)));
        self
    }

    /// It reads a constant, if there is one.
    #[must_use]
    pub fn constant_if(self, name: &'static str, constant: Option<Constant>) -> Self {
        match constant {
            Some(constant) => self.constant(name, constant),
            None => self,
        }
    }

    /// Its variable `name` is this storage, whose bytes are counted elsewhere or not at all.
    #[must_use]
    pub fn binds(mut self, name: &'static str, storage: Storage) -> Self {
        self.0.bindings.push((name, Resource::Slot(storage.0)));
        self
    }

    /// Its variable `name` is this storage, if there is one.
    #[must_use]
    pub fn binds_if(self, name: &'static str, storage: Option<Storage>) -> Self {
        match storage {
            Some(storage) => self.binds(name, storage),
            None => self,
        }
    }

    /// It reads and writes so many bytes beside those of its tensors and constants.
    #[must_use]
    pub fn bytes(mut self, read: usize, written: usize) -> Self {
        self.0.read_bytes += read as u64;
        self.0.write_bytes += written as u64;
        self
    }
}

/// A packed constant of the plan.
#[derive(Debug, Clone, Copy)]
pub struct Constant {
    number: usize,
    bytes: u64,
}

/// What a plan is made of so far.
pub struct Emitter<'a> {
    options: &'a PlanOptions,
    cache: &'a mut ConstantCache,
    storages: Vec<Lifetime>,
    constants: Vec<PackedConstant>,
    steps: Vec<Step>,
}

impl<'a> Emitter<'a> {
    /// Nothing yet; `cache` holds constants that were packed before, and takes new ones.
    pub fn new(options: &'a PlanOptions, cache: &'a mut ConstantCache) -> Self {
        Self { options, cache, storages: Vec::new(), constants: Vec::new(), steps: Vec::new() }
    }

    /// What may differ between devices.
    pub fn choice(&self) -> &'a Choice {
        &self.options.choice
    }

    /// How weights in tiles of so many output blocks are packed.
    pub(crate) fn tiling(&self, blocks: u32) -> Tiling {
        Tiling { blocks: blocks as usize, rows: self.options.choice.class == DeviceClass::Cpu && blocks == CPU_BLOCKS }
    }

    /// How matrices are packed that are multiplied by vectors: by single blocks, but in rows.
    pub(crate) fn matrix_tiling(&self) -> Tiling {
        let rows = self.tiling(CPU_BLOCKS);
        if rows.rows { rows } else { self.tiling(1) }
    }

    /// How values are stored.
    pub fn precision(&self) -> Precision {
        self.options.precision
    }

    /// Whether values are stored as halves.
    pub fn f16(&self) -> bool {
        self.options.precision.is_f16()
    }

    /// How a convolution with these weights multiplies, if it can multiply halves: not with a gate
    /// that may be more than 1.
    pub fn products(&self, weights: &[f32], gate: Option<&Gate>) -> Products {
        if self.f16() && self.options.choice.multiplies_halves && gate.is_none_or(|gate| gate.is_bounded) {
            Products::of_halves(weights)
        } else {
            Products::of_f32(self.f16())
        }
    }

    /// A new buffer of so many bytes.
    pub fn storage(&mut self, bytes: usize) -> Storage {
        let at = self.steps.len();
        // Bindings are whole numbers of 16 bytes, so that every kernel's largest element fits.
        self.storages.push(Lifetime { bytes: bytes.next_multiple_of(16), first: at, last: at });
        Storage(self.storages.len() - 1)
    }

    /// A tensor in a new buffer.
    pub fn tensor(&mut self, shape: Shape, layout: Layout, precision: Precision) -> TensorView {
        let stride = layout.blocks() * shape.pixels();
        let storage = self.storage(shape.n * stride * precision.block_bytes());
        TensorView { storage, place: Place { offset: 0, stride: stride as u32 }, shape, layout, scattered: None, precision }
    }

    /// Room for the sums of a tensor's channels over `tiles` tiles of each map.
    pub fn sums(&mut self, of: &TensorView, tiles: usize) -> Sums {
        Sums { storage: self.storage(of.shape.n * tiles * of.blocks() * Precision::F32.block_bytes()), tiles }
    }

    /// Weights of `owner` as `kernel` reads them, in the plan's precision; `variant` says how they
    /// are packed.
    pub fn weights(&mut self, owner: Owner, kernel: Kernel, variant: usize, pack: &dyn Fn() -> Vec<f32>) -> Constant {
        let key = Self::key(owner, kernel, "weight", variant);
        self.packed(key, true, pack)
    }

    /// Other values of `owner`, such as a bias, which are f32 whatever the precision.
    pub fn values(&mut self, owner: Owner, kernel: Kernel, role: &'static str, variant: usize, pack: &dyn Fn() -> Vec<f32>) -> Constant {
        let key = Self::key(owner, kernel, role, variant);
        self.packed(key, false, pack)
    }

    /// A table of `owner` as `kernel` reads it, f32, that is named by its contents: one owner may
    /// have several.
    pub fn table(&mut self, owner: Owner, kernel: Kernel, values: Vec<f32>) -> Constant {
        let hash = |hash: u64, value: &f32| (hash ^ u64::from(value.to_bits())).wrapping_mul(0x100_0000_01B3);
        let variant = values.iter().fold(0xCBF2_9CE4_8422_2325, hash) as usize;
        self.values(owner, kernel, "table", variant, &|| values.clone())
    }

    fn key(owner: Owner, kernel: Kernel, role: &'static str, variant: usize) -> ConstantKey {
        let Owner { node, part } = owner;
        ConstantKey { node: node.map(|node| node.0), part, kernel, role, variant }
    }

    fn packed(&mut self, key: ConstantKey, stored: bool, pack: &dyn Fn() -> Vec<f32>) -> Constant {
        let data = self.cache.packed(&key, pack);
        let precision = if stored { self.options.precision } else { Precision::F32 };
        let bytes = (data.len() * precision.block_bytes() / 4) as u64;
        self.constants.push(PackedConstant { key, data, stored });
        Constant { number: self.constants.len() - 1, bytes }
    }

    /// Adds a step.
    pub fn launch(&mut self, launch: Launch) {
        let at = self.steps.len();
        for (_, resource) in &launch.0.bindings {
            if let Resource::Slot(storage) = *resource {
                self.storages[storage].last = at;
            }
        }
        self.steps.push(launch.0);
    }

    /// The storage's values stay past every step.
    fn keep(&mut self, storage: Storage) {
        self.storages[storage.0].last = usize::MAX;
    }

    /// The plan: storages become slots. What comes in and goes out is given with its storage; what
    /// goes out stays past every step.
    pub(crate) fn finish(mut self, inputs: Vec<(Storage, PlanInput)>, outputs: Vec<(Storage, PlanOutput)>) -> Plan {
        outputs.iter().for_each(|(storage, _)| self.keep(*storage));
        let (slot_of, slots) = assign_slots(&self.storages);
        for (_, resource) in self.steps.iter_mut().flat_map(|step| &mut step.bindings) {
            if let Resource::Slot(storage) = resource {
                *storage = slot_of[*storage];
            }
        }
        Plan {
            form: self.options.form.clone(),
            precision: self.options.precision,
            steps: self.steps,
            slots,
            constants: self.constants,
            inputs: inputs.into_iter().map(|(storage, input)| PlanInput { slot: slot_of[storage.0], ..input }).collect(),
            outputs: outputs.into_iter().map(|(storage, output)| PlanOutput { slot: slot_of[storage.0], ..output }).collect(),
        }
    }
}
