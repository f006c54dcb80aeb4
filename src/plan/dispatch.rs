//! Launches of kernels, and what a plan, a GPU and the CPU need to know of a kernel.

use super::{Plan, Resource, Step};
use crate::{
    block::{Activate, Block, Buffer, Residuals, Steps, View, WITH_PARAMETER},
    device::CPU_BLOCKS,
    parallel::Team,
    shader,
    simd::Level,
};
use std::{cmp::Ordering, fmt, fmt::Write as _, hash};

/// A kernel: a shader template and its CPU twin. `src/kernels/mod.rs` says which there are.
pub struct KernelSpec {
    /// The stem of its shader, its folder and its name in every listing.
    pub name: &'static str,
    /// The shader's template.
    pub template: &'static str,
    /// The names of the shader's parameters, in order; each is a 32-bit number.
    pub params: &'static [&'static str],
    /// The variables that it writes. The first is always bound.
    pub writes: &'static [&'static str],
    /// The same on the CPU, in plain loops: what the others are tested against.
    pub twin: fn(Call<'_>),
    /// The same by vectors, which takes weights in rows ([`Dispatch::rows`]).
    pub vector: fn(Call<'_>),
    /// Blocks that the twin keeps in between, for all images of a launch.
    pub scratch: fn(&Dispatch) -> usize,
}

/// A kernel by reference: equal, ordered and shown by its name.
#[derive(Clone, Copy)]
pub struct Kernel(&'static KernelSpec);

impl Kernel {
    /// The kernel that `spec` describes.
    pub const fn new(spec: &'static KernelSpec) -> Self {
        Self(spec)
    }

    /// Its name in every listing.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The names of its parameters, in order.
    pub fn params(self) -> &'static [&'static str] {
        self.0.params
    }

    /// What describes it.
    pub fn spec(self) -> &'static KernelSpec {
        self.0
    }
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Kernel {}

impl PartialOrd for Kernel {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kernel {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name.cmp(other.0.name)
    }
}

impl hash::Hash for Kernel {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

/// What makes one pipeline: a kernel and the constants its template is composed with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PipelineKey {
    /// The shader.
    pub kernel: Kernel,
    /// Its constants, sorted by name.
    pub defines: Vec<(&'static str, i64)>,
}

impl PipelineKey {
    /// A key; the order of `defines` does not matter.
    pub fn new(kernel: Kernel, defines: &[(&'static str, i64)]) -> Self {
        let mut sorted: Vec<(&str, i64)> = Vec::with_capacity(defines.len());
        // The standard library's sort is large in the browser package, and there are few.
        for define in defines {
            sorted.insert(sorted.partition_point(|known| known < define), *define);
        }
        Self { kernel, defines: sorted }
    }

    /// The value of a define.
    pub fn define(&self, name: &str) -> Option<i64> {
        self.defines.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }

    /// Name of the composed file: the stem and the constants (switches that are off are left out).
    pub fn file_name(&self) -> String {
        let mut name = self.kernel.name().to_string();
        for (key, value) in self.defines.iter().filter(|(_, v)| *v != 0) {
            write!(name, "-{}{value}", key.to_ascii_lowercase()).expect("writing to a String cannot fail");
        }
        name + ".wgsl"
    }

    /// The shader's WGSL.
    pub fn source(&self) -> String {
        // This crate fixes which templates and constants there are; tests compose all of them.
        shader::compose(self.kernel.spec().template, &self.defines)
            .unwrap_or_else(|error| panic!("{} does not compose: {error}", self.file_name()))
    }
}

/// The constant that tells how weights are packed: see [`Dispatch::with_rows`].
const ROWS: &str = "ROWS";

/// One launch of a kernel, buffers aside.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// The pipeline.
    pub key: PipelineKey,
    /// The bytes of the shader's `Params`.
    pub params: Vec<u8>,
    /// Workgroups, before they are folded into a grid.
    pub workgroups: u32,
}

impl Dispatch {
    /// A launch of `workgroups` workgroups.
    pub fn new(kernel: Kernel, defines: &[(&'static str, i64)], params: &impl bytemuck::Pod, workgroups: u32) -> Self {
        Self { key: PipelineKey::new(kernel, defines), params: bytemuck::bytes_of(params).to_vec(), workgroups }
    }

    /// The same, with weights packed in rows of all output lanes of a tile, if `rows` says so: as
    /// the CPU's vectors want them, and no shader.
    #[must_use]
    pub fn with_rows(mut self, rows: bool) -> Self {
        if rows {
            self.key.defines.push((ROWS, 1));
            self.key.defines.sort_unstable();
        }
        self
    }

    /// Whether weights are packed in rows of all output lanes of a tile.
    pub fn rows(&self) -> bool {
        self.key.define(ROWS) == Some(1)
    }

    /// The parameters as their type.
    pub fn params<P: bytemuck::AnyBitPattern>(&self) -> P {
        bytemuck::pod_read_unaligned(&self.params)
    }
}

/// A launch on the CPU: its parameters, the constants that the shader would be composed with, and
/// its variables by name.
pub struct Call<'a> {
    /// The launch.
    pub dispatch: &'a Dispatch,
    /// What it reads.
    pub inputs: Inputs<'a>,
    /// The first variable that it writes.
    pub output: &'a mut [Block],
    /// The second, where it is bound: sums for a squeeze-and-excite.
    pub sums: Option<&'a mut [Block]>,
    /// Room for what the twin keeps in between.
    pub scratch: &'a mut [Block],
    /// The instructions to use.
    pub(crate) level: Level,
    /// The threads to use.
    pub(crate) team: Team,
}

impl<'a> Call<'a> {
    /// The parameters as their type.
    pub fn params<P: bytemuck::AnyBitPattern>(&self) -> P {
        self.dispatch.params()
    }

    /// A constant of the template; 0 where it has none of this name.
    pub fn define(&self, name: &str) -> usize {
        self.dispatch.key.define(name).map_or(0, |value| value as usize)
    }

    /// The activation that the constant `name` names. Its parameter, if it has one, lies behind the
    /// `len` blocks of a bias.
    pub(crate) fn activation(&self, name: &str, bias: &'a [Block], len: usize) -> Activate<'a> {
        let kind = self.define(name) as u32;
        Activate { kind, parameter: if kind < WITH_PARAMETER { &[] } else { &bias[len..] } }
    }

    /// What is added to the result, if anything is, of the image where `params` say that it lies.
    pub(crate) fn residual(&self, offset: u32, stride: u32) -> Option<Residuals<'a>> {
        let blocks = self.maybe("residual")?;
        Some(Residuals { blocks, view: View::new(offset, stride), activation: self.define("RESIDUAL_ACTIVATION") as u32 })
    }

    /// Blocks of a bias of `blocks` blocks: whole tiles.
    pub(crate) fn bias_len(&self, blocks: usize) -> usize {
        blocks.next_multiple_of(if self.dispatch.rows() { CPU_BLOCKS as usize } else { self.define("BLOCKS").max(1) })
    }

    /// Where weights in tiles of `BLOCKS` output blocks lie.
    pub(crate) fn steps(&self) -> Steps {
        Steps::new(self.define("BLOCKS"), self.dispatch.rows())
    }

    /// The variable `name`, which is bound.
    pub fn read(&self, name: &str) -> &'a [Block] {
        self.inputs.get(name)
    }

    /// The variable `name`, if it is bound for reading.
    pub fn maybe(&self, name: &str) -> Option<&'a [Block]> {
        self.inputs.maybe(name)
    }
}

/// What a step's variables are bound to, for reading.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    plan: &'a Plan,
    step: &'a Step,
    slots: &'a [Buffer],
}

impl<'a> Inputs<'a> {
    /// Of a step, where what it writes has been taken out of `slots`.
    pub(crate) fn new(plan: &'a Plan, step: &'a Step, slots: &'a [Buffer]) -> Self {
        Self { plan, step, slots }
    }

    fn maybe(&self, name: &str) -> Option<&'a [Block]> {
        let values: &[Block] = match self.step.binding(name)? {
            Resource::Slot(slot) => &self.slots[slot],
            Resource::Constant(constant) => bytemuck::cast_slice(&self.plan.constants[constant].data),
        };
        assert!(!values.is_empty(), "`{}` also writes the slot it reads as `{name}`", self.step.name);
        Some(values)
    }

    fn get(&self, name: &str) -> &'a [Block] {
        self.maybe(name).unwrap_or_else(|| panic!("`{}` has no `{name}`", self.step.name))
    }
}

/// The bytes of dispatches' parameters, each followed by zeros up to so many bytes.
pub fn padded<'a>(dispatches: impl ExactSizeIterator<Item = &'a Dispatch>, bytes: u64) -> Vec<u8> {
    let mut params = vec![0; bytes as usize * dispatches.len()];
    for (to, dispatch) in params.chunks_mut(bytes as usize).zip(dispatches) {
        to[..dispatch.params.len()].copy_from_slice(&dispatch.params);
    }
    params
}

/// Workgroups folded into a grid whose sides stay at or below 65535, WebGPU's default limit.
pub fn grid(workgroups: u32) -> [u32; 3] {
    const SIDE: u32 = 65535;
    let rows = workgroups.div_ceil(SIDE).max(1);
    [workgroups.div_ceil(rows).max(1), rows, 1]
}
