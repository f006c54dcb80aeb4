//! The way of the CPU's result from who computes it to who waits for it.

use super::part::Slots;
use futures_channel::oneshot;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Where the result of a run goes.
pub(super) struct Answer {
    pub slots: oneshot::Sender<Slots>,
    is_there: Arc<AtomicBool>,
}

/// The result of a run, once it is there.
pub(super) struct Expected {
    slots: oneshot::Receiver<Slots>,
    is_there: Arc<AtomicBool>,
}

impl Answer {
    pub fn new() -> (Self, Expected) {
        let (sender, receiver) = oneshot::channel();
        let is_there = Arc::new(AtomicBool::new(false));
        (Self { slots: sender, is_there: is_there.clone() }, Expected { slots: receiver, is_there })
    }

    pub fn send(self, slots: Slots) {
        // The receiver is gone if nobody waits.
        let _ = self.slots.send(slots);
        self.is_there.store(true, Ordering::Release);
    }
}

impl Expected {
    pub fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Acquire)
    }

    pub async fn slots(self) -> Slots {
        self.slots.await.expect("what was submitted is computed")
    }
}
