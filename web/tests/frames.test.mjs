// Detectors on a GPU, which samples pictures and finds candidates itself: in headless Chromium
// whose own graphics run on the same driver as WebGPU, so that it takes frames of a video as they
// are.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { launch, recordDevices, site } from './browser.mjs';
import { oneFile, tinyNetwork, waves } from './one_file.mjs';
import { astronaut, camera, expected, trained } from './video.mjs';

/** Of faces with points, of landmarks, and one whose rows are its channels. */
const [FACES, POINTS, ROWS] = ['yunet_n_320', 'pfld_ghostone', 'blazeface_front'];
const skip = [FACES, POINTS, ROWS].every(trained) ? false : 'the trained networks are not beside the clone';

/** Eight candidates for each of 16 x 16 cells, all of which are above a threshold of 0. */
const CANDIDATES = 2048;
/** The second result's name: in an object of JavaScript it comes before the first one's. */
const BOXES = '7';
const many = () => {
  const { weights, tensor } = waves(0.4);
  const conv = (name, input, weight, more) => ({ name, op: 'conv', inputs: [input], weight, ...more });
  const sides = ['n', 'c', 'h', 'w'];
  const nodes = [
    conv('stem', 0, tensor('stem', 8, 3, 4, 4), { stride: [4, 4], activation: 'relu' }),
    conv('scores', 1, tensor('scores', 8, 8, 1, 1)),
    conv('boxes', 1, tensor('boxes', 32, 8, 1, 1)),
  ];
  const outputs = [{ name: 'scores', node: 2, sides }, { name: BOXES, node: 3, sides }];
  return oneFile({ inputs: [{ name: 'image', channels: 3, sides }], nodes, outputs }, {}, weights);
};
const INPUT = { name: 'image', mean: [120, 110, 100], std: [60, 50, 40] };
const DETECTOR = {
  task: 'detect', labels: ['face'], input: { ...INPUT, size: [64, 64], fit: 'letterbox', order: 'bgr' },
  priors: { strides: [4], offset: 0.5, size: 'stride', repeat: [8] },
  score: { classes: { outputs: ['scores'], per_pixel: 8 }, activation: 'sigmoid' },
  box: { form: 'distances', values: { outputs: [BOXES], per_pixel: 8 }, bins: 1 }, threshold: 0, nms: { kind: 'none' }, limit: CANDIDATES,
};
const MARKS = {
  task: 'landmarks', input: { ...INPUT, size: [32, 32] },
  points: { values: { outputs: ['logits'] }, count: 5, scale: 'region' }, region: { from: 'box', square: 'longer', scale: 1.2, shift: [0, 0.1] },
};

const directory = mkdtempSync(join(tmpdir(), 'ghostnet-'));
let browser, web, page;
before(async () => {
  const graphics = ['--use-vulkan=swiftshader', '--enable-features=Vulkan', '--use-angle=vulkan'];
  browser = await launch({ args: [...graphics, ...camera(directory, [await astronaut()])] });
  const give = (bytes) => (_, response) => response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(bytes);
  const served = { detector: { weights: many(), card: DETECTOR }, marks: { weights: tinyNetwork(), card: MARKS } };
  for (const name of Object.keys(expected()?.cards ?? {}).filter(trained)) served[name] = trained(name);
  const routes = Object.entries(served).flatMap(([name, { weights, card }]) => [[`/${name}.onnx`, give(weights)], [`/${name}.json`, give(JSON.stringify(card))]]);
  web = await site(browser, Object.fromEntries(routes));
  page = await web.open();
  await page.evaluate(recordDevices);
  await page.evaluate(async () => {
    /** Calls of what a frame may cost. */
    window.calls = {};
    const counted = (prototype, ...names) => names.forEach((name) => {
      const own = prototype[name];
      prototype[name] = function (...values) {
        calls[name] = (calls[name] ?? 0) + 1;
        return own.apply(this, values);
      };
    });
    counted(GPUDevice.prototype, 'importExternalTexture', 'createBuffer', 'createTexture', 'createComputePipelineAsync');
    counted(GPUQueue.prototype, 'submit', 'copyExternalImageToTexture', 'writeTexture');
    counted(GPUBuffer.prototype, 'mapAsync');
    counted(OffscreenCanvasRenderingContext2D.prototype, 'getImageData');
    window.named = (name, options) => GhostNet.load({ weights: `/${name}.onnx`, card: `/${name}.json`, ...options });
    const stream = await navigator.mediaDevices.getUserMedia({ video: true });
    window.video = Object.assign(document.createElement('video'), { muted: true, srcObject: stream });
    await video.play();
    /** The pixels that the camera shows, over and over. */
    const context = new OffscreenCanvas(video.videoWidth, video.videoHeight).getContext('2d');
    context.drawImage(video, 0, 0);
    window.still = context.getImageData(0, 0, video.videoWidth, video.videoHeight);
    /** What a watch says in its last frame of so many, and what the calls of each frame were. */
    window.watched = (net, options, count) => new Promise((resolve, reject) => {
      const costs = [];
      calls = {};
      const { stop } = net.watch(video, { onError: reject, ...options }, (frame) => {
        costs.push(calls);
        calls = {};
        if (costs.length < count) return;
        stop();
        resolve({ ...frame, costs });
      });
    });
  });
});
after(async () => {
  await browser.close();
  await web.close();
  rmSync(directory, { recursive: true });
  assert.deepEqual(web.errors, []);
});

const near = (got, wanted, within, what) => {
  assert.equal(got.length, wanted.length, `${what}: ${got.length} values, not ${wanted.length}`);
  got.forEach((v, at) => assert.ok(Math.abs(v - wanted[at]) <= within, `${what}: value ${at} is ${v}, not ${wanted[at]}`));
};
/** The same detections, but for the order of those that are as good. */
const same = (got, wanted, what, { score = 1e-4, pixels = 0.05 } = {}) => {
  assert.equal(got.length, wanted.length, what);
  near(got.map((one) => one.score), wanted.map((one) => one.score), score, `${what}: scores`);
  near(got.flatMap((one) => one.box), wanted.flatMap((one) => one.box), pixels, `${what}: boxes`);
  near(got.flatMap((one) => one.points?.flat() ?? []), wanted.flatMap((one) => one.points?.flat() ?? []), pixels, `${what}: points`);
  near(got.flatMap((one) => one.landmarks?.flat() ?? []), wanted.flatMap((one) => one.landmarks?.flat() ?? []), pixels, `${what}: landmarks`);
};
/** What a frame costs once it is not the first: of a detector, and of a network for landmarks. */
const FRAME = { importExternalTexture: 2, submit: 2, mapAsync: 2 };

describe('networks that are always there', () => {
  before(() => page.evaluate(async () => {
    Object.assign(window, { net: await named('detector', { backend: 'gpu', deviceClass: 'gpu' }), marks: await named('marks', { backend: 'gpu', deviceClass: 'gpu' }) });
    const marksOnCpu = await named('marks', { backend: 'cpu' });
    window.onCpu = await named('detector', { backend: 'cpu' });
    window.all = await onCpu.detect(still);
    window.wanted = all.slice(0, 3).map((found) => ({ ...found }));
    // Of which a hundred come back, and no second copy is needed.
    window.few = { limit: 3, threshold: all[100].score };
    const landmarks = await marksOnCpu.landmarks(still, wanted);
    wanted.forEach((found, at) => { found.landmarks = landmarks[at]; });
  }));

  test('a frame is taken as it is, in two submissions, and nothing is made for it', async () => {
    const { found, wanted } = await page.evaluate(async () => ({ found: await watched(net, { ...few, track: false, landmarks: marks }, 6), wanted }));
    same(found.detections, wanted, 'a frame');
    for (const cost of found.costs.slice(2)) assert.deepEqual(cost, FRAME);
  });

  test('pictures of every kind give the same, and more than come back at once are all told', async () => {
    const found = await page.evaluate(async () => {
      const bitmap = await createImageBitmap(still);
      const seeThrough = new ImageData(still.data.map((v, at) => (at % 4 === 3 && at % 20 === 3 ? 0 : v)), still.width);
      const pictures = { still, bitmap, video, frame: new VideoFrame(video), seeThrough, bytes: { data: new Uint8Array(still.data.buffer), width: still.width, height: still.height } };
      const found = {};
      for (const [name, picture] of Object.entries(pictures)) found[name] = await net.detect(picture, { limit: 3 });
      pictures.frame.close();
      calls = {};
      const whole = await net.detect(still);
      const costs = { ...calls };
      const landmarks = await marks.landmarks(still, wanted);
      // No texture of that driver is as long.
      const long = { data: Uint8Array.from({ length: 4 * 9000 * 8 }, (_, at) => at % 251), width: 9000, height: 8 };
      calls = {};
      const longer = [await net.detect(long, { limit: 3 }), await onCpu.detect(long, { limit: 3 })];
      const textures = calls.writeTexture;
      const first = await net.run(new Float32Array(3 * 64 * 64), [1, 3, 64, 64]);
      return { found, textures, first: first.shape, longer, whole, costs, all, wanted, landmarks, messages: await Promise.all([
        net.detect(still, { threshold: 2 }), net.detect(still, { only: ['g'] }), net.detect({ data: new Uint8Array(3), width: 1, height: 1 }), marks.landmarks(still, [[1, 2, 3]]),
      ].map((refused) => refused.then(() => 'a result', ({ message }) => message))) };
    });
    for (const [name, got] of Object.entries(found.found)) same(got, found.wanted.map(({ landmarks, ...one }) => one), name);
    assert.deepEqual([found.textures, found.first], [undefined, [1, 8, 16, 16]]);
    same(...found.longer, 'what no texture takes', { pixels: 0.5 });
    same(found.whole, found.all, 'all');
    assert.equal(found.whole.length, CANDIDATES);
    // The second copy is of those that did not come back with their number.
    assert.deepEqual([found.costs.submit, found.costs.mapAsync, found.costs.importExternalTexture], [2, 2, undefined]);
    near(found.landmarks.flat(2), found.wanted.flatMap(({ landmarks }) => landmarks.flat()), 0.05, 'landmarks');
    const [threshold, only, bytes, box] = found.messages;
    assert.match(threshold, /^threshold is 2, not from 0 to 1$/);
    assert.match(only, /`g`/);
    assert.match(bytes, /^image: 1 x 1 has not 3 bytes$/);
    assert.match(box, /^landmarks are of boxes of four numbers$/);
  });

  test('a box that is a mean is the same where it is followed', async () => {
    const [found, wanted] = await page.evaluate(async () => {
      const card = { ...(await (await fetch('/detector.json')).json()), threshold: few.threshold, nms: { kind: 'weighted', iou: 0.01 } };
      const net = await GhostNet.load({ weights: '/detector.onnx', card, backend: 'cpu' });
      const { detections } = await watched(net, { limit: 3, smooth: false }, 1);
      return [detections, await net.detect(still, { limit: 3 })];
    });
    same(found, wanted, 'means');
  });

  test('halves', async () => {
    const found = await page.evaluate(async () => {
      const half = await named('detector', { backend: 'gpu', precision: 'f16' });
      const marked = await named('marks', { backend: 'gpu', precision: 'f16' });
      return { found: await half.detect(video, { limit: 3 }), wanted, landmarks: await marked.landmarks(video, wanted) };
    });
    near(found.found.map(({ score }) => score), found.wanted.map(({ score }) => score), 0.02, 'scores');
    near(found.landmarks.flat(2), found.wanted.flatMap(({ landmarks }) => landmarks.flat()), 2, 'landmarks');
  });

  test('where a frame is not taken it is copied, and so are the next ones', async () => {
    const found = await page.evaluate(async () => {
      const net = await named('detector', { backend: 'gpu', deviceClass: 'gpu' });
      const { importExternalTexture } = GPUDevice.prototype;
      let tries = 0;
      GPUDevice.prototype.importExternalTexture = () => {
        tries += 1;
        throw new Error('on purpose');
      };
      try {
        return { ...(await watched(net, { limit: 3, track: false }, 4)), tries, wanted };
      } finally {
        GPUDevice.prototype.importExternalTexture = importExternalTexture;
        net.destroy();
      }
    });
    assert.equal(found.tries, 2);
    same(found.detections, found.wanted.map(({ landmarks, ...one }) => one), 'a copy');
  });

  test('a device that is lost is opened anew, and what was made on it is made again', async () => {
    const found = await page.evaluate(async () => {
      const before = devices.length;
      const net = await named('detector', { backend: 'gpu', deviceClass: 'gpu' });
      const first = await net.detect(video, { limit: 3 });
      const again = [];
      for (const picture of [video, still]) {
        devices.at(-1).destroy();
        await devices.at(-1).lost;
        again.push(await net.detect(picture, { limit: 3 }));
      }
      net.destroy();
      return { first, again, opened: devices.length - before };
    });
    for (const again of found.again) same(again, found.first, 'again');
    assert.equal(found.opened, 3);
  });
});

describe('with trained networks', { skip }, () => {
  test('rows that are channels are sampled as the processor does', async () => {
    const [found, wanted] = await page.evaluate(async (name) => {
      const all = [];
      for (const options of [{ backend: 'gpu', deviceClass: 'gpu' }, { backend: 'cpu' }]) all.push(await (await named(name, options)).detect(still));
      return all;
    }, ROWS);
    assert.equal(found.length, 1);
    same(found, wanted, 'rows', { score: 2e-3, pixels: 0.5 });
  });

  for (const backend of ['gpu', 'cpu']) {
    test(`photos have what is expected of them, by cards alone, on the ${backend}`, { timeout: 300_000 }, async () => {
      const { cards, photos } = expected();
      let count = 0;
      for (const [name, card] of Object.entries(cards).filter(([name, { task }]) => task === 'detect' && trained(name))) {
        const found = await page.evaluate(async ([name, backend, paths]) => {
          const net = await named(name, { backend });
          const found = [];
          for (const path of paths) found.push(await net.detect(path));
          net.destroy();
          return found;
        }, [name, backend, Object.keys(photos).map((photo) => `/images/${photo}`)]);
        Object.entries(photos).forEach(([photo, { size: [width, height], models }], at) => {
          const { size: [rows, columns] } = card.input;
          const pixels = 0.5 * Math.max(width / columns, height / rows);
          const isNear = (a, b) => a.label === b.label && Math.abs(a.score - b.score) <= 2e-3 && [...a.box, ...(a.points ?? []).flat()].every((v, i) => Math.abs(v - [...b.box, ...(b.points ?? []).flat()][i]) <= pixels);
          const sides = [found[at], models[name].detections];
          for (const [some, others] of [sides, [...sides].reverse()]) {
            const lone = some.filter((one) => one.score >= card.threshold + 0.01 && !others.some((other) => isNear(one, other)));
            assert.deepEqual(lone, [], `${photo}, ${name}`);
          }
          count += models[name].detections.length;
        });
      }
      assert.ok(count >= 3, `${count} detections`);
    });
  }

  test('a face and its points on the camera are those of the processor', async () => {
    const { found, wanted } = await page.evaluate(async (names) => {
      const both = async (backend) => Promise.all(names.map((name) => named(name, { backend, ...(backend === 'gpu' && { deviceClass: 'gpu' }) })));
      const [finder, marks] = await both('gpu');
      const found = await watched(finder, { track: false, landmarks: marks }, 4);
      const [onCpu, marksOnCpu] = await both('cpu');
      const wanted = await onCpu.detect(still);
      const landmarks = await marksOnCpu.landmarks(still, wanted);
      return { found, wanted: wanted.map((one, at) => ({ ...one, landmarks: landmarks[at] })) };
    }, [FACES, POINTS]);
    assert.equal(found.detections[0].landmarks.length, 98);
    same(found.detections, wanted, 'the camera', { score: 2e-3, pixels: 0.5 });
    for (const cost of found.costs.slice(2)) assert.deepEqual(cost, FRAME);
  });
});
