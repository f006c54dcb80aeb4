// The benchmarks of the kernels. Types and what everything does: bench.d.ts. They are in a module of
// WebAssembly of their own, so that whoever only runs networks does not load them.

import { starter } from './start.js';

export { GhostNetCrashed } from './start.js';

const start = starter(() => import('./bench_engine.js'), new URL('./bench_engine_bg.wasm', import.meta.url));

export async function benchKernels({ model = 'ghostnet_100', quick = false, onProgress, signal } = {}) {
  signal?.throwIfAborted();
  const engine = await start();
  const progress = (done, total, what) => {
    signal?.throwIfAborted();
    onProgress?.(done, total, what);
  };
  return engine.call(() => engine.bench_kernels(model, quick, progress));
}

export async function benchKernel(kernel, shapeAndOptions, { precision = 'f32', quick = false } = {}) {
  const engine = await start();
  return engine.call(() => engine.bench_kernel(`${kernel}`, `${shapeAndOptions}`, precision, quick));
}

/** For tests: makes ready every case of a kernel as a real GPU has it. Gives how many. */
export async function prepareKernel(kernel, precision) {
  const engine = await start();
  return engine.call(() => engine.prepare_kernel(kernel, precision));
}

export async function kernels() {
  const engine = await start();
  return engine.call(() => engine.kernels_alone());
}
