export const $ = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, '');
    else if (value !== false && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** An element with attributes and children; text is never read as HTML. */
export const element = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

export const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);

/**
 * An element as long as `share` says. Style attributes are forbidden by the page's policy,
 * properties are not.
 */
export function bar(share, attributes = {}) {
  const node = element('span', attributes);
  node.style.width = `${(100 * share).toFixed(2)}%`;
  return node;
}
