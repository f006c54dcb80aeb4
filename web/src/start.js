// Fetches and starts the engine, which the package and the benchmark share.

import init from './engine.js';

let started;

/** Fetches and starts the module, once; resolves to its size in bytes. */
export function start() {
  started ??= (async () => {
    const bytes = await (await fetched(new URL('./engine_bg.wasm', import.meta.url))).arrayBuffer();
    await init({ module_or_path: bytes });
    return bytes.byteLength;
  })().catch((error) => {
    // The next call may have better luck.
    started = undefined;
    throw error;
  });
  return started;
}

export async function fetched(url) {
  let response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw new Error(`${url}: cannot be fetched: ${error.message}`, { cause: error });
  }
  if (!response.ok) throw new Error(`${url}: the server answers ${response.status} ${response.statusText}`.trimEnd());
  return response;
}
