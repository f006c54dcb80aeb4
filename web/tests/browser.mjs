// Chromium with WebGPU on its software adapter, pages of dist/, and what native builds say, for the
// tests.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32, deflateSync } from 'node:zlib';
import { chromium } from 'playwright-core';
import { serve } from '../tools/server.mjs';

export const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
export const dist = join(root, 'web/dist');

const WEBGPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
const PLAIN = ['--headless=new', '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

/** Headless Chromium; without `webgpu` it offers no adapter. */
export function launch({ webgpu = true, args = [] } = {}) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    ignoreDefaultArgs: ['--headless', '--disable-gpu'],
    args: [...PLAIN, ...(webgpu ? WEBGPU : []), ...args],
  });
}

/**
 * Runs in a page: what the package exports becomes global, and `load`, which loads the network at
 * `address`, or the small one for CIFAR-10, unless it is given other weights.
 */
export async function importAll(address) {
  Object.assign(window, await import('/ghostnet.js'), await import('/cifar10.js'));
  window.load = (options) => GhostNet.load({ weights: address ?? cifar10, ...options });
}

/**
 * Serves dist/ (and `routes`) with an empty page beside it. `open` gives a page in which
 * `importAll` ran, for the network at an address if one is given. `errors` collects what any page
 * writes to the console as an error.
 */
export async function site(browser, routes = {}) {
  const empty = (_, response) => {
    response.writeHead(200, { 'content-type': 'text/html' });
    response.end('<!doctype html><link rel="icon" href="data:,"><title>test</title>');
  };
  const server = await serve(dist, 0, { '/empty.html': empty, ...routes });
  const errors = [];
  const open = async (network) => {
    const page = await browser.newPage();
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    page.on('pageerror', (error) => errors.push(String(error.stack ?? error)));
    await page.goto(`${server.url}empty.html`);
    await page.evaluate(importAll, network);
    return page;
  };
  return { open, errors, url: server.url, close: server.close };
}

/**
 * Another site, with dist/ and a video that is posted to the first one's. It says nothing of CORS.
 * `routes` are what unanswered.js, in a page of the first, needs there. `png` is of 16 bits a
 * channel.
 */
export async function otherSite(png) {
  const give = (type, bytes) => (_, response) => {
    response.writeHead(200, { 'content-type': type });
    response.end(bytes());
  };
  let video;
  const { url, close } = await serve(dist, 0, { '/video.webm': give('video/webm', () => video) });
  const routes = {
    '/unanswered.js': give('text/javascript', () => readFileSync(join(root, 'web/tests/unanswered.js'))),
    '/never.safetensors': () => {},
    '/16-bit.png': give('image/png', () => png),
    '/video.webm': async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      video = Buffer.concat(chunks);
      response.end();
    },
  };
  return { url, routes, close };
}

/** A PNG of 16 bits a channel: a landscape. */
export function png16() {
  const [width, height] = [96, 64];
  const rows = Buffer.alloc(height * (1 + width * 6));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const sky = y < 36 + 6 * Math.sin(x / 9);
      const colour = sky ? [90 + y, 140 + y, 230] : [60 + x / 4, 110 - y / 3, 40];
      colour.forEach((value, c) => rows.writeUInt16BE(Math.floor(value * 257), y * (1 + width * 6) + 1 + x * 6 + c * 2));
    }
  }
  // Red, green and blue.
  return png(width, height, 16, 2, rows);
}

/** A PNG of rows of bytes, each with its filter (0) in front. `kind` is 2 for RGB, 6 for RGBA. */
export function png(width, height, bits, kind, rows) {
  const chunk = (type, data) => {
    const named = Buffer.concat([Buffer.from(type), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(named));
    return Buffer.concat([length, named, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // The rest is as ever.
  header.set([bits, kind, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))]);
}

/** A PNG whose pixel at x, y is what `colour` gives: red, green, blue and perhaps alpha. */
function drawn(width, height, channels, colour) {
  const rows = Buffer.alloc(height * (1 + width * channels));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) rows.set(colour(x, y), y * (1 + width * channels) + 1 + x * channels);
  }
  return png(width, height, 8, channels === 4 ? 6 : 2, rows);
}

/** A PNG of a landscape that no texture takes as it is. */
export const largePicture = () => drawn(12_000, 1500, 3, (x, y) => {
  const isHill = y > 700 + 300 * Math.sin(x / 200);
  return isHill ? [60 + ((x >> 6) % 40), 120 - (y >> 5), 40] : [90 + (y >> 4), 150 + (y >> 5), 230];
});
/** A PNG of a disc on what nobody sees, but which counts: colours where alpha is 0 or low. */
export const transparentPicture = () => drawn(120, 96, 4, (x, y) => {
  const far = Math.hypot(x - 60, y - 48);
  return far < 30 ? [220, 60, 30, 255] : [40 + x, 200 - y, 90, far < 40 ? 90 : 0];
});

/** The name and message of what `work` throws in the page. */
export const failure = (page, work, argument) => page.evaluate(async ([work, argument]) => {
  try {
    await (0, eval)(`(${work})`)(argument);
    return null;
  } catch (error) {
    return { isError: error instanceof Error, name: error.name, message: error.message };
  }
}, [String(work), argument]);

/** Runs in a page: keeps the GPU devices that are opened from then on in `window.devices`. */
export function recordDevices() {
  const { requestDevice } = GPUAdapter.prototype;
  window.devices = [];
  GPUAdapter.prototype.requestDevice = async function (...options) {
    const device = await requestDevice.apply(this, options);
    window.devices.push(device);
    return device;
  };
}

/** What the command prints with --json: one value a line. */
export function native(...args) {
  const command = process.env.GHOSTNET ?? join(root, 'target/release/ghostnet');
  const lines = execFileSync(command, [...args, '--json'], { encoding: 'utf8', maxBuffer: 1 << 28 });
  return lines.trim().split('\n').map((line) => JSON.parse(line));
}

/** The ten classes that the command gives for a picture, by a network's bytes if they are given. */
export function nativeOf(picture, network) {
  const directory = mkdtempSync(join(tmpdir(), 'ghostnet-'));
  const [file, model] = [join(directory, 'picture'), join(directory, 'network.safetensors')];
  writeFileSync(file, picture);
  if (network) writeFileSync(model, network);
  const [{ top }] = native('classify', file, '--backend', 'cpu', '--top', '10', ...(network ? ['--model', model] : []));
  rmSync(directory, { recursive: true });
  return top;
}

/** What the command detects in a picture with the embedded network, by a card. */
export function nativeDetections(picture, card) {
  const directory = mkdtempSync(join(tmpdir(), 'ghostnet-'));
  const [file, said] = [join(directory, 'picture'), join(directory, 'card.json')];
  writeFileSync(file, picture);
  writeFileSync(said, JSON.stringify(card));
  const [{ detections }] = native('detect', file, '--model', join(root, 'assets/ghostnet_050_cifar10.safetensors'), '--card', said, '--backend', 'cpu');
  rmSync(directory, { recursive: true });
  return detections;
}

/**
 * How far probabilities may be from native ones: halves round, and decoders of JPEG differ by a few
 * levels in a pixel.
 */
export const CLOSE = 1e-3;
export const ROUGH = 2e-2;

/**
 * The same classes with probabilities within `tolerance` of native ones, and the same one first,
 * unless another is as good.
 */
export function sameClasses(assert, got, expected, what, tolerance = /\.jpe?g$/.test(what) ? ROUGH : CLOSE) {
  const clear = expected[0].probability - expected[1].probability > 2 * tolerance;
  if (clear) assert.equal(got[0].index, expected[0].index, `${what}: ${JSON.stringify(got[0])}, natively ${JSON.stringify(expected[0])}`);
  for (const { index, label, probability } of expected) {
    const other = got.find((one) => one.index === index);
    assert.ok(other, `${what}: no class ${label}`);
    assert.equal(other.label, label);
    assert.ok(Math.abs(other.probability - probability) <= tolerance, `${what}: ${label} ${other.probability}, natively ${probability}`);
  }
}
