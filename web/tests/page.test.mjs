// The pages in a real headless Chromium: what people do on them, and what they must never do.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { launch, recordDevices, root } from './browser.mjs';
import { errorText, overflow, pages, small, violations } from './pages.mjs';

const WEIGHTS = join(root, 'assets/ghostnet_050_cifar10.safetensors');
const NOTES = { name: 'notes.png', mimeType: 'image/png', buffer: Buffer.from('not a picture') };
const HORSE = join(root, 'assets/images/horse.png');
const CAMERA = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'];
const { open, close } = await pages();
after(close);

const best = (page) => page.locator('#classes li').first();
const shows = (page, label) => best(page).getByText(label, { exact: true }).waitFor();

/** A file as if dragged or copied from another program. */
const transfer = (page, name) => page.evaluateHandle(async (name) => {
  const data = new DataTransfer();
  data.items.add(new File([await (await fetch(`images/${name}`)).blob()], name, { type: 'image/png' }));
  return data;
}, name);

/** A network `maps = relu(image)` as an ONNX file, which is a protobuf. */
function onnx() {
  const number = (field, value) => Buffer.from([field << 3, value]);
  const bytes = (field, ...parts) => {
    const content = Buffer.concat(parts.map((part) => Buffer.from(part)));
    return Buffer.concat([Buffer.from([(field << 3) | 2, content.length]), content]);
  };
  const value = (name) => [bytes(1, name), bytes(2, bytes(1, number(1, 1), bytes(2, ...[1, 2, 8, 8].map((side) => bytes(1, number(1, side))))))];
  const graph = bytes(7, bytes(1, bytes(1, 'image'), bytes(2, 'maps'), bytes(4, 'Relu')), bytes(2, 'small'), bytes(11, ...value('image')), bytes(12, ...value('maps')));
  return Buffer.concat([number(1, 8), graph, bytes(8, number(2, 13))]);
}

// A page is slow to open on a software adapter, so most tests share one and follow each other on
// it.
describe('the page with WebGPU', () => {
  let browser;
  let page;
  before(async () => {
    browser = await launch({ args: CAMERA });
    page = await open(browser, 'index.html?backend=gpu', { prepare: (page) => page.addInitScript(recordDevices) });
  });
  after(() => browser.close());
  afterEach(() => assert.deepEqual(page.complaints.splice(0), []));

  const sample = async (name, label) => {
    await page.getByRole('button', { name, exact: true }).click();
    await shows(page, label);
  };

  test('shows the classes of a first picture by itself, and where it ran', async () => {
    await shows(page, 'cat');
    assert.match(await best(page).textContent(), /\d\.\d %/);
    assert.equal(await page.locator('#classes li').count(), 5);
    assert.match(await page.locator('#status').textContent(), /^cat \d+ %, \w+ [\d.]+ %/);
    assert.match(await page.locator('#adapter').textContent(), /swiftshader/i);
    assert.match(await page.locator('#backend').textContent(), /WebGPU; f32$/);
    await page.locator('#latency').getByText(/^[\d.]+ m?s$/).waitFor();
    assert.match(await page.locator('#latency-note').textContent(), /one run|median of the last \d+/);
    assert.ok(await page.locator('#loading').isHidden());
    const facts = await page.locator('#facts').textContent();
    for (const part of ['embedded', '1.32 million parameters', '32 × 32', '10 classes', 'pipelines', 'first run']) assert.ok(facts.includes(part), `${part} in ${facts}`);
  });

  test('the file picker, reached by keyboard', async () => {
    const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim());
    const chooser = page.waitForEvent('filechooser');
    const path = [];
    while (path.at(-1) !== 'choose') {
      assert.ok(path.length < 10, path.join(' > '));
      await page.keyboard.press('Tab');
      path.push(await focused());
    }
    assert.equal(path[0], 'Skip to the content');
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.equal(outline, 'solid', 'what has the focus shows it');
    await page.keyboard.press('Enter');
    await (await chooser).setFiles(HORSE);
    await shows(page, 'horse');
    assert.equal(await page.locator('#picture').getAttribute('alt'), 'horse.png');
    // And on, down to the page's last control: no trap.
    for (let at = 0; at < 40 && (await focused()) !== 'order'; at++) await page.keyboard.press('Tab');
    assert.equal(await focused(), 'order');
  });

  test('a sample photo', async () => {
    await sample('a cat', 'cat');
    await sample('a horse', 'horse');
    assert.equal(await page.getByRole('button', { name: 'a horse' }).getAttribute('aria-pressed'), 'true');
    assert.equal(await page.getByRole('button', { name: 'a cat' }).getAttribute('aria-pressed'), 'false');
    assert.equal(await page.locator('#picture').getAttribute('alt'), 'a horse');
  });

  test('a picture dropped, another pasted', async () => {
    await sample('a cat', 'cat');
    const horse = await transfer(page, 'horse.png');
    await page.dispatchEvent('body', 'dragover', { dataTransfer: horse });
    assert.ok(await page.locator('#drop').isVisible());
    await page.dispatchEvent('body', 'drop', { dataTransfer: horse });
    await shows(page, 'horse');
    assert.ok(await page.locator('#drop').isHidden());
    const cat = await transfer(page, 'chelsea.png');
    await cat.evaluate((clipboardData) => document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true })));
    await shows(page, 'cat');
  });

  test('a file that is no picture is refused in one line, and the page goes on', async () => {
    await page.locator('#file').setInputFiles(NOTES);
    const text = await errorText(page);
    assert.match(text, /^notes\.png: .*13 B/);
    assert.ok(!text.includes('\n'));
    assert.ok(await page.locator('#retry').isHidden(), 'the same file would be as bad again');
    assert.deepEqual(await violations(page), []);
    await sample('a horse', 'horse');
    assert.ok(await page.locator('#error').isHidden());
  });

  test('the maps of a ghost module, pair by pair', async () => {
    await sample('a cat', 'cat');
    await page.locator('#ghosts').scrollIntoViewIfNeeded();
    await page.locator('#pairs canvas').first().waitFor();
    const modules = await page.locator('#module option').allTextContents();
    assert.equal(modules.length, 32);
    // Every canvas, by how many of its values differ from the first pixel's.
    const drawn = () => page.evaluate(() => [...document.querySelectorAll('#pairs canvas')].map((canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return { side: canvas.width, other: data.filter((value, at) => value !== data[at % 4]).length };
    }));
    const choose = async (name) => {
      await page.locator('#module').selectOption(name);
      await page.locator(`#pairs[data-module="${name}"]`).waitFor();
    };
    await choose(modules.at(-1));
    const last = await drawn();
    await choose(modules[0]);
    const first = await drawn();
    assert.ok(first.length >= 8 && first.length % 2 === 0);
    assert.ok(first.filter(({ other }) => other > 0).length > first.length / 2, 'most maps are not flat');
    const alike = await page.locator('#pairs figcaption').allTextContents();
    assert.equal(alike.length, first.length / 2);
    for (const text of alike) assert.match(text, /r = −?[01]\.\d\d$|flat$/);
    assert.match(await page.locator('#maps-note').textContent(), /intrinsic maps and \d+ ghosts of \d+ × \d+; median \|r\| 0\.\d\d/);

    assert.ok(last[0].side < first[0].side);
    await choose(modules.at(-1));
    await page.getByRole('button', { name: /^Show all \d+ pairs/ }).click();
    assert.ok((await drawn()).length > 24);
  });

  test('the steps of a run by time', async () => {
    await page.locator('#time').scrollIntoViewIfNeeded();
    await page.locator('#more-steps').click();
    const rows = await page.locator('.steps tbody tr').evaluateAll((rows) =>
      rows.map((row) => [row.cells[0].textContent, parseFloat(row.cells[3].textContent), row.cells[2].firstChild.getBoundingClientRect().width]));
    assert.ok(rows.length > 40);
    rows.slice(1).forEach(([, ms, width], at) => assert.ok(rows[at][1] >= ms && rows[at][2] >= width, `${rows[at]}, then ${rows[at + 1]}`));
    assert.ok(rows[0][2] > 100 && rows[0][1] > 0);
    await page.locator('#order').selectOption('run');
    const names = await page.locator('.steps tbody th').allTextContents();
    assert.deepEqual(names.toSorted(), rows.map(([name]) => name).toSorted());
    assert.ok(names.indexOf('conv_stem') < 3 && names.indexOf('classifier') > names.length - 3);
  });

  test('accessibility, light and dark', async () => {
    for (const colorScheme of ['dark', 'light']) {
      await page.emulateMedia({ colorScheme });
      assert.deepEqual(await violations(page), [], colorScheme);
    }
  });

  test('a phone', async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    assert.equal(await overflow(page), 0);
    assert.deepEqual(await small(page), []);
    await page.setViewportSize({ width: 1200, height: 900 });
  });

  test('the camera, opened and closed; a device lost meanwhile is opened again', async () => {
    await sample('a cat', 'cat');
    const picture = await page.locator('#classes').textContent();
    await page.getByRole('button', { name: 'Open the camera' }).click();
    await page.locator('#classes.live').waitFor();
    await page.locator('#latency-note').getByText('median of the last 30').waitFor();
    assert.ok(await page.locator('#camera').isVisible());
    assert.ok(await page.locator('#picture').isHidden());
    // The device draws a moving pattern: some figure changes.
    const changed = async () => {
      const before = await page.locator('#classes').textContent();
      await page.waitForFunction((before) => document.querySelector('#classes').textContent !== before, before);
    };
    await changed();

    const devices = await page.evaluate(() => window.devices.length);
    await page.evaluate(() => window.devices.at(-1).destroy());
    await page.waitForFunction((devices) => window.devices.length > devices, devices);
    await changed();
    await page.locator('#error').waitFor({ state: 'hidden' });

    await page.getByRole('button', { name: 'Close the camera' }).click();
    assert.ok(await page.locator('#camera').isHidden());
    assert.equal(await page.locator('#camera').evaluate((video) => video.srcObject), null);
    // The classes are those of the picture that is shown again.
    assert.ok(await page.locator('#picture').isVisible());
    await page.waitForFunction((picture) => document.querySelector('#classes').textContent === picture, picture);
    assert.ok(await page.locator('#classes.live').isHidden());
    assert.equal(await page.getByRole('button', { name: 'a cat', exact: true }).getAttribute('aria-pressed'), 'true');
    await sample('a horse', 'horse');
  });

  test('a camera that goes by itself', async () => {
    await page.getByRole('button', { name: 'Open the camera' }).click();
    await page.locator('#classes.live').waitFor();
    // As if it were unplugged.
    await page.locator('#camera').evaluate((video) => video.srcObject.getTracks()[0].dispatchEvent(new Event('ended')));
    await shows(page, 'horse');
    assert.ok(await page.locator('#picture').isVisible());
    assert.ok(await page.locator('#classes.live').isHidden());
  });

  test('after a crash the network is loaded again on demand', async () => {
    await page.evaluate(() => {
      const { submit } = GPUQueue.prototype;
      GPUQueue.prototype.submit = function () {
        GPUQueue.prototype.submit = submit;
        throw new Error('on purpose');
      };
    });
    await page.getByRole('button', { name: 'a cat', exact: true }).click();
    assert.match(await errorText(page), /^the engine crashed \(on purpose\)/);
    await page.getByRole('button', { name: 'Try again' }).click();
    await shows(page, 'cat');
    assert.ok(await page.locator('#error').isHidden());
    await sample('a horse', 'horse');
  });

  test('the CPU by choice; weights from a file, none at all, and back', async () => {
    await page.locator('#backend-choice').selectOption('cpu');
    await page.locator('#backend').getByText(/^CPU, in WebAssembly; f32$/).waitFor();
    await page.locator('#weights').setInputFiles({ name: 'mine.safetensors', mimeType: '', buffer: await readFile(WEIGHTS) });
    await page.locator('#facts').getByText('mine.safetensors').waitFor();
    await sample('a cat', 'cat');

    await page.locator('#weights').setInputFiles({ name: 'bad.safetensors', mimeType: '', buffer: Buffer.from('these are no weights at all') });
    const text = await errorText(page);
    assert.match(text, /bad\.safetensors/);
    assert.ok(!text.includes('\n'));
    await page.getByRole('button', { name: 'Dismiss' }).click();
    assert.ok(await page.locator('#error').isHidden());
    await sample('a horse', 'horse');
    assert.match(await page.locator('#facts').textContent(), /mine\.safetensors/);

    await page.getByRole('button', { name: 'Back to the embedded network' }).click();
    await page.locator('#facts').getByText('embedded', { exact: true }).waitFor();
    await sample('a cat', 'cat');
  });

  test('the classes of ImageNet by one click, kept for the next time', async () => {
    // The hub, as far as this test needs one.
    const asked = [];
    await page.route('https://huggingface.co/**', async (route) => {
      const { pathname } = new URL(route.request().url());
      asked.push(pathname);
      const headers = { 'access-control-allow-origin': '*' };
      if (!pathname.startsWith('/api/')) return route.fulfill({ headers, contentType: 'application/octet-stream', body: await readFile(WEIGHTS) });
      await route.fulfill({ headers, json: { sha: 'abc', siblings: [{ rfilename: 'model.safetensors' }] } });
    });
    await page.getByRole('button', { name: 'Load one that knows 1000 things' }).click();
    await page.locator('#facts').getByText('timm/ghostnet_100.in1k').waitFor();
    await sample('a horse', 'horse');
    assert.deepEqual(asked, ['/api/models/timm/ghostnet_100.in1k/revision/main', '/timm/ghostnet_100.in1k/resolve/abc/model.safetensors']);
    assert.ok(await page.locator('#imagenet').isHidden());
    await page.locator('#hub-id').fill('me/another');
    await page.getByRole('button', { name: 'Download it' }).click();
    await page.locator('#facts').getByText('me/another').waitFor();
    await page.getByRole('button', { name: 'Back to the embedded network' }).click();
    await page.locator('#facts').getByText('embedded', { exact: true }).waitFor();
    await page.unroute('https://huggingface.co/**');
    page.complaints = page.complaints.filter((text) => !text.startsWith('asks https://huggingface.co/'));
  });

  test('an ONNX file that is dropped shows what it gives', async () => {
    const data = await page.evaluateHandle((bytes) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(bytes)], 'small.onnx'));
      return data;
    }, [...onnx()]);
    await page.dispatchEvent('body', 'drop', { dataTransfer: data });
    await page.locator('#outputs').getByText('maps: f32 [1, 2, 8, 8]').waitFor();
    assert.equal(await page.locator('#classes li').count(), 0);
    for (const id of ['#camera-button:disabled', '#ghosts[hidden]']) await page.locator(id).waitFor({ state: 'attached' });
    await page.locator('#facts').getByText('small.onnx').waitFor();
    assert.ok(await page.locator('#error').isHidden());
    assert.deepEqual(await violations(page), []);
    await page.getByRole('button', { name: 'Back to the embedded network' }).click();
    await sample('a cat', 'cat');
    assert.ok(await page.locator('#gives').isHidden());
  });

  test('half precision: refused by the CPU, done by the GPU', async () => {
    await page.locator('#precision-choice').selectOption('f16');
    assert.match(await errorText(page), /f16/);
    assert.equal(await page.locator('#precision-choice').inputValue(), 'f32');
    await sample('a horse', 'horse');
    await page.locator('#backend-choice').selectOption('gpu');
    await page.locator('#backend').getByText(/WebGPU; f32$/).waitFor();
    await page.locator('#precision-choice').selectOption('f16');
    await page.locator('#backend').getByText(/WebGPU; f16$/).waitFor();
    await sample('a cat', 'cat');
  });
});

test('the page by itself takes the CPU where the adapter runs shaders there, and says so', async () => {
  const browser = await launch();
  try {
    const page = await open(browser);
    await shows(page, 'cat');
    const said = /^CPU, in WebAssembly; f32\. The GPU is not used: .*swiftshader.* runs shaders on the CPU$/i;
    assert.match(await page.locator('#backend').textContent(), said);
    await page.locator('#backend-choice').selectOption('gpu');
    await page.locator('#backend').getByText(/WebGPU; f32$/).waitFor();
    await shows(page, 'cat');
    assert.deepEqual(page.complaints, []);
  } finally {
    await browser.close();
  }
});

describe('the page without WebGPU', () => {
  let browser;
  before(async () => (browser = await launch({ webgpu: false })));
  after(() => browser.close());

  test('the CPU does it, and the page says so', async () => {
    const page = await open(browser);
    await shows(page, 'cat');
    assert.match(await page.locator('#backend').textContent(), /^CPU, in WebAssembly; f32\. The GPU is not used: /);
    await page.getByRole('button', { name: 'a horse' }).click();
    await shows(page, 'horse');
    await page.locator('#ghosts').scrollIntoViewIfNeeded();
    await page.locator('#pairs canvas').first().waitFor();
    await page.locator('#time').scrollIntoViewIfNeeded();
    await page.locator('.steps tbody tr').first().waitFor();
    assert.deepEqual(page.complaints, []);
  });

  test('a network that did not arrive can be asked for again', async () => {
    const page = await open(browser, 'index.html', { prepare: (page) => page.route('**/*.safetensors', (route) => route.abort()) });
    assert.match(await errorText(page), /safetensors/);
    // Chromium reports the request that failed.
    assert.ok(page.complaints.every((text) => text.includes('ERR_FAILED')), page.complaints.join('\n'));
    page.complaints.length = 0;
    await page.unroute('**/*.safetensors');
    await page.getByRole('button', { name: 'Try again' }).click();
    await shows(page, 'cat');
    assert.ok(await page.locator('#error').isHidden());
    assert.deepEqual(page.complaints, []);
  });

  test('the benchmark says that it needs a GPU', async () => {
    const page = await open(browser, 'bench.html');
    await page.getByRole('button', { name: 'Run' }).click();
    assert.match(await errorText(page), /WebGPU|adapter/);
    assert.deepEqual(page.complaints, []);
  });
});

describe('the benchmark', () => {
  let browser;
  let page;
  before(async () => {
    browser = await launch();
    page = await open(browser, 'bench.html');
    page.setDefaultTimeout(600_000);
  });
  after(() => browser.close());
  afterEach(() => assert.deepEqual(page.complaints.splice(0), []));

  test('can be stopped', async () => {
    await page.getByRole('button', { name: 'Run' }).click();
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByRole('button', { name: 'Run again' }).waitFor();
    assert.equal(await page.locator('#status').textContent(), 'Stopped');
    assert.ok(await page.locator('#results').isHidden());
    assert.ok(await page.locator('#error').isHidden());
  });

  test('figures, chart and the JSON of `cargo bench`', async () => {
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.locator('#model').selectOption('ghostnet_050');
    await page.getByRole('button', { name: 'Run again' }).click();
    await page.locator('svg.chart').waitFor();
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Download the JSON' }).click();
    const found = JSON.parse(await readFile(await (await download).path(), 'utf8'));
    // The keys of `cargo bench --bench kernels -- --json`.
    const keys = ['adapter', 'backend', 'bench', 'driver', 'method', 'pass_ms', 'quick', 'roofline', 'rounds', 'rows', 'total_ms', 'version'];
    assert.deepEqual(Object.keys(found).toSorted(), keys);
    assert.deepEqual([found.bench, found.quick, found.backend], ['kernels', true, 'webgpu']);
    assert.ok(found.roofline.gflops > 0);
    assert.equal(found.roofline.copies.length, 4);
    for (const copy of found.roofline.copies) assert.ok(copy.bytes > 0 && copy.gb_per_s > 0);
    const columns = ['bytes', 'count', 'gb_per_s', 'gflops', 'kernel', 'macs', 'ms', 'name', 'of_roof', 'p10_ms', 'p90_ms', 'repeats', 'shader', 'shape', 'share'];
    for (const row of found.rows) {
      assert.deepEqual(Object.keys(row).toSorted(), columns);
      assert.ok(row.ms > 0 && row.p10_ms <= row.ms && row.ms <= row.p90_ms && row.repeats >= 1 && row.bytes > 0, JSON.stringify(row));
    }
    // All dispatches of a run from a tensor to logits: 52, or a few more where the driver runs on
    // the CPU.
    assert.ok(found.rows.reduce((sum, row) => sum + row.count, 0) >= 52);
    assert.ok(Math.abs(found.rows.reduce((sum, row) => sum + row.share, 0) - 1) < 1e-6);

    assert.equal(await page.locator('.findings tbody tr').count(), found.rows.length);
    assert.equal(await page.locator('svg.chart circle title').count(), found.rows.filter((row) => row.macs > 0).length);
    assert.ok((await page.locator('#device').textContent()).includes(found.adapter));
    // No column is cut.
    await page.setViewportSize({ width: 1280, height: 900 });
    assert.deepEqual(await page.locator('.scroll:has(#table)').evaluate((node) => node.scrollWidth - node.clientWidth), 0);
    assert.deepEqual(await violations(page), []);
    await page.emulateMedia({ colorScheme: 'light' });
    assert.deepEqual(await violations(page), []);
    await page.setViewportSize({ width: 360, height: 740 });
    assert.equal(await overflow(page), 0);
    assert.deepEqual(await small(page), []);
  });

  test('one kernel on any shape, by keyboard, and its JSON', async () => {
    await page.setViewportSize({ width: 1200, height: 900 });
    const rows = () => page.locator('#alone-table tbody th').allTextContents();
    const measure = async (text) => {
      await page.locator('#case').fill(text);
      await page.keyboard.press('Enter');
      await page.locator('#measure:enabled').waitFor();
    };
    assert.equal(await page.locator('#kernel').inputValue(), 'ghost');
    assert.match(await page.locator('#case').inputValue(), /^1x16x112x112 --out 16/);
    await page.locator('#kernel').selectOption('pointwise');
    assert.match(await page.locator('#usage').textContent(), /^NxCxHxW \[--out C\] .*\[--inside N\]$/);
    await measure('1x8x7x7 --out 12');
    assert.deepEqual(await rows(), ['pointwise 1x8x7x7 --out 12']);
    assert.match(await page.locator('#alone-status').textContent(), /^Done: [\d.,]+ microseconds$/);
    assert.match(await page.locator('#alone-method').textContent(), /^On .*swiftshader.*: the dispatch repeated/i);
    assert.equal(await page.evaluate(() => document.activeElement.id), 'case', 'the focus stays');
    await page.locator('#precision').selectOption('f16');
    await measure('  1x8x7x7   --gate');
    assert.deepEqual(await rows(), ['pointwise 1x8x7x7 --gate --f16', 'pointwise 1x8x7x7 --out 12']);

    await measure('1x8x7 --out 12');
    const text = await page.locator('#alone-error p').textContent();
    assert.equal(text, 'pointwise 1x8x7 --out 12: the shape should be NxCxHxW, 4 whole numbers from 1');
    assert.equal((await rows()).length, 2);
    for (const colorScheme of ['dark', 'light']) {
      await page.emulateMedia({ colorScheme });
      assert.deepEqual(await violations(page), [], colorScheme);
    }
    await page.setViewportSize({ width: 360, height: 740 });
    assert.equal(await overflow(page), 0);
    assert.deepEqual(await small(page), []);

    const found = await page.evaluate(async () => (await import('./bench.js')).benchKernel('linear', '1x32 --out 8', { quick: true }));
    // The keys of `cargo bench --bench kernels -- linear 1x32 --out 8 --json`.
    const keys = ['adapter', 'backend', 'bench', 'driver', 'method', 'quick', 'roofline', 'rows', 'version'];
    assert.deepEqual(Object.keys(found).toSorted(), keys);
    assert.deepEqual([found.bench, found.quick, found.rows.length, found.roofline.copies.length], ['kernel', true, 1, 4]);
    const [row] = found.rows;
    const columns = ['bytes', 'gb_per_s', 'gflops', 'kernel', 'macs', 'ms', 'name', 'of_roof', 'p10_ms', 'p90_ms', 'repeats', 'shader', 'workgroups'];
    assert.deepEqual(Object.keys(row).toSorted(), columns);
    assert.deepEqual([row.name, row.kernel, row.macs], ['linear 1x32 --out 8', 'linear', 256]);
    assert.ok(row.ms > 0 && row.p10_ms <= row.ms && row.ms <= row.p90_ms && row.workgroups >= 1, JSON.stringify(row));
    const refused = page.evaluate(async () => (await import('./bench.js')).benchKernel('nothing', '1x32'));
    await assert.rejects(refused, /no kernel is called `nothing`: there are conv2d, depthwise, /);
  });
});
