// What a visitor loads besides the weights, compressed as `gzip -9` does; exits 1 where it is more than the budget. `npm run size`.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

/** Bytes. TensorFlow.js' WebGPU core takes 190 KB. */
const BUDGET = 180_000;

const dist = join(dirname(fileURLToPath(import.meta.url)), '../dist');
let total = 0;
// The shaders are in the WebAssembly module.
for (const file of ['engine_bg.wasm', 'engine.js', 'start.js', 'ghostnet.js']) {
  const bytes = readFileSync(join(dist, file));
  const small = gzipSync(bytes, { level: 9 }).length;
  total += small;
  console.log(`${file.padEnd(16)} ${String(bytes.length).padStart(8)} bytes ${String(small).padStart(8)} gzipped`);
}
console.log(`${'all'.padEnd(16)} ${''.padStart(14)} ${String(total).padStart(8)} of ${BUDGET}`);
if (total > BUDGET) {
  console.error(`the package is ${total} bytes, the budget is ${BUDGET}`);
  process.exit(1);
}
