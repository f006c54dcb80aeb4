// The package in a real headless Chromium, against what the native command says.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ROUGH, failure, launch, native, nativeOf, otherSite, png16, recordDevices, root, sameClasses, site } from './browser.mjs';
import { oneFile, tinyNetwork } from './one_file.mjs';
import { CRASHES } from './unanswered.js';

const IMAGES = readdirSync(join(root, 'assets/images'));
const CLASSES = 10;
const WEIGHTS = join(root, 'assets/ghostnet_050_cifar10.safetensors');
/** One more, where it lies beside the clone. */
const SHARED_PNG = join(process.env.GHOSTNET_SHARED ?? join(root, '../shared'), 'data/faults/png-16-bit-rgb.png');

/** For what is not about the network. */
const TINY = tinyNetwork();
const tiny = { '/tiny.safetensors': (_, response) => response.end(TINY) };

const CAT = readFileSync(join(root, 'assets/images/chelsea.png'));
const TINY_CAT = nativeOf(CAT, TINY);

/** What the command says of each sample photo. */
const expected = Object.fromEntries(
  native('classify', ...IMAGES.map((file) => join(root, 'assets/images', file)), '--backend', 'cpu', '--top', String(CLASSES))
    .map((one, at) => [IMAGES[at], one.top]),
);

/** Classifies every photo with `window.net`. */
const classifyAll = (page) => page.evaluate(async ([images, top]) => {
  const found = {};
  for (const file of images) found[file] = await net.classify(await (await fetch(`/images/${file}`)).blob(), { top });
  return found;
}, [IMAGES, CLASSES]);

/** Which modules a page has asked for: `gpu`, `cpu`, `bench`. */
const engines = (page) => page.evaluate(() => {
  const asked = performance.getEntriesByType('resource').flatMap(({ name }) => name.match(/(\w+)_engine/)?.[1] ?? []);
  return [...new Set(asked)].sort();
});

const sum = (steps, key) => steps.reduce((all, step) => all + step[key], 0);

/** As tests/golden.rs: sums in another order. */
const TOLERANCE = 1e-4;

/**
 * Runs GhostNet 1.0 at 224 x 224 with made-up weights, and the kernels of a class of device if it
 * is given: the largest difference of its logits from the native command's, relative to the largest
 * logit, and its steps.
 */
async function ghostnet100(page, deviceClass) {
  const shape = [1, 3, 224, 224];
  const values = Float32Array.from({ length: 3 * 224 * 224 }, (_, at) => Math.sin(at * 0.37) + Math.cos(at * 0.0113));
  const directory = mkdtempSync(join(tmpdir(), 'ghostnet-'));
  const [x, y] = ['x.npy', 'y.npy'].map((file) => join(directory, file));
  writeNpy(x, shape, values);
  native('run', '--model', 'ghostnet_100', '--weights', 'random', '--backend', 'cpu', '--input', x, '--output', y);
  const logits = readNpy(y);
  rmSync(directory, { recursive: true });
  const got = await page.evaluate(async ([shape, bytes, deviceClass]) => {
    const data = new Float32Array(Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0)).buffer);
    const big = await GhostNet.load({ model: 'ghostnet_100', weights: 'random', backend: 'gpu', deviceClass });
    const small = window.net?.run(new Float32Array(3 * 32 * 32), [1, 3, 32, 32]);
    const result = await big.run(data, shape);
    await small;
    const steps = await big.profile();
    big.destroy();
    return { shape: result.shape, data: [...result.data], steps, macs: big.info.macs };
  }, [shape, Buffer.from(values.buffer).toString('base64'), deviceClass]);
  assert.deepEqual(got.shape, [1, 1000]);
  const largest = Math.max(...logits.map(Math.abs));
  return { off: Math.max(...logits.map((value, at) => Math.abs(value - got.data[at]))) / largest, steps: got.steps, macs: got.macs };
}

describe('with WebGPU', () => {
  let browser, web, page, served;
  /** A page whose `net` is the tiny network on the GPU, and which records devices. */
  const openTiny = async () => {
    const page = await web.open('/tiny.safetensors');
    await page.evaluate(recordDevices);
    await page.evaluate(async () => { window.net = await load({ backend: 'gpu' }); });
    return page;
  };
  before(async () => {
    browser = await launch();
    served = { weights: 0 };
    web = await site(browser, {
      ...tiny,
      '/weights.safetensors': (request, response) => {
        served.weights += request.method === 'GET';
        const bytes = readFileSync(WEIGHTS);
        response.writeHead(200, { 'content-length': bytes.length, etag: '"1"' });
        response.end(bytes);
      },
      '/cut.safetensors': (_, response) => response.end(readFileSync(WEIGHTS).subarray(0, 5000)),
    });
    page = await web.open();
    await page.evaluate(recordDevices);
    await page.evaluate(async () => { window.net = await load({ backend: 'gpu' }); });
  });
  after(async () => {
    // Each test has had its say; nothing else may have complained.
    assert.deepEqual(web.errors, []);
    await browser.close();
    await web.close();
  });

  test('the sample photos have the classes that they have natively', async () => {
    const found = await classifyAll(page);
    for (const file of IMAGES) sameClasses(assert, found[file], expected[file], file);
  });

  test('info tells what runs', async () => {
    const info = await page.evaluate(() => net.info);
    assert.equal(info.backend, 'gpu');
    assert.match(info.adapter, /swiftshader/i);
    assert.deepEqual([info.model, info.precision, info.fallback, info.input], ['ghostnet_050', 'f32', null, [3, 32, 32]]);
    assert.equal(info.labels.length, info.classes);
    for (const part of ['wasm', 'weights', 'device', 'upload', 'pipelines', 'total']) assert.equal(typeof info.startup[part], 'number', part);
  });

  test('by itself it takes the CPU where the adapter runs shaders there, and says so; else the GPU; each has its module', async () => {
    const load = (page) => page.evaluate(async () => {
      const { info } = await load().then((net) => (net.destroy(), net));
      return [info.backend, info.adapter, info.fallback];
    });
    const [backend, adapter, fallback] = await load(page);
    assert.equal(backend, 'cpu');
    assert.match(adapter, /^CPU /);
    assert.match(fallback, /^no GPU adapter: the only adapter, `.*swiftshader.*`, runs shaders on the CPU$/i);
    // What browsers say of it is not always the same. This one tells of the adapter what is in
    // `told`, and whether it is a fallback.
    const as = async (told) => {
      const other = await web.open('/tiny.safetensors');
      await other.evaluate((told) => {
        for (const key of ['vendor', 'architecture', 'device', 'description', 'isFallbackAdapter']) {
          Object.defineProperty(GPUAdapterInfo.prototype, key, { get: () => told[key] ?? (key === 'isFallbackAdapter' ? false : '') });
        }
      }, told);
      const found = [...(await load(other)), await engines(other)];
      await other.close();
      return found;
    };
    // Then the GPU's module was loaded for nothing. A page on a GPU never asks for the CPU's.
    const [onCpu, , , asked] = await as({ vendor: 'google', architecture: 'swiftshader' });
    assert.deepEqual([onCpu, asked], ['cpu', ['cpu', 'gpu']]);
    assert.equal((await as({ isFallbackAdapter: true }))[0], 'cpu');
    assert.deepEqual(await as({}), ['gpu', 'a GPU that the browser does not name', null, ['gpu']]);
    assert.deepEqual(await as({ vendor: 'intel', architecture: 'gen-12lp' }), ['gpu', 'intel gen-12lp', null, ['gpu']]);
    const other = await web.open();
    await other.evaluate(async () => (await load({ backend: 'cpu' })).destroy());
    assert.deepEqual(await engines(other), ['cpu']);
    await other.close();
  });

  test('every kind of picture gives the same', async () => {
    const found = await page.evaluate(async () => {
      const blob = await (await fetch('/images/chelsea.png')).blob();
      const bitmap = await createImageBitmap(blob, { colorSpaceConversion: 'none' });
      const element = new Image();
      element.src = '/images/chelsea.png';
      await element.decode();
      const draw = (canvas) => {
        [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
        const context = canvas.getContext('2d');
        context.drawImage(bitmap, 0, 0);
        return context;
      };
      const canvas = document.createElement('canvas');
      const data = draw(canvas).getImageData(0, 0, bitmap.width, bitmap.height);
      const offscreen = new OffscreenCanvas(1, 1);
      draw(offscreen);
      const frame = new VideoFrame(canvas, { timestamp: 0 });
      const found = {};
      for (const [kind, source] of Object.entries({ blob, bitmap, element, canvas, data, offscreen, frame })) found[kind] = await net.classify(source, { top: 10 });
      frame.close();
      return found;
    });
    for (const [kind, classes] of Object.entries(found)) sameClasses(assert, classes, expected['chelsea.png'], kind);
  });

  test('run gives the logits of the native command, for width 1.0 at 224 x 224', async () => {
    const { off, steps, macs } = await ghostnet100(page);
    assert.ok(off <= TOLERANCE, `off by ${off} of the largest`);
    assert.equal(sum(steps, 'macs'), macs);
    assert.ok(sum(steps, 'ms') > 0);
    // What the next test is about.
    assert.ok(!steps.some(({ kernel }) => kernel === 'separable'), 'a software adapter runs shortcuts in two dispatches');
  });

  test('so do the kernels that real GPUs get, shortcuts in one dispatch', async () => {
    const { off, steps, macs } = await ghostnet100(page, 'gpu');
    assert.ok(off <= TOLERANCE, `off by ${off} of the largest`);
    assert.equal(sum(steps, 'macs'), macs);
    const count = (name) => steps.filter(({ kernel }) => kernel === name).length;
    assert.deepEqual([count('ghost'), count('separable')], [32, 5]);
  });

  test('calls on two nets at once do not disturb each other', async () => {
    const found = await page.evaluate(async () => {
      const other = await load({ backend: 'gpu', precision: 'f16' });
      const blobs = await Promise.all(['chelsea.png', 'horse.png'].map(async (file) => (await fetch(`/images/${file}`)).blob()));
      const calls = [0, 1, 2, 3].flatMap((at) => [net.classify(blobs[at % 2], { top: 10 }), other.classify(blobs[at % 2], { top: 10 })]);
      const found = await Promise.all(calls);
      other.destroy();
      return found;
    });
    found.forEach((classes, at) => {
      const file = ['chelsea.png', 'horse.png'][(at >> 1) % 2];
      // The second net stores halves.
      if (at % 2 === 0) sameClasses(assert, classes, expected[file], file);
      else assert.equal(classes[0].index, expected[file][0].index, file);
    });
  });

  test('a lost device fails what is in flight by name, and the next call has a new one', async () => {
    const page = await openTiny();
    const found = await page.evaluate(async () => {
      const blob = await (await fetch('/images/chelsea.png')).blob();
      const before = devices.length;
      const bitmap = await createImageBitmap(blob);
      const lost = net.run(new Float32Array(3 * 32 * 32), [1, 3, 32, 32]).then(() => 'a result', (error) => [error.name, error.message, error instanceof GhostNetDeviceLost]);
      // Submitted by now; the result is not there yet.
      await Promise.resolve();
      devices.forEach((device) => device.destroy());
      const inFlight = await lost;
      const after = await net.classify(bitmap, { top: 10 });
      // Lost while nothing runs: no call fails.
      devices.at(-1).destroy();
      await devices.at(-1).lost;
      const idle = await net.classify(blob, { top: 10 });
      return { inFlight, after, idle, opened: devices.length - before };
    });
    await page.close();
    assert.equal(found.inFlight[0], 'GhostNetDeviceLost', JSON.stringify(found.inFlight));
    assert.ok(found.inFlight[2]);
    assert.match(found.inFlight[1], /^the GPU device was lost: /);
    sameClasses(assert, found.after, TINY_CAT, 'after the loss');
    sameClasses(assert, found.idle, TINY_CAT, 'after a loss between calls');
    assert.equal(found.opened, 2);
  });

  test('what cannot be used is refused in one line, with the native words', async () => {
    const load = (options) => GhostNet.load({ backend: 'cpu', ...options }).then((net) => net.destroy());
    const cases = [
      [load, { weights: '/cut.safetensors' }, /^\/cut\.safetensors: cut off or damaged/],
      [load, { weights: '/none.safetensors' }, /none\.safetensors: the server answers 404/],
      [load, { weights: '/images/chelsea.png' }, /^\/images\/chelsea\.png: neither a safetensors file nor a PyTorch checkpoint/],
      [load, { model: 'ghostnet_999' }, /^no network is called `ghostnet_999`; there are ghostnet_050, ghostnet_100, ghostnet_130, /],
      [load, { model: 'ghostnet_100' }, /^ghostnet_100 has no weights/],
      [load, { weights: '/weights.safetensors', model: 'ghostnet_130', cache: false }, /not ghostnet_130 \(width 1\.3\)$/],
      [load, { weights: 42 }, /not Number$/],
      [load, { precision: 'f64' }, /^precision `f64`/],
      [load, { backend: 'tpu' }, /^backend `tpu`/],
      [load, { backend: 'cpu', precision: 'f16' }, /computes in f32/],
      [load, { backend: 'auto', precision: 'f16' }, /^no GPU adapter: the only adapter, .*swiftshader.*f16.* backend: 'gpu' /i],
      [async () => net.run(new Float32Array(5), [1, 3, 32, 32]), null, /has 3072 values, 5 were given$/],
      [async () => net.classify(new Blob(['text'])), null, /not an image that this browser can decode$/],
      [async () => net.classify('/none.png'), null, /none\.png: the server answers 404/],
      [async () => net.classify(42), null, /not Number$/],
      [async () => net.classify(new ImageData(8, 8), { atLeast: 2 }), null, /^atLeast is 2/],
      [load, {}, /^no weights: give some with `weights`, such as 'timm\/ghostnet_100\.in1k'/],
      [async () => net.classify(document.createElement('video')), null, /0 x 0 has no pixels$/],
      [async () => net.classify(new ImageData(8, 8), { top: 0 }), null, /^top is 0/],
      [async () => net.maps(new ImageData(8, 8), 'blocks.9'), null, /^no ghost module is called `blocks\.9`$/],
    ];
    const before = web.errors.length;
    for (const [work, argument, message] of cases) {
      const found = await failure(page, work, argument);
      assert.ok(found?.isError, `${message} was expected`);
      assert.match(found.message, message);
      assert.ok(!found.message.includes('\n'), found.message);
    }
    // The browser itself notes the missing file.
    assert.ok(web.errors.splice(before).every((line) => /404/.test(line)));
  });

  test('weights from an address are kept, and their arrival is told', async () => {
    const before = served.weights;
    const found = await page.evaluate(async () => {
      const load = async (options) => {
        const progress = [];
        const net = await GhostNet.load({ weights: '/weights.safetensors', model: 'ghostnet_050', backend: 'cpu', onProgress: (...at) => progress.push(at), ...options });
        const { model } = net.info;
        net.destroy();
        return { model, progress };
      };
      return [await load(), await load(), await load({ cache: false })];
    });
    const size = readFileSync(WEIGHTS).length;
    for (const { progress } of found) assert.deepEqual(progress.at(-1), [size, size]);
    // Once for two nets, then once more without the cache.
    assert.equal(served.weights - before, 2);
  });

  test('maps are those of the CPU, for a file of weights', async () => {
    const found = await page.evaluate(async () => {
      const file = new File([await (await fetch('/ghostnet_050_cifar10.safetensors')).arrayBuffer()], 'mine.safetensors');
      const blob = await (await fetch('/images/horse.png')).blob();
      const nets = [net, await GhostNet.load({ weights: file, backend: 'cpu' })];
      const names = nets.map((net) => net.modules().join());
      const modules = net.modules();
      const maps = [];
      for (const name of [modules[0], modules[5], modules.at(-1)]) maps.push(await Promise.all(nets.map((net) => net.maps(blob, name))));
      nets[1].destroy();
      const off = (a, b) => Math.max(...a.map((map, at) => Math.max(...map.map((value, i) => Math.abs(value - b[at][i])))));
      const largest = (a) => Math.max(...a.map((map) => Math.max(...map.map(Math.abs))));
      return {
        names,
        maps: maps.map(([a, b]) => ({
          sizes: [a, b].map((m) => [m.name, m.height, m.width, m.intrinsic.length, m.ghost.length, m.ghost[0].length]),
          off: Math.max(off(a.intrinsic, b.intrinsic), off(a.ghost, b.ghost)),
          largest: Math.min(largest(a.intrinsic), largest(a.ghost)),
        })),
      };
    });
    assert.equal(found.names[0], found.names[1]);
    for (const { sizes, off, largest } of found.maps) {
      assert.deepEqual(sizes[0], sizes[1]);
      assert.equal(sizes[0][5], sizes[0][1] * sizes[0][2]);
      assert.ok(largest > 0 && off <= 1e-4 * largest, `${sizes[0][0]}: off by ${off} of ${largest}`);
    }
  });

  test('200 classifications leave no memory behind', async () => {
    const page = await openTiny();
    const session = await page.context().newCDPSession(page);
    const used = async () => {
      await session.send('HeapProfiler.collectGarbage');
      const heap = await session.send('Runtime.getHeapUsage');
      return heap.usedSize + (heap.embedderHeapUsedSize ?? 0) + (heap.backingStorageSize ?? 0);
    };
    const classify = (count) => page.evaluate(async (count) => {
      const bitmap = await createImageBitmap(await (await fetch('/images/chelsea.png')).blob());
      for (let run = 0; run < count; run++) await net.classify(bitmap);
      bitmap.close();
    }, count);
    await classify(30);
    const before = await used();
    await classify(200);
    const grown = (await used()) - before;
    await page.close();
    // A result is some hundred bytes. A leaked readback buffer or picture would be tens of
    // megabytes.
    assert.ok(grown < 2 << 20, `${grown} bytes more`);
  });

  test('a network of its own, of two inputs and three results, runs by their names; so do one-file networks', async () => {
    // image * counts, whose sum over the pixels is a truth value; counts are a result too.
    const graph = {
      inputs: [
        { name: 'image', channels: 2, sides: ['n', 'c', 'h', 'w'] },
        { name: 'counts', channels: 2, type: 'i64', sides: ['n', 'c'] },
      ],
      nodes: [
        { name: 'scaled', op: 'multiply', inputs: [0, 1] },
        { name: 'mean', op: 'global_pool', inputs: [2] },
        { name: 'positive', op: 'activate', inputs: [3], activation: 'relu' },
      ],
      outputs: [
        { name: 'scaled', node: 2, sides: ['n', 'c', 'hw'] },
        { name: 'positive', node: 4, type: 'bool', sides: ['n', 'c'] },
        { name: 'same', node: 1, type: 'i32', sides: ['nc'] },
      ],
    };
    const file = oneFile(graph, { name: 'two' }).toString('base64');
    const directory = mkdtempSync(join(tmpdir(), 'ghostnet-'));
    const path = join(directory, 'one.safetensors');
    const full = join(directory, 'tiny.safetensors');
    writeFileSync(full, TINY);
    native('convert', full, path, '--f16');
    const halves = readFileSync(path);
    const [{ label }] = nativeOf(CAT, halves);
    rmSync(directory, { recursive: true });
    for (const backend of ['gpu', 'cpu']) {
      const found = await page.evaluate(async ([file, halves, backend]) => {
        const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        const two = await GhostNet.load({ weights: bytes(file), backend });
        const image = { data: new Float32Array([1, 2, 3, 4, 5, 6]), shape: [1, 2, 1, 3] };
        const results = await two.run({ counts: { data: new BigInt64Array([3n, -1n]), shape: [1, 2] }, image });
        const refused = [];
        const all = [{ image }, { image, counts: image }, { image, counts: { data: [1, 2], shape: [1, 2] } }, {}, [1]];
        for (const inputs of all) refused.push(await two.run(inputs).then(() => null, (error) => error.message));
        refused.push(await two.classify(new ImageData(4, 4)).then(() => null, (error) => error.message));
        const { model, inputs, outputs, classes, input } = two.info;
        two.destroy();
        const one = await GhostNet.load({ weights: bytes(halves), backend });
        const [{ label }] = await one.classify(await (await fetch('/images/chelsea.png')).blob());
        one.destroy();
        const plain = Object.entries(results).map(([name, { data, shape }]) => [name, data.constructor.name, [...data].map(Number), shape]);
        return { plain, refused, info: [model, inputs.length, outputs.map((output) => output.type), classes, input], label };
      }, [file, halves.toString('base64'), backend]);
      assert.deepEqual(found.plain, [
        ['scaled', 'Float32Array', [3, 6, 9, -4, -5, -6], [1, 2, 3]],
        ['positive', 'Uint8Array', [1, 0], [1, 2]],
        ['same', 'Int32Array', [3, -1], [2]],
      ]);
      assert.deepEqual(found.info, ['two', 2, ['f32', 'bool', 'i32'], 0, [2, 0, 0]]);
      assert.equal(found.label, label);
      const says = [
        'input `counts` is missing: there are image, counts', 'counts: holds f32, i64 [n, c] is needed', /no Float32Array/,
        /run takes a Float32Array or tensors by name/, /run takes a Float32Array or tensors by name/, /two/,
      ];
      says.forEach((wanted, at) => (typeof wanted === 'string' ? assert.equal : assert.match)(found.refused[at], wanted));
    }
  });

  test('a graph of every operation gives what it gives natively', async () => {
    let drawn = 0;
    const weights = [];
    const tensor = (name, ...shape) => {
      const count = shape.reduce((all, side) => all * side, 1);
      const one = () => Math.sin(drawn++ * 0.7) * (shape.length > 1 ? 0.4 : 0.2) + (shape.length > 1 ? 0 : 0.6);
      weights.push([name, shape, Array.from({ length: count }, one)]);
      return name;
    };
    const nodes = [];
    const add = (op, inputs, more = {}) => nodes.push({ name: `${op}${nodes.length}`, op, inputs, ...more });
    const conv = (weight, more) => add('conv', [0], { weight, ...more });
    conv(tensor('dense', 5, 3, 3, 3), { bias: tensor('bias', 5), stride: [2, 1], pad: [1, 2], dilation: [1, 2], activation: 'hard_swish' });
    conv(tensor('depthwise', 3, 1, 3, 3), { groups: 3, pad: [1, 1] });
    add('batch_norm', [2], { weight: tensor('gamma', 3), bias: tensor('beta', 3), mean: tensor('mean', 3), var: tensor('var', 3), eps: 1e-5 });
    conv(tensor('primary', 4, 3, 1, 1));
    add('conv', [4], { weight: tensor('cheap', 4, 1, 3, 3), groups: 4, pad: [1, 1] });
    add('concat', [4, 5]);
    add('slice', [6], { start: 1, len: 6 });
    for (const kind of ['max', 'mean', 'mean_with_pad']) add('pool', [7], { kind, kernel: [3, 2], stride: [2, 2], pad: [1, 0] });
    add('resample', [7], { scales: [2, 1.5], filter: 'bilinear', coordinates: 'half_pixel' });
    add('resample', [7], { sizes: [5, 4], filter: 'floor', coordinates: 'asymmetric' });
    add('add', [0, 3]);
    add('activate', [13], { activation: 'silu' });
    add('global_pool', [7]);
    add('multiply', [7, 15]);
    add('linear', [15], { weight: tensor('fc', 7, 6), bias: tensor('fc.bias', 7) });
    const results = [1, 3, 7, 8, 9, 10, 11, 12, 14, 16, 17];
    const sides = ['n', 'c', 'h', 'w'];
    const graph = {
      inputs: [{ name: 'x', channels: 3, sides }],
      nodes,
      outputs: results.map((node) => ({ name: `y${node}`, node, sides: node === 17 ? ['n', 'c'] : sides })),
    };
    const file = oneFile(graph, { name: 'all' }, weights);

    const directory = mkdtempSync(join(tmpdir(), 'ghostnet-'));
    const [model, x] = ['all.safetensors', 'x.npy'].map((name) => join(directory, name));
    writeFileSync(model, file);
    const shape = [2, 3, 9, 7];
    const values = Float32Array.from({ length: 2 * 3 * 9 * 7 }, (_, at) => Math.cos(at * 0.61) * 2);
    writeNpy(x, shape, values);
    native('run', '--model', model, '--backend', 'cpu', '--input', x, '--outputs', directory);
    const wanted = Object.fromEntries(results.map((node) => [`y${node}`, [...readNpy(join(directory, `y${node}.npy`))]]));
    rmSync(directory, { recursive: true });
    for (const backend of ['gpu', 'cpu']) {
      const found = await page.evaluate(async ([file, values, shape, backend]) => {
        const all = await GhostNet.load({ weights: Uint8Array.from(atob(file), (c) => c.charCodeAt(0)), backend });
        const results = await all.run({ x: { data: Float32Array.from(values), shape } });
        all.destroy();
        return Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, [...data]]));
      }, [file.toString('base64'), [...values], shape, backend]);
      assert.deepEqual(Object.keys(found), Object.keys(wanted));
      for (const [name, data] of Object.entries(wanted)) {
        const largest = Math.max(...data.map(Math.abs));
        const off = Math.max(...data.map((value, at) => Math.abs(value - found[name][at])));
        assert.ok(found[name].length === data.length && largest > 0 && off <= TOLERANCE * largest, `${name} on ${backend}: ${off} of ${largest}`);
      }
    }
  });

  test('a net that is destroyed while a picture is decoded opens no device for it', async () => {
    const found = await page.evaluate(async () => {
      const other = await load({ weights: '/tiny.safetensors', backend: 'gpu' });
      const blob = await (await fetch('/images/chelsea.png')).blob();
      const before = devices.length;
      const { createImageBitmap } = window;
      window.createImageBitmap = async (...values) => {
        window.createImageBitmap = createImageBitmap;
        const bitmap = await createImageBitmap(...values);
        other.destroy();
        return bitmap;
      };
      const message = await other.classify(blob).then(() => 'a result', (error) => error.message);
      return { message, opened: devices.length - before };
    });
    assert.deepEqual(found, { message: 'the network was destroyed', opened: 0 });
  });

  test('a destroyed net refuses calls', async () => {
    const found = await failure(page, async () => {
      const other = await load({ weights: '/tiny.safetensors', backend: 'gpu' });
      const running = other.run(new Float32Array(3 * 32 * 32), [1, 3, 32, 32]);
      other.destroy();
      other.destroy();
      const first = await running.then(() => 'a result', (error) => error.message);
      if (first !== 'the network was destroyed') throw new Error(`in flight: ${first}`);
      other.modules();
    });
    assert.equal(found.message, 'the network was destroyed');
  });
});

test('without WebGPU the CPU gives the same, and says so', async () => {
  const browser = await launch({ webgpu: false });
  const web = await site(browser);
  try {
    const page = await web.open();
    const info = await page.evaluate(async () => {
      window.net = await load();
      return net.info;
    });
    assert.equal(info.backend, 'cpu');
    assert.equal(info.fallback, 'no GPU adapter: this browser offers none through WebGPU');
    const found = await classifyAll(page);
    for (const file of IMAGES) sameClasses(assert, found[file], expected[file], file);
    const steps = await page.evaluate(() => net.profile());
    assert.equal(sum(steps, 'macs'), info.macs);
    assert.deepEqual(await engines(page), ['cpu']);
    const refused = await failure(page, () => load({ backend: 'gpu' }));
    assert.equal(refused.message, 'no GPU adapter: this browser offers none through WebGPU');
    assert.deepEqual(web.errors, []);
  } finally {
    await browser.close();
    await web.close();
  }
});

describe('no call stays unanswered', () => {
  let browser, web, other;
  before(async () => {
    other = await otherSite(png16());
    browser = await launch();
    web = await site(browser, { ...other.routes, ...tiny, '/shared.png': (_, response) => response.end(readFileSync(SHARED_PNG)) });
  });
  after(async () => {
    assert.deepEqual(web.errors, []);
    await browser.close();
    await web.close();
    await other.close();
  });

  for (const backend of ['gpu', 'cpu']) {
    test(`pictures that the browser does not copy, ${backend}`, async () => {
      const page = await web.open('/tiny.safetensors');
      const { wrong, classes, shared } = await page.evaluate(async ([other, own, backend, hasShared]) => {
        const { showAll } = await import('/unanswered.js');
        const net = await load({ backend });
        const found = await showAll(net, other, own);
        if (hasShared) {
          const element = new Image();
          element.src = '/shared.png';
          await element.decode();
          found.shared = await net.classify(element, { top: 10 });
        }
        return found;
      }, [other.url, web.url, backend, existsSync(SHARED_PNG)]);
      await page.close();
      assert.deepEqual(wrong, []);
      // A canvas rounds to 8 bits, where Pillow keeps the high byte.
      sameClasses(assert, classes, nativeOf(png16(), TINY), 'a PNG of 16 bits a channel', ROUGH);
      if (shared) sameClasses(assert, shared, nativeOf(readFileSync(SHARED_PNG), TINY), 'the shared one', ROUGH);
    });
  }

  test('inputs too large for the memory there is are refused, and nothing else', async () => {
    const page = await web.open('/tiny.safetensors');
    const found = await page.evaluate(async () => {
      const { answer } = await import('/unanswered.js');
      const found = [];
      for (const backend of ['gpu', 'cpu']) {
        const nets = [await load({ backend }), await load({ backend })];
        for (const shape of [[1, 3, 8192, 8192], [1, 3, 4096, 5120]]) {
          const input = new Float32Array(shape.reduce((count, side) => count * side));
          const calls = [nets[0].run(input, shape), nets[0].classify(new ImageData(40, 40)), nets[1].classify(new ImageData(40, 40))];
          const [large, ...small] = await Promise.all(calls.map(answer));
          found.push([`${shape} ${backend}`, large, small.every(({ result }) => result)]);
        }
        nets.forEach((net) => net.destroy());
      }
      return found;
    });
    await page.close();
    for (const [what, { isError, name, message }, others] of found) {
      assert.ok(isError && name === 'Error', `${what}: ${JSON.stringify(message ?? name)}`);
      // Two numbers where it is for the size.
      assert.match(message, / needs \d+, the device allows \d+$/, what);
      assert.ok(others, `${what}: the other calls`);
    }
  });

  for (const [what, { backends }] of Object.entries(CRASHES)) {
    for (const backend of backends) {
      test(`${what}: every call is told, and a new net works (${backend})`, async () => {
        const page = await web.open('/tiny.safetensors');
        await page.evaluate(recordDevices);
        const found = await page.evaluate(async (crash) => (await import('/unanswered.js')).crash(...crash), [what, backend]);
        await page.close();
        assert.deepEqual(found.wrong, []);
        for (const [at, classes] of found.after.entries()) sameClasses(assert, classes, TINY_CAT, `net ${at} after it`);
      });
    }
  }
});

/** Writes f32 values as NumPy does (format 1.0). */
function writeNpy(file, shape, values) {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(', ')}), }`;
  const header = `${text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)}\n`;
  const head = Buffer.from(`\x93NUMPY\x01\x00\x00\x00${header}`, 'latin1');
  head.writeUInt16LE(header.length, 8);
  writeFileSync(file, Buffer.concat([head, Buffer.from(values.buffer)]));
}

function readNpy(file) {
  const bytes = readFileSync(file);
  const start = 10 + bytes.readUInt16LE(8);
  return Array.from({ length: (bytes.length - start) / 4 }, (_, at) => bytes.readFloatLE(start + at * 4));
}
