//! rayon's names where there are no threads.

pub(crate) use std::iter::Iterator as IndexedParallelIterator;
use std::slice::{Chunks, ChunksMut, Iter, IterMut};

pub(crate) fn join<A, B>(a: impl FnOnce() -> A, b: impl FnOnce() -> B) -> (A, B) {
    (a(), b())
}

pub(crate) fn scope<T>(work: impl FnOnce(()) -> T) -> T {
    work(())
}

pub(crate) fn with_threads<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// What `make` makes of each key, in order.
pub(crate) async fn try_map<K, T, E>(keys: &[K], make: impl AsyncFn(&K) -> Result<T, E>) -> Result<Vec<T>, E> {
    let mut made = Vec::with_capacity(keys.len());
    for key in keys {
        made.push(make(key).await?);
    }
    Ok(made)
}

pub(crate) trait ParallelSlice<T> {
    fn par_chunks(&self, size: usize) -> Chunks<'_, T>;
    fn par_chunks_mut(&mut self, size: usize) -> ChunksMut<'_, T>;
    fn par_iter(&self) -> Iter<'_, T>;
    fn par_iter_mut(&mut self) -> IterMut<'_, T>;
}

impl<T> ParallelSlice<T> for [T] {
    fn par_chunks(&self, size: usize) -> Chunks<'_, T> {
        self.chunks(size)
    }

    fn par_chunks_mut(&mut self, size: usize) -> ChunksMut<'_, T> {
        self.chunks_mut(size)
    }

    fn par_iter(&self) -> Iter<'_, T> {
        self.iter()
    }

    fn par_iter_mut(&mut self) -> IterMut<'_, T> {
        self.iter_mut()
    }
}
