//! Threads that share the work of the CPU's kernels.
//!
//! A run of a network is some fifty steps of few microseconds each. So workers wait for the next
//! step in a loop, and sleep only once none has come for a while. Who wakes a worker does not wait
//! for it to come: pieces go to whoever asks next.
//!
//! There is one set of workers for all models. A caller that finds it at work does its own pieces
//! alone, so that no more threads run than there are processors.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::{
        Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a worker looks for work before it sleeps.
const PATIENCE: Duration = Duration::from_micros(200);

/// How many threads share the work of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Team {
    threads: usize,
}

impl Team {
    /// As many threads as the machine grants this process, or `RAYON_NUM_THREADS`, which the other
    /// work in parallel goes by.
    pub(crate) fn all() -> Self {
        static THREADS: OnceLock<usize> = OnceLock::new();
        let threads = *THREADS.get_or_init(|| {
            let wanted = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok()).filter(|threads| *threads > 0);
            wanted.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
        });
        Self { threads }
    }

    /// At most so many threads.
    pub(crate) fn of(threads: usize) -> Self {
        Self { threads: threads.clamp(1, Self::all().threads) }
    }

    /// How many they are.
    pub(crate) fn threads(self) -> usize {
        self.threads
    }

    /// Calls `work` with each number below `count`, in any order and in any of the threads.
    pub(crate) fn each(self, count: usize, work: impl Fn(usize) + Sync) {
        static WORKERS: OnceLock<Workers> = OnceLock::new();
        if self.threads > 1 && count > 1 {
            WORKERS.get_or_init(Workers::new).each(self.threads, count, &work);
        } else {
            (0..count).for_each(work);
        }
    }
}

/// The work of one step, in the stack of who called.
struct Job<'a> {
    work: &'a (dyn Fn(usize) + Sync),
    count: usize,
    /// The next number that nobody has.
    next: AtomicUsize,
    threads: usize,
    panicked: AtomicBool,
}

impl Job<'_> {
    fn help(&self) {
        loop {
            let at = self.next.fetch_add(1, SeqCst);
            if at >= self.count {
                return;
            }
            (self.work)(at);
        }
    }
}

/// What callers and workers share.
struct Workers {
    state: &'static State,
}

#[derive(Default)]
struct State {
    /// Whether a caller has the workers.
    taken: AtomicBool,
    /// How many jobs there were.
    jobs: AtomicUsize,
    /// The present one, or none.
    job: AtomicPtr<Job<'static>>,
    /// Workers that may hold the present job.
    inside: AtomicUsize,
    asleep: AtomicUsize,
    bed: Mutex<()>,
    bell: Condvar,
}

impl Workers {
    fn new() -> Self {
        let state: &'static State = Box::leak(Box::default());
        for number in 1..Team::all().threads {
            // Without a thread the others do its share.
            let _ = thread::Builder::new().name(format!("ghostnet-{number}")).spawn(move || state.serve(number));
        }
        Self { state }
    }

    fn each(&self, threads: usize, count: usize, work: &(dyn Fn(usize) + Sync)) {
        let state = self.state;
        if state.taken.swap(true, SeqCst) {
            return (0..count).for_each(work);
        }
        let job = Job { work, count, next: AtomicUsize::new(0), threads, panicked: AtomicBool::new(false) };
        // Declared after the job, so that it goes first: no worker has the job after that, even if
        // `work` panics here.
        let open = Open(state);
        state.job.store(ptr::from_ref(&job).cast_mut().cast(), SeqCst);
        state.jobs.fetch_add(1, SeqCst);
        if state.asleep.load(SeqCst) > 0 {
            drop(state.bed.lock().unwrap_or_else(PoisonError::into_inner));
            state.bell.notify_all();
        }
        job.help();
        drop(open);
        assert!(!job.panicked.load(SeqCst), "a thread of the CPU's kernels panicked");
    }
}

/// A job that workers may take. Dropped, it is closed: none takes it any more, and none has it.
struct Open(&'static State);

impl Drop for Open {
    fn drop(&mut self) {
        let Self(state) = self;
        state.job.store(ptr::null_mut(), SeqCst);
        let mut turns = 0u32;
        while state.inside.load(SeqCst) > 0 {
            turns += 1;
            // On a crowded machine the worker may wait for this very processor.
            if turns > 2000 { thread::yield_now() } else { std::hint::spin_loop() }
        }
        state.taken.store(false, SeqCst);
    }
}

impl State {
    /// A worker's life.
    fn serve(&self, number: usize) {
        let mut seen = 0;
        loop {
            seen = self.wait(seen);
            self.inside.fetch_add(1, SeqCst);
            let job = self.job.load(SeqCst);
            // SAFETY: who closes a job takes it from `job` first and then waits until nobody is
            // inside. This worker was inside before it looked, so the job lives until it leaves.
            if let Some(job) = unsafe { job.as_ref() }
                && number < job.threads
                && catch_unwind(AssertUnwindSafe(|| job.help())).is_err()
            {
                job.panicked.store(true, SeqCst);
            }
            self.inside.fetch_sub(1, SeqCst);
        }
    }

    /// Waits for a job after the `seen`th; how many there were then.
    fn wait(&self, seen: usize) -> usize {
        let start = Instant::now();
        loop {
            for _ in 0..64 {
                let jobs = self.jobs.load(SeqCst);
                if jobs != seen {
                    return jobs;
                }
                std::hint::spin_loop();
            }
            if start.elapsed() > PATIENCE {
                break;
            }
        }
        let mut bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.fetch_add(1, SeqCst);
        let jobs = loop {
            let jobs = self.jobs.load(SeqCst);
            if jobs != seen {
                break jobs;
            }
            bed = self.bell.wait(bed).unwrap_or_else(PoisonError::into_inner);
        };
        self.asleep.fetch_sub(1, SeqCst);
        jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_worked_on_once() {
        for count in [0, 1, 2, 7, 1000] {
            for threads in [1, 2, 100] {
                let done: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                Team::of(threads).each(count, |at| _ = done[at].fetch_add(1, SeqCst));
                assert!(done.iter().all(|times| times.load(SeqCst) == 1), "{count} by {threads}");
            }
        }
    }

    #[test]
    fn callers_from_several_threads_do_not_disturb_each_other() {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..500 {
                        let sum = AtomicUsize::new(0);
                        Team::all().each(round % 9, |at| _ = sum.fetch_add(at + 1, SeqCst));
                        let count = round % 9;
                        assert_eq!(sum.load(SeqCst), count * (count + 1) / 2);
                    }
                });
            }
        });
    }

    #[test]
    fn work_within_work_is_done() {
        let sum = AtomicUsize::new(0);
        Team::all().each(5, |_| Team::all().each(7, |_| _ = sum.fetch_add(1, SeqCst)));
        assert_eq!(sum.load(SeqCst), 35);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_ends_no_worker() {
        for _ in 0..3 {
            let panics = || Team::all().each(8, |at| assert!(at != 5, "on purpose"));
            assert!(catch_unwind(panics).is_err());
        }
        let sum = AtomicUsize::new(0);
        Team::all().each(8, |at| _ = sum.fetch_add(at, SeqCst));
        assert_eq!(sum.load(SeqCst), 28);
    }
}
