// The package in headless Firefox. It is driven by nothing but its start page, which sends back
// what it found.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { serve } from '../tools/server.mjs';
import { CLOSE, ROUGH, dist, importAll, largePicture, native, nativeOf, otherSite, png16, recordDevices, root, sameClasses, transparentPicture } from './browser.mjs';

const PREFERENCES = {
  'dom.webgpu.enabled': true,
  'gfx.webgpu.ignore-blocklist': true,
  'gfx.webrender.software': true,
  'browser.shell.checkDefaultBrowser': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'toolkit.telemetry.reportingpolicy.firstRun': false,
  'app.update.enabled': false,
  'network.captive-portal-service.enabled': false,
};

/** A page that does `work`, an asynchronous function's body, and sends back what it returns. */
const page = (work) => `<!doctype html><link rel="icon" href="data:,"><script type="module">
  const report = (found) => fetch('/report', { method: 'POST', body: JSON.stringify(found) });
  try {
    await (${importAll})();
    await report({ found: await (async () => { ${work} })() });
  } catch (error) {
    await report({ error: String(error) });
  }
</script>`;

const CLASSIFY = `
    const blob = await (await fetch('/images/chelsea.png')).blob();
    // What is asked of each device, and how many of its shaders multiply halves.
    const devices = [];
    const { requestDevice } = GPUAdapter.prototype;
    GPUAdapter.prototype.requestDevice = async function (descriptor) {
      const device = await requestDevice.call(this, descriptor);
      const offered = this.features.has('shader-f16');
      const found = { offered, asked: [...descriptor.requiredFeatures].includes('shader-f16'), shaders: 0 };
      devices.push(found);
      const { createShaderModule } = device;
      device.createShaderModule = (module) => {
        found.shaders += module.code.includes('enable f16;');
        return createShaderModule.call(device, module);
      };
      return device;
    };
    // Software adapters keep to arithmetic in f32: once more as a GPU.
    const options = [{}, { precision: 'f16' }, { precision: 'f16', deviceClass: 'gpu' }];
    const nets = [];
    for (const more of options) nets.push(await load({ backend: 'gpu', ...more }));
    const found = [];
    for (const net of nets) found.push({ info: net.info, top: await net.classify(blob, { top: 10 }) });
    return { found, devices };
`;

const PICTURES = `
    const found = [];
    for (const backend of ['gpu', 'cpu']) {
      const net = await load({ backend });
      for (const path of ['/large.png', '/transparent.png']) {
        const blob = await (await fetch(path)).blob();
        for (const source of [path, blob, Object.assign(new Image(), { src: path })]) {
          found.push({ path, what: path + ', ' + backend + ', ' + (source.constructor.name), top: await net.classify(source, { top: 10 }) });
        }
      }
      net.destroy();
    }
    return found;
`;

const UNANSWERED = (other) => `
    const { CRASHES, crash, showAll } = await import('/unanswered.js');
    const found = [];
    for (const backend of ['gpu', 'cpu']) {
      const net = await load({ backend });
      found.push({ what: 'pictures, ' + backend, ...(await showAll(net, '${other}', location.origin + '/')) });
      net.destroy();
    }
    const { requestDevice } = GPUAdapter.prototype;
    for (const [what, { backends }] of Object.entries(CRASHES)) {
      for (const backend of backends) {
        GPUAdapter.prototype.requestDevice = requestDevice;
        (${recordDevices})();
        found.push({ what: what + ', ' + backend, ...(await crash(what, backend)) });
      }
    }
    return found;
`;

/** What Firefox finds that opens a page which does `work`. */
async function firefox(work, routes = {}) {
  let reported;
  const report = new Promise((resolve) => { reported = resolve; });
  const server = await serve(dist, 0, {
    ...routes,
    '/firefox.html': (_, response) => {
      response.writeHead(200, { 'content-type': 'text/html' });
      response.end(page(work));
    },
    '/report': (request, response) => {
      let text = '';
      request.on('data', (chunk) => { text += chunk; });
      request.on('end', () => {
        response.end();
        reported(JSON.parse(text));
      });
    },
  });
  const profile = mkdtempSync(join(tmpdir(), 'ghostnet-firefox-'));
  const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`);
  writeFileSync(join(profile, 'user.js'), lines.join(''));
  const command = process.env.FIREFOX ?? '/usr/bin/firefox-esr';
  const browser = spawn(command, ['--headless', '--no-remote', '--profile', profile, `${server.url}firefox.html`], {
    stdio: 'ignore', env: { ...process.env, HOME: profile },
  });
  const gone = new Promise((_, reject) => {
    browser.on('error', reject);
    browser.on('exit', (code) => reject(new Error(`Firefox ended with ${code}`)));
  });
  try {
    const { error, found } = await Promise.race([report, gone]);
    assert.equal(error, undefined);
    return found;
  } finally {
    gone.catch(() => {});
    browser.kill();
    await new Promise((resolve) => (browser.exitCode === null && browser.signalCode === null ? browser.once('exit', resolve) : resolve()));
    await server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

test('Firefox loads and classifies', { timeout: 240_000 }, async () => {
  const { found, devices } = await firefox(CLASSIFY);
  const [{ top: expected }] = native('classify', join(root, 'assets/images/chelsea.png'), '--backend', 'cpu', '--top', '10');
  for (const [at, { info, top }] of found.entries()) {
    assert.deepEqual([info.backend, info.precision], ['gpu', ['f32', 'f16', 'f16'][at]], info.fallback);
    sameClasses(assert, top, expected, `Firefox on ${info.adapter}, ${info.precision}`, info.precision === 'f16' ? ROUGH : CLOSE);
  }
  // Arithmetic in f16 is asked for with that precision alone, and where it is offered.
  const [full, half, hardware] = devices;
  assert.deepEqual([full.asked, full.shaders], [false, 0]);
  assert.deepEqual([half.asked, hardware.asked], [half.offered, half.offered]);
  assert.equal(hardware.shaders > 0, hardware.offered);
});

test('Firefox gives large and transparent pictures the native classes', { timeout: 240_000 }, async () => {
  const pictures = { '/large.png': largePicture(), '/transparent.png': transparentPicture() };
  const give = (bytes) => (_, response) => response.writeHead(200, { 'content-type': 'image/png' }).end(bytes);
  const found = await firefox(PICTURES, Object.fromEntries(Object.entries(pictures).map(([path, bytes]) => [path, give(bytes)])));
  assert.equal(found.length, 12);
  const expected = Object.fromEntries(Object.entries(pictures).map(([path, bytes]) => [path, nativeOf(bytes)]));
  for (const { path, what, top } of found) sameClasses(assert, top, expected[path], what, path === '/large.png' ? ROUGH : CLOSE);
});

test('Firefox leaves no call unanswered', { timeout: 600_000 }, async () => {
  const other = await otherSite(png16());
  try {
    const found = await firefox(UNANSWERED(other.url), other.routes);
    assert.deepEqual(found.flatMap(({ what, wrong }) => wrong.map((line) => `${what}: ${line}`)), []);
    const [cat, landscape] = [readFileSync(join(root, 'assets/images/chelsea.png')), png16()].map((picture) => nativeOf(picture));
    for (const { what, classes, after = [] } of found) {
      // A canvas rounds to 8 bits, where Pillow keeps the high byte.
      if (classes) sameClasses(assert, classes, landscape, what, ROUGH);
      for (const classes of after) sameClasses(assert, classes, cat, `after ${what}`);
    }
  } finally {
    await other.close();
  }
});
