// GhostNet in the browser. Types and what everything does: ghostnet.d.ts. The engine itself is
// ../../src, compiled to two modules: one that knows only GPUs, one that knows only the CPU.

import { fetched, starter } from './start.js';

export { GhostNetCrashed } from './start.js';

const onGpu = starter(() => import('./gpu_engine.js'), new URL('./gpu_engine_bg.wasm', import.meta.url));
const onCpu = starter(() => import('./cpu_engine.js'), new URL('./cpu_engine_bg.wasm', import.meta.url));
const EMBEDDED = 'ghostnet_050_cifar10';
const CACHE = 'ghostnet-weights';

export class GhostNetDeviceLost extends Error {
  name = 'GhostNetDeviceLost';
}

/** Errors of the engine carry their kind as a name. */
const named = (error) => (error?.name === 'GhostNetDeviceLost' ? new GhostNetDeviceLost(error.message, { cause: error }) : error);

export class GhostNet {
  #engine;
  #net;
  /** Resolves when the calls made so far are over. */
  #last = Promise.resolve();

  constructor(key, engine, net, info) {
    if (key !== CONSTRUCT) throw new TypeError('use `await GhostNet.load()`');
    this.#engine = engine;
    this.#net = net;
    this.info = info;
  }

  /** `deviceClass` is for tests: with `gpu` a GPU's kernels run, whatever the device is. */
  static async load({ weights, model, backend = 'auto', precision = 'f32', cache = true, onProgress, deviceClass } = {}) {
    const begin = performance.now();
    const startup = {};
    const timed = async (part, work) => {
      const start = performance.now();
      const result = await work;
      startup[part] = (startup[part] ?? 0) + performance.now() - start;
      return result;
    };
    // The weights are on their way while the module is compiled and the device is opened.
    const opening = open(backend, precision, deviceClass === 'gpu', timed);
    const reading = timed('weights', read(opening, weights, model, cache, onProgress));
    // Both are waited for below, but not if the engine cannot be started, or crashes.
    for (const promise of [opening, reading]) promise.catch(() => {});
    let net, file;
    try {
      const { engine, device, fallback } = await opening;
      file = await engine.call(() => reading);
      const called = (work) => engine.call(work);
      net = called(() => new engine.Net(device, model === EMBEDDED ? 'ghostnet_050' : model, file.origin, file.bytes));
      if (called(() => net.lacks_names())) {
        const names = await (await fetched(new URL('./imagenet_labels.txt', import.meta.url))).text();
        called(() => net.name_classes(names));
      }
      const [upload, pipelines] = await called(() => net.prepare(5));
      Object.assign(startup, { upload, pipelines, total: performance.now() - begin, first_run: null });
      const info = { ...called(() => net.info()), startup, wasm_bytes: engine.bytes };
      if (file.embedded) info.model = EMBEDDED;
      if (fallback) info.fallback = fallback;
      device.free();
      return new GhostNet(CONSTRUCT, engine, net, info);
    } catch (error) {
      // What cannot be used is not kept either.
      file?.forget();
      net?.free();
      opening.then(({ device }) => { device.close(); device.free(); }, () => {});
      throw named(error);
    }
  }

  classify(source, { top = 5 } = {}) {
    if (!(Number.isInteger(top) && top > 0)) return Promise.reject(new RangeError(`top is ${top}, a whole number from 1 on is needed`));
    return this.#first(async () => {
      if (this.info.backend === 'gpu') {
        // Straight to a texture.
        const { picture, width, height, close } = await drawable(source);
        try {
          const classes = await this.#call((net) => net.classify(picture, width, height, top));
          if (classes) return classes;
        } finally {
          close();
        }
        // What a browser copies to no texture, such as 16 bits a channel, it may draw.
      }
      const { data, width, height } = await pixels(source);
      return await this.#call((net) => net.classify_pixels(data, width, height, top));
    });
  }

  run(data, shape) {
    if (data instanceof Float32Array) {
      return this.#first(async () => tensor(await this.#call((net) => net.run(data, Uint32Array.from(shape)))));
    }
    // Tensors by the names of the inputs.
    const inputs = kind(data) === 'Object' ? Object.entries(data) : [];
    if (!inputs.length) return Promise.reject(new TypeError(`run takes a Float32Array or tensors by name, not ${kind(data)}`));
    const [names, tensors, shapes] = [0, 1, 2].map((at) => inputs.map(([name, given]) => [name, given?.data, [...(given?.shape ?? [])]][at]));
    return this.#first(async () => {
      const results = await this.#call((net) => net.run_named(names, tensors, shapes));
      return Object.fromEntries(results.map(([name, ...result]) => [name, tensor(result)]));
    });
  }

  profile() {
    return this.#turn(() => this.#call((net) => net.profile(5)));
  }

  modules() {
    return this.#call((net) => net.modules());
  }

  maps(source, module) {
    return this.#turn(async () => {
      const { data, width, height } = await pixels(source);
      const [intrinsic, ghost] = (await this.#call((net) => net.maps_of_pixels(data, width, height, module))).map(tensor);
      return { name: module, height: intrinsic.shape[2], width: intrinsic.shape[3], intrinsic: planes(intrinsic), ghost: planes(ghost) };
    });
  }

  destroy() {
    const net = this.#net;
    if (!net) return;
    this.#net = undefined;
    net.destroy();
    this.#last.then(() => net.free());
  }

  /** What `work` gives of the network, unless that was destroyed meanwhile. */
  #call(work) {
    if (!this.#net) throw new Error('the network was destroyed');
    return this.#engine.call(() => work(this.#net));
  }

  /** Calls `work` after the calls before it. */
  async #turn(work) {
    const before = this.#last;
    let over;
    this.#last = new Promise((resolve) => { over = resolve; });
    try {
      await before;
      // Nothing is decoded for a network that is gone.
      this.#call(() => {});
      return await work();
    } catch (error) {
      // Calls may fail from a loss before the browser tells of it.
      await new Promise((resolve) => setTimeout(resolve));
      throw this.#call((net) => net.is_lost()) ? new GhostNetDeviceLost(error.message, { cause: error }) : named(error);
    } finally {
      over();
    }
  }

  /** As `#turn`; the first that succeeds is timed. */
  #first(work) {
    return this.#turn(async () => {
      const begin = performance.now();
      const result = await work();
      this.info.startup.first_run ??= performance.now() - begin;
      return result;
    });
  }
}

/** Keeps people from `new GhostNet()`. */
const CONSTRUCT = Symbol('load');

/**
 * A device and the engine that it is one of. The GPU's engine opens it, or, where WebGPU offers no
 * GPU, the CPU's, with the reason as `fallback`. A browser that offers no adapter at all loads
 * nothing of the GPU's.
 */
async function open(backend, precision, asGpu, timed) {
  const on = async (engine, backend) => ({ engine, device: await timed('device', engine.call(() => engine.Device.open(backend, precision, asGpu))) });
  let fallback;
  const isOffered = async () => backend !== 'auto' || (await globalThis.navigator?.gpu?.requestAdapter().catch(() => {}));
  if (backend !== 'cpu' && (await isOffered())) {
    const engine = await timed('wasm', onGpu());
    try {
      return await on(engine, backend);
    } catch (error) {
      if (backend !== 'auto' || precision === 'f16' || engine.crashed) throw error;
      [backend, fallback] = ['cpu', error.message];
    }
  }
  return { ...(await on(await timed('wasm', onCpu()), backend)), fallback };
}

/**
 * The bytes of weights, what messages call them, and how to forget them in case they are of no use.
 */
async function read(opening, weights, model, cache, onProgress) {
  const forget = () => {};
  if (weights === undefined && (model === undefined || model === EMBEDDED)) {
    // Of this version of the module: the browser's own cache knows when it is out of date.
    const bytes = await body(await fetched(new URL('./ghostnet_050_cifar10.safetensors', import.meta.url)), onProgress);
    return { bytes, origin: EMBEDDED, embedded: true, forget };
  }
  if (weights === undefined) {
    const { engine } = await opening;
    throw engine.call(() => engine.no_weights(model));
  }
  if (weights === 'random') return { origin: 'random', forget };
  if (typeof weights === 'string' || weights instanceof URL) return download(String(weights), cache, onProgress);
  const [bytes, origin] = await held(weights);
  onProgress?.(bytes.length, bytes.length);
  return { bytes, origin, forget };
}

async function held(weights) {
  if (weights instanceof Blob) return [new Uint8Array(await weights.arrayBuffer()), weights.name ?? 'weights'];
  if (weights instanceof ArrayBuffer) return [new Uint8Array(weights), 'weights'];
  if (ArrayBuffer.isView(weights)) return [new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength), 'weights'];
  throw new TypeError(`weights are an address, a File or Blob, or bytes, not ${kind(weights)}`);
}

async function download(address, cache, onProgress) {
  const url = new URL(address, globalThis.document?.baseURI ?? globalThis.location?.href).href;
  // There is no cache on insecure pages, and none may be allowed. Then weights are fetched each
  // time.
  const kept = cache && /^https?:/.test(url) ? await globalThis.caches?.open(CACHE).catch(() => undefined) : undefined;
  const hit = await kept?.match(url);
  const bytes = await body(hit ?? (await fetched(url)), onProgress);
  // A full disk is no reason to fail.
  if (!hit) kept?.put(url, new Response(bytes, { headers: { 'content-length': bytes.length } })).catch(() => {});
  return { bytes, origin: address, forget: () => kept?.delete(url) };
}

/** A response's bytes. */
async function body(response, onProgress) {
  // The length of a compressed body is not that of its content.
  const stated = response.headers.has('content-encoding') ? 0 : Number(response.headers.get('content-length'));
  const total = stated || undefined;
  const chunks = [];
  let loaded = 0;
  onProgress?.(0, total);
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    loaded += value.length;
    onProgress?.(loaded, total);
  }
  const bytes = new Uint8Array(loaded);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** An object's class, for objects of other windows too. */
const kind = (value) => Object.prototype.toString.call(value).slice(8, -1);

/** What messages call a picture. */
function called(source) {
  const name = source.name || source.currentSrc || source.src;
  // A picture may be in its own address.
  return name ? `${kind(source)} ${name.length > 100 ? `${name.slice(0, 100)}…` : name}` : kind(source);
}

/**
 * What `read` reads of a picture. Where the browser refuses, it is an error that says of what, and
 * why.
 */
async function readable(source, read) {
  try {
    return await read();
  } catch (cause) {
    const why = cause.name === 'SecurityError' ? 'those of another site need CORS; ' : '';
    const [reason] = cause.message.split('\n');
    throw new Error(`${called(source)}: the browser does not give its pixels: ${why}${reason}`, { cause });
  }
}

/** The RGBA bytes of a picture. */
async function pixels(source) {
  if (kind(source) === 'ImageData' && source.data instanceof Uint8ClampedArray) {
    const { data, width, height } = source;
    return readable(source, () => ({ data: new Uint8Array(data.buffer, data.byteOffset, data.length), width, height }));
  }
  const { picture, width, height, close } = await drawable(source);
  try {
    return await readable(source, () => {
      const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
      context.drawImage(picture, 0, 0, width, height);
      return { data: new Uint8Array(context.getImageData(0, 0, width, height).data.buffer), width, height };
    });
  } finally {
    close();
  }
}

/**
 * What can be drawn or copied to a texture, with its size, and what closes it if it was made here.
 */
async function drawable(source) {
  // A texture takes frames too, but Chromium without a real GPU then loses the device.
  // Like the command: turned as EXIF says, colour profiles ignored, alpha dropped rather than
  // blended.
  const bitmap = () => createImageBitmap(source, { imageOrientation: 'from-image', colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
  const own = (picture) => ({ picture, width: picture.width, height: picture.height, close: () => picture.close() });
  switch (kind(source)) {
    case 'Blob':
    case 'File':
      return own(await bitmap().catch((cause) => {
        throw new Error(`${source.name || 'image'}: not an image that this browser can decode`, { cause });
      }));
    case 'HTMLImageElement':
    case 'HTMLVideoElement':
    case 'ImageData':
    case 'VideoFrame':
      if (source.videoWidth === 0) throw new Error('image: 0 x 0 has no pixels');
      return own(await readable(source, bitmap));
    case 'ImageBitmap':
    case 'HTMLCanvasElement':
    case 'OffscreenCanvas': {
      const { width, height } = source;
      // One that was closed has no size.
      if (!(width && height)) throw new Error(`image: ${width} x ${height} has no pixels`);
      return { picture: source, width, height, close() {} };
    }
    default:
      throw new TypeError(`a picture is an ImageBitmap, ImageData, image, video, canvas, VideoFrame or Blob, not ${kind(source)}`);
  }
}

const tensor = ([data, shape]) => ({ data, shape });

/** The maps of a tensor `[1, c, h, w]`. */
function planes({ data, shape: [, c, h, w] }) {
  return Array.from({ length: c }, (_, at) => data.subarray(at * h * w, (at + 1) * h * w));
}
