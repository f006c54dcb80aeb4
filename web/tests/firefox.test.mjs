// Load and classify in headless Firefox. It is driven by nothing but its start page, which sends back what it found.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { serve } from '../tools/server.mjs';
import { CLOSE, ROUGH, dist, native, root, sameClasses } from './browser.mjs';

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

const PAGE = `<!doctype html><link rel="icon" href="data:,"><script type="module">
  const report = (found) => fetch('/report', { method: 'POST', body: JSON.stringify(found) });
  try {
    const { GhostNet } = await import('/ghostnet.js');
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
    const load = (options) => GhostNet.load({ backend: 'gpu', ...options });
    // Software adapters keep to arithmetic in f32: once more as a GPU.
    const nets = [await load(), await load({ precision: 'f16' }), await load({ precision: 'f16', deviceClass: 'gpu' })];
    const found = [];
    for (const net of nets) found.push({ info: net.info, top: await net.classify(blob, { top: 10 }) });
    await report({ found, devices });
  } catch (error) {
    await report({ error: String(error) });
  }
</script>`;

test('Firefox loads and classifies', { timeout: 240_000 }, async () => {
  let reported;
  const report = new Promise((resolve) => { reported = resolve; });
  const server = await serve(dist, 0, {
    '/firefox.html': (_, response) => {
      response.writeHead(200, { 'content-type': 'text/html' });
      response.end(PAGE);
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
  const firefox = spawn(command, ['--headless', '--no-remote', '--profile', profile, `${server.url}firefox.html`], {
    stdio: 'ignore', env: { ...process.env, HOME: profile },
  });
  const gone = new Promise((_, reject) => {
    firefox.on('error', reject);
    firefox.on('exit', (code) => reject(new Error(`Firefox ended with ${code}`)));
  });
  try {
    const { error, found, devices } = await Promise.race([report, gone]);
    assert.equal(error, undefined);
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
  } finally {
    gone.catch(() => {});
    firefox.kill();
    await new Promise((resolve) => (firefox.exitCode === null && firefox.signalCode === null ? firefox.once('exit', resolve) : resolve()));
    await server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
});
