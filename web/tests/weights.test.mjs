// Where weights come from, and what is kept of them, in headless Chromium.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { failure, launch, root, site } from './browser.mjs';

const WEIGHTS = readFileSync(join(root, 'assets/ghostnet_050_cifar10.safetensors'));
const PAGE = '<!doctype html><title>an app</title>';

/** What the server does now, and what it was asked since: `GET /path`. */
let serving, asked;
let browser, web, page;

/** Answers by `serving`: a path's type, headers and bytes, or a status. */
const answer = (path) => (request, response) => {
  asked.push(`${request.method} ${path}`);
  const { status = 200, headers = {}, bytes = WEIGHTS, cut } = serving[path] ?? { status: 404, bytes: 'none' };
  response.writeHead(status, { 'content-length': Buffer.byteLength(bytes), ...headers });
  if (request.method === 'HEAD') return response.end();
  if (cut) return response.write(bytes.subarray(0, cut), () => response.destroy());
  response.end(bytes);
};

const HUB = (file) => `/hub/me/net/resolve/${file}`;
const LIST = '/hub/api/models/me/net/revision/main';
const list = (sha, ...siblings) => ({ bytes: JSON.stringify({ sha, siblings }) });
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const model = { rfilename: 'model.safetensors', size: WEIGHTS.length, lfs: { sha256: sha256(WEIGHTS), size: WEIGHTS.length } };
const CONFIG = JSON.stringify({ architecture: 'ghostnet_050', num_classes: 10, pretrained_cfg: { crop_pct: 0.5 } });
const config = { rfilename: 'config.json', size: CONFIG.length };
/** The weights without what they say of themselves. */
const BARE = (() => {
  const length = Number(WEIGHTS.readBigUInt64LE());
  const { __metadata__, ...tensors } = JSON.parse(WEIGHTS.subarray(8, 8 + length));
  const { stem_stride } = __metadata__;
  const header = Buffer.from(JSON.stringify({ __metadata__: { stem_stride }, ...tensors }));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([size, header, WEIGHTS.subarray(8 + length)]);
})();

before(async () => {
  browser = await launch({ webgpu: false });
  const paths = ['/w.safetensors', LIST, ...['one', 'two'].flatMap((sha) => ['model.safetensors', 'config.json'].map((file) => HUB(`${sha}/${file}`)))];
  web = await site(browser, Object.fromEntries(paths.map((path) => [path, answer(path)])));
  page = await web.open();
});
beforeEach(async () => {
  [serving, asked] = [{}, []];
  await page.evaluate(() => caches.delete('ghostnet-weights'));
});
after(async () => {
  await browser.close();
  await web.close();
});

/** Loads in the page, and gives what the network says of itself, and what the server was asked. */
async function load(options) {
  asked.length = 0;
  const info = await page.evaluate(async (options) => {
    const net = await GhostNet.load({ backend: 'cpu', ...options });
    net.destroy();
    return net.info;
  }, options);
  return { info, asked: asked.join(', ') };
}
async function refused(options, message) {
  const found = await failure(page, (options) => GhostNet.load({ backend: 'cpu', ...options }), options);
  assert.match(found?.message ?? 'it was loaded', message);
  assert.ok(found.isError && !found.message.includes('\n'));
}
const address = { weights: '/w.safetensors' };
const W = '/w.safetensors';

test('weights at an address are kept, and new ones there are noticed', async () => {
  for (const [name, first, second] of [['etag', '"1"', '"2"'], ['last-modified', 'Sat, 01 Nov 2025 10:00:00 GMT', 'Sat, 08 Nov 2025 10:00:00 GMT']]) {
    await page.evaluate(() => caches.delete('ghostnet-weights'));
    serving[W] = { headers: { [name]: first } };
    assert.equal((await load(address)).asked, `GET ${W}`);
    assert.equal((await load(address)).asked, `HEAD ${W}`);
    serving[W] = { headers: { [name]: second }, bytes: BARE };
    const { asked, info } = await load(address);
    assert.deepEqual([asked, info.labels.length], [`HEAD ${W}, GET ${W}`, 0]);
    assert.equal((await load(address)).asked, `HEAD ${W}`);
    serving[W] = { headers: { [name]: first } };
    assert.equal((await load(address)).info.labels.length, 10);
  }
  // Nothing tells whether these are new.
  serving[W] = {};
  assert.equal((await load(address)).asked, `HEAD ${W}, GET ${W}`);
  assert.equal((await load(address)).asked, `HEAD ${W}, GET ${W}`);
});

test('without a connection what was kept is taken', async () => {
  serving = { [W]: { headers: { etag: '"1"' } }, [LIST]: list('one', model), [HUB('one/model.safetensors')]: {} };
  const hub = { weights: 'me/net', hub: `${web.url}hub` };
  for (const options of [address, hub]) await load(options);
  await page.context().setOffline(true);
  try {
    for (const options of [address, hub]) assert.deepEqual((await load(options)).asked, '');
    await refused({ weights: '/other.safetensors' }, /other\.safetensors: cannot be fetched/);
  } finally {
    await page.context().setOffline(false);
  }
});

test('a bad download is told of, and does not stay', async () => {
  const bad = [
    [{ bytes: WEIGHTS.subarray(0, 5000) }, /^\/w\.safetensors: cut off or damaged/],
    [{ cut: 5000 }, /^\/w\.safetensors: the download broke off after \d+ bytes of 2704468: /],
    [{ bytes: PAGE, headers: { 'content-type': 'text/html; charset=utf-8' } }, /\/w\.safetensors: the server answers with a page \(HTML\), not with weights$/],
    [{ bytes: PAGE }, /^\/w\.safetensors: an HTML page, not weights/],
    [{ status: 404 }, /\/w\.safetensors: the server answers 404/],
  ];
  for (const [answer, message] of bad) {
    serving[W] = { ...answer, headers: { etag: '"bad"', ...answer.headers } };
    await refused(address, message);
    serving[W] = { headers: { etag: '"good"' } };
    assert.equal((await load(address)).asked, `GET ${W}`);
    // Nor does it push out what was good.
    serving[W] = { ...answer, headers: { etag: '"bad"', ...answer.headers } };
    await refused(address, message);
    serving[W] = { headers: { etag: '"good"' } };
    assert.equal((await load(address)).asked, `HEAD ${W}`);
    await page.evaluate(() => caches.delete('ghostnet-weights'));
  }
  // What an earlier version may have kept.
  await page.evaluate(async (url) => (await caches.open('ghostnet-weights')).put(url, new Response('<!doctype html>', { headers: { etag: '"good"' } })), W);
  await refused(address, /an HTML page, not weights/);
  assert.equal((await load(address)).asked, `GET ${W}`);
});

test("a hub's id: weights and configuration of the newest revision, kept by revision", async () => {
  const hub = { weights: 'me/net', hub: `${web.url}hub/` };
  const bare = { rfilename: 'model.safetensors', size: BARE.length };
  serving = {
    [LIST]: list('one', { rfilename: 'README.md' }, { rfilename: 'a.safetensors' }, { rfilename: 'model-00001-of-00002.safetensors' }, bare, config),
    [HUB('one/model.safetensors')]: { bytes: BARE },
    [HUB('one/config.json')]: { bytes: CONFIG },
  };
  const first = await load(hub);
  assert.equal(first.asked, `GET ${LIST}, GET ${HUB('one/config.json')}, GET ${HUB('one/model.safetensors')}`);
  assert.deepEqual([first.info.model, first.info.classes, first.info.labels], ['ghostnet_050', 10, []]);
  // The input's size is the usual one, as only the configuration was asked.
  assert.deepEqual(first.info.input, [3, 224, 224]);
  assert.equal((await load(hub)).asked, `GET ${LIST}`);
  Object.assign(serving, { [LIST]: list('two', model), [HUB('two/model.safetensors')]: {} });
  const second = await load(hub);
  assert.equal(second.asked, `GET ${LIST}, GET ${HUB('two/model.safetensors')}`);
  assert.equal(second.info.labels.length, 10);
  const kept = await page.evaluate(async () => (await (await caches.open('ghostnet-weights')).keys()).map(({ url }) => new URL(url).pathname));
  assert.deepEqual(kept.sort(), [LIST, HUB('two/model.safetensors')].sort());
});

test('a hub that has none, or sends others than it says, is refused', async () => {
  const hub = { weights: 'me/net', hub: `${web.url}hub` };
  await refused(hub, /^no model `me\/net` at http:.*\/hub, or it is private \(404\)$/);
  serving[LIST] = list('one', { rfilename: 'pytorch_model.bin' });
  await refused(hub, /^`me\/net` has no \.safetensors or \.onnx file with weights: it has pytorch_model\.bin$/);
  serving[LIST] = { bytes: PAGE };
  await refused(hub, /^http:.*\/hub does not answer like a model hub: /);
  serving = { [LIST]: list('one', model), [HUB('one/model.safetensors')]: { bytes: WEIGHTS.subarray(0, 5000) } };
  await refused(hub, /^me\/net\/model\.safetensors: cut off or damaged: 5000 bytes arrived, the hub has 2704468$/);
  serving[HUB('one/model.safetensors')] = { bytes: Buffer.from(WEIGHTS).fill(1, 2_000_000, 2_000_004) };
  await refused(hub, /^me\/net\/model\.safetensors: damaged: its SHA-256 is \w{64}, the hub has \w{64}$/);
  serving = { [LIST]: list('one', model, { rfilename: 'config.json' }), [HUB('one/config.json')]: { bytes: '{' }, [HUB('one/model.safetensors')]: {} };
  await refused(hub, /^config\.json: not JSON/);
  serving = { [LIST]: list('one', model), [HUB('one/model.safetensors')]: {} };
  assert.equal((await load(hub)).info.classes, 10);
});

test('a page in place of the WebAssembly says so', async () => {
  for (const headers of [{ 'content-type': 'text/html' }, {}]) {
    const other = await site(browser, { '/cpu_engine_bg.wasm': (_, response) => response.writeHead(200, headers).end(PAGE) });
    const page = await other.open();
    const found = await failure(page, () => load({ backend: 'cpu' }));
    await page.close();
    await other.close();
    assert.match(found.message, headers['content-type'] ? /_bg\.wasm: the server answers with a page \(HTML\), not with WebAssembly; .*optimizeDeps/ : /_bg\.wasm: no WebAssembly: .*; .*optimizeDeps/);
  }
});

test('load gives up when it is told to', async () => {
  serving[W] = {};
  const found = await page.evaluate(async () => {
    const before = new AbortController();
    before.abort();
    const during = new AbortController();
    const asked = GhostNet.load({ weights: '/w.safetensors', backend: 'cpu', signal: during.signal, onProgress: () => during.abort(new Error('enough')) });
    const names = [GhostNet.load({ weights: '/w.safetensors', backend: 'cpu', signal: before.signal }), asked].map((promise) => promise.then(() => 'loaded', ({ name, message }) => `${name}: ${message}`));
    return Promise.all(names);
  });
  assert.match(found[0], /^AbortError: /);
  assert.equal(found[1], 'Error: enough');
});
