// Measures one kernel on a shape that is typed in. Each measurement is a row on top of those before.

import { benchKernel, kernels } from '../bench.js';
import { $, element } from './dom.js';
import { head, micro, ofRoof, rates, right, times } from './findings.js';
import { count } from './format.js';

let cases = [];

const fail = (error) => {
  $('alone-status').textContent = '';
  $('alone-error').querySelector('p').textContent = error.message;
  $('alone-error').hidden = false;
};

/** Shows what the chosen kernel takes, and a shape that it has. */
function choose() {
  const { usage, example } = cases.find(({ name }) => name === $('kernel').value);
  $('usage').textContent = usage;
  $('case').value = example;
}

async function measure(event) {
  event.preventDefault();
  // A control that is disabled loses the focus.
  const focused = document.activeElement;
  for (const id of ['measure', 'run']) $(id).disabled = true;
  $('alone-error').hidden = true;
  $('alone-status').textContent = 'Measuring';
  $('measure').textContent = 'Measuring…';
  try {
    const options = { precision: $('precision').value, quick: $('alone-rounds').value === 'quick' };
    show(await benchKernel($('kernel').value, $('case').value, options));
  } catch (error) {
    fail(error);
  } finally {
    for (const id of ['measure', 'run']) $(id).disabled = false;
    $('measure').textContent = 'Measure';
    focused.focus();
  }
}

function show({ rows: [row], adapter, method }) {
  const table = $('alone-table');
  if (!table.tHead) table.append(head('Case', 'Of roof', 'µs', 'p10 to p90', 'Workgroups', 'GFLOP/s', 'GB/s'), element('tbody'));
  const name = element('th', { scope: 'row' }, element('span', { class: 'dot' }), row.name);
  table.tBodies[0].prepend(element('tr', { 'data-kernel': row.kernel }, name, ofRoof(row), ...times(row), right(count(row.workgroups)), ...rates(row)));
  $('alone-method').textContent = `On ${adapter}: ${method}`;
  $('alone-results').hidden = false;
  $('alone-status').textContent = `Done: ${micro(row.ms)} microseconds`;
}

$('kernel').addEventListener('change', choose);
$('alone').addEventListener('submit', measure);
try {
  cases = await kernels();
  $('kernel').replaceChildren(...cases.map(({ name }) => element('option', { value: name, selected: name === 'ghost' }, name)));
  choose();
  $('measure').disabled = false;
} catch (error) {
  fail(error);
}
