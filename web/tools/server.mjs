// A static server for the page and its tests.

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize, sep } from 'node:path';

const TYPES = {
  '.css': 'text/css', '.html': 'text/html', '.jpg': 'image/jpeg', '.js': 'text/javascript', '.json': 'application/json', '.mjs': 'text/javascript',
  '.png': 'image/png', '.svg': 'image/svg+xml', '.wasm': 'application/wasm',
};

/** The file that `path` names below `directory`, or null. */
async function find(directory, path) {
  const file = normalize(join(directory, path));
  if (file !== directory && !file.startsWith(directory + sep)) return null;
  const found = await stat(file).catch(() => null);
  if (found?.isDirectory()) return path.endsWith('/') ? find(directory, path + 'index.html') : null;
  return found && { file, size: found.size };
}

/**
 * Serves the files of `directory` on this machine only. Port 0 is any that is free. `routes` maps a
 * path to a handler of its own. Resolves to the address and a function that stops the server.
 */
export async function serve(directory, port = 0, routes = {}) {
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
    if (routes[path]) return routes[path](request, response);
    const found = await find(normalize(directory), path);
    if (!found) {
      response.writeHead(404, { 'content-type': 'text/plain' });
      return response.end('not found');
    }
    const type = TYPES[extname(found.file)] ?? 'application/octet-stream';
    // Rebuilding must show at once.
    response.writeHead(200, { 'content-type': type, 'content-length': found.size, 'cache-control': 'no-cache' });
    if (request.method === 'HEAD') return response.end();
    createReadStream(found.file).on('error', () => response.destroy()).pipe(response);
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  return {
    url: `http://localhost:${server.address().port}/`,
    close: () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); }),
  };
}
