//! A thread that computes a session's runs on the CPU; where none can be started, the caller does.

use super::{
    answer::Answer,
    part::{Runner, Slots},
};
use crate::{
    Result,
    wait::{apart, block_on, may_block},
};
use std::{
    borrow::Cow,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
};

/// Who computes.
pub(super) enum Worker {
    /// A thread, which ends with this.
    Thread(SyncSender<Job>),
    Caller(Arc<Mutex<Runner>>),
}

const ENDS: &str = "the thread ends with the session";

/// The bytes of a run's input, and where its result goes.
type Job = (Vec<u8>, Answer);

impl Worker {
    /// For at most `in_flight` runs under way.
    pub fn new(runner: Runner, in_flight: usize) -> Self {
        let runner = Arc::new(Mutex::new(runner));
        let own = runner.clone();
        match start(move |bytes| run(&own, bytes), in_flight) {
            Ok(jobs) => Self::Thread(jobs),
            Err(_) => Self::Caller(runner),
        }
    }

    /// Waits while as many runs are under way as there may be.
    pub async fn submit(&mut self, bytes: Cow<'_, [u8]>, answer: Answer) -> Result<()> {
        let jobs = match self {
            Self::Thread(jobs) => jobs,
            Self::Caller(runner) => return run(runner, &bytes).map(|slots| answer.send(slots)),
        };
        let job = (bytes.into_owned(), answer);
        if may_block() {
            jobs.send(job).expect(ENDS);
            return Ok(());
        }
        match jobs.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => {
                let jobs = jobs.clone();
                apart(move || jobs.send(job).expect(ENDS)).await;
            }
            Err(TrySendError::Disconnected(_)) => unreachable!("{ENDS}"),
        }
        Ok(())
    }
}

fn run(runner: &Mutex<Runner>, bytes: &[u8]) -> Result<Slots> {
    block_on(runner.lock().unwrap_or_else(PoisonError::into_inner).run_bytes(bytes))
}

/// Starts a thread that computes runs one after the other.
fn start(mut compute: impl FnMut(&[u8]) -> Result<Slots> + Send + 'static, in_flight: usize) -> io::Result<SyncSender<Job>> {
    // One run is being computed, the others wait.
    let (sender, jobs) = sync_channel::<Job>(in_flight - 1);
    let work = move || {
        for (bytes, answer) in jobs {
            // What nobody waits for changes nothing for the runs that follow.
            if !answer.slots.is_canceled()
                && let Ok(slots) = compute(&bytes)
            {
                answer.send(slots);
            }
        }
    };
    thread::Builder::new().name("ghostnet session".into()).spawn(work)?;
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::VecDeque, sync::mpsc::channel};

    /// Runs are done when the test opens a gate, one at a time, so that nothing depends on how long
    /// they take.
    #[test]
    fn as_many_runs_are_under_way_as_the_session_is_for() {
        for in_flight in [1, 2, 3] {
            let (open, gate) = channel::<()>();
            let compute = move |bytes: &[u8]| {
                gate.recv().expect("the gate is opened for each run");
                Ok(vec![vec![bytes[0].into()]])
            };
            let jobs = start(compute, in_flight).unwrap();
            let submit = |n: u8| {
                let (answer, expected) = Answer::new();
                jobs.send((vec![n], answer)).unwrap();
                (n, expected)
            };
            let mut runs: VecDeque<_> = (0..in_flight as u8).map(submit).collect();
            assert!(runs.iter().all(|(_, expected)| !expected.is_there()));
            let (answer, _expected) = Answer::new();
            assert!(matches!(jobs.try_send((vec![99], answer)), Err(TrySendError::Full(_))), "{in_flight}: one too many");
            for n in in_flight as u8..6 {
                open.send(()).unwrap();
                runs.push_back(submit(n));
                let (n, expected) = runs.pop_front().unwrap();
                assert!(expected.is_there(), "{in_flight}: {n} is done before there is room for another");
                assert_eq!(pollster::block_on(expected.slots()), vec![vec![u32::from(n)]]);
            }
            (0..in_flight).for_each(|_| open.send(()).unwrap());
            for (n, expected) in runs {
                assert_eq!(pollster::block_on(expected.slots()), vec![vec![u32::from(n)]]);
            }
        }
    }
}
