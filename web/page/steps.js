// The steps of a run by time: a table whose rows are bars, coloured by kernel as in
// cli/src/report/chart.rs.

import { $, bar, element } from './dom.js';
import { number, percent } from './format.js';

/** Rows shown before somebody asks for all. */
const FEW = 16;
let steps = [];
let all = false;

function draw() {
  const total = steps.reduce((sum, step) => sum + step.ms, 0) || 1;
  const longest = Math.max(...steps.map((step) => step.ms)) || 1;
  const kernels = new Map();
  for (const { kernel, ms } of steps) kernels.set(kernel, (kernels.get(kernel) ?? 0) + ms);
  const shares = [...kernels].sort((a, b) => b[1] - a[1]);
  const order = $('order').value === 'time' ? [...steps].sort((a, b) => b.ms - a.ms) : steps;
  const rows = order.slice(0, all ? order.length : FEW).map(({ name, kernel, ms }) =>
    element('tr', { 'data-kernel': kernel },
      element('th', { scope: 'row' }, name),
      element('td', { class: 'kernel' }, kernel),
      element('td', { class: 'length' }, bar(ms / longest)),
      element('td', { class: 'right' }, `${number(ms)} ms`),
      element('td', { class: 'right part' }, percent(ms / total))));

  const more = element('button', { type: 'button', id: 'more-steps' }, all ? `Show ${FEW} steps` : `Show all ${steps.length} steps`);
  more.hidden = steps.length <= FEW;
  more.addEventListener('click', () => {
    all = !all;
    draw();
    $('more-steps').focus();
  });
  const head = [['Step', ''], ['Kernel', 'kernel'], ['', 'length'], ['Time', 'right'], ['Share', 'right part']];
  $('chart').replaceChildren(
    element('div', { class: 'shares', 'aria-hidden': 'true' },
      ...shares.map(([kernel, ms]) => bar(ms / total, { 'data-kernel': kernel }))),
    element('ul', { class: 'legend', 'aria-label': 'Time by kernel' },
      ...shares.map(([kernel, ms]) => element('li', { 'data-kernel': kernel }, `${kernel} ${percent(ms / total)}`))),
    element('table', { class: 'steps', 'aria-label': 'Steps by time' },
      element('thead', {}, element('tr', {}, ...head.map(([name, kind]) =>
        (name ? element('th', { scope: 'col', class: kind }, name) : element('td', { class: kind }))))),
      element('tbody', {}, ...rows)),
    more);
  $('steps-note').textContent = `${steps.length} steps, ${number(total)} ms in all`;
}

/** Shows what `net.profile` gave. */
export function showSteps(profile) {
  steps = profile;
  draw();
}

/** Shows nothing. */
export function clearSteps() {
  steps = [];
  $('chart').replaceChildren();
  $('steps-note').textContent = '';
}

$('order').addEventListener('change', () => steps.length && draw());
