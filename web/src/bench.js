// The benchmark of the kernels. Types and what everything does: bench.d.ts.

import { bench_kernels } from './engine.js';
import { start } from './start.js';

export async function benchKernels({ model = 'ghostnet_100', quick = false, onProgress, signal } = {}) {
  signal?.throwIfAborted();
  await start();
  const progress = (done, total, what) => {
    signal?.throwIfAborted();
    onProgress?.(done, total, what);
  };
  return bench_kernels(model, quick, progress);
}
