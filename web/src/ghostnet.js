// GhostNet in the browser. Types and what everything does: ghostnet.d.ts. The engine itself is
// ../../src, compiled to two modules: one that knows only GPUs, one that knows only the CPU.

import { drawable, drawnPixels, isPixels, kind, pixels } from './pictures.js';
import { abortable, fetched, starter } from './start.js';
import { read } from './weights.js';

export { GhostNetCrashed } from './start.js';

const onGpu = starter(() => import('./gpu_engine.js'), new URL('./gpu_engine_bg.wasm', import.meta.url));
const onCpu = starter(() => import('./cpu_engine.js'), new URL('./cpu_engine_bg.wasm', import.meta.url));

export class GhostNetDeviceLost extends Error {
  name = 'GhostNetDeviceLost';
}

/** Errors of the engine carry their kind as a name. */
const named = (error) => (error?.name === 'GhostNetDeviceLost' ? new GhostNetDeviceLost(error.message, { cause: error }) : error);

export class GhostNet {
  #engine;
  #net;
  /** What its card says, of a detector or a network for landmarks. */
  #finder;
  /** Resolves when the calls made so far are over. */
  #last = Promise.resolve();

  constructor(key, engine, net, info, finder) {
    if (key !== CONSTRUCT) throw new TypeError('use `await GhostNet.load()`');
    this.#engine = engine;
    this.#net = net;
    this.info = info;
    this.#finder = finder;
  }

  /** `deviceClass` is for tests: with `gpu` a GPU's kernels run, whatever the device is. */
  static load({ signal, ...options } = {}) {
    return abortable(load(options, signal), signal);
  }

  classify(source, { signal, ...wanted } = {}) {
    return this.#classes(wanted, signal, (classes) => classes(source));
  }

  classifyBatch(sources, { signal, ...wanted } = {}) {
    return this.#classes(wanted, signal, async (classes) => {
      const found = [];
      for (const source of sources) {
        signal?.throwIfAborted();
        found.push(await classes(source));
      }
      return found;
    });
  }

  /** Calls `work` in its turn with what gives the classes of a picture that are wanted. */
  #classes({ top = 5, atLeast = 0 }, signal, work) {
    if (!(Number.isInteger(top) && top > 0)) return Promise.reject(new RangeError(`top is ${top}, a whole number from 1 on is needed`));
    if (!(atLeast >= 0 && atLeast <= 1)) return Promise.reject(new RangeError(`atLeast is ${atLeast}, a number from 0 to 1 is needed`));
    return this.#first(() => work(async (source) => (await this.#best(source, top, signal)).filter(({ probability }) => probability >= atLeast)), signal);
  }

  /** The `top` classes of a picture. */
  async #best(source, top, signal) {
    if (this.info.backend === 'gpu' && !(isPixels(source) && kind(source) === 'Object')) {
      const drawn = await drawable(source, signal);
      const { picture, width, height } = drawn;
      try {
        // Straight to a texture.
        const classes = drawn.hasAlpha ? null : await this.#call((net) => net.classify(picture, width, height, top));
        if (classes) return classes;
        // What a browser copies to no texture, such as 16 bits a channel, it may draw.
        const { data } = await drawnPixels(source, drawn);
        return await this.#call((net) => net.classify_pixels(data, width, height, top));
      } finally {
        drawn.close();
      }
    }
    const { data, width, height } = await pixels(source, signal);
    return await this.#call((net) => net.classify_pixels(data, width, height, top));
  }

  detect(source, { signal, ...wanted } = {}) {
    return this.#find('detect', signal, (finder, call) => finder.detect(source, wanted, call, signal));
  }

  landmarks(source, faces, { signal } = {}) {
    return this.#find('landmarks', signal, (finder, call) => finder.landmarks(source, faces.map((face) => face.box ?? face), call, signal));
  }

  #find(task, signal, work) {
    const finder = this.#finder;
    if (this.info.task !== task || !finder) return Promise.reject(new Error(`${this.info.model} is not for this: its card's task is ${this.info.task}, not ${task}`));
    return this.#first(() => work(finder, (use) => this.#call(use)), signal);
  }

  watch(source, options, onFrame) {
    const stopping = new AbortController();
    // What follows a video is fetched for those that have one.
    import('./watch.js').then(({ watch }) => watch(this, source, options, onFrame, stopping)).catch(options.onError ?? reportError);
    return { stop: () => stopping.abort() };
  }

  embed(source, { signal } = {}) {
    return this.#first(async () => tensor((await this.#within(source, 'embedding', signal))[0]), signal);
  }

  features(source, { signal } = {}) {
    return this.#first(async () => (await this.#within(source, 'features', signal)).map(([data, shape, name, reduction]) => ({ name, reduction, data, shape })), signal);
  }

  run(data, ...more) {
    if (data instanceof Float32Array) {
      const [shape, options] = more;
      const { inputs: [input], outputs: [output] } = this.info;
      return this.run({ [input?.name]: { data, shape } }, options).then((results) => {
        const result = results[output.name];
        return result.data instanceof Float32Array ? result : { ...result, data: Float32Array.from(result.data, Number) };
      });
    }
    // Tensors by the names of the inputs.
    const [{ signal } = {}] = more;
    const inputs = kind(data) === 'Object' ? Object.entries(data) : [];
    if (!inputs.length) return Promise.reject(new TypeError(`run takes a Float32Array or tensors by name, not ${kind(data)}`));
    const [names, tensors, shapes] = [0, 1, 2].map((at) => inputs.map(([name, given]) => [name, given?.data, [...(given?.shape ?? [])]][at]));
    return this.#first(async () => Object.fromEntries((await this.#call((net) => net.run_named(names, tensors, shapes))).map(([name, ...result]) => [name, tensor(result)])), signal);
  }

  profile() {
    return this.#turn(() => this.#call((net) => net.profile(5)));
  }

  modules() {
    return this.#call((net) => net.modules());
  }

  maps(source, module) {
    return this.#turn(async () => {
      const [[data, [, c, height, width], name, intrinsic]] = await this.#within(source, module);
      const all = Array.from({ length: c }, (_, at) => data.subarray(at * height * width, (at + 1) * height * width));
      return { name, height, width, intrinsic: all.slice(0, intrinsic), ghost: all.slice(intrinsic) };
    });
  }

  /** What else than its results the network has of a picture: values, shape, name and a number. */
  async #within(source, what, signal) {
    const { data, width, height } = await pixels(source, signal);
    return this.#call((net) => net.within(data, width, height, what));
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

  /** Calls `work` after the calls before it, unless `signal` is aborted by then. */
  #turn(work, signal) {
    return abortable(this.#inTurn(work, signal), signal);
  }

  async #inTurn(work, signal) {
    const before = this.#last;
    let over;
    this.#last = new Promise((resolve) => { over = resolve; });
    try {
      await before;
      signal?.throwIfAborted();
      // Nothing is decoded for a network that is gone.
      this.#call(() => {});
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      // Calls may fail from a loss before the browser tells of it.
      await new Promise((resolve) => setTimeout(resolve));
      throw this.#call((net) => net.is_lost()) ? new GhostNetDeviceLost(error.message, { cause: error }) : named(error);
    } finally {
      over();
    }
  }

  /** As `#turn`; the first that succeeds is timed. */
  #first(work, signal) {
    return this.#turn(async () => {
      const begin = performance.now();
      const result = await work();
      this.info.startup.first_run ??= performance.now() - begin;
      return result;
    }, signal);
  }
}

/** Keeps people from `new GhostNet()`. */
const CONSTRUCT = Symbol('load');

async function load({ weights, card, model, backend = 'auto', precision = 'f32', cache = true, hub, onProgress, deviceClass }, signal) {
  signal?.throwIfAborted();
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
  const reading = timed('weights', given(opening, weights, model, { cache, hub, onProgress, signal }));
  // Both are waited for below, but not if the engine cannot be started, or crashes.
  for (const promise of [opening, reading]) promise.catch(() => {});
  let net, file;
  try {
    const { engine, device, fallback } = await opening;
    file = await engine.call(() => reading);
    signal?.throwIfAborted();
    const called = (work) => engine.call(work);
    net = called(() => new engine.Net(device, model, file.origin, file.bytes, file.config));
    if (card !== undefined) {
      const json = await cardOf(card, signal);
      called(() => net.describe(json));
    }
    // Weights that the engine could read are worth keeping.
    const keeping = file.keep?.().catch(() => {});
    if (called(() => net.lacks_names())) {
      const names = await (await fetched(new URL('./imagenet_labels.txt', import.meta.url), { signal }, 'names of classes')).text();
      called(() => net.name_classes(names));
    }
    const [upload, pipelines] = await called(() => net.prepare(5));
    await keeping;
    signal?.throwIfAborted();
    Object.assign(startup, { upload, pipelines, total: performance.now() - begin, first_run: null });
    const { decoder, ...info } = { ...called(() => net.info()), startup, wasm_bytes: engine.bytes };
    // What reads it is fetched for those that have one.
    const finder = decoder ? await (await import('./detect.js')).finder(decoder, info) : undefined;
    info.takes_frames = finder?.takes_frames ?? false;
    info.point_names = finder?.point_names ?? [];
    info.threshold = finder?.threshold ?? null;
    if (fallback) info.fallback = fallback;
    device.free();
    return new GhostNet(CONSTRUCT, engine, net, info, finder);
  } catch (error) {
    // What cannot be used is not kept either.
    if (!net && !signal?.aborted) file?.forget?.();
    net?.free();
    opening.then(({ device }) => { device.close(); device.free(); }, () => {});
    throw named(error);
  }
}

/** The JSON of a card: an object, a file, an address, or the JSON itself. */
async function cardOf(card, signal) {
  if (card instanceof Blob) return card.text();
  if (card instanceof URL || (typeof card === 'string' && !card.trimStart().startsWith('{'))) return (await fetched(new URL(card, globalThis.document?.baseURI ?? import.meta.url), { signal }, 'card')).text();
  return typeof card === 'string' ? card : JSON.stringify(card);
}

/** The weights that `load` is asked for; `random` ones are made up by the engine. */
async function given(opening, weights, model, options) {
  if (weights === 'random') return { origin: 'random' };
  if (weights !== undefined) return read(weights, options);
  if (model === undefined) throw new TypeError("no weights: give some with `weights`, such as 'timm/ghostnet_100.in1k' of the model hub, or `cifar10` of 'ghostnet/cifar10'");
  const { engine } = await opening;
  throw engine.call(() => engine.no_weights(model));
}

/**
 * A device and the engine that it is one of. The GPU's engine opens it, or, where WebGPU offers no
 * GPU, the CPU's, with the reason as `fallback`. A browser that offers no adapter at all loads
 * nothing of the GPU's.
 */
async function open(backend, precision, asGpu, timed) {
  const on = async (engine, backend) => ({ engine, device: await timed('device', engine.call(() => engine.Device.open(backend, precision, asGpu))) });
  let fallback;
  // Outside of browsers the GPU's module finds nothing to ask for an adapter.
  const isBrowser = globalThis.window ?? globalThis.WorkerGlobalScope;
  if (backend === 'gpu' && !isBrowser) throw new Error('no GPU adapter: WebGPU is used in browsers only');
  const isOffered = async () => backend !== 'auto' || (isBrowser && (await globalThis.navigator?.gpu?.requestAdapter().catch(() => {})));
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

const tensor = ([data, shape]) => ({ data, shape });
