// Builds dist/: the package (module, WebAssembly, types, embedded weights) and the page with it.
// `npm run build`.
//
// Needs a Rust toolchain with wasm32-unknown-unknown (`rustup target add wasm32-unknown-unknown`).
// RUSTUP_TOOLCHAIN chooses one, and where a toolchain is linked as `web`, it is taken.
// `npm run build -- --plain` does without the linker of our own: the same, but larger.

import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const web = join(dirname(fileURLToPath(import.meta.url)), '..');
const root = join(web, '..');
const dist = join(web, 'dist');
const target = join(root, 'target');

/** Whether Rust's own linker is taken, as in any other build for WebAssembly. */
const plain = process.argv.includes('--plain');

const run = (command, args, options = {}) => execFileSync(command, args, { cwd: root, stdio: 'inherit', ...options });
const output = (command, args) => {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return '';
  }
};

// Binaryen rewrites a module only with the features it is told of. With all of them, browsers
// reject what it writes.
const WASM_FEATURES = [
  'bulk-memory', 'bulk-memory-opt', 'sign-ext', 'nontrapping-float-to-int', 'mutable-globals', 'multivalue', 'reference-types',
  'call-indirect-overlong', 'simd',
];

function toolchain() {
  if (process.env.RUSTUP_TOOLCHAIN) return process.env.RUSTUP_TOOLCHAIN;
  return output('rustup', ['toolchain', 'list']).split('\n').some((line) => line.split(' ')[0] === 'web') ? 'web' : undefined;
}

// Beside -Oz: functions are structured anew before they are optimised, and those with one caller
// stay where they are. The constant part of an address goes into the instruction, for which nothing
// may lie at addresses below 1024 (the end of the stack does). By name, functions that are alike
// are neighbours. docs/measured.md says what this gains.
const SMALLER = [
  '--flatten', '--rereloop', '-Oz', '-Oz', '--optimize-instructions', '--vacuum', '--one-caller-inline-max-function-size=0', '--always-inline-max-function-size=6', '--low-memory-unused',
  '--debuginfo', '--reorder-functions-by-name',
];

/** Compiles the library with some of its features to `directory/NAME.js` and `directory/NAME_bg.wasm`. */
function compile(directory, name, cargoFeatures) {
  const chosen = toolchain();
  const env = { ...process.env, ...(chosen && { RUSTUP_TOOLCHAIN: chosen }) };
  // Paths of this machine do not belong in the module.
  const home = process.env.CARGO_HOME ?? join(process.env.HOME ?? '', '.cargo');
  env.RUSTFLAGS = `-Ctarget-feature=+simd128 --remap-path-prefix=${root}=. --remap-path-prefix=${home}=cargo`;
  const wasm = 'wasm32-unknown-unknown';
  run('cargo', ['build', '--locked', '--release', '--manifest-path', join(web, 'bindgen/Cargo.toml'), '--target-dir', join(target, 'bindgen')]);
  // Takes out the messages of panics: see bindgen/src/linker.rs.
  if (!plain) env.CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER = join(target, 'bindgen/release/linker');
  run('cargo', [
    'rustc', '--locked', '-p', 'ghostnet', '--lib', '--crate-type', 'cdylib', '--profile', 'web', '--target', wasm, '--target-dir', join(target, 'wasm'),
    '--no-default-features', '--features', cargoFeatures,
  ], { env });
  run(join(target, 'bindgen/release/bindgen'), [join(target, 'wasm', wasm, 'web/ghostnet.wasm'), directory, name]);
  const module = join(directory, `${name}_bg.wasm`);
  const features = WASM_FEATURES.map((feature) => `--enable-${feature}`);
  const capture = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] };
  const optimise = (passes) => execFileSync(join(web, 'node_modules/.bin/wasm-opt'), [...features, ...passes, module, '-o', module], capture);
  optimise(SMALLER);
  const script = join(directory, `${name}.js`);
  makeFactory(script);
  shortenNames(script, JSON.parse(optimise(['--strip-debug', '--strip-producers', '--strip-target-features', '--minify-imports-and-exports-and-modules'])));
}

/**
 * Makes what wasm-bindgen wrote a function that makes an instance each time it is called:
 * `engine(instantiate)`, where `instantiate` takes the imports and gives the exports.
 * wasm-bindgen's code keeps one instance of the module in variables of its own. As a function, a
 * crashed instance shares nothing with the next, and web/src/start.js sees all that goes into one.
 */
function makeFactory(file) {
  const text = readFileSync(file, 'utf8');
  // Behind it is only what fetches the module and starts it.
  const end = text.indexOf('let wasmModule, wasmInstance, wasm;\n');
  const names = [];
  const body = text.slice(0, end).replace(/^export (class|function) (\w+)/gm, (_, kind, name) => {
    names.push(name);
    return `${kind} ${name}`;
  });
  const start = text.slice(end);
  const expected = end > 0 && names.length > 0 && !/^export /m.test(body) && start.includes('wasm.__wbindgen_start();') && start.includes('const imports = __wbg_get_imports();');
  if (!expected) throw new Error(`${file}: wasm-bindgen writes its JavaScript in another form now`);
  writeFileSync(file, `export function engine(instantiate) {
${body}
const wasm = instantiate(__wbg_get_imports());
wasm.__wbindgen_start();
return { ${names.join(', ')} };
}
`);
}

/**
 * Gives the module's imports and exports in the JavaScript beside it the names of a letter or two
 * that they have in the module now. wasm-bindgen's carry hashes, and compress badly.
 */
function shortenNames(file, { imports, exports }) {
  const short = new Map([...imports.map(([, name, short]) => [name, short]), ...imports.map(([module]) => [module, 'a'])]);
  const exported = new Map(exports.map(([name, short]) => [name, short]));
  const text = readFileSync(file, 'utf8')
    .replace(/^( +)(\w+|"[^"\n]*"): /gm, (all, space, key) => {
      const name = short.get(key.replaceAll('"', ''));
      return name ? `${space}${name}: ` : all;
    })
    .replace(/\bwasm\.(\w+)/g, (all, name) => (exported.has(name) ? `wasm.${exported.get(name)}` : all));
  writeFileSync(file, text);
}

/**
 * Takes out of the package's modules what only people read. The sources are what web/src and
 * wasm-bindgen hold.
 */
async function minify(directory) {
  for (const name of readdirSync(directory).filter((name) => name.endsWith('.js'))) {
    const file = join(directory, name);
    const { code } = await terser(readFileSync(file, 'utf8'), { module: true, ecma: 2022, compress: { passes: 3 } });
    writeFileSync(file, code);
  }
}

if (!existsSync(join(web, 'node_modules/terser'))) run('npm', ['ci', '--no-audit', '--no-fund'], { cwd: web });
const { minify: terser } = await import('terser');
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
compile(dist, 'gpu_engine', 'web,without_cpu');
compile(dist, 'cpu_engine', 'web,without_gpu');
compile(dist, 'bench_engine', 'web_bench');
compile(dist, 'detect_engine', 'web_detect');
cpSync(join(web, 'src'), dist, { recursive: true });
await minify(dist);
cpSync(join(root, 'assets/ghostnet_050_cifar10.safetensors'), join(dist, 'ghostnet_050_cifar10.safetensors'));
cpSync(join(root, 'assets/imagenet_labels.txt'), join(dist, 'imagenet_labels.txt'));
for (const licence of ['LICENSE-APACHE', 'LICENSE-MIT']) cpSync(join(root, licence), join(dist, licence));
for (const part of ['index.html', 'bench.html', 'page']) {
  if (existsSync(join(web, part))) cpSync(join(web, part), join(dist, part), { recursive: true });
}
cpSync(join(root, 'assets/images'), join(dist, 'images'), { recursive: true });
