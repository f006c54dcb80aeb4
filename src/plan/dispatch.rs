//! Launches of kernels, and what a plan, a GPU and the CPU need to know of a kernel.

use super::call::Call;
use crate::shader;
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
    /// The same on the CPU.
    pub twin: fn(Call<'_>),
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
        let mut defines = defines.to_vec();
        defines.sort_unstable();
        Self { kernel, defines }
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

    /// The parameters as their type.
    pub fn params<P: bytemuck::AnyBitPattern>(&self) -> P {
        bytemuck::pod_read_unaligned(&self.params)
    }
}

/// Workgroups folded into a grid whose sides stay at or below 65535, WebGPU's default limit.
pub fn grid(workgroups: u32) -> [u32; 3] {
    const SIDE: u32 = 65535;
    let rows = workgroups.div_ceil(SIDE).max(1);
    [workgroups.div_ceil(rows).max(1), rows, 1]
}
