//! rayon where there are threads; where there are none, its names on plain iterators.

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use rayon::{current_num_threads, join, prelude::*, scope};

#[cfg(target_arch = "wasm32")]
pub(crate) use one_thread::*;

#[cfg(target_arch = "wasm32")]
mod one_thread {
    pub(crate) use std::iter::Iterator as IndexedParallelIterator;
    use std::slice::{Chunks, ChunksMut, Iter, IterMut};

    pub(crate) fn current_num_threads() -> usize {
        1
    }

    pub(crate) fn join<A, B>(a: impl FnOnce() -> A, b: impl FnOnce() -> B) -> (A, B) {
        (a(), b())
    }

    pub(crate) fn scope<T>(work: impl FnOnce(()) -> T) -> T {
        work(())
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
}
