//! The kernels, a room each. `mod.rs` is the host's side: parameters, the problem, how it becomes a
//! launch. `twin.rs` is the same on the CPU, `cases.rs` what it is tested and measured on, and the
//! shader is `shaders/NAME.wgsl`. [`case`] makes a kernel alone of a case.
//!
//! Nothing here names wgpu, and no room but a kernel's own has to know of it. ARCHITECTURE.md says
//! how to add one.

use crate::plan::Kernel;

/// Declares a shader's `Params`: 32-bit unsigned fields, the same names in the same order as in
/// WGSL (a test compares them).
macro_rules! params {
    ($($field:ident),* $(,)?) => {
        /// The shader's parameters.
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, bytemuck::Pod, bytemuck::Zeroable)]
        #[allow(missing_docs)] // described at the head of the shader
        pub struct Params { $(pub $field: u32),* }
        impl Params {
            /// The fields' names, in order.
            pub const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];
        }
    };
}

/// Declares a room's `KERNEL`: its name, the variables that it writes, its twin in plain loops and
/// by vectors, and how much a twin keeps in between. The features `without_cpu` and `without_gpu`
/// leave the twins or the shader out.
macro_rules! kernel {
    ($name:literal, writes $writes:expr, twin $twin:path, vector $vector:path) => {
        kernel!($name, writes $writes, twin $twin, vector $vector, scratch |_| 0);
    };
    ($name:literal, writes $writes:expr, twin $twin:path, vector $vector:path, scratch $scratch:expr) => {
        static SPEC: crate::plan::KernelSpec = crate::plan::KernelSpec {
            name: $name,
            template: if cfg!(feature = "without_gpu") { "" } else { crate::shader::shader_text!(concat!($name, ".wgsl")) },
            params: Params::FIELDS,
            writes: &$writes,
            twin: if cfg!(feature = "without_cpu") { |_| unreachable!() } else if crate::simd::IS_ALL { $vector } else { $twin },
            vector: if cfg!(feature = "without_cpu") { |_| unreachable!() } else { $vector },
            scratch: if cfg!(feature = "without_cpu") { |_| 0 } else { $scratch },
        };

        /// The kernel.
        pub const KERNEL: crate::plan::Kernel = crate::plan::Kernel::new(&SPEC);
    };
}

macro_rules! rooms {
    (in plans: $($(#[$only:meta])* $room:ident)*; around plans: $($other:ident)*) => {
        $($(#[$only])* pub mod $room;)*
        $(pub mod $other;)*

        /// All of them.
        pub const ALL: &[Kernel] = &[$($(#[$only])* $room::KERNEL,)* $($other::KERNEL),*];

        /// What those that stand in plans are tested and measured on.
        #[doc(hidden)]
        pub const CASES: &[case::Cases] = &[$($(#[$only])* $room::cases::CASES),*];
    };
}

pub mod case;

rooms! {
    in plans:
    conv2d
    depthwise
    elementwise
    ghost
    linear
    pointwise
    pool
    preprocess
    rearrange
    relayout
    resample
    // Pages have no detector of two stages.
    #[cfg(not(target_arch = "wasm32"))]
    roi_align
    separable
    softmax
    softmax_top_k
    squeeze_excite
    top_k;
    around plans:
    decode
    resize
    sample
}

/// The twin of a kernel that stands around plans.
fn in_no_plan(_: crate::plan::Call<'_>) {
    unreachable!("no plan has it: how it runs depends on each image");
}
