// What detectors' cards say. It is in a module of WebAssembly of its own, which is fetched for
// networks that have such a card.

import { pixels } from './pictures.js';
import { starter } from './start.js';

const start = starter(() => import('./detect_engine.js'), new URL('./detect_engine_bg.wasm', import.meta.url));

/** What makes inputs of pictures and reads results, as a card's decoder says it, for a network. */
export async function finder(decoder, info) {
  const found = new Finder(decoder, info.labels);
  await found.ready();
  if (info.backend === 'gpu') await found.onDevice(info.takes_frames);
  return found;
}

class Finder {
  #decoder;
  #labels;
  #engine;
  #finder;
  /** Whether a box is the mean of all that overlap. */
  #isMean;
  /** What works on the device of the network. */
  #onDevice;

  constructor(decoder, labels) {
    this.#decoder = decoder;
    const { threshold, nms } = JSON.parse(decoder);
    this.threshold = threshold;
    this.#isMean = nms?.kind === 'weighted';
    this.#labels = labels;
  }

  /** Calls `work` with the module's own finder, which is made anew where the module crashed. */
  #call(work) {
    return this.#engine.call(() => work(this.#finder));
  }

  async ready() {
    if (this.#engine && !this.#engine.crashed) return;
    const engine = await start();
    this.#finder = engine.call(() => new engine.Finder(this.#decoder, this.#labels));
    this.#engine = engine;
    this.input_name = this.#call((made) => made.input_name());
    this.point_names = this.#call((made) => made.point_names());
  }

  async onDevice(takesFrames) {
    const { OnDevice } = await import('./on_device.js');
    // Firefox lends none.
    this.takes_frames = takesFrames && Boolean(GPUDevice.prototype.importExternalTexture && globalThis.VideoFrame);
    this.#onDevice = new OnDevice((work) => this.#call(work), this.takes_frames);
  }

  /** What a run of the network on a picture of RGBA bytes, or a box in it, says. */
  async #found({ data, width, height }, box, numbers, only, call) {
    const shape = this.#call((made) => made.look(width, height, box));
    const input = this.#call((made) => made.input(data));
    const all = await call((net) => net.run_named([this.input_name], [input], [shape]));
    const results = all.filter(([, tensor]) => tensor instanceof Float32Array);
    const [names, tensors, shapes] = [0, 1, 2].map((at) => results.map((result) => result[at]));
    return this.#call((made) => made.found(names, tensors, shapes, numbers, only));
  }

  /**
   * Detections in a picture; `call` works on the network. `low` is for tracks, which need what is
   * half hidden and has low scores: a share of the threshold. In a mean such boxes would count.
   */
  async detect(source, { threshold = NaN, iou = NaN, limit = NaN, low = 1, only, percentage }, call, signal) {
    await this.ready();
    const lowest = this.#isMean || threshold > 1 ? threshold : threshold * low;
    const numbers = Float32Array.of(lowest, iou, limit);
    const onDevice = await this.#onDevice?.detect(source, numbers, only, call, signal);
    const { found, width, height } = onDevice ?? (await this.#onProcessor(source, numbers, only, call, signal));
    const [x, y] = percentage ? [width, height] : [1, 1];
    return found.map(({ box, points, ...detection }) => ({
      ...detection,
      box: box.map((v, at) => v / (at % 2 ? y : x)),
      ...(points && { points: pairs(points).map(([px, py]) => [px / x, py / y]) }),
    }));
  }

  async #onProcessor(source, numbers, only, call, signal) {
    const picture = await pixels(source, signal);
    const { width, height } = picture;
    return { found: await this.#found(picture, undefined, numbers, only, call), width, height };
  }

  /** The points in each of some boxes of a picture. */
  async landmarks(source, boxes, call, signal) {
    if (!boxes.every(({ length }) => length === 4)) throw new TypeError('landmarks are of boxes of four numbers');
    await this.ready();
    const corners = Float32Array.from(boxes.flatMap((box) => [...box]));
    const onDevice = await this.#onDevice?.landmarks(source, corners, call, signal);
    if (onDevice) return onDevice.map(pairs);
    const picture = await pixels(source, signal);
    const all = [];
    for (const box of boxes) all.push(pairs(await this.#found(picture, Float32Array.from(box), new Float32Array(3), undefined, call)));
    return all;
  }
}

/** Points of their coordinates one after the other. */
export const pairs = (values) => Array.from({ length: values.length / 2 }, (_, at) => [values[2 * at], values[2 * at + 1]]);
