//! What operations ask of their constants. Messages are parts of a line.

use super::{ConstId, Constant};
use crate::text::Sides;

/// The constant of a number.
pub(super) fn known(constants: &[Constant], id: ConstId) -> Result<&Constant, String> {
    constants.get(id.0).ok_or_else(|| "a constant is not in the graph".to_string())
}

/// The constant has a value for each of `c` channels.
pub(super) fn vector(constants: &[Constant], id: ConstId, c: usize) -> Result<(), String> {
    let vector = known(constants, id)?;
    if vector.shape == [c] { Ok(()) } else { Err(format!("`{}` has shape {}, needs [{c}]", vector.name, Sides(&vector.shape))) }
}
