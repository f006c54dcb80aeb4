//! What only leaves a network: results that are computed after a run.

use super::{ends::element, import::Import, proto::Node};
use crate::graph::{Element, NonMaxSuppression};

impl Import<'_> {
    /// What becomes of a node that takes such a result; `None` of any other.
    pub fn behind_last(&mut self, node: &Node<'_>) -> Option<Result<(), String>> {
        let (name, last) = node.inputs.iter().find_map(|name| self.last.get_key_value(*name))?;
        let made = match (node.op, node.whole("to", 1)) {
            ("Identity", _) => Ok(last.element),
            ("Cast", 10 | 11 | 16) => Ok(Element::F32),
            ("Cast", kind) => element(kind).filter(|to| *to != Element::Bool).ok_or_else(|| format!("`{name}` to ONNX's type {kind}")),
            _ => Err(format!("`{name}` is a result of NonMaxSuppression, which is only read as the last step")),
        };
        let made = made.map(|element| NonMaxSuppression { element, ..last.clone() });
        Some(made.map(|made| self.add_last(node, made)))
    }

    /// Adds what a node gives.
    pub fn add_last(&mut self, node: &Node<'_>, made: NonMaxSuppression) {
        // A name that is left out stands for nothing.
        if let Some(name) = node.outputs.first().filter(|name| !name.is_empty()) {
            self.last.insert(name.to_string(), made);
        }
    }
}
