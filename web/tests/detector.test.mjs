// Detectors and their cards on the page, in headless Chromium: files, pictures, the camera.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { launch, root } from './browser.mjs';
import { errorText, overflow, pages, small, violations } from './pages.mjs';
import { astronaut, camera, trained } from './video.mjs';

const NAMES = { faces: 'yunet_n_320', points: 'pfld_ghostone', other: 'ultraface_rfb320' };
const found = Object.fromEntries(Object.entries(NAMES).map(([name, file]) => [name, trained(file)]));
const skip = Object.values(found).every(Boolean) ? false : 'the trained networks are not beside the clone';
const WEIGHTS = readFileSync(join(root, 'assets/ghostnet_050_cifar10.safetensors'));
/** The small network's logits as what they are not: scores of two classes and a box. */
const logits = (from, to) => ({ outputs: ['logits'], channels: [from, to] });
const MADE_UP = {
  task: 'detect', labels: ['box', 'fox'], input: { name: 'input', size: [32, 32], mean: [120, 110, 100], std: [60, 50, 40], fit: 'stretch' },
  score: { classes: logits(0, 2), activation: 'softmax' }, box: { form: 'corners', values: logits(6, 10) }, threshold: 0.3, nms: { kind: 'none' },
};

const { open, close } = await pages();
let directory, browser, page;
before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'ghostnet-'));
  browser = await launch({ webgpu: false, args: camera(directory, [await astronaut()]) });
  // As a phone's camera at the front says it.
  const prepare = (page) => page.addInitScript(() => {
    const { getSettings } = MediaStreamTrack.prototype;
    MediaStreamTrack.prototype.getSettings = function () {
      return { ...getSettings.call(this), ...(window.isFront && { facingMode: 'user' }) };
    };
  });
  page = await open(browser, 'index.html', { prepare });
  await page.locator('#classes li').first().getByText('cat', { exact: true }).waitFor();
});
after(async () => {
  await browser.close();
  await close();
  rmSync(directory, { recursive: true });
});
afterEach(() => assert.deepEqual(page.complaints.splice(0), []));

const asFile = (name, content) => ({ name, mimeType: '', buffer: Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content)) });
/** Opens files as if dropped, all at once. */
async function drop(...files) {
  const dataTransfer = await page.evaluateHandle(() => new DataTransfer());
  for (const { name, buffer } of files) {
    await dataTransfer.evaluate((data, [name, text]) => data.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name)) && null, [name, buffer.toString('base64')]);
  }
  await page.dispatchEvent('body', 'drop', { dataTransfer });
}
const embedded = async () => {
  await page.getByRole('button', { name: 'Back to the embedded network' }).click();
  await page.locator('#facts').getByText('embedded', { exact: true }).waitFor();
  await page.locator('#boxes').evaluate((canvas) => new Promise((resolve) => requestAnimationFrame(resolve)));
};
const sample = (name) => page.getByRole('button', { name, exact: true }).click();
const spoken = (text) => page.locator('#status').getByText(text, { exact: true }).waitFor({ state: 'attached' });
/** Where something is drawn on the canvas over the picture: its edges, as shares, and how much. */
const drawn = () => page.evaluate(() => {
  const canvas = document.querySelector('#boxes');
  const { width, height } = canvas;
  const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
  const [xs, ys] = [[], []];
  for (let at = 0; at < width * height; at++) {
    if (!data[4 * at + 3]) continue;
    xs.push(at % width);
    ys.push(Math.floor(at / width));
  }
  const edges = (all, side) => [all.reduce((a, b) => Math.min(a, b), side) / side, all.reduce((a, b) => Math.max(a, b), 0) / side];
  // The picture lies in its element as the canvas supposes: whole, in the middle.
  const media = [...document.querySelectorAll('.stage > :is(img, video)')].find((node) => !node.hidden);
  const place = ({ left, top, right, bottom }) => [left, top, right, bottom];
  const isWhole = getComputedStyle(media).objectFit === 'contain' && String(place(media.getBoundingClientRect())) === String(place(canvas.getBoundingClientRect()));
  return { isWhole, count: xs.length, x: edges(xs, width), y: edges(ys, height), size: [width, height], shown: [canvas.clientWidth, canvas.clientHeight] };
});
/** As `drawn`, once the network of this file has looked: what is spoken may be of the one before. */
const drawnBy = async (file) => {
  await page.locator('#facts').getByText(file).waitFor();
  await page.locator('#classes[aria-busy=false]').waitFor();
  return drawn();
};
/** Where the astronaut's face is drawn on the stage, of 512 x 512 pixels in the middle of it. */
const expectFace = ({ isWhole, x, y, size: [w, h], count }, mirrored) => {
  assert.ok(isWhole, 'picture and canvas are as large');
  const scale = h / 512;
  const across = (at) => ((w - 512 * scale) / 2 + scale * (mirrored ? 512 - at : at)) / w;
  const [left, right] = [180, 270].map(across).sort((a, b) => a - b);
  assert.ok(count > 100, `${count} pixels are drawn`);
  // The name may be wider than the box.
  assert.ok(Math.abs(x[0] - left) < 0.03 && x[1] > right - 0.03 && x[1] < right + 0.15, `${x}, not ${left} to ${right}`);
  assert.ok(y[0] > 0.02 && y[0] < 60 / 512 && Math.abs(y[1] - 177 / 512) < 0.04, String(y));
};

test('a card alone waits for its network; what is no card is refused', async () => {
  await drop(asFile('mine.json', MADE_UP));
  await page.locator('#waits').getByText('mine.json is a card (detect). Now drop its network.').waitFor();
  await drop(asFile('other.safetensors', WEIGHTS));
  await page.locator('#knows').getByText('This network finds: box and fox.').waitFor();
  assert.equal(await page.locator('#waits').textContent(), '');
  await page.locator('#facts').getByText('other.safetensors').waitFor();
  await drop(asFile('notes.json', Buffer.from('no card')));
  assert.match(await errorText(page), /^notes\.json: no JSON: /);
  await drop(asFile('list.json', [1, 2]));
  await page.locator('#error p').getByText('list.json: no card: it has no task').waitFor();
  await page.getByRole('button', { name: 'Dismiss' }).click();
  await drop(asFile('bad.safetensors', WEIGHTS), asFile('bad.json', { ...MADE_UP, nms: 1 }));
  assert.match(await errorText(page), /nms is 1, not an object$/);
  await page.getByRole('button', { name: 'Dismiss' }).click();
  await embedded();
});

test('a network and its card, dropped at once; boxes go when the network does', async () => {
  await drop(asFile('mine.safetensors', WEIGHTS), asFile('mine.json', { ...MADE_UP, threshold: 0 }));
  await spoken(/^1 [fb]ox$/);
  assert.equal(await page.locator('#classes li').count(), 1);
  const { size, shown, count } = await drawn();
  assert.deepEqual(size, shown, 'as fine as the screen');
  assert.ok(count > 0, 'a box is drawn');
  assert.ok(await page.locator('#ghosts').isHidden());
  await embedded();
  await page.locator('#classes li').first().getByText('cat', { exact: true }).waitFor();
  assert.equal((await drawn()).count, 0);
});

test('classes of another network are dimmed while the next one is loaded', async () => {
  const busy = () => page.locator('#classes').getAttribute('aria-busy');
  await page.route('https://huggingface.co/**', (route) => route.abort());
  await page.evaluate(() => {
    window.states = [];
    new MutationObserver(() => states.push(document.querySelector('#classes').getAttribute('aria-busy'))).observe(document.querySelector('#classes'), { attributes: true });
  });
  await page.locator('#hub-id').fill('me/none');
  await page.getByRole('button', { name: 'Download it' }).click();
  await errorText(page);
  assert.deepEqual(await page.evaluate(() => [states[0], states.at(-1)]), ['true', 'false']);
  assert.equal(await busy(), 'false');
  await page.getByRole('button', { name: 'Dismiss' }).click();
  page.complaints = page.complaints.filter((text) => !/huggingface\.co|ERR_FAILED/.test(text));
});

describe('with trained networks', { skip }, () => {
  test('faces in a picture: an ONNX file, then its card', async () => {
    await drop(asFile('mine.onnx', found.faces.weights));
    await page.locator('#outputs').getByText(/^cls_8: f32/).waitFor();
    await drop(asFile('whatever.json', found.faces.card));
    await page.locator('#knows').getByText('This network finds: face.').waitFor();
    await sample('an astronaut');
    await spoken('1 face');
    assert.match(await page.locator('#classes li').textContent(), /^face\d\d\.\d %$/);
    expectFace(await drawn());
    await sample('a cat');
    await spoken('nothing found');
    await page.locator('#none').getByText('Nothing with a score above 50 %.').waitFor();
    assert.equal((await drawn()).count, 0);
  });

  test('the page knows the cards of its gallery by their files\' names', async () => {
    await sample('an astronaut');
    await drop(asFile('ultraface_rfb320.onnx', found.other.weights));
    expectFace(await drawnBy('ultraface_rfb320.onnx'));
    await spoken('1 face');
    assert.equal(await page.locator('#gallery li').count(), 7);
    for (const link of await page.locator('#gallery a[href^="page/"]').evaluateAll((links) => links.map(({ href }) => href))) {
      assert.ok((await (await page.request.get(link)).json()).task, link);
    }
  });

  test('a detector and a network for landmarks, dropped at once: 98 points more', async () => {
    const before = await drawn();
    await drop(asFile('a.onnx', found.points.weights), asFile('b.onnx', found.faces.weights), asFile('b.json', found.faces.card), asFile('a.json', found.points.card));
    await page.locator('#knows').getByText('This network finds: face. a gives points of each face.').waitFor();
    const after = await drawnBy('b.onnx');
    expectFace(after);
    assert.ok(after.count > before.count + 98 * 4, `${before.count} pixels, then ${after.count}`);
  });

  test('the camera: boxes and points over the video, frames a second, and a few words', async () => {
    const said = page.evaluate(() => new Promise((resolve) => {
      const texts = [];
      const status = document.querySelector('#status');
      const observer = new MutationObserver(() => texts.push([status.textContent, performance.now()]));
      observer.observe(status, { childList: true });
      setTimeout(() => { observer.disconnect(); resolve(texts); }, 8000);
    }));
    for (const mirrored of [false, true]) {
      await page.evaluate((mirrored) => { window.isFront = mirrored; }, mirrored);
      await page.getByRole('button', { name: 'Open the camera' }).click();
      await page.locator('#classes.live').getByText('face 1').waitFor();
      await page.locator('#latency-note').getByText(/^median of the last 30; [\d.]+ frames a second$/).waitFor();
      assert.equal(await page.locator('#camera.mirror').count(), mirrored ? 1 : 0);
      expectFace(await drawn(), mirrored);
      await page.setViewportSize({ width: 700, height: 900 });
      await page.waitForFunction(() => document.querySelector('#boxes').width === document.querySelector('#boxes').clientWidth);
      expectFace(await drawn(), mirrored);
      await page.setViewportSize({ width: 1200, height: 900 });
      if (mirrored) break;
      await page.getByRole('button', { name: 'Close the camera' }).click();
      await page.locator('#picture').waitFor();
    }
    const texts = await said;
    assert.ok(texts.some(([text]) => text === '1 face'), JSON.stringify(texts));
    // Of two cameras, each heard every three seconds at most.
    assert.ok(texts.length <= 6, JSON.stringify(texts));
    await page.evaluate(() => { window.isFront = false; });
  });

  test('another network takes the camera over, and boxes go with it', async () => {
    await drop(asFile('ultraface_rfb320.onnx', found.other.weights));
    await page.locator('#facts').getByText('ultraface_rfb320.onnx').waitFor();
    await page.locator('#classes.live').getByText('face 1').waitFor();
    await page.locator('#backend-choice').selectOption('cpu');
    await page.locator('#backend').getByText(/^CPU, in WebAssembly; f32$/).waitFor();
    // Nothing but a new frame writes it again.
    await page.evaluate(() => document.querySelector('#classes').replaceChildren());
    await page.locator('#classes.live').getByText('face 1').waitFor();
    await embedded();
    await page.locator('#classes.live li').nth(4).waitFor();
    assert.equal((await drawn()).count, 0);
    await page.getByRole('button', { name: 'Close the camera' }).click();
    assert.ok(await page.locator('#error').isHidden());
  });

  test('accessibility, light and dark, and a phone', async () => {
    await drop(asFile('yunet_n_320.onnx', found.faces.weights));
    await sample('an astronaut');
    await spoken('1 face');
    for (const colorScheme of ['dark', 'light']) {
      await page.emulateMedia({ colorScheme });
      assert.deepEqual(await violations(page), [], colorScheme);
    }
    await page.setViewportSize({ width: 360, height: 740 });
    assert.equal(await overflow(page), 0);
    assert.deepEqual(await small(page), []);
    await page.setViewportSize({ width: 1200, height: 900 });
  });
});
