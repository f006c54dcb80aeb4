//! What the benches measure on a device. Not part of the library's interface.

pub mod kernel;

use crate::report::{Timed, clock_of, gb_per_s, gflops};
