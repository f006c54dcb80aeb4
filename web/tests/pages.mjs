// The pages as tests open them, and what must never be wrong with one.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { serve } from '../tools/server.mjs';
import { dist, root } from './browser.mjs';

const axe = await readFile(join(root, 'web/node_modules/axe-core/axe.min.js'), 'utf8');

/** Serves dist/. `open(browser, path, options)` opens one of its pages. */
export async function pages() {
  const server = await serve(dist);
  return { open: (...wanted) => opened(server, ...wanted), close: server.close };
}

/** A page whose every complaint and request is kept. */
async function opened(server, browser, path = 'index.html', options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.on('console', (message) => message.type() === 'error' && page.complaints.push(message.text()));
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  page.on('request', (request) => {
    if (!request.url().startsWith(server.url) && !request.url().startsWith('blob:')) page.complaints.push(`asks ${request.url()}`);
  });
  page.setDefaultTimeout(120_000);
  await options.prepare?.(page);
  await page.goto(server.url + path);
  return page;
}

export const errorText = async (page) => {
  await page.locator('#error').waitFor();
  return page.locator('#error p').textContent();
};

/** What axe says against a page. */
export async function violations(page) {
  // The page's own policy forbids scripts in tags, which is how others are added.
  await page.evaluate(axe);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join('; ')}`);
}

/** What is narrower or lower than a finger. */
export const small = (page) => page.evaluate(() =>
  [...document.querySelectorAll('button, select, input[type="text"], nav a, .brand')]
    .filter((node) => node.checkVisibility())
    .filter((node) => Math.min(node.getBoundingClientRect().width, node.getBoundingClientRect().height) < 44)
    .map((node) => node.outerHTML));

export const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
