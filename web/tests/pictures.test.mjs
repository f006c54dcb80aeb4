// Pictures of every kind and what is asked of them, in headless Chromium, on both backends.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CLOSE, ROUGH, failure, largePicture, launch, nativeDetections, nativeOf, root, sameClasses, site, transparentPicture } from './browser.mjs';

const CAT = readFileSync(join(root, 'assets/images/chelsea.png'));
const [large, transparent] = [largePicture(), transparentPicture()];
const PICTURES = { '/large.png': large, '/transparent.png': transparent, '/slow.png': CAT };
/** The embedded network's features: name, reduction and shape, as timm's `features_only` says them. */
const FEATURES = [['conv_stem', 1, 1, 8, 32, 32], ['blocks.1', 2, 1, 12, 16, 16], ['blocks.3', 4, 1, 20, 8, 8], ['blocks.5', 8, 1, 40, 4, 4], ['blocks.7', 16, 1, 80, 2, 2]];
let browser, web, page, expected, features;

before(async () => {
  expected = Object.fromEntries(Object.entries(PICTURES).map(([path, bytes]) => [path, nativeOf(bytes)]));
  browser = await launch();
  const give = (bytes, after = 0) => (_, response) => {
    response.writeHead(200, { 'content-type': 'image/png' });
    setTimeout(() => response.end(bytes), after);
  };
  const routes = Object.entries(PICTURES).map(([path, bytes]) => [path, give(bytes, path === '/slow.png' ? 500 : 0)]);
  web = await site(browser, { ...Object.fromEntries(routes), '/never.png': () => {}, '/page.png': (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>') });
  page = await web.open();
  await page.evaluate(async () => { window.nets = { gpu: await load({ backend: 'gpu' }), cpu: await load({ backend: 'cpu' }) }; });
});
after(async () => {
  await browser.close();
  await web.close();
});

for (const backend of ['gpu', 'cpu']) {
  describe(backend, () => {
    const classify = (make, argument) => page.evaluate(async ([backend, make, argument]) => nets[backend].classify(await (0, eval)(`(${make})`)(argument), { top: 10 }), [backend, String(make), argument]);
    const blob = (path) => classify(async (path) => (await fetch(path)).blob(), path);
    /** An image once it has loaded. */
    const image = (path) => classify(async (path) => {
      const made = new Image();
      made.src = path;
      await made.decode();
      return made;
    }, path);

    test('an address', async () => {
      sameClasses(assert, await classify((path) => path, '/slow.png'), expected['/slow.png'], 'an address');
      sameClasses(assert, await classify((path) => new URL(path, location.href), '/slow.png'), expected['/slow.png'], 'a URL');
      const refuse = (path) => failure(page, ([backend, path]) => nets[backend].classify(path), [backend, path]);
      assert.match((await refuse('/page.png')).message, /page\.png: the server answers with a page \(HTML\), not with a picture$/);
      assert.match((await refuse('/bench.js')).message, /^\/bench\.js: not an image that this browser can decode$/);
    });

    test('boxes and points, by a card', async () => {
      // The ten logits as what they are not: scores of six classes, a box and five points.
      const logits = (from, to) => ({ outputs: ['logits'], channels: [from, to] });
      const input = { name: 'input', size: [32, 32], mean: [120, 110, 100], std: [60, 50, 40] };
      const detector = {
        task: 'detect', labels: ['a', 'b', 'c', 'd', 'e', 'f'], input: { ...input, fit: 'letterbox', order: 'bgr' },
        score: { classes: logits(0, 6), activation: 'softmax' }, box: { form: 'corners', values: logits(6, 10) }, threshold: 0, nms: { kind: 'none' },
      };
      const landmarker = { task: 'landmarks', input, points: { values: logits(0, 10), count: 5, scale: 'region' } };
      const wanted = nativeDetections(CAT, detector);
      const found = await page.evaluate(async ([backend, detector, landmarker]) => {
        const picture = await (await fetch('/slow.png')).blob();
        const [detects, marks] = [await load({ backend, card: detector }), await load({ backend, card: JSON.stringify(landmarker) })];
        const found = await detects.detect(picture);
        const share = await detects.detect(picture, { percentage: true, limit: 1 });
        const points = await marks.landmarks(picture, [...found, [10, 20, 110, 220]]);
        const messages = [];
        for (const refused of [
          () => detects.detect(picture, { threshold: 2 }), () => detects.detect(picture, { only: ['g'] }), () => detects.landmarks(picture, []),
          () => detects.classify(picture), () => nets[backend].detect(picture), () => load({ backend, card: { ...detector, nms: 1 } }),
        ]) messages.push(await refused().then(() => 'a result', ({ message }) => message));
        detects.destroy();
        marks.destroy();
        return { found, share, points, messages, task: detects.info.task };
      }, [backend, detector, landmarker]);
      assert.equal(found.task, 'detect');
      assert.deepEqual(found.found.map(({ label }) => label), wanted.map(({ label }) => label));
      const near = (a, b, within, what) => assert.ok(Math.abs(a - b) <= within, `${what}: ${a}, not ${b}`);
      found.found.forEach(({ score, box }, at) => {
        near(score, wanted[at].score, 1e-3, 'score');
        box.forEach((v, side) => near(v, wanted[at].box[side], 0.05, 'box'));
      });
      near(found.share[0].box[2] * 451, found.found[0].box[2], 1e-3, 'a share of the width');
      assert.deepEqual(found.points.map((points) => points.length), [5, 5]);
      assert.match(found.messages[0], /^threshold is 2, not from 0 to 1$/);
      assert.match(found.messages[1], /`g` is none of the 6 labels$/);
      assert.match(found.messages[2], /its card's task is detect, not landmarks$/);
      assert.match(found.messages[3], /`detect` is for it$/);
      assert.match(found.messages[4], /its card's task is classify, not detect$/);
      assert.match(found.messages[5], /nms is 1, not an object$/);
    });

    test('an image that is still loading is waited for', async () => {
      for (const loading of ['eager', 'lazy']) {
        const classes = await classify((loading) => Object.assign(new Image(), { loading, src: `/slow.png?${loading}` }), loading + backend);
        sameClasses(assert, classes, expected['/slow.png'], loading);
      }
    });

    test('a picture larger than a texture', async () => {
      for (const kind of [blob, image]) sameClasses(assert, await kind('/large.png'), expected['/large.png'], kind.name, ROUGH);
      const canvas = await classify(async (path) => {
        const bitmap = await createImageBitmap(await (await fetch(path)).blob());
        const made = new OffscreenCanvas(bitmap.width, bitmap.height);
        made.getContext('2d').drawImage(bitmap, 0, 0);
        return made;
      }, '/large.png');
      sameClasses(assert, canvas, expected['/large.png'], 'a canvas', ROUGH);
    });

    test('a transparent picture has the colours that its file has', async () => {
      for (const kind of [blob, image]) sameClasses(assert, await kind('/transparent.png'), expected['/transparent.png'], kind.name, CLOSE);
    });

    test('pixels of the program', async () => {
      const classes = await classify(async (path) => {
        const bitmap = await createImageBitmap(await (await fetch(path)).blob());
        const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
        context.drawImage(bitmap, 0, 0);
        const { data, width, height } = context.getImageData(0, 0, bitmap.width, bitmap.height);
        return { data, width, height };
      }, '/images/chelsea.png');
      sameClasses(assert, classes, expected['/slow.png'], 'pixels');
      const found = await failure(page, (backend) => nets[backend].classify({ data: new Uint8Array(100), width: 5, height: 4 }), backend);
      assert.match(found.message, /5 x 4 has not 100 bytes$/);
    });

    test('several pictures, and classes by probability', async () => {
      const paths = ['/images/chelsea.png', '/transparent.png', '/images/horse.png'];
      const found = await page.evaluate(async ([backend, paths]) => {
        const net = nets[backend];
        const alone = [];
        for (const path of paths) alone.push(await net.classify(path, { top: 3 }));
        const atLeast = alone[0][1].probability;
        const message = await net.classifyBatch([paths[0], '/none.png', paths[1]]).catch(({ message }) => message);
        return { alone, batch: await net.classifyBatch(paths, { top: 3 }), none: await net.classifyBatch([]), some: await net.classify(paths[0], { top: 10, atLeast }), message };
      }, [backend, paths]);
      assert.deepEqual(found.batch, found.alone);
      assert.deepEqual(found.none, []);
      assert.deepEqual(found.some, found.alone[0].slice(0, 2));
      assert.match(found.message, /none\.png: the server answers 404/);
    });

    test('what stands before the classifier makes the probabilities', async () => {
      const [{ data, shape }, classes] = await page.evaluate(async (backend) => {
        const { data, shape } = await nets[backend].embed('/images/chelsea.png');
        return [{ data: [...data], shape }, await nets[backend].classify('/images/chelsea.png', { top: 10 })];
      }, backend);
      assert.deepEqual(shape, [1, 1280]);
      const [weight, bias] = ['weight', 'bias'].map((name) => tensorOf(`classifier.${name}`));
      const logits = Array.from(bias, (value, at) => data.reduce((sum, x, i) => sum + x * weight[at * 1280 + i], value));
      const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
      for (const { index, probability } of classes) assert.ok(Math.abs(Math.exp(logits[index]) / total - probability) < CLOSE, `class ${index}`);
    });

    test('the maps at strides that heads are made of', async () => {
      const found = await page.evaluate(async (backend) => {
        const all = [];
        for (const path of ['/images/chelsea.png', '/images/rocket.jpg']) all.push((await nets[backend].features(path)).map(({ data, ...feature }) => ({ data: [...data], ...feature })));
        return all;
      }, backend);
      const [cat, rocket] = found;
      assert.deepEqual(cat.map(({ name, reduction, shape }) => [name, reduction, ...shape]), FEATURES);
      for (const [at, { data, shape }] of cat.entries()) {
        assert.equal(data.length, shape.reduce((a, b) => a * b));
        const largest = Math.max(...data.map(Math.abs));
        assert.ok(Number.isFinite(largest) && data.some((v, i) => Math.abs(v - rocket[at].data[i]) > largest / 100), 'another picture has other maps');
      }
      // On both devices the same.
      features ??= cat;
      for (const [at, { data }] of cat.entries()) {
        const largest = Math.max(...data.map(Math.abs));
        assert.ok(data.every((v, i) => Math.abs(v - features[at].data[i]) <= CLOSE * largest), `feature ${at}`);
      }
    });

    test('a call that is given up rejects at once, and the next is answered', async () => {
      const found = await page.evaluate(async (backend) => {
        const net = nets[backend];
        const says = (promise) => promise.then(() => 'a result', ({ name, message }) => `${name}: ${message}`);
        const [waiting, running] = [new AbortController(), new AbortController()];
        // Never answered, and so is whatever waits for it.
        const calls = [
          net.classify('/never.png', { signal: running.signal }),
          net.run(new Float32Array(3 * 32 * 32), [1, 3, 32, 32], { signal: waiting.signal }),
          net.embed('/images/chelsea.png', { signal: waiting.signal }),
          net.classifyBatch(['/images/chelsea.png'], { signal: AbortSignal.timeout(50) }),
        ].map(says);
        waiting.abort();
        const given = await Promise.all(calls.slice(1));
        running.abort(new Error('enough'));
        given.unshift(await calls[0]);
        // So is an image that never loads.
        const never = Object.assign(new Image(), { src: '/never.png?image' });
        given.push(await says(net.classify(never, { signal: AbortSignal.timeout(50) })));
        return { given, next: await net.classify('/images/chelsea.png', { top: 10 }), early: await says(net.classify('/never.png', { signal: AbortSignal.abort() })) };
      }, backend);
      const names = found.given.map((text) => text.split(':')[0]);
      assert.deepEqual(names, ['Error', 'AbortError', 'AbortError', 'TimeoutError', 'TimeoutError']);
      assert.match(found.early, /^AbortError/);
      sameClasses(assert, found.next, expected['/slow.png'], 'the next');
    });
  });
}

/** The values of a tensor of the embedded network's weights. */
function tensorOf(name) {
  const file = readFileSync(join(root, 'assets/ghostnet_050_cifar10.safetensors'));
  const start = 8 + Number(file.readBigUInt64LE());
  const { data_offsets: [from, to], dtype } = JSON.parse(file.subarray(8, start))[name];
  const bytes = file.subarray(start + from, start + to);
  if (dtype === 'F32') return Float32Array.from({ length: bytes.length / 4 }, (_, at) => bytes.readFloatLE(at * 4));
  const half = (bits) => {
    const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : (2 ** -14 * fraction) / 1024);
  };
  return Float32Array.from({ length: bytes.length / 2 }, (_, at) => half(bytes.readUInt16LE(at * 2)));
}
