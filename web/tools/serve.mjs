// Serves dist/ at http://localhost:8000, or at another port: `npm run serve -- PORT`.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serve } from './server.mjs';

const dist = join(dirname(fileURLToPath(import.meta.url)), '../dist');
const { url } = await serve(dist, Number(process.argv[2] ?? 8000));
console.log(`the page is at ${url}`);
