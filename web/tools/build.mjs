// Builds dist/: the package (module, WebAssembly, types, embedded weights) and the page with it. `npm run build`.
//
// Needs a Rust toolchain with wasm32-unknown-unknown (`rustup target add wasm32-unknown-unknown`); RUSTUP_TOOLCHAIN chooses one, and where
// a toolchain is linked as `web`, it is taken.

import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const web = join(dirname(fileURLToPath(import.meta.url)), '..');
const root = join(web, '..');
const dist = join(web, 'dist');
const target = join(root, 'target');

const run = (command, args, options = {}) => execFileSync(command, args, { cwd: root, stdio: 'inherit', ...options });
const output = (command, args) => {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return '';
  }
};

// Binaryen rewrites a module only with the features it is told of; with all of them, browsers reject what it writes.
const WASM_FEATURES = [
  'bulk-memory', 'bulk-memory-opt', 'sign-ext', 'nontrapping-float-to-int', 'mutable-globals', 'multivalue', 'reference-types',
  'call-indirect-overlong', 'simd',
];

function toolchain() {
  if (process.env.RUSTUP_TOOLCHAIN) return process.env.RUSTUP_TOOLCHAIN;
  return output('rustup', ['toolchain', 'list']).split('\n').some((line) => line.split(' ')[0] === 'web') ? 'web' : undefined;
}

/** Compiles the library to `directory/engine.js` and `directory/engine_bg.wasm`. */
function compile(directory) {
  const chosen = toolchain();
  const env = { ...process.env, ...(chosen && { RUSTUP_TOOLCHAIN: chosen }) };
  // Paths of this machine do not belong in the module.
  const home = process.env.CARGO_HOME ?? join(process.env.HOME ?? '', '.cargo');
  env.RUSTFLAGS = `-Ctarget-feature=+simd128 --remap-path-prefix=${root}=. --remap-path-prefix=${home}=cargo`;
  const wasm = 'wasm32-unknown-unknown';
  run('cargo', [
    'rustc', '--locked', '--lib', '--crate-type', 'cdylib', '--profile', 'web', '--target', wasm, '--target-dir', join(target, 'wasm'),
    '--no-default-features', '--features', 'web',
  ], { env });
  run('cargo', ['build', '--locked', '--release', '--manifest-path', join(web, 'bindgen/Cargo.toml'), '--target-dir', join(target, 'bindgen')]);
  run(join(target, 'bindgen/release/bindgen'), [join(target, 'wasm', wasm, 'web/ghostnet.wasm'), directory, 'engine']);
  const module = join(directory, 'engine_bg.wasm');
  run(join(web, 'node_modules/.bin/wasm-opt'), ['-Oz', ...WASM_FEATURES.map((f) => `--enable-${f}`), module, '-o', module]);
}

if (!existsSync(join(web, 'node_modules/binaryen'))) run('npm', ['ci', '--no-audit', '--no-fund'], { cwd: web });
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
compile(dist);
cpSync(join(web, 'src'), dist, { recursive: true });
cpSync(join(root, 'assets/ghostnet_050_cifar10.safetensors'), join(dist, 'ghostnet_050_cifar10.safetensors'));
for (const part of ['index.html', 'bench.html', 'page']) {
  if (existsSync(join(web, part))) cpSync(join(web, part), join(dist, part), { recursive: true });
}
cpSync(join(root, 'assets/images'), join(dist, 'images'), { recursive: true });
