//! Networks whose convolutions become ghost modules.

use super::Network;
use crate::{
    Result,
    graph::{Ghostified, Ghostify},
};

impl Network {
    /// The network with ghost modules in the place of convolutions, and what became of each: see
    /// [`Graph::ghostify`](crate::graph::Graph::ghostify). Multiply-adds are those of one image of
    /// rows and columns `size`.
    ///
    /// Its card has the same name with `_ghost` behind it, and no longer says how many images it
    /// names right: without training that are few.
    ///
    /// # Errors
    /// As [`Graph::ghostify`](crate::graph::Graph::ghostify).
    pub fn ghostify(&self, how: &Ghostify, size: [usize; 2]) -> Result<(Self, Vec<Ghostified>)> {
        let (graph, report) = self.graph.ghostify(how, &self.shapes(1, size))?;
        let mut card = self.card.clone();
        card.name = format!("{}_ghost", self.name());
        card.test_top1 = None;
        Ok((Self { is_random: self.is_random, ..Self::new(graph, card)? }, report))
    }
}
