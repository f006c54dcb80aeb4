// GhostNet in the browser. Types and what everything does: ghostnet.d.ts. The engine itself is ../../src, compiled to engine_bg.wasm.

import { Device, Net, no_weights } from './engine.js';
import { fetched, start } from './start.js';

const EMBEDDED = 'ghostnet_050_cifar10';
const CACHE = 'ghostnet-weights';

export class GhostNetDeviceLost extends Error {
  name = 'GhostNetDeviceLost';
}

/** Errors of the engine carry their kind as a name. */
const named = (error) => (error?.name === 'GhostNetDeviceLost' ? new GhostNetDeviceLost(error.message, { cause: error }) : error);

export class GhostNet {
  #net;
  /** Resolves when the calls made so far are over. */
  #last = Promise.resolve();

  constructor(key, net, info) {
    if (key !== CONSTRUCT) throw new TypeError('use `await GhostNet.load()`');
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
      startup[part] = performance.now() - start;
      return result;
    };
    const wasm = timed('wasm', start());
    // The weights are on their way while the module is compiled and the device is opened.
    const opening = wasm.then(() => timed('device', Device.open(backend, precision, deviceClass === 'gpu')));
    const reading = timed('weights', read(wasm, weights, model, cache, onProgress));
    let device, net;
    let file;
    try {
      [device, file] = await Promise.all([opening, reading]);
      net = new Net(device, model === EMBEDDED ? 'ghostnet_050' : model, file.origin, file.bytes);
      if (net.lacks_names()) net.name_classes(await (await fetched(new URL('./imagenet_labels.txt', import.meta.url))).text());
      const [upload, pipelines] = await net.prepare(5);
      Object.assign(startup, { upload, pipelines, total: performance.now() - begin, first_run: null });
    } catch (error) {
      // What cannot be used is not kept either.
      file?.forget();
      net?.free();
      opening.then((device) => { device.close(); device.free(); }, () => {});
      throw named(error);
    }
    device.free();
    const info = { ...net.info(), startup, wasm_bytes: await wasm };
    if (file.embedded) info.model = EMBEDDED;
    return new GhostNet(CONSTRUCT, net, info);
  }

  classify(source, { top = 5 } = {}) {
    if (!(Number.isInteger(top) && top > 0)) return Promise.reject(new RangeError(`top is ${top}, a whole number from 1 on is needed`));
    return this.#first(async (net) => {
      if (this.info.backend === 'cpu') {
        const { data, width, height } = await pixels(source);
        return await net.classify_pixels(data, width, height, top);
      }
      // Straight to a texture.
      const { picture, width, height, close } = await drawable(source);
      try {
        return await net.classify(picture, width, height, top);
      } finally {
        close();
      }
    });
  }

  run(data, shape) {
    if (!(data instanceof Float32Array)) return Promise.reject(new TypeError(`run takes a Float32Array, not ${kind(data)}`));
    return this.#first(async (net) => tensor(await net.run(data, Uint32Array.from(shape))));
  }

  profile() {
    return this.#turn((net) => net.profile(5));
  }

  modules() {
    return this.#alive().modules();
  }

  maps(source, module) {
    return this.#turn(async (net) => {
      const { data, width, height } = await pixels(source);
      const [intrinsic, ghost] = (await net.maps_of_pixels(data, width, height, module)).map(tensor);
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

  #alive() {
    if (!this.#net) throw new Error('the network was destroyed');
    return this.#net;
  }

  /** Calls `work` after the calls before it. */
  async #turn(work) {
    const before = this.#last;
    const net = this.#alive();
    let over;
    this.#last = new Promise((resolve) => { over = resolve; });
    try {
      await before;
      return await work(this.#alive());
    } catch (error) {
      // Calls may fail from a loss before the browser tells of it.
      await new Promise((resolve) => setTimeout(resolve));
      this.#alive();
      throw net.is_lost() ? new GhostNetDeviceLost(error.message, { cause: error }) : named(error);
    } finally {
      over();
    }
  }

  /** As `#turn`; the first that succeeds is timed. */
  #first(work) {
    return this.#turn(async (net) => {
      const begin = performance.now();
      const result = await work(net);
      this.info.startup.first_run ??= performance.now() - begin;
      return result;
    });
  }
}

/** Keeps people from `new GhostNet()`. */
const CONSTRUCT = Symbol('load');

/** The bytes of weights, what messages call them, and how to forget them in case they are of no use. */
async function read(wasm, weights, model, cache, onProgress) {
  const forget = () => {};
  if (weights === undefined && (model === undefined || model === EMBEDDED)) {
    // Of this version of the module: the browser's own cache knows when it is out of date.
    const bytes = await body(await fetched(new URL('./ghostnet_050_cifar10.safetensors', import.meta.url)), onProgress);
    return { bytes, origin: EMBEDDED, embedded: true, forget };
  }
  if (weights === undefined) {
    await wasm;
    throw no_weights(model);
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
  // There is no cache on insecure pages, and none may be allowed; then weights are fetched each time.
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

/** The RGBA bytes of a picture. */
async function pixels(source) {
  if (kind(source) === 'ImageData' && source.data instanceof Uint8ClampedArray) {
    return { data: new Uint8Array(source.data.buffer, source.data.byteOffset, source.data.length), width: source.width, height: source.height };
  }
  const { picture, width, height, close } = await drawable(source);
  try {
    const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
    context.drawImage(picture, 0, 0, width, height);
    return { data: new Uint8Array(context.getImageData(0, 0, width, height).data.buffer), width, height };
  } finally {
    close();
  }
}

/** What can be drawn or copied to a texture, with its size, and what closes it if it was made here. */
async function drawable(source) {
  switch (kind(source)) {
    case 'Blob':
    case 'File':
    case 'HTMLImageElement':
    case 'HTMLVideoElement':
    case 'ImageData':
    case 'VideoFrame': {
      // A texture takes frames too, but Chromium without a real GPU then loses the device.
      // Like the command: turned as EXIF says, colour profiles ignored, alpha dropped rather than blended.
      const options = { imageOrientation: 'from-image', colorSpaceConversion: 'none', premultiplyAlpha: 'none' };
      if (source.videoWidth === 0) throw new Error('image: 0 x 0 has no pixels');
      const bitmap = await createImageBitmap(source, options).catch((error) => {
        throw new Error(`${source.name || source.src || 'image'}: not an image that this browser can decode`, { cause: error });
      });
      return { picture: bitmap, width: bitmap.width, height: bitmap.height, close: () => bitmap.close() };
    }
    case 'ImageBitmap':
    case 'HTMLCanvasElement':
    case 'OffscreenCanvas':
      return sized(source, source.width, source.height);
    default:
      throw new TypeError(`a picture is an ImageBitmap, ImageData, image, video, canvas, VideoFrame or Blob, not ${kind(source)}`);
  }
}

/** Pictures whose pixels this page may read. */
const readable = new WeakSet();

/** A picture of the caller's; one that was closed has no size. */
function sized(picture, width, height) {
  if (!(width && height)) throw new Error(`image: ${width} x ${height} has no pixels`);
  // Pixels of another site are refused by a texture too, but the module would not survive that.
  if (!readable.has(picture)) {
    const context = new OffscreenCanvas(1, 1).getContext('2d');
    context.drawImage(picture, 0, 0, 1, 1);
    context.getImageData(0, 0, 1, 1);
    readable.add(picture);
  }
  return { picture, width, height, close() {} };
}

const tensor = ([data, shape]) => ({ data, shape });

/** The maps of a tensor `[1, c, h, w]`. */
function planes({ data, shape: [, c, h, w] }) {
  return Array.from({ length: c }, (_, at) => data.subarray(at * h * w, (at + 1) * h * w));
}
