/**
 * `cargo bench --bench kernels` in the browser: every distinct layer of a GhostNet alone, below the
 * roof that the device sets.
 */

export interface BenchOptions {
  /** `ghostnet_050`, `ghostnet_100` (default) or `ghostnet_130`. */
  model?: string;
  /** Few and short repetitions: for a first impression. */
  quick?: boolean;
  /** Called often; `done` of `total` parts, and what is being measured. */
  onProgress?: (done: number, total: number, what: string) => void;
  /** Ends the measurement, which then rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** A kind of layer. */
export interface BenchRow {
  name: string;
  /** Median of one dispatch. */
  ms: number;
  p10_ms: number;
  p90_ms: number;
  kernel: string;
  /** File name of the composed shader. */
  shader: string;
  /** `[c x h x w] -> [c x h x w]`, as text. */
  shape: string;
  /** How often the network has it. */
  count: number;
  repeats: number;
  macs: number;
  /** Read and written. */
  bytes: number;
  gflops: number;
  gb_per_s: number;
  /** The least time by multiply-adds or bytes, as part of the time. */
  of_roof: number;
  /** Of the time of all layers, each as often as the network has it. */
  share: number;
}

/** The same JSON as `cargo bench --bench kernels -- --json` prints. */
export interface KernelBench {
  bench: 'kernels';
  version: string;
  backend: string;
  adapter: string;
  driver: string;
  method: string;
  quick: boolean;
  roofline: { gflops: number; copies: { bytes: number; gb_per_s: number }[] };
  pass_ms: number;
  rounds: number;
  total_ms: number;
  rows: BenchRow[];
}

/**
 * Measures. Rejects where there is no WebGPU. The networks of ghostnet.js are in the same module of
 * WebAssembly: see `GhostNetCrashed` there.
 */
export function benchKernels(options?: BenchOptions): Promise<KernelBench>;
