//! What the command `ghostnet` and the benches have in common.

pub mod report;
