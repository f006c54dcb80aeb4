// Fetches a module and runs its engine: that of the networks, or that of the benchmarks. What else
// is fetched passes here too. In Node.js addresses may be files.

/**
 * The engine crashed. A module of WebAssembly that stopped in the middle of something cannot be
 * entered again, so all that it holds is lost. The next `start` makes another of it.
 */
export class GhostNetCrashed extends Error {
  name = 'GhostNetCrashed';
}

/**
 * Gives `start` for the module at an address: the engine that runs. One is started where there is
 * none, of a module that is fetched and compiled once. `script` imports what tools/build.mjs makes
 * of the module's JavaScript.
 */
export function starter(script, url) {
  let compiled;
  let running;
  const stop = () => (running = undefined);
  return () => {
    running ??= (async () => {
      const fetching = () => fetched(url, {}, 'WebAssembly')
        .then((response) => response.arrayBuffer())
        .then(async (bytes) => ({ module: await WebAssembly.compile(bytes), bytes: bytes.byteLength }))
        .catch((cause) => {
          // Bundlers and their development servers answer what they do not know by a page.
          const why = cause instanceof WebAssembly.CompileError ? `${url}: no WebAssembly: ${cause.message}` : cause.message;
          throw new Error(`${why}; the .wasm files have to lie beside the package's modules (Vite before 8: \`optimizeDeps: { exclude: ['ghostnet'] }\`)`, { cause });
        });
      compiled ??= Promise.all([script(), fetching()]);
      const [{ engine }, module] = await compiled;
      return new Engine(engine, module, stop);
    })().catch((error) => {
      // The next call may have better luck.
      running = compiled = undefined;
      throw error;
    });
    return running;
  };
}

/**
 * What ../../src/web exports, in an instance of the module that nothing else uses. Calls of it
 * go through `call`.
 */
class Engine {
  /** Why it is of no use any more. */
  crashed;
  /** How many entries into the module are under way, one in another. */
  #depth = 0;
  /** Rejects the calls under way. */
  #rejects = new Set();
  #tables;
  #stop;

  constructor(factory, { module, bytes }, stop) {
    this.bytes = bytes;
    this.#stop = stop;
    Object.assign(this, factory((imports) => {
      const { exports } = new WebAssembly.Instance(module, imports);
      this.#tables = Object.values(exports).filter((value) => value instanceof WebAssembly.Table);
      return Object.fromEntries(Object.entries(exports).map(([name, value]) => [name, typeof value === 'function' ? this.#entry(value) : value]));
    }));
  }

  /**
   * What `work` gives, which calls what the engine exports: a value, or a promise. If the engine
   * crashes in `work`, or before the promise is settled, this call fails by that too, no matter in
   * whose call it crashed. Nobody else would settle the promise.
   */
  call(work) {
    let result;
    try {
      if (!this.crashed) result = work(this);
    } finally {
      if (this.crashed) throw this.crashed;
    }
    if (!(result instanceof Promise)) return result;
    return new Promise((resolve, reject) => {
      this.#rejects.add(reject);
      result.then(resolve, reject).finally(() => this.#rejects.delete(reject));
    });
  }

  /**
   * An entry into the module. Whoever calls it passes here: a call, a promise's callback or a
   * browser's. The module itself throws nothing. So what is thrown out of it is a trap (a panic,
   * memory that ran out), or came from the browser and went through Rust, which cannot clean up
   * behind it.
   */
  #entry(enter) {
    return (...values) => {
      if (!this.crashed) {
        this.#depth++;
        try {
          return enter(...values);
        } catch (error) {
          this.#crash(error);
        } finally {
          this.#depth--;
        }
      }
      // Below, the module is on the stack and must not go on. Else `call` tells. A callback of the
      // browser's has nobody to tell, and wasm-bindgen finds no error in here.
      if (this.#depth) throw this.crashed;
      return [];
    };
  }

  #crash(cause) {
    if (this.crashed) return;
    const [reason] = String(cause?.message ?? cause).split('\n');
    this.crashed = new GhostNetCrashed(`the engine crashed (${reason}): networks have to be loaded again`, { cause });
    this.#stop();
    for (const reject of this.#rejects) reject(this.crashed);
    // Their memory must not wait for the garbage collector.
    for (const table of this.#tables) {
      for (let at = 0; at < table.length; at++) {
        const value = table.get(at);
        if (Object.prototype.toString.call(value) === '[object GPUDevice]') value.destroy();
      }
    }
  }
}

/** Nobody answers at an address. */
export class Unreachable extends Error {}

/** Node.js' own modules. An import would be one that bundlers for browsers cannot follow. */
const node = (name) => globalThis.process?.getBuiltinModule?.(`node:${name}`);

/** The whole address of one that a page gives, or of a file's path in Node.js. */
export function resolved(address) {
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  if (!base && !URL.canParse(address) && node('url')) return node('url').pathToFileURL(address).href;
  return new URL(address, base).href;
}

/** The answer at an address. It must be `what`, and no page that says that there is none. */
export async function fetched(url, options, what) {
  const local = /^file:/.test(url) && node('fs');
  let response;
  try {
    response = local ? new Response(await local.promises.readFile(new URL(url))) : await fetch(url, options);
  } catch (cause) {
    if (options?.signal?.aborted) throw options.signal.reason;
    throw new Unreachable(`${url}: cannot be ${local ? 'read' : 'fetched'}: ${cause.message}`, { cause });
  }
  const { ok, status, statusText, headers } = response;
  if (!ok) throw Object.assign(new Error(`${url}: the server answers ${status} ${statusText}`.trimEnd()), { status });
  if (/^text\/html\b/.test(headers.get('content-type'))) throw new Error(`${url}: the server answers with a page (HTML), not with ${what}`);
  return response;
}

/** A response's bytes, which messages call `what`. */
export async function body(response, what, onProgress) {
  // The length of a compressed body is not that of its content.
  const stated = response.headers.has('content-encoding') ? 0 : Number(response.headers.get('content-length'));
  const total = stated || undefined;
  const chunks = [];
  let loaded = 0;
  onProgress?.(0, total);
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read().catch((cause) => {
      if (cause.name === 'AbortError') throw cause;
      throw new Unreachable(`${what}: the download broke off after ${loaded} bytes${total ? ` of ${total}` : ''}: ${cause.message}`, { cause });
    });
    if (done) break;
    chunks.push(value);
    loaded += value.length;
    onProgress?.(loaded, total);
  }
  const bytes = new Uint8Array(loaded);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** As `promise`, but rejects at once when `signal` is aborted, whoever goes on behind it. */
export function abortable(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
    if (signal.aborted) abort();
  });
}
