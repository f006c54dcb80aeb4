// A network from an ONNX file in a page without a GPU, by this package and by onnxruntime-web, each
// with one thread: `node tools/peers.mjs FILE.onnx 1x3x224x224`, after `npm run build` and
// `npm install --no-save onnxruntime-web@1.30.0`.
//
// The two take turns, each time in a headless Chromium of its own. Their first results must agree
// within 1e-3 of the largest value.

import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch, root, site } from '../tests/browser.mjs';

const [file, sides] = process.argv.slice(2);
const shape = sides?.split('x').map(Number);
if (!shape?.every((side) => side > 0)) throw new Error('usage: peers.mjs FILE.onnx NxCxHxW');
const [ROUNDS, RUNS] = [5, 60];
const ORT = join(root, 'web/node_modules/onnxruntime-web');
const { version } = JSON.parse(readFileSync(join(ORT, 'package.json')));

const median = (times) => [...times].sort((a, b) => a - b)[times.length >> 1];

/** In the page: milliseconds to the first values, those of later runs, and the first values. */
async function measure([engine, shape, runs]) {
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, at) => (at % 97) / 48 - 1);
  const begin = performance.now();
  let run;
  if (engine === 'ghostnet') {
    const net = await GhostNet.load({ weights: '/network.onnx', backend: 'cpu', cache: false });
    run = async () => (await net.run(data, shape)).data;
  } else {
    const ort = await import('/ort/ort.wasm.bundle.min.mjs');
    ort.env.wasm.numThreads = 1;
    const session = await ort.InferenceSession.create('/network.onnx');
    run = async () => (await session.run({ [session.inputNames[0]]: new ort.Tensor('float32', data, shape) }))[session.outputNames[0]].data;
  }
  const values = [...(await run())];
  const [first, times] = [performance.now() - begin, []];
  while (times.length < runs) {
    const begin = performance.now();
    await run();
    times.push(performance.now() - begin);
  }
  return { first, times, values };
}

const give = (path, type) => (_, response) => {
  response.writeHead(200, { 'content-type': type });
  createReadStream(path).pipe(response);
};
const routes = { '/network.onnx': give(file, 'application/octet-stream') };
for (const [name, type] of [['ort.wasm.bundle.min.mjs', 'text/javascript'], ['ort-wasm-simd-threaded.wasm', 'application/wasm']])
  routes[`/ort/${name}`] = give(join(ORT, 'dist', name), type);

const found = { ghostnet: [], 'onnxruntime-web': [] };
for (let round = 0; round < ROUNDS; round++) {
  for (const engine of Object.keys(found)) {
    const browser = await launch({ webgpu: false });
    const web = await site(browser, routes);
    try {
      const page = await web.open();
      found[engine].push(await page.evaluate(measure, [engine, shape, RUNS]));
    } finally {
      await web.close();
      await browser.close();
    }
  }
}
const [ours, theirs] = Object.values(found).map(([{ values }]) => values);
const largest = Math.max(...theirs.map(Math.abs));
const apart = Math.max(...theirs.map((value, at) => Math.abs(value - ours[at]))) / largest;
if (!(ours.length === theirs.length && apart <= 1e-3)) throw new Error(`the results are ${apart} of the largest value apart`);
for (const [engine, rounds] of Object.entries(found)) {
  const times = rounds.map(({ times }) => median(times));
  const name = engine === 'ghostnet' ? engine : `${engine} ${version}`;
  console.log(`${name.padEnd(24)} ${median(times).toFixed(1)} ms (${Math.min(...times).toFixed(1)} to ${Math.max(...times).toFixed(1)}), first after ${median(rounds.map(({ first }) => first)).toFixed(0)} ms`);
}
