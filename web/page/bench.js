// Runs the benchmark of the kernels and shows what it found.

import { benchKernels } from '../bench.js';
import { $, element } from './dom.js';
import { head, kernel, ofRoof, rates, right, times } from './findings.js';
import { bytes, count, ms, number, percent } from './format.js';
import { roofline } from './roofline.js';

/** What waits until the measurement is over. */
const CONTROLS = ['run', 'model', 'rounds', 'measure'];

let found;
let controller;

async function run() {
  controller = new AbortController();
  for (const id of CONTROLS) $(id).disabled = true;
  for (const id of ['stop', 'running']) $(id).hidden = false;
  for (const id of ['error', 'results']) $(id).hidden = true;
  $('what').textContent = 'Starting…';
  $('status').textContent = 'Measuring';
  $('progress').removeAttribute('value');
  const onProgress = (done, total, what) => {
    [$('progress').max, $('progress').value] = [total, done];
    $('what').textContent = `${done} of ${total}: ${what}`;
  };
  try {
    const options = { model: $('model').value, quick: $('rounds').value === 'quick', signal: controller.signal, onProgress };
    found = await benchKernels(options);
    show(new Date());
    $('status').textContent = `Done: ${found.rows.length} layers`;
  } catch (error) {
    const stopped = controller.signal.aborted;
    $('status').textContent = stopped ? 'Stopped' : '';
    $('error').querySelector('p').textContent = error.message;
    $('error').hidden = stopped;
  } finally {
    for (const id of CONTROLS) $(id).disabled = false;
    for (const id of ['stop', 'running']) $(id).hidden = true;
    $('run').textContent = 'Run again';
  }
}

const title = () => $('model').selectedOptions[0].textContent;

function show(date) {
  const { rows, roofline: roof } = found;
  const fact = (name, value, small, kind) =>
    element('div', { class: kind }, element('dt', {}, name), element('dd', {}, value, element('small', {}, small)));
  const copies = roof.copies.map((copy) => `${number(copy.gb_per_s)} GB/s with ${bytes(copy.bytes)}`).join(' · ');
  $('device').replaceChildren(
    fact('Adapter', found.adapter, [found.backend, found.driver].filter(Boolean).join(', ')),
    fact('Date', date.toLocaleDateString('en-GB', { dateStyle: 'long' }), `ghostnet ${found.version}`),
    fact('All layers', ms(found.total_ms), 'each as often as the network has it'),
    fact('Arithmetic at most', `${number(roof.gflops)} GFLOP/s`, 'multiply-adds from registers'),
    fact('Copies at most', copies, 'bytes of both buffers, read and written', 'wide'));
  $('method').textContent = found.method;
  const subtitle = `${title()}, batch 1, 224 × 224, f32, on ${found.adapter}`;
  $('chart').replaceChildren(roofline(subtitle, roof, rows));
  $('table').replaceChildren(
    head('Layer', 'Of roof', 'Kernel', 'Shape', 'Times', 'µs', 'p10 to p90', 'Share', 'GFLOP/s', 'GB/s'),
    element('tbody', {}, ...rows.map((row) =>
      element('tr', { 'data-kernel': row.kernel },
        element('th', { scope: 'row' }, row.name),
        ofRoof(row),
        kernel(row),
        element('td', { class: 'shape' }, row.shape.replaceAll('x', '×').replace('->', '→')),
        right(count(row.count)),
        ...times(row),
        right(percent(row.share)),
        ...rates(row)))));
  $('results').hidden = false;
}

const json = () => `${JSON.stringify(found, null, 2)}\n`;

$('run').addEventListener('click', run);
$('stop').addEventListener('click', () => {
  $('what').textContent = 'Stopping…';
  controller.abort();
});
$('download').addEventListener('click', () => {
  const link = element('a', { href: URL.createObjectURL(new Blob([json()], { type: 'application/json' })), download: 'kernels.json' });
  link.click();
  URL.revokeObjectURL(link.href);
});
$('copy').addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText(json());
    $('copy').textContent = 'Copied';
  } catch (error) {
    $('copy').textContent = 'Could not be copied';
    $('status').textContent = error.message;
  }
  setTimeout(() => ($('copy').textContent = 'Copy the JSON'), 2000);
});
