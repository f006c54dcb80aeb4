/**
 * `cargo bench --bench kernels` in the browser: every distinct layer of a GhostNet alone, below the
 * roof that the device sets, or one kernel on any shape. It runs in a module of WebAssembly of its
 * own. Should that crash, no network does.
 */

export { GhostNetCrashed } from './ghostnet.js';

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

/** What the device does at most. */
export interface Roofline {
  /** Multiply-adds from registers. */
  gflops: number;
  copies: { bytes: number; gb_per_s: number }[];
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
  roofline: Roofline;
  pass_ms: number;
  rounds: number;
  total_ms: number;
  rows: BenchRow[];
}

/** Measures. Rejects where there is no WebGPU. */
export function benchKernels(options?: BenchOptions): Promise<KernelBench>;

/** A kernel that can be measured alone. */
export interface KernelCase {
  name: string;
  /** What a shape and its options are: `NxCxHxW [--out C] [--gate] …`. */
  usage: string;
  /** A layer's. */
  example: string;
}

/** The kernels that `benchKernel` measures. No GPU is needed to ask. */
export function kernels(): Promise<KernelCase[]>;

export interface AloneOptions {
  /** How values are stored: `f32` (default) or `f16`. */
  precision?: 'f32' | 'f16';
  /** Few and short repetitions: for a first impression. */
  quick?: boolean;
}

/** The same JSON as `cargo bench --bench kernels -- KERNEL SHAPE --json` prints. */
export interface AloneBench {
  bench: 'kernel';
  version: string;
  backend: string;
  adapter: string;
  driver: string;
  method: string;
  quick: boolean;
  roofline: Roofline;
  /** One, whose `name` is the kernel with its shape and options. */
  rows: AloneRow[];
}

export interface AloneRow extends Omit<BenchRow, 'shape' | 'count' | 'share'> {
  /** Of the dispatch. */
  workgroups: number;
}

/**
 * `cargo bench --bench kernels -- KERNEL SHAPE` in the browser: one kernel on any shape, such as
 * `benchKernel('pointwise', '1x80x14x14 --out 184')`. Rejects where there is no WebGPU, and, with
 * what is possible, for a kernel or a shape that is none.
 */
export function benchKernel(kernel: string, shapeAndOptions: string, options?: AloneOptions): Promise<AloneBench>;
