//! Rewrites of a graph that leave its results as they are. Each matches a pattern of operations,
//! never a name, so that any network with ghost modules gets the fused kernels.

pub(super) mod fold_batch_norm;
mod fuse_activation;
mod fuse_gate;
mod fuse_ghost;
mod fuse_pool;
mod fuse_resample;
mod fuse_residual;
mod fuse_separable;
mod fuse_squeeze_excite;
pub(crate) mod merge_branches;
mod name_activation;
mod near;
mod split_convolution;

pub use near::{Near, near};

use super::{Graph, NodeId};

/// A pass: rewrites what it can and says how often it did.
#[derive(Clone, Copy)]
pub struct Pass {
    /// The pass's name: its file's stem.
    pub name: &'static str,
    /// Rewrites the graph; returns the number of matches.
    pub run: fn(&mut Graph) -> usize,
}

/// Passes without which no kernel covers the graph, and what has to come before them. None of them
/// fuses two convolutions.
pub const REQUIRED: &[Pass] =
    &[Pass { name: "name_activation", run: name_activation::run }, Pass { name: "fold_batch_norm", run: fold_batch_norm::run }];

/// Passes that save dispatches and traffic, in the order in which they build on each other.
pub const FUSING: &[Pass] = &[
    Pass { name: "merge_branches", run: merge_branches::run },
    Pass { name: "fuse_activation", run: fuse_activation::run },
    Pass { name: "split_convolution", run: split_convolution::run },
    Pass { name: "fuse_squeeze_excite", run: fuse_squeeze_excite::run },
    Pass { name: "fuse_ghost", run: fuse_ghost::run },
    Pass { name: "fuse_gate", run: fuse_gate::run },
    Pass { name: "fuse_residual", run: fuse_residual::run },
    Pass { name: "fuse_resample", run: fuse_resample::run },
    Pass { name: "fuse_separable", run: fuse_separable::run },
    Pass { name: "fuse_pool", run: fuse_pool::run },
];

/// Runs passes in order, dropping what becomes unused after each, and all marks first; returns how
/// often each matched.
pub fn run(graph: &mut Graph, passes: &[Pass]) -> Vec<(&'static str, usize)> {
    *graph = std::mem::take(graph).unmarked();
    passes
        .iter()
        .map(|pass| {
            let count = (pass.run)(graph);
            graph.compact();
            log::debug!("pass {}: {count} matches, {} nodes left", pass.name, graph.nodes().len());
            (pass.name, count)
        })
        .collect()
}

/// Visits every node in order. `rewrite` gets the graph, the node, and the numbers of uses (kept
/// current).
fn each(graph: &mut Graph, mut rewrite: impl FnMut(&mut Graph, NodeId, &[usize]) -> bool) -> usize {
    let mut uses = graph.uses();
    let mut count = 0;
    for at in 0..graph.nodes().len() {
        if rewrite(graph, NodeId(at), &uses) {
            count += 1;
            uses = graph.uses_from_outputs();
        }
    }
    count
}

impl Graph {
    /// As [`Graph::uses`], without the uses by nodes that nothing needs any more.
    fn uses_from_outputs(&self) -> Vec<usize> {
        let mut uses = vec![0; self.nodes().len()];
        for output in self.leaving() {
            uses[output.node.0] += 1;
        }
        for at in (0..self.nodes().len()).rev() {
            if uses[at] > 0 {
                for input in &self.nodes()[at].inputs {
                    uses[input.0] += 1;
                }
            }
        }
        uses
    }
}

/// A module's name from that of one of its children: `blocks.0.0.ghost1.primary_conv` ->
/// `blocks.0.0.ghost1`.
fn parent_name(name: &str) -> String {
    name.rsplit_once('.').map_or(name, |(parent, _)| parent).to_string()
}
