"""detectors.py [OUT.json]: what torchvision's RetinaNet and Faster R-CNN on GhostNet 1.1 give, for
tests/detectors.rs: tests/data/detectors.json.

Weights and the input of the stages are by the formula of golden.py, with another gain. Of each stage
are kept its shape, its mean, its largest value and eight of its values. The detections are those of
a photo of the repository. Needs torch, torchvision and timm in the versions that it writes down.
"""
import json, os, sys
from collections import OrderedDict

import numpy as np
import timm
import torch
import torchvision
from PIL import Image
from torch import nn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from golden import ROOT, fill, stats, tensor

WIDTH, CLASSES, GAIN = 64, 11, 2.5
SIDES = {"min_size": 192, "max_size": 256}
IMAGE = "chelsea.png"
SHAPE = (1, 3, 160, 224)
# Regions of an input of that shape, one to each map and beyond its edges.
REGIONS = [[10, 20, 90, 75], [-30, -40, 200, 150], [0, 0, 250, 300], [-300, -200, 300, 260], [100.5, 3.25, 101, 4], [205, 150, 240, 190],
           [60, 60, 60, 60], [-90, 10, -60, 40], [0.5, 0.5, 223.5, 159.5], [33, 21, 145, 133], [-110, -110, 600, 620]]
PROPOSALS = 200
# Channels of GhostNet 1.1's stages.
CHANNELS = {2: 28, 4: 44, 6: 124, 8: 176}


class Pyramid(nn.Module):
    """The last maps in front of each halving: timm's `features_only` would give the first ones."""

    def __init__(self, stages, extra):
        super().__init__()
        self.body = timm.models.ghostnet._create_ghostnet("ghostnet_100", width=1.1)
        self.stages, self.out_channels = stages, WIDTH
        self.fpn = FeaturePyramidNetwork([CHANNELS[stage] for stage in stages], WIDTH, extra_blocks=extra)

    def forward(self, x):
        x, maps = self.body.act1(self.body.bn1(self.body.conv_stem(x))), OrderedDict()
        for at, block in enumerate(self.body.blocks[:9]):
            x = block(x)
            if at in self.stages:
                maps[str(len(maps))] = x
        return self.fpn(maps)


def on_photo(model):
    rgb = np.asarray(Image.open(os.path.join(ROOT, "assets", "images", IMAGE)).convert("RGB"))
    found = model([torch.from_numpy(rgb.copy()).permute(2, 0, 1).float() / 255])[0]
    rounded = lambda value, digits: [round(float(v), digits) for v in value]
    rows = zip(found["labels"].tolist(), rounded(found["scores"], 6), found["boxes"].tolist())
    return [[label, score, rounded(box, 3)] for label, score, box in rows]


def retinanet():
    model = RetinaNet(Pyramid((4, 6, 8), LastLevelP6P7(WIDTH, WIDTH)), CLASSES, **SIDES, score_thresh=0.655)
    fill(model, gain=GAIN)
    stages = {}
    for key, layer in (("cls_logits", model.head.classification_head.cls_logits), ("bbox_reg", model.head.regression_head.bbox_reg)):
        layer.register_forward_hook(lambda _, i, out, key=key: stages.setdefault(key, []).append(out))
    maps = list(model.backbone(tensor("input", SHAPE)).values())
    model.head(maps)
    named = {f"p{at + 3}": stats(m) for at, m in enumerate(maps)}
    named |= {f"{key}.p{at + 3}": stats(m) for key, outs in stages.items() for at, m in enumerate(outs)}
    return {"name": "retinanet_ghostnet_110", "threshold": 0.655, "stages": named, "detections": on_photo(model)}


def fasterrcnn():
    anchors = AnchorGenerator(((32,), (64,), (128,), (256,), (512,)), ((0.5, 1.0, 2.0),) * 5)
    align = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)
    model = FasterRCNN(Pyramid((2, 4, 6, 8), LastLevelMaxPool()), CLASSES, **SIDES, rpn_anchor_generator=anchors, box_roi_pool=align,
                       rpn_post_nms_top_n_test=PROPOSALS, box_score_thresh=0.2, box_detections_per_img=300)
    fill(model, gain=GAIN)
    maps = model.backbone(tensor("input", SHAPE))
    objectness, deltas = model.rpn.head(list(maps.values()))
    regions = torch.tensor(REGIONS, dtype=torch.float32)
    pooled = model.roi_heads.box_roi_pool(maps, [regions], [SHAPE[2:]])
    logits, boxes = model.roi_heads.box_predictor(model.roi_heads.box_head(pooled))
    named = {}
    for key, outs in (("objectness", objectness), ("deltas", deltas)):
        named |= {f"{key}.p{at + 2}": stats(m) for at, m in enumerate(outs)}
    # Regions are pixels of the engine's result.
    named |= {key: stats(rows.T.reshape(1, -1, len(REGIONS), 1)) for key, rows in (("class_logits", logits), ("box_regression", boxes))}
    return {"name": "fasterrcnn_ghostnet_110", "threshold": 0.2, "stages": named, "detections": on_photo(model)}


def main(out):
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    with torch.inference_mode():
        networks = [retinanet(), fasterrcnn()]
    made = {"torchvision": torchvision.__version__, "torch": torch.__version__, "timm": timm.__version__,
            "width": WIDTH, "classes": CLASSES, "sides": list(SIDES.values()), "image": IMAGE, "shape": list(SHAPE),
            "regions": REGIONS, "proposals": PROPOSALS}
    with open(out, "w") as f:
        rows = ",\n".join(json.dumps(network, separators=(",", ":")) for network in networks)
        f.write(json.dumps(made)[:-1] + ',\n"networks": [\n' + rows + "]}\n")
    for network in networks:
        scores = [score for _, score, _ in network["detections"]]
        print(network["name"], len(scores), "detections, scores", scores[0], "to", scores[-1])


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "tests", "data", "detectors.json"))
