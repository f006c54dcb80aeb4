// What a visitor loads besides the weights, compressed by `gzip -9`. Exits 1 where it is more than
// the budget. `npm run size`.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What a browser loads for networks that has a GPU, and how many bytes it may have. */
const GPU = { files: ['gpu_engine_bg.wasm', 'gpu_engine.js', 'start.js', 'pictures.js', 'weights.js', 'ghostnet.js'], budget: 300_000 };
/** And one that has none. */
const CPU = { files: ['cpu_engine_bg.wasm', 'cpu_engine.js', 'start.js', 'pictures.js', 'weights.js', 'ghostnet.js'], budget: 300_000 };
/** What is loaded beside it for networks with a detector's card, where there is a GPU. */
const DETECT = { files: ['detect_engine_bg.wasm', 'detect_engine.js', 'detect.js', 'on_device.js'], budget: 67_000 };
/** For those who watch a video. */
const WATCH = { files: ['watch.js', 'track.js', 'smooth.js'], budget: 4_000 };
/** And for `ghostnet/bench`. */
const BENCH = { files: ['bench_engine_bg.wasm', 'bench_engine.js', 'start.js', 'bench.js'], budget: 240_000 };
// Fetched for networks with ImageNet's classes that name none themselves; data, as weights are.
const DATA = ['imagenet_labels.txt'];

const dist = join(dirname(fileURLToPath(import.meta.url)), '../dist');

/** Prints and adds up the files' sizes. */
function sum(files) {
  let total = 0;
  for (const file of files) {
    const bytes = readFileSync(join(dist, file));
    // The program, not Node.js' own zlib: what that makes of the same bytes differs from release to
    // release.
    const small = execFileSync('gzip', ['-9', '-n'], { input: bytes, maxBuffer: 1 << 26 }).length;
    total += small;
    console.log(`${file.padEnd(20)} ${String(bytes.length).padStart(8)} bytes ${String(small).padStart(8)} gzipped`);
  }
  return total;
}

for (const { files, budget } of [GPU, CPU, DETECT, WATCH, BENCH]) {
  const total = sum(files);
  console.log(`${'all'.padEnd(20)} ${''.padStart(14)} ${String(total).padStart(8)} of ${budget}`);
  if (total > budget) {
    console.error(`these are ${total} bytes, the budget is ${budget}`);
    process.exitCode = 1;
  }
}
console.log('beside it, as data');
sum(DATA);
