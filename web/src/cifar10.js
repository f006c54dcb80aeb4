// The address of a small network's weights: `GhostNet.load({ weights: cifar10 })`. They are 2.7 MB.
// Bundlers take along the file that is named here, which is why nothing else imports this.

export const cifar10 = new URL('./ghostnet_050_cifar10.safetensors', import.meta.url).href;
