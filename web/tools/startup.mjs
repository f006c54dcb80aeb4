// How long a page waits: GhostNet 1.0 at 224 x 224 with made-up weights in headless Chromium, from
// `load` to the first classes, and for each `classify` after that.
//
// `npm run startup` (after `npm run build`) is on WebGPU's software adapter, and
// `npm run startup -- --cpu` without WebGPU. `--rounds N` takes N browsers (5).

import { parseArgs } from 'node:util';
import { launch, site } from '../tests/browser.mjs';

const { values } = parseArgs({ options: { cpu: { type: 'boolean', default: false }, rounds: { type: 'string', default: '5' } } });
const rounds = Number(values.rounds);
if (!(Number.isInteger(rounds) && rounds > 0)) throw new Error(`--rounds ${values.rounds} is no number of browsers`);
const WARM = 9;

const sorted = (times) => [...times].sort((a, b) => a - b);
const median = (times) => sorted(times)[times.length >> 1];
const shown = (times, unit, digits) => {
  const [least, greatest] = [sorted(times)[0], sorted(times).at(-1)];
  return `${median(times).toFixed(digits)} ${unit} (${least.toFixed(digits)} to ${greatest.toFixed(digits)})`;
};

/** In the page. */
async function measure([backend, warm]) {
  const canvas = new OffscreenCanvas(640, 480);
  canvas.getContext('2d').fillRect(100, 100, 300, 200);
  const picture = await createImageBitmap(canvas);
  const begin = performance.now();
  const net = await GhostNet.load({ model: 'ghostnet_100', weights: 'random', backend });
  await net.classify(picture);
  const first = performance.now() - begin;
  const times = [];
  for (let run = 0; run < warm; run++) {
    const begin = performance.now();
    await net.classify(picture);
    times.push(performance.now() - begin);
  }
  return { first, times, adapter: net.info.adapter, backend: net.info.backend };
}

const found = [];
for (let round = 0; round < rounds; round++) {
  // A browser of its own each time: nothing is compiled yet.
  const browser = await launch({ webgpu: !values.cpu });
  const web = await site(browser);
  try {
    const page = await web.open();
    found.push(await page.evaluate(measure, [values.cpu ? 'cpu' : 'gpu', WARM]));
  } finally {
    await web.close();
    await browser.close();
  }
}
const { adapter, backend } = found[0];
if (found.some((one) => one.backend !== (values.cpu ? 'cpu' : 'gpu'))) throw new Error(`it ran on ${adapter} (${backend})`);
console.log(`ghostnet_100 (random weights) in Chromium on ${adapter} (${backend}), ${rounds} browsers: median (least to greatest)`);
console.log(`load to first classes  ${shown(found.map(({ first }) => first / 1000), 's', 2)}`);
console.log(`then                   ${shown(found.map(({ times }) => median(times)), 'ms', 0)}`);
