//! The kernels as the host sees them: each shader's parameters, the constants that specialise it, and the grid it runs on.
//!
//! One file a kernel, with the stem of its shader in `shaders/` and of its CPU twin in [`crate::cpu`]. Nothing here names wgpu.

pub mod choice;
pub(crate) mod shaders;
pub mod template;

use crate::text::cut;
use shaders::shader_text;
use std::fmt::Write as _;

/// A kernel: a shader template and its CPU twin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // each is described at the head of its shader
pub enum Kernel {
    Conv2d,
    Depthwise,
    Elementwise,
    Ghost,
    Linear,
    Pointwise,
    Pool,
    Preprocess,
    Relayout,
    Resize,
    Separable,
    SoftmaxTopK,
    SqueezeExcite,
}

macro_rules! shader {
    ($stem:literal) => {
        ($stem, shader_text!(concat!($stem, ".wgsl")))
    };
}

impl Kernel {
    /// All of them.
    pub const ALL: [Kernel; 13] = [
        Kernel::Conv2d,
        Kernel::Depthwise,
        Kernel::Elementwise,
        Kernel::Ghost,
        Kernel::Linear,
        Kernel::Pointwise,
        Kernel::Pool,
        Kernel::Preprocess,
        Kernel::Relayout,
        Kernel::Resize,
        Kernel::Separable,
        Kernel::SoftmaxTopK,
        Kernel::SqueezeExcite,
    ];

    fn file(self) -> (&'static str, &'static str) {
        match self {
            Kernel::Conv2d => shader!("conv2d"),
            Kernel::Depthwise => shader!("depthwise"),
            Kernel::Elementwise => shader!("elementwise"),
            Kernel::Ghost => shader!("ghost"),
            Kernel::Linear => shader!("linear"),
            Kernel::Pointwise => shader!("pointwise"),
            Kernel::Pool => shader!("pool"),
            Kernel::Preprocess => shader!("preprocess"),
            Kernel::Relayout => shader!("relayout"),
            Kernel::Resize => shader!("resize"),
            Kernel::Separable => shader!("separable"),
            Kernel::SoftmaxTopK => shader!("softmax_top_k"),
            Kernel::SqueezeExcite => shader!("squeeze_excite"),
        }
    }

    /// The kernel's stem: its name in every listing.
    pub fn name(self) -> &'static str {
        self.file().0
    }

    /// The names of the shader's parameters, in order; each is a 32-bit number.
    pub fn params(self) -> &'static [&'static str] {
        match self {
            Kernel::Conv2d => Conv2dParams::FIELDS,
            Kernel::Depthwise => DepthwiseParams::FIELDS,
            Kernel::Elementwise => ElementwiseParams::FIELDS,
            Kernel::Ghost => GhostParams::FIELDS,
            Kernel::Linear => LinearParams::FIELDS,
            Kernel::Pointwise => PointwiseParams::FIELDS,
            Kernel::Pool => PoolParams::FIELDS,
            Kernel::Preprocess => PreprocessParams::FIELDS,
            Kernel::Relayout => RelayoutParams::FIELDS,
            Kernel::Resize => ResizeParams::FIELDS,
            Kernel::Separable => SeparableParams::FIELDS,
            Kernel::SoftmaxTopK => SoftmaxTopKParams::FIELDS,
            Kernel::SqueezeExcite => SqueezeExciteParams::FIELDS,
        }
    }
}

impl std::fmt::Display for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

fn shared(name: &str) -> Option<&'static str> {
    Some(match name {
        "activation" => shader_text!("shared/activation.wgsl"),
        "divide" => shader_text!("shared/divide.wgsl"),
        "dtype" => shader_text!("shared/dtype.wgsl"),
        "grid" => shader_text!("shared/grid.wgsl"),
        "reduce" => shader_text!("shared/reduce.wgsl"),
        "sum_over_input" => shader_text!("shared/sum_over_input.wgsl"),
        _ => return None,
    })
}

/// What makes one pipeline: a kernel and the constants its template is composed with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PipelineKey {
    /// The shader.
    pub kernel: Kernel,
    /// Its constants, sorted by name.
    pub defines: Vec<(&'static str, i64)>,
}

/// A storage buffer or texture as the shader declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// `@binding`, in group 0.
    pub index: u32,
    /// The variable's name.
    pub name: String,
    /// `read_write` rather than `read`.
    pub writes: bool,
    /// A texture rather than a buffer.
    pub texture: bool,
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
        // Which templates and constants there are is fixed in this crate; tests compose every one of them.
        template::compose(self.kernel.file().1, &self.defines, &shared)
            .unwrap_or_else(|error| panic!("{} does not compose: {error}", self.file_name()))
    }
}

/// The storage buffers and textures that a composed shader declares.
pub fn bindings(source: &str) -> Vec<Binding> {
    source
        .lines()
        .filter_map(|line| {
            let (index, rest) = cut(line.strip_prefix("@group(0) @binding(")?, ") var")?;
            let index = index.parse().ok()?;
            let (space, rest) = rest.strip_prefix('<').and_then(|rest| cut(rest, "> ")).unwrap_or(("", rest));
            let (name, ty) = cut(rest.trim_ascii_start(), ": ")?;
            let (buffer, texture) = (space.starts_with("storage"), ty.starts_with("texture"));
            (buffer || texture).then(|| Binding { index, name: name.to_string(), writes: space.ends_with("read_write"), texture })
        })
        .collect()
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
    fn new(kernel: Kernel, defines: &[(&'static str, i64)], params: &impl bytemuck::Pod, workgroups: u32) -> Self {
        Self { key: PipelineKey::new(kernel, defines), params: bytemuck::bytes_of(params).to_vec(), workgroups }
    }

    /// The parameters as their type.
    pub(crate) fn params<P: bytemuck::AnyBitPattern>(&self) -> P {
        bytemuck::pod_read_unaligned(&self.params)
    }
}

/// Which numbers a kernel holds in memory and which it multiplies: the constant `F16` of its template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halves {
    /// f32 throughout.
    None = 0,
    /// Halves in memory, f32 in registers: core WGSL.
    Stored = 1,
    /// Halves are multiplied as well (`enable f16`); a few products are added up as halves, these sums as f32.
    Multiplied = 2,
}

/// How a convolution multiplies.
///
/// Sums of products of halves must not overflow, for one infinity would make every value that it reaches NaN, and clamping each sum would
/// take a sixth of the time that halves save. So a layer's weights are stored times a power of two that bounds these sums, and its inverse
/// comes for free in the multiply-add that adds a sum to the f32 accumulator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Products {
    /// What is stored and multiplied.
    pub halves: Halves,
    /// The power of two with which weights are stored: 1 unless halves are multiplied.
    pub scale: f32,
}

/// Products that are added up as halves, at most: those of two input blocks.
const RUN: f32 = 8.0;

impl Products {
    /// Of a kernel that multiplies f32, whether or not it stores halves.
    pub fn of_f32(stores_halves: bool) -> Self {
        Self { halves: if stores_halves { Halves::Stored } else { Halves::None }, scale: 1.0 }
    }

    /// Of a kernel that multiplies halves by `weights`: the scale is the largest with which no run of products adds up to more than the
    /// activations' largest magnitude, 65504 at most.
    pub fn of_halves(weights: &[f32]) -> Self {
        let largest = weights.iter().fold(0.0f32, |largest, w| largest.max(w.abs()));
        let bits = (f64::from(RUN) * f64::from(largest)).to_bits();
        // The least power of two that is no smaller, by its exponent: from the number's own bits, for libm's log2 and exp2 are 2 KB of the
        // browser package. 2^±64: a scale and its inverse stay far from the ends of f32.
        let exponent = (bits >> 52) as i32 - 1023 + i32::from(bits << 12 != 0);
        let exponent = if largest > 0.0 { exponent.clamp(-64, 64) } else { 0 };
        Self { halves: Halves::Multiplied, scale: f32::from_bits(((127 - exponent) as u32) << 23) }
    }

    /// The parameter `unscale`: the bits of what undoes the scale.
    fn unscale(self) -> u32 {
        (1.0 / self.scale).to_bits()
    }
}

/// Input blocks of packed weights of `pointwise`, `ghost` and `separable`: padded with zeros to a multiple of four, so that a kernel may take
/// so many at a time.
pub const fn padded(blocks_in: usize) -> usize {
    blocks_in.next_multiple_of(4)
}

/// Workgroups folded into a grid whose sides stay at or below 65535, WebGPU's default limit.
pub fn grid(workgroups: u32) -> [u32; 3] {
    const SIDE: u32 = 65535;
    let rows = workgroups.div_ceil(SIDE).max(1);
    [workgroups.div_ceil(rows).max(1), rows, 1]
}

/// Declares a shader's `Params`: 32-bit unsigned fields, the same names in the same order as in WGSL (a test compares them).
macro_rules! params {
    ($(#[$doc:meta])* $name:ident { $($field:ident),* $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, bytemuck::Pod, bytemuck::Zeroable)]
        #[allow(missing_docs)] // described at the head of the shader
        pub struct $name { $(pub $field: u32),* }
        impl $name {
            /// The fields' names, in order.
            pub const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];
        }
    };
}

mod conv2d;
mod depthwise;
mod elementwise;
mod ghost;
mod linear;
mod pointwise;
mod pool;
mod preprocess;
mod relayout;
mod resize;
mod separable;
mod softmax_top_k;
mod squeeze_excite;

pub use conv2d::{Conv2dParams, conv2d};
pub use depthwise::{DepthwiseParams, depthwise};
pub use elementwise::{ElementwiseParams, Operand, elementwise};
pub use ghost::{GhostParams, GhostTiles, Module as GhostModule, ghost, ghost_tiles};
pub use linear::{LinearParams, linear};
pub use pointwise::{PointwiseParams, pointwise};
pub use pool::{PoolParams, pool};
pub use preprocess::{PreprocessParams, preprocess};
pub use relayout::{RelayoutParams, relayout};
pub use resize::{Interpolation, Resize, ResizeParams, Rows, resize, resize_key};
pub(crate) use resize::{PRECISION_BITS, ROUND, Taps};
pub use separable::{SeparableParams, separable};
pub use softmax_top_k::{SoftmaxTopKParams, softmax_top_k};
pub use squeeze_excite::{SqueezeExciteParams, squeeze_excite};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_halves_are_bounded() {
        for largest in [f32::MIN_POSITIVE, 1e-9, 0.01, 0.125, 0.126, 1.0, 3.0, 60000.0, 65504.0] {
            let products = Products::of_halves(&[largest / 3.0, -largest, 0.0]);
            let bound = f64::from(RUN) * f64::from(largest) * f64::from(products.scale);
            assert!(bound <= 1.0 && (bound > 0.5 || largest < 1e-18), "{largest}: {products:?}, {bound}");
            assert_eq!(f32::from_bits(products.unscale()) * products.scale, 1.0, "{largest}: {products:?}");
            assert_eq!(products.scale.to_bits() & 0x007F_FFFF, 0, "{largest}: {} is no power of two", products.scale);
        }
        assert_eq!(Products::of_halves(&[0.0]).scale, 1.0);
        assert_eq!(Products::of_f32(true).unscale(), 1f32.to_bits());
    }
}
