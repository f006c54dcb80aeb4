//! The kernels on the CPU: the oracle of the GPU's tests, and the fallback where a machine has no adapter.
//!
//! [`Prepared`] runs a [`Plan`] as it stands, with the layouts and packed constants of the GPU. There is one file a kernel, with the stem
//! of its shader. Each twin takes the shader's parameters, the constants it is composed with, and its variables by name; the number of
//! images follows from the workgroups. Outputs are split between threads by image, block of channels and run of pixels.

mod block;
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
#[cfg(test)]
mod tests;

use crate::{
    Error, Result, clock,
    kernels::{DepthwiseParams, Dispatch, GhostRowsParams, Kernel, SeparableParams, SqueezeExciteParams},
    parallel,
    plan::{Form, Plan, Precision, Resource, Step},
};
use block::Block;
use bytemuck::Zeroable;
use depthwise::Window;
pub(crate) use resize::resize;
use std::sync::Arc;

/// A plan with its buffers, ready to run on the CPU.
pub struct Prepared {
    plan: Arc<Plan>,
    slots: Vec<Vec<Block>>,
    /// What some kernels keep in between.
    scratch: Vec<Block>,
}

impl Prepared {
    /// Allocates everything that runs of the plan need.
    ///
    /// Errors: [`Error::Limit`] where that is more than there are addresses (4 GiB in a browser), [`Error::OutOfMemory`] where there is no room.
    ///
    /// # Panics
    ///
    /// If the plan's precision is not [`Precision::F32`].
    pub fn new(plan: Arc<Plan>) -> Result<Self> {
        assert_eq!(plan.precision, Precision::F32, "the CPU computes in f32");
        let scratch = plan.steps.iter().map(|step| scratch_len(&step.dispatch)).max().unwrap_or(0);
        let lengths: Vec<usize> = plan.slots.iter().map(|bytes| bytes.div_ceil(size_of::<Block>())).collect();
        let what = format!("a run of {} on the CPU", plan.input.shape);
        // The input is in memory twice more, as a tensor and packed.
        let input = lengths[plan.input.slot];
        let needed = lengths.iter().chain([&scratch, &input, &input]).map(|&len| len as u64 * size_of::<Block>() as u64).sum();
        let limit = usize::MAX as u64;
        if needed > limit {
            return Err(Error::Limit { what: format!("{what}: bytes of memory"), needed, limit });
        }
        let slots = lengths.into_iter().map(|len| zeroed(&what, len)).collect::<Result<_>>()?;
        Ok(Self { slots, scratch: zeroed(&what, scratch)?, plan })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The values of the input: blocks as of [`Plan::pack_input`], or for [`Form::Classify`] the bits of one RGBA8 word a pixel.
    pub fn input_mut(&mut self) -> &mut [f32] {
        let input = &self.plan.input;
        let lanes = match self.plan.form {
            Form::Tensors => input.layout.lanes().len(),
            Form::Classify { .. } => 1,
        };
        &mut self.slots[input.slot].as_flattened_mut()[..input.shape.n * input.shape.pixels() * lanes]
    }

    /// The values of a slot.
    pub fn slot(&self, slot: usize) -> &[f32] {
        self.slots[slot].as_flattened()
    }

    /// The values of a slot, to be set.
    pub fn slot_mut(&mut self, slot: usize) -> &mut [f32] {
        self.slots[slot].as_flattened_mut()
    }

    /// Runs every step.
    pub fn run(&mut self) {
        // One entry into the thread pool, not one for each loop of each kernel.
        parallel::scope(|_| (0..self.plan.steps.len()).for_each(|at| self.step(at)));
    }

    /// As [`Prepared::run`]; returns each step's milliseconds.
    pub fn run_timed(&mut self) -> Vec<f64> {
        let steps = 0..self.plan.steps.len();
        let time = |at| {
            let start = clock::now();
            self.step(at);
            clock::now() - start
        };
        parallel::scope(|_| steps.map(time).collect())
    }

    fn step(&mut self, at: usize) {
        let plan = Arc::clone(&self.plan);
        let step = &plan.steps[at];
        let Dispatch { key, .. } = &step.dispatch;
        let kernel = key.kernel;
        let define = |name| key.define(name).map_or(0, |v| v as usize);
        let [blocks, has_sums] = ["BLOCKS", "SUMS"].map(define);
        let activation = |name| define(name) as u32;

        // What the step writes is taken out while it runs, so that the rest can be read.
        let slot_of = |name| match find(step, name) {
            Some(Resource::Slot(slot)) => slot,
            other => panic!("`{}` writes `{name}`, which is bound to {other:?}", step.name),
        };
        let output_slot = slot_of(if kernel == Kernel::SqueezeExcite { "gate" } else { "output" });
        let sums_slot = (matches!(kernel, Kernel::Depthwise | Kernel::Ghost | Kernel::GhostRows) && has_sums != 0).then(|| slot_of("sums"));
        let mut out = std::mem::take(&mut self.slots[output_slot]);
        let mut summed = sums_slot.map(|slot| std::mem::take(&mut self.slots[slot]));
        let output = &mut out[..];
        let sums = summed.as_deref_mut();
        let scratch = &mut self.scratch[..];

        let reading = Reading { plan: &plan, step, slots: &self.slots };
        let (maybe, read) = (|name| reading.maybe(name), |name| reading.get(name));

        let dispatch = &step.dispatch;
        match kernel {
            Kernel::Conv2d => {
                conv2d::conv2d(&dispatch.params(), blocks, activation("ACTIVATION"), read("input"), read("weight"), read("bias"), output)
            }
            Kernel::Depthwise => {
                let params: DepthwiseParams = dispatch.params();
                let size_in = [params.height_in, params.width_in];
                let [kernel, stride] = [["KH", "KW"], ["STRIDE_Y", "STRIDE_X"]].map(|names| names.map(|name| define(name) as u32));
                let window = window(size_in, [params.height_out, params.width_out], (kernel, stride, [params.pad_y, params.pad_x]));
                let run = ["PIXELS", "WG"].map(define);
                depthwise::depthwise(
                    &params,
                    &window,
                    run,
                    activation("ACTIVATION"),
                    maybe("input"),
                    read("weight"),
                    read("bias"),
                    output,
                    sums,
                );
            }
            Kernel::Elementwise => {
                elementwise::elementwise(&dispatch.params(), define("OP"), activation("ACTIVATION"), read("a"), maybe("b"), output)
            }
            Kernel::Ghost => {
                let extra = ghost::Extra { gate: maybe("gate"), residual: maybe("residual"), sums };
                let activations = ["ACTIVATION", "CHEAP_ACTIVATION"].map(activation);
                let read = ["input", "weight", "bias"].map(read);
                ghost::ghost(&dispatch.params(), [blocks, define("D")], activations, read, extra, output);
            }
            Kernel::GhostRows if cfg!(target_arch = "wasm32") => unreachable!("it is in no plan of a browser's"),
            // Another schedule of the same sums. Bindings that the parameters do not count are left unread.
            Kernel::GhostRows => {
                let params: GhostRowsParams = dispatch.params();
                let used = |name, count: u32| maybe(name).filter(|_| count > 0);
                let extra = ghost::Extra { gate: used("gate", params.gates), residual: used("residual", params.residuals), sums };
                let activations = match define("RELU_FLAGS") {
                    0 => ["ACTIVATION", "CHEAP_ACTIVATION"].map(activation),
                    // 0 and 1 are `Activation::Identity` and `Activation::Relu` too.
                    _ => params.relus,
                };
                let read = ["input", "weight", "bias"].map(read);
                ghost::ghost(&params.ghost, [blocks, define("D")], activations, read, extra, output);
            }
            Kernel::Linear => {
                linear::linear(&dispatch.params(), activation("ACTIVATION"), read("input"), read("weight"), read("bias"), output)
            }
            Kernel::Pointwise => {
                let extra = pointwise::Extra { gate: maybe("gate"), residual: maybe("residual"), pool: define("POOL") != 0 };
                pointwise::pointwise(
                    &dispatch.params(),
                    blocks,
                    activation("ACTIVATION"),
                    read("input"),
                    read("weight"),
                    read("bias"),
                    extra,
                    output,
                );
            }
            Kernel::Pool => pool::pool(&dispatch.params(), define("WINDOW") != 0, has_sums != 0, read("input"), output),
            Kernel::Preprocess => {
                preprocess::preprocess(&dispatch.params(), bytemuck::cast_slice(read("pixels")), read("scale_shift"), output);
            }
            Kernel::Relayout => relayout::relayout(&dispatch.params(), read("input"), read("table"), output),
            Kernel::Resize => unreachable!("no plan resizes: how depends on each image"),
            Kernel::Separable => {
                let params: SeparableParams = dispatch.params();
                let size_in = [params.height_in, params.width_in];
                let size_out = [params.pixels_out / params.width_out, params.width_out];
                let kernel = [params.kernel_y, params.kernel_x];
                let window = window(size_in, size_out, (kernel, [params.stride_y, params.stride_x], [params.pad_y, params.pad_x]));
                separable::separable(
                    &params,
                    blocks,
                    &window,
                    ["DEPTHWISE_ACTIVATION", "ACTIVATION"].map(activation),
                    read("input"),
                    read("weight"),
                    read("bias"),
                    scratch,
                    output,
                );
            }
            Kernel::SoftmaxTopK => softmax_top_k::softmax_top_k(&dispatch.params(), read("input"), bytemuck::cast_slice_mut(output)),
            Kernel::SqueezeExcite => {
                squeeze_excite::squeeze_excite(
                    &dispatch.params(),
                    ["REDUCE_ACTIVATION", "GATE_ACTIVATION"].map(activation),
                    read("sums"),
                    read("weight"),
                    read("bias"),
                    scratch,
                    output,
                );
            }
        }

        self.slots[output_slot] = out;
        if let (Some(slot), Some(summed)) = (sums_slot, summed) {
            self.slots[slot] = summed;
        }
    }
}

/// Room for `len` values of `what`. In a browser there may be none, and an allocation that fails would end the module.
pub(crate) fn room<T>(what: &str, len: usize) -> Result<Vec<T>> {
    let mut room = Vec::new();
    let full = |_| Error::OutOfMemory(format!("{what} needs {} bytes more", len as u64 * size_of::<T>() as u64));
    room.try_reserve_exact(len).map_err(full)?;
    Ok(room)
}

/// As [`room`], filled with zeros.
pub(crate) fn zeroed<T: Zeroable + Clone>(what: &str, len: usize) -> Result<Vec<T>> {
    let mut zeros = room(what, len)?;
    zeros.resize(len, T::zeroed());
    Ok(zeros)
}

/// What a step's variables are bound to, for reading.
struct Reading<'a> {
    plan: &'a Plan,
    step: &'a Step,
    slots: &'a [Vec<Block>],
}

impl<'a> Reading<'a> {
    fn maybe(&self, name: &str) -> Option<&'a [Block]> {
        let values: &[Block] = match find(self.step, name)? {
            Resource::Slot(slot) => &self.slots[slot],
            Resource::Constant(constant) => bytemuck::cast_slice(&self.plan.constants[constant].data),
        };
        assert!(!values.is_empty(), "`{}` also writes the slot it reads as `{name}`", self.step.name);
        Some(values)
    }

    // Not copied to each of its forty callers.
    #[inline(never)]
    fn get(&self, name: &str) -> &'a [Block] {
        self.maybe(name).unwrap_or_else(|| panic!("`{}` has no `{name}`", self.step.name))
    }
}

fn find(step: &Step, name: &str) -> Option<Resource> {
    step.bindings.iter().find(|(n, _)| *n == name).map(|(_, resource)| *resource)
}

/// A window of (kernel, stride, padding); sizes are (rows, columns).
fn window(size_in: [u32; 2], size_out: [u32; 2], (kernel, stride, pad): ([u32; 2], [u32; 2], [u32; 2])) -> Window {
    let [[height_in, width_in], [height_out, width_out]] = [size_in, size_out].map(|pair| pair.map(|v| v as usize));
    let [kernel, stride, pad] = [kernel, stride, pad].map(|pair| pair.map(|v| v as usize));
    Window { width_in, height_in, width_out, height_out, kernel, stride, pad }
}

/// Blocks of scratch that a step needs, for all its images.
fn scratch_len(dispatch: &Dispatch) -> usize {
    match dispatch.key.kernel {
        Kernel::Separable => {
            let params: SeparableParams = dispatch.params();
            (params.workgroups / (params.tiles_pixel * params.tiles_channel)) as usize * separable::middle_len(&params)
        }
        Kernel::SqueezeExcite => {
            let params: SqueezeExciteParams = dispatch.params();
            params.images() * squeeze_excite::hidden_len(&params)
        }
        _ => 0,
    }
}
