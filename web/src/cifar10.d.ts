/**
 * The address of the weights of GhostNet 0.5 for CIFAR-10's ten classes (2.7 MB), which lie beside
 * this module: `GhostNet.load({ weights: cifar10 })`. Good for a first try: they tell apart
 * airplanes, automobiles, birds, cats, deer, dogs, frogs, horses, ships and trucks.
 */
export const cifar10: string;
