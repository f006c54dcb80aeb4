// Pictures: whatever a browser can show, to what the engine takes.

import { abortable, fetched, resolved } from './start.js';

/** A texture's longest side that every device takes. Larger pictures are made smaller. */
const LARGEST = 8192;

/** Pixels of the largest canvas that is kept for the next picture. */
const KEPT = 1 << 21;

/** An object's class, for objects of other windows too. */
export const kind = (value) => Object.prototype.toString.call(value).slice(8, -1);

/** What messages call a picture. */
function called(source) {
  const name = source.name || source.currentSrc || source.src;
  // A picture may be in its own address.
  return name ? `${kind(source)} ${name.length > 100 ? `${name.slice(0, 100)}…` : name}` : kind(source);
}

/**
 * What `read` reads of a picture. Where the browser refuses, it is an error that says of what, and
 * why.
 */
export async function readable(source, read) {
  try {
    return await read();
  } catch (cause) {
    const why = cause.name === 'SecurityError' ? 'those of another site need CORS; ' : '';
    const [reason] = cause.message.split('\n');
    throw new Error(`${called(source)}: the browser does not give its pixels: ${why}${reason}`, { cause });
  }
}

/** Whether these are an image's own RGBA bytes: ImageData, or `{ data, width, height }`. */
export const isPixels = (source) => ['ImageData', 'Object'].includes(kind(source)) && ['Uint8ClampedArray', 'Uint8Array'].includes(kind(source.data));

/** The RGBA bytes of a picture. */
export async function pixels(source, signal) {
  if (isPixels(source)) {
    const { data, width, height } = source;
    return readable(source, () => ({ data: new Uint8Array(data.buffer, data.byteOffset, data.length), width, height }));
  }
  const drawn = await drawable(source, signal);
  try {
    return await drawnPixels(source, drawn);
  } finally {
    drawn.close();
  }
}

/** That of the canvas on which the last picture was drawn: frames of a video have one size. */
let last;

/** The RGBA bytes of what `drawable` gave for a picture. */
export function drawnPixels(source, { picture, width, height }) {
  return readable(source, async () => {
    const fits = last?.canvas.width === width && last.canvas.height === height;
    const context = fits ? last : new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
    // A canvas that may not be read is not used again.
    last = undefined;
    context.clearRect(0, 0, width, height);
    context.drawImage(picture, 0, 0, width, height);
    const multiplied = new Uint8Array(context.getImageData(0, 0, width, height).data.buffer);
    if (width * height <= KEPT) last = context;
    const isBitmap = kind(picture) === 'ImageBitmap';
    const data = isBitmap && find(multiplied, (alpha) => alpha < 255) ? ((await straight(picture)) ?? multiplied) : multiplied;
    return { data, width, height };
  });
}

/** Whether RGBA bytes hold such a pixel, of an alpha and colours. */
function find(rgba, isSuch) {
  for (let at = 0; at < rgba.length; at += 4) if (isSuch(rgba[at + 3], rgba[at] | rgba[at + 1] | rgba[at + 2])) return true;
  return false;
}

/**
 * The RGBA bytes of a bitmap, colours as the file has them. A canvas multiplies colours by alpha,
 * so that none are left where that is 0. A frame does so in Chromium, but not in Firefox; WebGL
 * does not, but is not always there. Undefined where both fail.
 */
async function straight(bitmap) {
  const framed = await ofFrame(bitmap).catch(() => undefined);
  return framed && find(framed, (alpha, colours) => alpha === 0 && colours > 0) ? framed : ofTexture(bitmap);
}

async function ofFrame(bitmap) {
  const frame = new VideoFrame(bitmap, { timestamp: 0 });
  try {
    const data = new Uint8Array(frame.allocationSize({ format: 'RGBA' }));
    const [{ stride }] = await frame.copyTo(data, { format: 'RGBA' });
    return stride === bitmap.width * 4 ? data : undefined;
  } finally {
    frame.close();
  }
}

function ofTexture(bitmap) {
  const { width, height } = bitmap;
  const gl = new OffscreenCanvas(1, 1).getContext('webgl');
  if (!gl) return undefined;
  try {
    if (Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return undefined;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
    gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    const data = new Uint8Array(width * height * 4);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
    return gl.getError() === gl.NO_ERROR ? data : undefined;
  } finally {
    // Browsers allow a few contexts at a time.
    gl.getExtension('WEBGL_lose_context')?.loseContext();
  }
}

/**
 * What can be drawn or copied to a texture, with its size, and what closes it if it was made here.
 * `hasAlpha` where it is known to: Firefox copies no colours to a texture where alpha is 0.
 */
export async function drawable(source, signal) {
  switch (kind(source)) {
    case 'String':
    case 'URL': {
      const response = await fetched(resolved(source), { signal }, 'a picture');
      return bitmapOf(await response.blob(), String(source));
    }
    case 'Blob':
    case 'File':
      return bitmapOf(source, source.name || 'image');
    case 'HTMLImageElement':
      if (!source.complete) {
        // One that waits until it is scrolled into view might never come.
        source.loading = 'eager';
        await readable(source, () => abortable(source.decode(), signal));
      }
      return own(await readable(source, () => bitmap(source)));
    case 'ImageData':
      return own(await readable(source, () => bitmap(source)));
    case 'HTMLVideoElement':
    case 'VideoFrame':
      if (source.videoWidth === 0) throw new Error('image: 0 x 0 has no pixels');
      return { ...(await own(await readable(source, () => bitmap(source)))), hasAlpha: false };
    case 'ImageBitmap':
    case 'HTMLCanvasElement':
    case 'OffscreenCanvas': {
      const { width, height } = source;
      // One that was closed has no size.
      if (!(width && height)) throw new Error(`image: ${width} x ${height} has no pixels`);
      if (Math.max(width, height) > LARGEST) return own(await readable(source, () => bitmap(source)));
      return { picture: source, width, height, close() {} };
    }
    default:
      throw new TypeError(`a picture is an address, ImageBitmap, ImageData, image, video, canvas, VideoFrame, Blob or { data, width, height }, not ${kind(source)}`);
  }
}

// A texture takes frames too, but Chromium without a real GPU then loses the device.
// Like the command: turned as EXIF says, colour profiles ignored, alpha dropped, not blended.
const bitmap = (source, size) => createImageBitmap(source, { imageOrientation: 'from-image', colorSpaceConversion: 'none', premultiplyAlpha: 'none', ...size });

async function bitmapOf(blob, name) {
  if (!globalThis.createImageBitmap) throw new Error(`${name}: nothing decodes images here: give { data, width, height }, of RGBA bytes`);
  return own(await bitmap(blob).catch((cause) => {
    throw new Error(`${name}: not an image that this browser can decode`, { cause });
  }));
}

/** A bitmap made here, made smaller if no texture takes it. */
async function own(whole) {
  const scale = LARGEST / Math.max(whole.width, whole.height);
  let picture = whole;
  if (scale < 1) {
    const [resizeWidth, resizeHeight] = [whole.width, whole.height].map((side) => Math.max(1, Math.round(side * scale)));
    picture = await bitmap(whole, { resizeWidth, resizeHeight, resizeQuality: 'high' });
    whole.close();
  }
  return { picture, width: picture.width, height: picture.height, hasAlpha: hasAlpha(picture), close: () => picture.close() };
}

function hasAlpha(bitmap) {
  try {
    const frame = new VideoFrame(bitmap, { timestamp: 0 });
    const { format } = frame;
    frame.close();
    return /A$/.test(format);
  } catch {
    return false;
  }
}
