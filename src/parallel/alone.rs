//! The threads of the CPU's kernels where there are none: in the place of `team.rs`.

/// One thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Team;

impl Team {
    pub(crate) fn all() -> Self {
        Self
    }

    pub(crate) fn of(_threads: usize) -> Self {
        Self
    }

    pub(crate) fn threads(self) -> usize {
        1
    }

    pub(crate) fn each(self, count: usize, work: impl Fn(usize) + Sync) {
        (0..count).for_each(work);
    }
}
