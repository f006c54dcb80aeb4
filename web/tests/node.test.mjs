// The package in Node.js, where it runs on the CPU, as a program finds it that has installed it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { dist, native, root, sameClasses } from './browser.mjs';

/** What a program prints as JSON that has the package installed. NODE is another Node.js. */
function program(text) {
  const directory = mkdtempSync(join(tmpdir(), 'ghostnet-node-'));
  const installed = join(directory, 'node_modules/ghostnet');
  mkdirSync(installed, { recursive: true });
  cpSync(dist, join(installed, 'dist'), { recursive: true });
  cpSync(join(root, 'web/package.json'), join(installed, 'package.json'));
  cpSync(join(root, 'assets/ghostnet_050_cifar10.safetensors'), join(directory, 'mine.safetensors'));
  writeFileSync(join(directory, 'program.mjs'), text);
  try {
    return JSON.parse(execFileSync(process.env.NODE ?? process.execPath, ['program.mjs'], { cwd: directory, encoding: 'utf8' }));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** A picture that needs no decoder, as a program and as a file that the command reads. */
const [WIDTH, HEIGHT] = [48, 40];
const colour = (x, y) => [x * 5, 255 - y * 6, (x * y) % 256];
function bmp() {
  const head = Buffer.alloc(54);
  head.write('BM');
  for (const [value, at] of [[54 + WIDTH * HEIGHT * 3, 2], [54, 10], [40, 14], [WIDTH, 18], [-HEIGHT, 22], [24 * 65536 + 1, 26]]) head.writeInt32LE(value, at);
  const rows = Array.from({ length: WIDTH * HEIGHT }, (_, at) => colour(at % WIDTH, Math.floor(at / WIDTH)).reverse()).flat();
  return Buffer.concat([head, Buffer.from(rows)]);
}

test('a program in Node.js classifies, runs and embeds', () => {
  const directory = mkdtempSync(join(tmpdir(), 'ghostnet-bmp-'));
  const file = join(directory, 'picture.bmp');
  writeFileSync(file, bmp());
  const [{ top: expected }] = native('classify', file, '--backend', 'cpu', '--top', '10');
  rmSync(directory, { recursive: true });
  const found = program(`
    import { GhostNet } from 'ghostnet';
    import { cifar10 } from 'ghostnet/cifar10';
    import { readFileSync } from 'node:fs';
    const colour = ${colour};
    const [width, height] = [${WIDTH}, ${HEIGHT}];
    const data = Uint8Array.from({ length: width * height * 4 }, (_, at) => [...colour((at >> 2) % width, Math.floor((at >> 2) / width)), 255][at % 4]);
    const picture = { data, width, height };
    const says = (promise) => promise.then(() => 'a result', ({ message }) => message);
    const found = { classes: [], messages: [] };
    for (const weights of [cifar10, './mine.safetensors', readFileSync('mine.safetensors')]) {
      const net = await GhostNet.load({ weights });
      found.classes.push(await net.classify(picture, { top: 10 }));
      found.info ??= net.info;
      found.logits ??= (await net.run(new Float32Array(3 * 32 * 32), [1, 3, 32, 32])).shape;
      found.embedding ??= (await net.embed(picture)).shape;
      found.messages.push(await says(net.classify(new Blob(['text']))), await says(net.classify('none.png')));
      net.destroy();
    }
    for (const options of [{ weights: 'none.safetensors' }, { weights: cifar10, backend: 'gpu' }]) found.messages.push(await says(GhostNet.load(options)));
    console.log(JSON.stringify(found));
  `);
  for (const classes of found.classes) sameClasses(assert, classes, expected, 'Node.js');
  assert.deepEqual([found.info.backend, found.logits, found.embedding], ['cpu', [1, 10], [1, 1280]]);
  const [blob, address] = found.messages;
  assert.match(blob, /^image: nothing decodes images here: give \{ data, width, height \}/);
  assert.match(address, /none\.png: cannot be read: ENOENT/);
  const [none, gpu] = found.messages.slice(-2);
  assert.match(none, /^file:.*none\.safetensors: cannot be read: ENOENT/);
  assert.match(gpu, /^no GPU adapter: /);
});
