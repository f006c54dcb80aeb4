// README's pictures of the page, by day and by night, in headless Chromium: `npm run pictures`
// (after `npm run build`).

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dist, launch, root } from '../tests/browser.mjs';
import { serve } from './server.mjs';

// As wide as a README is shown, with half as many pixels again: to be read at half the size too.
const [WIDTH, HEIGHT, SCALE] = [840, 1000, 1.5];

/** In a page: a PNG as WebP, which a browser can write and Node.js cannot. */
async function webp(png) {
  const picture = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  canvas.getContext('2d').drawImage(picture, 0, 0);
  const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: 'image/webp', quality: 0.85 })).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}

const server = await serve(dist);
const browser = await launch();
try {
  for (const colorScheme of ['light', 'dark']) {
    const context = await browser.newContext({ viewport: { width: WIDTH, height: HEIGHT }, deviceScaleFactor: SCALE, colorScheme });
    const page = await context.newPage();
    await page.goto(`${server.url}index.html`);
    page.setDefaultTimeout(120_000);
    const timed = () => page.locator('#latency').getByText(/^[\d.]+ m?s$/).waitFor();
    await timed();
    // The first picture's time is that of a device that has just been opened.
    for (const label of ['horse', 'cat']) {
      await page.getByRole('button', { name: `a ${label}`, exact: true }).click();
      await page.locator('#picture').and(page.getByAltText(`a ${label}`)).waitFor();
      // The classes of the picture before stay until there are others.
      await page.locator('#classes li').first().getByText(label, { exact: true }).waitFor();
      await timed();
    }
    await page.locator('#latency-note').getByText(/^median of the last \d+$/).waitFor();
    await page.waitForFunction(() => [...document.images].every((image) => image.complete));
    const png = await page.screenshot({ animations: 'disabled' });
    // The page's own policy forbids addresses of data.
    const empty = await context.newPage();
    const bytes = Buffer.from(await empty.evaluate(webp, png.toString('base64')), 'base64');
    const file = join(root, `assets/readme/browser-${colorScheme}.webp`);
    writeFileSync(file, bytes);
    console.log(`${file}: ${bytes.length} bytes`);
    await context.close();
  }
} finally {
  await browser.close();
  await server.close();
}
