// Weights: from an address, a model hub, a file or bytes. What came from elsewhere is kept in the
// browser's Cache API once it has proved to be of use.

import { Unreachable, body, fetched, resolved } from './start.js';

const CACHE = 'ghostnet-weights';
const HUB = 'https://huggingface.co';

/**
 * The bytes of weights: `bytes`, what messages call them (`origin`), and the `config` beside them,
 * if there is one. `keep` keeps them for the next visit, `forget` takes out what was kept.
 */
export async function read(weights, options) {
  if (typeof weights === 'string' && isHubId(weights)) return fromHub(weights, options);
  if (typeof weights === 'string' || weights instanceof URL) return download(resolved(weights), String(weights), options);
  const [bytes, origin] = await held(weights);
  options.onProgress?.(bytes.length, bytes.length);
  return { bytes, origin };
}

async function held(weights) {
  if (weights instanceof Blob) return [new Uint8Array(await weights.arrayBuffer()), weights.name ?? 'weights'];
  if (weights instanceof ArrayBuffer) return [new Uint8Array(weights), 'weights'];
  if (ArrayBuffer.isView(weights)) return [new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength), 'weights'];
  const kind = Object.prototype.toString.call(weights).slice(8, -1);
  throw new TypeError(`weights are an address, a hub's id, a File or Blob, or bytes, not ${kind}`);
}

/** OWNER/NAME by the hub's rule, and no file of weights. src/hub/choice.rs has the same rule. */
function isHubId(text) {
  const isPart = (part) => /^[A-Za-z0-9_][\w.-]*$/.test(part) && !/[-.]$|--|\.\./.test(part);
  const parts = text.split('/');
  return text.length <= 96 && parts.length === 2 && parts.every(isPart) && !/\.(safetensors|onnx|pth|pt|bin)$/i.test(text);
}

// There is no cache on insecure pages or in Node.js, and none may be allowed. Then weights are
// fetched each time.
const cacheFor = async (url, cache) => (cache && /^https?:/.test(url) ? globalThis.caches?.open(CACHE).catch(() => undefined) : undefined);

/**
 * The bytes at an address. Those that were kept are taken unless the server has others now; at an
 * address whose content `isFixed` nobody asks. What `check` throws of new ones is thrown.
 */
async function download(url, origin, { cache, onProgress, signal, isFixed, check }) {
  const store = await cacheFor(url, cache);
  const hit = await store?.match(url);
  let response = hit;
  if (!(hit && (isFixed || (await isCurrent(url, hit, signal))))) {
    response = await fetched(url, { cache: 'no-cache', signal }, 'weights').catch((error) => {
      // What was kept is better than nothing.
      if (hit && error instanceof Unreachable) return hit;
      throw error;
    });
  }
  const bytes = await body(response, origin, onProgress);
  if (response === hit) return { bytes, origin, forget: () => store.delete(url) };
  await check?.(bytes);
  const headers = { 'content-length': bytes.length };
  for (const name of VALIDATORS) if (response.headers.has(name)) headers[name] = response.headers.get(name);
  // A full disk is no reason to fail.
  return { bytes, origin, keep: async () => store?.put(url, new Response(bytes, { headers })).catch(() => {}) };
}

/** What tells a new version from an old one. The first that both answers have decides. */
const VALIDATORS = ['etag', 'last-modified'];

/** Whether the server still has what was kept. A HEAD needs no leave of another site. */
async function isCurrent(url, hit, signal) {
  const answer = await fetch(url, { method: 'HEAD', cache: 'no-cache', signal }).catch(() => undefined);
  signal?.throwIfAborted();
  if (!answer?.ok) return false;
  const plain = (headers, name) => headers.get(name)?.replace(/^W\//, '');
  const name = VALIDATORS.find((name) => hit.headers.has(name) && answer.headers.has(name));
  return name !== undefined && plain(hit.headers, name) === plain(answer.headers, name);
}

/**
 * The weights of a model's newest revision and its config.json. They are kept by revision. Without
 * a connection the revision that was kept last is taken.
 */
async function fromHub(repo, { hub = HUB, ...options }) {
  const endpoint = hub.replace(/\/+$/, '');
  const { sha, siblings, keep: keepList } = await list(endpoint, repo, options);
  const names = siblings.map(({ rfilename }) => rfilename);
  const name = choose(names);
  if (!name) throw new Error(`\`${repo}\` has no .safetensors or .onnx file with weights: ${names.length ? `it has ${names.slice(0, 12).join(', ')}${names.length > 12 ? ` and ${names.length - 12} more` : ''}` : 'it is empty'}`);
  const folder = `${endpoint}/${repo}/resolve/`;
  const get = (file, more) => {
    const { size, lfs } = siblings.find(({ rfilename }) => rfilename === file);
    const origin = `${repo}/${file}`;
    const check = (bytes) => compare(bytes, origin, size, lfs?.sha256);
    return download(`${folder}${sha}/${file}`, origin, { ...options, isFixed: true, check, ...more });
  };
  const config = names.includes('config.json') ? await get('config.json', { onProgress: undefined }) : undefined;
  const weights = await get(name);
  const files = [weights, config].filter(Boolean);
  return {
    ...weights,
    config: config?.bytes,
    keep: async () => {
      // Older revisions make room.
      const store = await cacheFor(endpoint, options.cache);
      for (const { url } of (await store?.keys()) ?? []) {
        if (url.startsWith(folder) && !url.startsWith(`${folder}${sha}/`)) await store.delete(url);
      }
      await Promise.all([keepList?.(), ...files.map((file) => file.keep?.())]);
    },
    forget: () => Promise.all(files.map((file) => file.forget?.())),
  };
}

/** What a model's repository holds: its revision, and its files with their sizes and digests. */
async function list(endpoint, repo, { cache, signal }) {
  const url = `${endpoint}/api/models/${repo}/revision/main?blobs=true`;
  const store = await cacheFor(url, cache);
  let response;
  try {
    response = await fetched(url, { cache: 'no-cache', signal }, 'a list of files');
  } catch (error) {
    const kept = error instanceof Unreachable ? await store?.match(url) : undefined;
    if (kept) return kept.json();
    // The public hub answers 401 for what does not exist as well.
    if ([401, 403, 404].includes(error.status)) throw new Error(`no model \`${repo}\` at ${endpoint}, or it is private (${error.status})`, { cause: error });
    throw error;
  }
  const text = new TextDecoder().decode(await body(response, url));
  try {
    const { sha, siblings } = JSON.parse(text);
    if (!/^\w+$/.test(sha) || !siblings.every(({ rfilename }) => typeof rfilename === 'string')) throw new Error('it names no revision');
    return { sha, siblings, keep: () => store?.put(url, new Response(text)).catch(() => {}) };
  } catch (cause) {
    throw new Error(`${endpoint} does not answer like a model hub: ${cause.message.split('\n')[0]}`, { cause });
  }
}

/** The file of weights to take, in the order of src/hub/choice.rs, of those that browsers read. */
function choose(names) {
  const isShard = (name) => /-\d+-of-\d+\./.test(name);
  const rank = (name) => (name === 'model.safetensors' ? 0 : ['.safetensors', '.onnx'].findIndex((end) => name.endsWith(end)) + 1);
  const known = names.filter((name) => /^\w[\w.-]*\.(safetensors|onnx)$/.test(name) && !isShard(name));
  return known.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))[0];
}

/** Compares a file with what the hub says of it. */
async function compare(bytes, origin, size, sha256) {
  if (size !== undefined && size !== bytes.length) throw new Error(`${origin}: cut off or damaged: ${bytes.length} bytes arrived, the hub has ${size}`);
  // Only secure pages compute one.
  if (!sha256 || !globalThis.crypto?.subtle) return;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  if (found !== sha256) throw new Error(`${origin}: damaged: its SHA-256 is ${found}, the hub has ${sha256}`);
}
