/**
 * GhostNet in the browser, on the GPU through WebGPU, or on the CPU in WebAssembly where WebGPU
 * offers no GPU. In Node.js (from 20.16 on) it runs on the CPU; pictures are then
 * `{ data, width, height }`, and an address may be a file's path.
 *
 * Every function that fails throws an `Error` (or rejects with one) whose message is one line: what
 * went wrong, on which file, node or picture. Every call is answered: whatever happens to the GPU
 * or to the WebAssembly module, its promise is settled.
 */

/** RGBA bytes, row by row from the top, colours not multiplied by alpha. */
export interface Pixels {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
}

/**
 * What can be classified. A file is a Blob; a string or URL is the address of a picture, from a
 * server that allows it (CORS). A picture is read when its call's turn comes: at once, if no other
 * call is in flight. An image that is still loading is waited for. One that the browser does not
 * let the page read is refused: of another site without CORS, drawn with such a picture, closed,
 * broken. Alpha is left aside: colours count as the file has them. A picture of more than 8192
 * pixels to a side is made that large first.
 */
export type ImageSource =
  | string
  | URL
  | Pixels
  | ImageBitmap
  | ImageData
  | HTMLImageElement
  | HTMLVideoElement
  | HTMLCanvasElement
  | OffscreenCanvas
  | VideoFrame
  | Blob;

/**
 * Where weights come from: a hub's id (`timm/ghostnet_100.in1k`), the address of a file, the file
 * itself (as from an `<input type="file">`), or its bytes. A string of two names with a slash
 * between them and without a suffix of weights is a hub's id; `./a/b` is an address.
 */
export type WeightsSource = string | URL | Blob | ArrayBuffer | ArrayBufferView<ArrayBuffer>;

export interface LoadOptions {
  /**
   * Weights: safetensors with timm's names, a one-file network, as `ghostnet convert` writes it,
   * or an ONNX file, both with a graph of their own. `cifar10` of `ghostnet/cifar10` is the address
   * of a small network's. `'random'`: made up from a formula, for timing; needs `model`.
   */
  weights: WeightsSource;
  /**
   * What the network is for, where its file does not say: a card as an object, its JSON, a file of
   * it or its address. A detector's says how a picture becomes the input and how results become
   * boxes.
   */
  card?: object | string | URL | Blob;
  /**
   * The network's name: `ghostnet_050`, `ghostnet_100`, `ghostnet_130`. The weights tell it. If
   * this is given too, they must agree.
   */
  model?: string;
  /**
   * `auto` (default): the GPU where WebGPU offers one, else the CPU. Each has a module of
   * WebAssembly of its own, which is fetched when it is first needed. `gpu`: whatever WebGPU
   * offers, or fail. That may be an adapter that runs shaders on the CPU (SwiftShader, WARP), which
   * is slower than `cpu`.
   */
  backend?: 'auto' | 'gpu' | 'cpu';
  /**
   * How weights and activations are stored. `f16` (GPU only) halves memory and traffic. With
   * `shader-f16` convolutions multiply halves. Default `f32`.
   */
  precision?: 'f32' | 'f16';
  /**
   * Keep weights from an address or a hub in the browser's Cache API, for the next visit, once they
   * have loaded. The server is asked each time whether it has others now; if it cannot be reached,
   * those that were kept are taken. Default `true`.
   */
  cache?: boolean;
  /** The hub that ids are of. Default `https://huggingface.co`. */
  hub?: string;
  /** Gives up: `load` rejects with the signal's reason, and what was opened is closed. */
  signal?: AbortSignal;
  /** Bytes of the weights that have arrived; `total` is undefined where the server does not say. */
  onProgress?: (loaded: number, total: number | undefined) => void;
}

export interface CallOptions {
  /**
   * Gives up: the call rejects with the signal's reason, at once. A call that waits for others is
   * not begun. One that runs goes on unheard, as nothing stops a GPU, and later calls wait for it.
   */
  signal?: AbortSignal;
}

export interface ClassifyOptions extends CallOptions {
  /** How many classes at most, best first. Default 5. */
  top?: number;
  /** No class that is less probable than this, 0 to 1. Default 0. */
  atLeast?: number;
}

export interface DetectOptions extends CallOptions {
  /** Nothing with a score up to this, 0 to 1. Default: the card's. */
  threshold?: number;
  /** Of two that overlap by more than this the better one stays, 0 to 1. Default: the card's. */
  iou?: number;
  /** At most so many, the best. Default: the card's. */
  limit?: number;
  /** Nothing but of these classes. */
  only?: string[];
  /** Coordinates are shares of the picture's width and height, 0 to 1, not pixels. */
  percentage?: boolean;
}

/**
 * Something that was found in a picture, in its pixels as shown, from its upper left edge. Those of
 * a picture with a side of more than 8192 pixels are of the picture made smaller, to 8192.
 */
export interface Detection {
  label: string;
  index: number;
  /** 0 to 1. */
  score: number;
  /** Left, top, right, bottom. */
  box: [number, number, number, number];
  /** Points that the detector gives, x and y: `info.point_names` says which. */
  points?: [number, number][];
}

export interface WatchOptions extends DetectOptions {
  /** A network for landmarks, which gives the `landmarks` of every box labelled `face`. */
  landmarks?: GhostNet;
  /**
   * Give detections the numbers of their tracks, which cost almost nothing. What is tracked may
   * have a score down to a fifth of the threshold, as something half hidden has, but for detectors
   * whose boxes are means of those that overlap (`nms` of the kind `weighted`). Default `true`.
   */
  track?: boolean;
  /**
   * Smooth boxes and points in time: what rests trembles less, what moves is followed at once. It
   * needs tracks. Default `true`.
   */
  smooth?: boolean;
  /** Ends the watch, as `stop` does. */
  signal?: AbortSignal;
  /**
   * What ended the watch, if neither `stop` nor the track's end did: whatever failed in it, or was
   * thrown by `onFrame`. Called once at most. Default: the page's `reportError`.
   */
  onError?: (error: Error) => void;
}

/** Something that was found in a frame. */
export interface Tracked extends Detection {
  /** The same number in each frame that it is in, from 1 on in the order of appearance. */
  track?: number;
  /** Points that the network for landmarks gives, x and y. */
  landmarks?: [number, number][];
}

/** What was found in a frame of a video. */
export interface Frame {
  detections: Tracked[];
  /** When the frame was shown, in milliseconds, as `performance.now()` counts them. */
  time: number;
  /** The frame's size in pixels, in which the boxes are. */
  width: number;
  height: number;
  /** How long it took to find all of it, in milliseconds. */
  ms: number;
}

export interface Class {
  index: number;
  label: string;
  /** 0 to 1. */
  probability: number;
}

export interface Tensor {
  /** Row-major. */
  data: Float32Array<ArrayBuffer>;
  /** Outermost first: `[n, classes]` for logits. */
  shape: number[];
}

/** Maps `[1, c, h, w]` within a network. */
export interface Feature extends Tensor {
  /** The module whose output it is, as timm's `feature_info` names it. */
  name: string;
  /** The input's pixels for one of the maps, by rows and by columns. */
  reduction: number;
}

/** A tensor that a network takes or gives, of the types f32, i32, i64 and bool (bytes 0 and 1). */
export interface AnyTensor {
  /** Row-major. */
  data: Float32Array | Int32Array | BigInt64Array | Uint8Array;
  /** Outermost first. */
  shape: number[];
}

/** A tensor that enters or leaves a network. */
export interface End {
  name: string;
  type: 'f32' | 'i32' | 'i64' | 'bool';
  /** What each side is, such as `n` (images), `c=3` (three channels), `h`, `w`. */
  sides: string[];
}

/**
 * Milliseconds. The parts overlap, so they add up to more than `total`. A part that has not
 * happened yet is null.
 */
export interface StartupTimes {
  /** Fetching and compiling the WebAssembly module. */
  wasm: number;
  /** Fetching or reading the weights, and checking them. */
  weights: number;
  /** Asking for the adapter and opening its device. */
  device: number;
  /** Packing the weights and uploading them. */
  upload: number;
  /** Compiling pipelines. */
  pipelines: number;
  /** From the call of `load` to its result. */
  total: number;
  /** The first call that ran the network. */
  first_run: number | null;
}

export interface Info {
  /** The GPU as the browser names it, or the CPU. */
  adapter: string;
  backend: 'gpu' | 'cpu';
  /** Why the CPU is used although the GPU was not ruled out; else null. */
  fallback: string | null;
  precision: 'f32' | 'f16';
  /** Name of the network. */
  model: string;
  /** `[channels, height, width]` of its usual input; 0 where the size is open. */
  input: [number, number, number];
  /** What `run` takes, and what it gives. */
  inputs: End[];
  outputs: End[];
  /** What its card says that it is for; null where it does not say. */
  task: 'classify' | 'detect' | 'landmarks' | null;
  /** The score that a detection must have more of, as a detector's card says it; else null. */
  threshold: number | null;
  /** Names of the points of a detection; empty where there are none, or nobody named them. */
  point_names: string[];
  /** Whether a detector's GPU takes a video's frames as the browser has them. */
  takes_frames: boolean;
  /** How many classes it tells apart; 0 for a network without classes. */
  classes: number;
  /** The names of all classes; empty where nobody named them. */
  labels: string[];
  /** Trainable parameters. */
  params: number;
  /** Multiply-adds for one image; null where its size is open. */
  macs: number | null;
  startup: StartupTimes;
  /** Bytes of the WebAssembly module. */
  wasm_bytes: number;
  /** WebGPU features of the adapter that matter here, such as `timestamp-query`. */
  features: string[];
}

export interface Step {
  /** The node of the network. */
  name: string;
  /** The shader's stem. */
  kernel: string;
  /**
   * Milliseconds, the median of some runs: by GPU timestamps where the browser offers them, else by
   * the clock.
   */
  ms: number;
  /** Multiply-adds. */
  macs: number;
  /** Bytes read and written. */
  bytes: number;
}

/**
 * The output of a ghost module: maps of the primary convolution, and those that the cheap operation
 * derives from them.
 */
export interface GhostMaps {
  /** The module. */
  name: string;
  height: number;
  width: number;
  /** Row-major, `height * width` values each. */
  intrinsic: Float32Array<ArrayBuffer>[];
  /**
   * With the ratio s of the module, `ghost[i]` is derived from `intrinsic[floor(i / (s - 1))]`: in
   * GhostNet (s = 2) from `intrinsic[i]`.
   */
  ghost: Float32Array<ArrayBuffer>[];
}

/**
 * A network on a device, ready to run. Several may be used at once. Calls on one wait for each
 * other.
 */
export class GhostNet {
  private constructor();

  /** Loads weights, opens a device and prepares everything a run needs. */
  static load(options: LoadOptions): Promise<GhostNet>;

  /** What runs, where, and how long it took to start. */
  readonly info: Info;

  /** The most probable classes of a picture, best first. */
  classify(source: ImageSource, options?: ClassifyOptions): Promise<Class[]>;

  /**
   * The classes of each of several pictures, in their order. One after the other is decoded and
   * run, so that there may be any number. The first that fails ends it.
   */
  classifyBatch(sources: Iterable<ImageSource>, options?: ClassifyOptions): Promise<Class[][]>;

  /** What a detector finds in a picture, best first. */
  detect(source: ImageSource, options?: DetectOptions): Promise<Detection[]>;

  /**
   * The points of each of the things that a detector found in the picture, or of boxes in it: x and
   * y in its pixels; none where the network gives what is no number. For a network whose card is
   * for landmarks.
   */
  landmarks(source: ImageSource, faces: (Pick<Detection, 'box'> | Detection['box'])[], options?: CallOptions): Promise<[number, number][][]>;

  /**
   * Calls `onFrame` with what a detector finds in the frames of a video that plays, or of a track
   * such as a camera's: in pages, not in workers. One frame is worked on at a time. Of those that
   * come meanwhile only the newest is taken, so that no delay grows.
   *
   * It ends by `stop`, after which `onFrame` is not called again, and when the track ends. While
   * the page is hidden it pauses, and goes on when the page is shown again. A GPU that is lost is
   * opened anew by the next frame; a second loss in a row ends it. It closes neither the camera nor
   * the networks.
   */
  watch(source: HTMLVideoElement | MediaStreamTrack, options: WatchOptions, onFrame: (frame: Frame) => void): { stop(): void };

  /**
   * What stands before the classifier, `[1, c]`: values by which pictures can be compared. Refused
   * by a network that ends in no linear layer.
   */
  embed(source: ImageSource, options?: CallOptions): Promise<Tensor>;

  /**
   * Maps within a network of a family, for heads of one's own: of a GhostNet those at strides 2, 4,
   * 8, 16 and 32 that timm's `features_only` gives. Refused by a network that has none.
   */
  features(source: ImageSource, options?: CallOptions): Promise<Feature[]>;

  /**
   * The first result of a network of one input: of a GhostNet logits `[n, classes]` of a normalised
   * input `[n, 3, h, w]`. One too large for the memory there is, which for WebAssembly is at most
   * 4 GiB, is refused.
   */
  run(data: Float32Array, shape: number[], options?: CallOptions): Promise<Tensor>;

  /** Every result by name, of a tensor for each input by its name: see `info.inputs`. */
  run(inputs: Record<string, AnyTensor>, options?: CallOptions): Promise<Record<string, AnyTensor>>;

  /** The time of each step of a run for one picture, in order. Takes about a second. */
  profile(): Promise<Step[]>;

  /** Names of the ghost modules, in order. */
  modules(): string[];

  /** What a ghost module makes of a picture. */
  maps(source: ImageSource, module: string): Promise<GhostMaps>;

  /** Frees the device and the memory. Calls in flight reject, later ones too. */
  destroy(): void;
}

/**
 * The GPU device was lost (driver reset, unplugged) while a call was in flight. The next call opens
 * it anew with the weights that were kept. `name` is `GhostNetDeviceLost`.
 */
export class GhostNetDeviceLost extends Error {
  readonly name: 'GhostNetDeviceLost';
}

/**
 * The WebAssembly module crashed: it ran out of memory, came upon a defect of its own or of the
 * browser (`cause`). All networks of the page are in one module, so every call in flight on any of
 * them fails by this, and so does every later one. `GhostNet.load` starts the module anew, and what
 * it loads from then on works. `name` is `GhostNetCrashed`.
 */
export class GhostNetCrashed extends Error {
  readonly name: 'GhostNetCrashed';
}
