// Moving pictures for the tests, and detectors where they lie beside the clone.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch, root, site } from './browser.mjs';

const SHARED = join(process.env.GHOSTNET_SHARED ?? join(root, '../shared'), 'data');

/** Cards of trained networks, and what these detect in photos; undefined where they are not. */
export function expected() {
  const file = join(SHARED, 'detect/expected.json');
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
}

/** A trained network's bytes and card, or undefined where there is none. */
export function trained(name) {
  const [file, said] = [join(SHARED, 'models', `${name}.onnx`), expected()];
  return said && existsSync(file) ? { weights: readFileSync(file), card: said.cards[name] } : undefined;
}

/** RGBA bytes of the astronaut's photo, as a browser decodes it. */
export async function astronaut() {
  const browser = await launch({ webgpu: false });
  const { open, close } = await site(browser);
  const page = await open();
  const [width, height, text] = await page.evaluate(async () => {
    const picture = await createImageBitmap(await (await fetch('/images/astronaut.jpg')).blob());
    const context = new OffscreenCanvas(picture.width, picture.height).getContext('2d');
    context.drawImage(picture, 0, 0);
    const { data } = context.getImageData(0, 0, picture.width, picture.height);
    let text = '';
    for (let at = 0; at < data.length; at += 1 << 15) text += String.fromCharCode(...data.subarray(at, at + (1 << 15)));
    return [picture.width, picture.height, btoa(text)];
  });
  await browser.close();
  await close();
  return { data: new Uint8Array(Buffer.from(text, 'base64')), width, height };
}

/** The picture moved by whole pixels, right and down. Its edge goes on where nothing is left. */
export function shifted({ data, width, height }, right, down) {
  const moved = new Uint8Array(data.length);
  const within = (at, size) => Math.min(size - 1, Math.max(0, at));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = 4 * (within(y - down, height) * width + within(x - right, width));
      moved.set(data.subarray(from, from + 4), 4 * (y * width + x));
    }
  }
  return { data: moved, width, height };
}

/** Arguments by which Chromium's camera shows RGBA pictures, over and over, of a file in a directory. */
export function camera(directory, frames) {
  const file = join(directory, 'camera.y4m');
  writeFileSync(file, y4m(frames));
  return ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', `--use-file-for-fake-video-capture=${file}`];
}

/** A video file of RGBA pictures. */
function y4m(frames, rate = 30) {
  const [{ width, height }] = frames;
  const parts = [Buffer.from(`YUV4MPEG2 W${width} H${height} F${rate}:1 Ip A1:1 C420jpeg\n`)];
  for (const { data } of frames) {
    const [luma, u, v] = [Buffer.alloc(width * height), Buffer.alloc((width * height) / 4), Buffer.alloc((width * height) / 4)];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = y * width + x;
        const [r, g, b] = data.subarray(4 * at, 4 * at + 3);
        luma[at] = 16 + 0.257 * r + 0.504 * g + 0.098 * b;
        if (x % 2 || y % 2) continue;
        const half = (y / 2) * (width / 2) + x / 2;
        u[half] = 128 - 0.148 * r - 0.291 * g + 0.439 * b;
        v[half] = 128 + 0.439 * r - 0.368 * g - 0.071 * b;
      }
    }
    parts.push(Buffer.from('FRAME\n'), luma, u, v);
  }
  return Buffer.concat(parts);
}
