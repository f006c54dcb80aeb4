// The benchmark of the kernels. Types and what everything does: bench.d.ts.

import { start } from './start.js';

export async function benchKernels({ model = 'ghostnet_100', quick = false, onProgress, signal } = {}) {
  signal?.throwIfAborted();
  const engine = await start();
  const progress = (done, total, what) => {
    signal?.throwIfAborted();
    onProgress?.(done, total, what);
  };
  return engine.call(() => engine.bench_kernels(model, quick, progress));
}
