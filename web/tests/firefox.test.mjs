// Load and classify in headless Firefox. It is driven by nothing but its start page, which sends back what it found.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { serve } from '../tools/server.mjs';
import { dist, native, root, sameClasses } from './browser.mjs';

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
    const net = await GhostNet.load();
    const blob = await (await fetch('/images/chelsea.png')).blob();
    await report({ info: net.info, top: await net.classify(blob, { top: 10 }) });
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
    const { error, info, top } = await Promise.race([report, gone]);
    assert.equal(error, undefined);
    assert.equal(info.backend, 'gpu', info.fallback);
    const [{ top: expected }] = native('classify', join(root, 'assets/images/chelsea.png'), '--backend', 'cpu', '--top', '10');
    sameClasses(assert, top, expected, `Firefox on ${info.adapter}`);
  } finally {
    gone.catch(() => {});
    firefox.kill();
    await new Promise((resolve) => (firefox.exitCode === null && firefox.signalCode === null ? firefox.once('exit', resolve) : resolve()));
    await server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
});
