//! In a browser, where there are no threads, the CPU computes when a run is submitted. This takes
//! the place of `worker.rs`.

use super::{answer::Answer, part::Runner};
use crate::Result;
use std::borrow::Cow;

pub(super) struct Worker {
    runner: Runner,
}

impl Worker {
    pub fn new(runner: Runner, _in_flight: usize) -> Self {
        Self { runner }
    }

    pub async fn submit(&mut self, bytes: Cow<'_, [u8]>, answer: Answer) -> Result<()> {
        answer.send(self.runner.run_bytes(&bytes).await?);
        Ok(())
    }
}
