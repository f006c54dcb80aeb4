//! What a kernel's CPU twin is called with.

use super::{Dispatch, Plan, Resource, Step};
use crate::block::Block;

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

    /// The number of the activation that the constant `name` names.
    pub fn activation(&self, name: &str) -> u32 {
        self.define(name) as u32
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
    slots: &'a [Vec<Block>],
}

impl<'a> Inputs<'a> {
    /// Of a step, where what it writes has been taken out of `slots`.
    pub(crate) fn new(plan: &'a Plan, step: &'a Step, slots: &'a [Vec<Block>]) -> Self {
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
