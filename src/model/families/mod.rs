//! Architectures, one file a family: a table of what the paper says, and how that becomes a graph.

pub mod ghostnet;

use super::{Source, checkpoint::Checkpoint};
use crate::{Result, graph::Graph};
use ghostnet::GhostNet;

/// A network of a family.
pub trait Family {
    /// Its name, such as `ghostnet_100`. It leaves open what [`Family::details`] says.
    fn name(&self) -> String;

    /// What tells it from others of its family, in words: `width 1`.
    fn identity(&self) -> String;

    /// What its name leaves open, in words: `10 classes, stem stride 1`.
    fn details(&self) -> String;

    /// Its graph, with weights from `source`.
    ///
    /// # Errors
    /// What `source` gives, and [`crate::Error::Shape`] where it cannot be built.
    fn graph(&self, source: &mut Source<'_>) -> Result<Graph>;
}

/// Names of all networks that have one.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    GhostNet::names()
}

/// The network of a name, with its usual classes.
pub(crate) fn named(name: &str) -> Result<Box<dyn Family>> {
    Ok(Box::new(GhostNet::named(name)?))
}

/// A tensor that each family's networks have, by which a prefix of their names is found.
pub(super) const FIRST_TENSORS: [&str; 1] = [GhostNet::FIRST_TENSOR];

/// The network whose weights these are.
pub(super) fn of(checkpoint: &Checkpoint) -> Result<Box<dyn Family>> {
    Ok(Box::new(GhostNet::of(checkpoint)?))
}
