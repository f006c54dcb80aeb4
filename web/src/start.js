// Fetches a module and runs its engine: that of the networks, or that of the benchmarks.

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
      const fetching = () => fetched(url)
        .then((response) => response.arrayBuffer())
        .then(async (bytes) => ({ module: await WebAssembly.compile(bytes), bytes: bytes.byteLength }));
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
