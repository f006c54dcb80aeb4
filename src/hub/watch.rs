//! A clock for transfers.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Ends transfers that take too long, from a thread of its own.
///
/// The HTTP client's timeouts bound one read each, and what trickles into a TLS record, a header or
/// the frame of a chunk are many reads before anybody else gets control again.
pub(super) struct Watch {
    shared: Arc<(Mutex<Due>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Due {
    /// Nothing is waited for.
    Rest,
    At(Instant),
    /// The time was up, and the connections are shut.
    Passed,
    /// Nobody needs the watch any more.
    Over,
}

impl Watch {
    pub fn new(agent: ureq::Agent) -> std::io::Result<Self> {
        let shared = Arc::new((Mutex::new(Due::Rest), Condvar::new()));
        let watched = shared.clone();
        let thread = std::thread::Builder::new().name("ghostnet-pull".into()).spawn(move || {
            let (due, changed) = &*watched;
            let mut due = lock(due);
            loop {
                due = match *due {
                    Due::Passed | Due::Over => return,
                    Due::Rest => changed.wait(due).unwrap_or_else(PoisonError::into_inner),
                    Due::At(end) => match end.saturating_duration_since(Instant::now()) {
                        Duration::ZERO => {
                            *due = Due::Passed;
                            drop(due);
                            return agent.shutdown();
                        }
                        left => changed.wait_timeout(due, left).unwrap_or_else(PoisonError::into_inner).0,
                    },
                }
            }
        })?;
        Ok(Watch { shared, thread: Some(thread) })
    }

    /// From now on, until another time is set.
    pub fn within(&self, time: Duration) {
        // For ever, if that is beyond what a clock can tell.
        self.set(Instant::now().checked_add(time).map_or(Due::Rest, Due::At));
    }

    /// Stops the clock; whether the time was up before.
    pub fn rest(&self) -> bool {
        self.set(Due::Rest)
    }

    fn set(&self, to: Due) -> bool {
        let mut due = lock(&self.shared.0);
        if *due == Due::Passed {
            return true;
        }
        *due = to;
        self.shared.1.notify_one();
        false
    }
}

fn lock(due: &Mutex<Due>) -> MutexGuard<'_, Due> {
    due.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.set(Due::Over);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
