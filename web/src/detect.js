// What detectors' cards say. It is in a module of WebAssembly of its own, which is fetched for
// networks that have such a card.

import { starter } from './start.js';

const start = starter(() => import('./detect_engine.js'), new URL('./detect_engine_bg.wasm', import.meta.url));

/** What makes inputs of pictures and reads results, as a card's decoder says it. */
export async function finder(decoder, labels) {
  const found = new Finder(decoder, labels);
  await found.ready();
  return found;
}

class Finder {
  #decoder;
  #labels;
  #engine;
  #finder;

  constructor(decoder, labels) {
    this.#decoder = decoder;
    this.threshold = JSON.parse(decoder).threshold;
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

  /** What a run of the network on a picture, or a box in it, says. */
  async #found({ data, width, height }, box, numbers, only, run) {
    await this.ready();
    const [values, shape] = this.#call((made) => made.input(data, width, height, box));
    const results = (await run([[this.input_name], [values], [shape]])).filter(([, tensor]) => tensor instanceof Float32Array);
    const [names, tensors, shapes] = [0, 1, 2].map((at) => results.map((result) => result[at]));
    return this.#call((made) => made.found(names, tensors, shapes, numbers, only));
  }

  /** Detections in a picture of RGBA bytes; `run` gives a network's results of named inputs. */
  async detect(picture, { threshold = NaN, iou = NaN, limit = NaN, only, percentage }, run) {
    const found = await this.#found(picture, undefined, Float32Array.of(threshold, iou, limit), only, run);
    const [x, y] = percentage ? [picture.width, picture.height] : [1, 1];
    return found.map(({ box, points, ...detection }) => ({
      ...detection,
      box: box.map((v, at) => v / (at % 2 ? y : x)),
      ...(points && { points: pairs(points).map(([px, py]) => [px / x, py / y]) }),
    }));
  }

  async landmarks(picture, box, run) {
    return pairs(await this.#found(picture, Float32Array.from(box), new Float32Array(3), undefined, run));
  }
}

/** Points of their coordinates one after the other. */
export const pairs = (values) => Array.from({ length: values.length / 2 }, (_, at) => [values[2 * at], values[2 * at + 1]]);
