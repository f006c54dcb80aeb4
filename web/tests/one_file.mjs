// Networks in one file, made here.

/**
 * The bytes of a one-file network: a graph (src/graph/json.rs), a card and weights, each with its
 * name, shape and values.
 */
export function oneFile(graph, card, weights = []) {
  let end = 0;
  const tensors = weights.map(([name, shape, values]) => {
    const start = end;
    end += 4 * values.length;
    return [name, { dtype: 'F32', shape, data_offsets: [start, end] }];
  });
  const metadata = { format: 'ghostnet', version: '1', graph: JSON.stringify(graph), card: JSON.stringify(card) };
  const header = Buffer.from(JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(tensors) }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const data = Float32Array.from(weights.flatMap(([, , values]) => values));
  return Buffer.concat([length, header, Buffer.from(data.buffer)]);
}

/** Weights of a formula, of at most so much; `tensor` adds one and gives its name. */
export function waves(most) {
  const weights = [];
  const tensor = (name, ...shape) => {
    const count = shape.reduce((all, side) => all * side, 1);
    weights.push([name, shape, Array.from({ length: count }, (_, at) => Math.sin((weights.length * 100 + at) * 0.7) * most)]);
    return name;
  };
  return { weights, tensor };
}

/**
 * A network of one ghost module between a stem and ten classes. It stands where a test is about
 * anything but the network: a driver that compiles on the CPU makes its kernels at once, where it
 * takes half a minute for those of GhostNet.
 */
export function tinyNetwork() {
  const { weights, tensor } = waves(0.9);
  const conv = (name, input, weight, more) => ({ name, op: 'conv', inputs: [input], weight, activation: 'relu', ...more });
  const nodes = [
    conv('stem', 0, tensor('stem', 8, 3, 3, 3), { stride: [2, 2], pad: [1, 1] }),
    conv('ghost.primary', 1, tensor('primary', 8, 8, 1, 1)),
    conv('ghost.cheap', 2, tensor('cheap', 8, 1, 3, 3), { groups: 8, pad: [1, 1] }),
    { name: 'ghost.concat', op: 'concat', inputs: [2, 3] },
    { name: 'pool', op: 'global_pool', inputs: [4] },
    { name: 'head', op: 'linear', inputs: [5], weight: tensor('head', 10, 16), bias: tensor('head.bias', 10) },
  ];
  const sides = ['n', 'c', 'h', 'w'];
  const graph = { inputs: [{ name: 'image', channels: 3, sides }], nodes, outputs: [{ name: 'logits', node: 6, sides: ['n', 'c'] }] };
  const labels = Array.from({ length: 10 }, (_, at) => `class ${at}`);
  return oneFile(graph, { name: 'tiny', task: 'classify', labels, inputs: { image: { size: [32, 32], crop_pct: 1 } } }, weights);
}
