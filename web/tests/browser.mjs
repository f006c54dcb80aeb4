// Chromium with WebGPU on its software adapter, pages of dist/, and what native builds say, for the tests.

import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
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
 * Serves dist/ (and `routes`) with an empty page beside it. `open` gives a page in which the package is `GhostNet`; `errors` collects what
 * any page writes to the console as an error.
 */
export async function site(browser, routes = {}) {
  const empty = (_, response) => {
    response.writeHead(200, { 'content-type': 'text/html' });
    response.end('<!doctype html><link rel="icon" href="data:,"><title>test</title>');
  };
  const server = await serve(dist, 0, { '/empty.html': empty, ...routes });
  const errors = [];
  const open = async () => {
    const page = await browser.newPage();
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    page.on('pageerror', (error) => errors.push(String(error.stack ?? error)));
    await page.goto(`${server.url}empty.html`);
    await page.evaluate(async () => Object.assign(window, await import('/ghostnet.js')));
    return page;
  };
  return { open, errors, url: server.url, close: server.close };
}

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

/** How far probabilities may be from native ones: halves round, and decoders of JPEG differ by a few levels in a pixel. */
export const CLOSE = 1e-3;
export const ROUGH = 2e-2;

/** The same classes with probabilities within `tolerance` of native ones, and the same one first, unless another is as good. */
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
