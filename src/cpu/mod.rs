//! Runs plans on the CPU: the oracle of the GPU's tests, and the fallback where a machine has no
//! GPU.
//!
//! [`Prepared`] runs a [`Plan`] as it stands, with the layouts and packed constants of the GPU.
//! Each step calls its kernel's twin, which takes the shader's parameters, the constants it is
//! composed with, and its variables by name. The number of images follows from the workgroups.
//! Twins split outputs between threads by image, block of channels and run of pixels.

pub mod roofline;
#[cfg(test)]
mod tests;

#[cfg(not(target_arch = "wasm32"))]
use crate::plan::Stage;
pub use crate::simd::Level;
use crate::{
    Error, Result,
    block::{Block, Buffer},
    clock, parallel,
    parallel::Team,
    plan::{Call, Inputs, Plan, Precision, Resource},
};
use bytemuck::Zeroable;
use std::sync::Arc;

/// How plans run on the CPU.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The instructions: by default what the environment variable GHOSTNET_CPU names, else the best
    /// that the processor has.
    pub level: Option<Level>,
    /// The most threads that share a step's work: by default as many as the machine grants.
    pub threads: Option<usize>,
}

impl Options {
    /// The plain loops, for what is compared with them.
    pub fn plain() -> Self {
        Self { level: Level::named("plain"), ..Self::default() }
    }
}

/// A plan with its buffers, ready to run on the CPU.
pub struct Prepared {
    plan: Arc<Plan>,
    level: Level,
    team: Team,
    slots: Vec<Buffer>,
    /// What some kernels keep in between.
    scratch: Buffer,
}

impl Prepared {
    /// Allocates everything that runs of the plan need.
    ///
    /// Errors: [`Error::Limit`] where that is more than there are addresses (4 GiB in a browser),
    /// [`Error::OutOfMemory`] where there is no room.
    ///
    /// # Panics
    ///
    /// If the plan's precision is not [`Precision::F32`].
    pub fn new(plan: Arc<Plan>) -> Result<Self> {
        Self::with(plan, &Options::default())
    }

    /// As [`Prepared::new`], with other instructions or fewer threads.
    ///
    /// Errors: as there, and [`Error::Unsupported`] where GHOSTNET_CPU names no instructions that
    /// the processor has.
    pub fn with(plan: Arc<Plan>, options: &Options) -> Result<Self> {
        assert_eq!(plan.precision, Precision::F32, "the CPU computes in f32");
        let scratch = plan.scratch_blocks();
        let lengths: Vec<usize> = plan.slots.iter().map(|bytes| bytes.div_ceil(size_of::<Block>())).collect();
        let shapes: Vec<String> = plan.inputs.iter().map(|input| input.shape.to_string()).collect();
        let what = format!("a run of {} on the CPU", shapes.join(" and "));
        // Inputs are in memory twice more, as tensors and packed, and so are outputs.
        let inputs = plan.inputs.iter().map(|input| lengths[input.slot]);
        let outputs = plan.outputs.iter().map(|output| output.bytes.div_ceil(size_of::<Block>()));
        let twice = inputs.chain(outputs).flat_map(|len| [len, len]);
        let all = lengths.iter().copied().chain([scratch]).chain(twice);
        let needed = all.fold(0u64, |sum, len| sum.saturating_add((len as u64).saturating_mul(size_of::<Block>() as u64)));
        let limit = usize::MAX as u64;
        if needed > limit {
            return Err(Error::Limit { what: format!("{what}: bytes of memory"), needed, limit });
        }
        // All of it at once, before any of it is used: a system may promise more than it has.
        probe(&what, needed as usize)?;
        if available().is_some_and(|available| needed > available) {
            return Err(Error::OutOfMemory(format!("{what} needs {needed} bytes, {} are free", available().unwrap_or(0))));
        }
        let buffer = |len| Ok(Buffer::new(zeroed(&what, Buffer::lines(len))?, len));
        let slots = lengths.into_iter().map(buffer).collect::<Result<_>>()?;
        let level = options.level.map_or_else(wanted_level, Ok)?;
        let team = options.threads.map_or_else(Team::all, Team::of);
        Ok(Self { level, team, slots, scratch: buffer(scratch)?, plan })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Takes the bytes of the inputs, which lie one after the other: blocks as of
    /// [`Plan::pack_inputs`], or one RGBA8 word a pixel for
    /// [`Form::Classify`](crate::plan::Form::Classify). Fewer images than the plan is for leave the
    /// rest as it was.
    pub fn set_inputs(&mut self, bytes: &[u8]) {
        for (slot, range) in self.plan.input_ranges(bytes.len()) {
            let from = &bytes[range];
            bytemuck::cast_slice_mut(&mut self.slots[slot])[..from.len()].copy_from_slice(from);
        }
    }

    /// The values of a slot.
    pub fn slot(&self, slot: usize) -> &[f32] {
        self.slots[slot].as_flattened()
    }

    /// The values of a slot, to be set.
    pub fn slot_mut(&mut self, slot: usize) -> &mut [f32] {
        self.slots[slot].as_flattened_mut()
    }

    /// Fills every slot, runs all steps, and returns every slot as it is then, as
    /// [`crate::gpu::Prepared::run_slots`] does: for single kernels.
    pub fn run_slots(&mut self, slots: &[Vec<u8>]) -> Vec<Vec<u8>> {
        for (blocks, bytes) in self.slots.iter_mut().zip(slots) {
            bytemuck::cast_slice_mut::<Block, u8>(blocks)[..bytes.len()].copy_from_slice(bytes);
        }
        self.run();
        self.slots
            .iter()
            .zip(&self.plan.slots)
            .map(|(blocks, &bytes)| bytemuck::cast_slice::<Block, u8>(blocks)[..bytes].to_vec())
            .collect()
    }

    /// Runs every step.
    pub fn run(&mut self) {
        self.run_steps(0..self.plan.steps.len());
    }

    /// Takes the bytes of a stage's inputs, which lie one after the other, and runs its steps.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn run_stage(&mut self, stage: &Stage, bytes: &[u8]) {
        for (slot, range) in self.plan.stage_ranges(stage) {
            let from = &bytes[range];
            bytemuck::cast_slice_mut(&mut self.slots[slot])[..from.len()].copy_from_slice(from);
        }
        self.run_steps(stage.steps.clone());
    }

    fn run_steps(&mut self, steps: std::ops::Range<usize>) {
        if self.level.is_plain() {
            // One entry into rayon's threads, not one for each loop of each kernel.
            parallel::scope(|_| steps.for_each(|at| self.step(at)));
        } else {
            steps.for_each(|at| self.step(at));
        }
    }

    /// As [`Prepared::run`]; returns each step's milliseconds.
    pub fn run_timed(&mut self) -> Vec<f64> {
        let steps = 0..self.plan.steps.len();
        let plain = self.level.is_plain();
        let time = |at| {
            let start = clock::now();
            self.step(at);
            clock::now() - start
        };
        if plain { parallel::scope(|_| steps.map(time).collect()) } else { steps.map(time).collect() }
    }

    fn step(&mut self, at: usize) {
        let plan = Arc::clone(&self.plan);
        let step = &plan.steps[at];
        let kernel = step.dispatch.key.kernel.spec();
        // What the step writes is taken out while it runs, so that the rest can be read.
        let slot_of = |name: Option<&&str>| match step.binding(name?)? {
            Resource::Slot(slot) => Some(slot),
            Resource::Constant(_) => None,
        };
        let output_slot = slot_of(kernel.writes.first()).unwrap_or_else(|| panic!("`{}` writes nothing", step.name));
        let sums_slot = slot_of(kernel.writes.get(1));
        let mut output = std::mem::take(&mut self.slots[output_slot]);
        let mut sums = sums_slot.map(|slot| std::mem::take(&mut self.slots[slot]));
        let twin = if self.level.is_plain() { kernel.twin } else { kernel.vector };
        twin(Call {
            dispatch: &step.dispatch,
            inputs: Inputs::new(&plan, step, &self.slots),
            output: &mut output,
            sums: sums.as_deref_mut(),
            scratch: &mut self.scratch,
            level: self.level,
            team: self.team,
        });
        self.slots[output_slot] = output;
        if let (Some(slot), Some(sums)) = (sums_slot, sums) {
            self.slots[slot] = sums;
        }
    }
}

/// Bytes of memory that are free, of the machine and of the group that this program is limited
/// with, where the system tells.
fn available() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = || {
        let text = read("/proc/meminfo")?;
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    };
    let number = |path: &str| read(path)?.trim().parse::<u64>().ok();
    let group = || Some(number("/sys/fs/cgroup/memory.max")?.saturating_sub(number("/sys/fs/cgroup/memory.current")?));
    if !cfg!(target_os = "linux") {
        return None;
    }
    machine().into_iter().chain(group()).min()
}

/// The names of the instruction sets that this processor has, first the one that is used.
pub fn instructions() -> Vec<String> {
    let used = wanted_level().unwrap_or_else(|_| Level::best());
    let others = Level::all().filter(|level| *level != used);
    std::iter::once(used).chain(others).map(|level| level.name().to_string()).collect()
}

/// What GHOSTNET_CPU names, or the best.
fn wanted_level() -> Result<Level> {
    let Ok(name) = std::env::var("GHOSTNET_CPU") else { return Ok(Level::best()) };
    Level::named(&name).ok_or_else(|| {
        let has: Vec<&str> = Level::all().map(Level::name).collect();
        Error::Unsupported { adapter: "CPU".into(), what: format!("GHOSTNET_CPU is `{name}`, the processor has {}", has.join(", ")) }
    })
}

/// Room for `len` values of `what`. In a browser there may be none, and an allocation that fails
/// would end the module.
pub(crate) fn room<T>(what: &str, len: usize) -> Result<Vec<T>> {
    let mut room = Vec::new();
    empty(&mut room, what, len)?;
    Ok(room)
}

/// Empties it and makes room in it as [`room`] does, unless it has enough.
pub(crate) fn empty<T>(room: &mut Vec<T>, what: &str, len: usize) -> Result<()> {
    room.clear();
    let full = |_| Error::OutOfMemory(format!("{what} needs {} bytes more", len as u64 * size_of::<T>() as u64));
    room.try_reserve_exact(len).map_err(full)
}

/// Fails where there is no room for so many bytes of `what`, which follow.
pub(crate) fn probe(what: &str, bytes: usize) -> Result<()> {
    // What a browser has given stays, and is no room any more.
    if cfg!(target_arch = "wasm32") { Ok(()) } else { room::<u8>(what, bytes).map(drop) }
}

/// As [`room`], filled with zeros.
pub(crate) fn zeroed<T: Zeroable + Clone>(what: &str, len: usize) -> Result<Vec<T>> {
    let mut zeros = room(what, len)?;
    zeros.resize(len, T::zeroed());
    Ok(zeros)
}
