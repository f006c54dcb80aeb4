#!/usr/bin/env python3
"""Writes tests/data/suppression/: an ONNX file whose last steps are NonMaxSuppression, and what ONNX Runtime gives.

    pip install onnx==1.23.2 onnxruntime==1.32.0 numpy
    python3 tools/suppression_golden.py [--check]

A convolution makes boxes and scores of two images. Whatever decides over a box is far from deciding otherwise, so that
other roundings keep the same ones. With --check nothing is written: it tells whether the files hold the same.
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FOLDER = pathlib.Path(__file__).parent.parent / "tests/data/suppression"
IMAGES, SIDE, CLASSES = 2, 6, 3
BOXES = SIDE * SIDE
# At most so many boxes of a class, IoU and score; the last two are None where they are left out.
SETTINGS = {"some": (5, 0.3, 0.45), "every": (1000, 0.5, None), "touching": (4, None, 0.6), "none": (0, 0.5, 0.1)}
MARGIN = 1e-4


def constant(name, values, kind):
    return numpy_helper.from_array(np.array(values, kind), name)


def model(weights):
    nodes = [
        helper.make_node("Conv", ["x", "weights"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["maps"], ["all"]),
        helper.make_node("Split", ["all", "parts"], ["corners", "classes"], axis=1),
        helper.make_node("Reshape", ["corners", "four"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["boxes"], perm=[0, 2, 1]),
        helper.make_node("Reshape", ["classes", "of_classes"], ["scores"]),
    ]
    constants = [
        numpy_helper.from_array(weights, "weights"),
        constant("parts", [4, CLASSES], "i8"),
        constant("four", [0, 4, BOXES], "i8"),
        constant("of_classes", [0, CLASSES, BOXES], "i8"),
    ]
    outputs = [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", BOXES, 4])]
    for name, (most, iou, score) in SETTINGS.items():
        for form in (0, 1):
            inputs = ["boxes", "scores", f"{name}{form}.most"]
            constants.append(constant(inputs[-1], [most], "i8"))
            for what, value in (("iou", iou), ("score", score)):
                inputs.append("" if value is None else f"{name}{form}.{what}")
                if value is not None:
                    constants.append(constant(inputs[-1], [value], "f4"))
            result = f"{name}{form}"
            nodes.append(helper.make_node("NonMaxSuppression", inputs, [f"{result}.kept"], name=result, center_point_box=form))
            to = TensorProto.INT32 if form else TensorProto.INT64
            nodes.append(helper.make_node("Cast", [f"{result}.kept"], [result], to=to))
            outputs.append(helper.make_tensor_value_info(result, to, ["kept", 3]))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])]
    graph = helper.make_graph(nodes, "suppression", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def overlaps(boxes, form):
    """The intersection over union of each two boxes of an image."""
    a, b = (boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2) if form else (boxes[:, :2], boxes[:, 2:])
    low, high = np.minimum(a, b), np.maximum(a, b)
    sides = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
    shared = np.clip(sides, 0, None).prod(-1)
    area = (high - low).prod(-1)
    return shared / (area[:, None] + area[None] - shared)


def is_clear(boxes, scores):
    """Whether no score and no overlap is near what it is compared with."""
    def near(values, bound):
        return np.abs(values - bound).min() < MARGIN

    for _, iou, score in SETTINGS.values():
        if score is not None and near(scores, score):
            return False
        # Boxes apart are so by more than a rounding, as good as always.
        shared = [overlaps(of, form) for of in boxes for form in (0, 1)]
        if any(near(of[of > 0], iou or 0) for of in shared):
            return False
    return np.diff(np.sort(scores, axis=-1), axis=-1).min() > 1e-5


def make():
    for seed in range(1000):
        random = np.random.default_rng(seed)
        weights = random.normal(0, 0.6, (4 + CLASSES, 3, 3, 3)).astype("f4")
        x = np.round(random.normal(0, 1, (IMAGES, 3, SIDE, SIDE)), 3).astype("f4")
        made = model(weights)
        # Boxes and scores for the margins alone.
        wider = onnx.ModelProto()
        wider.CopyFrom(made)
        wider.graph.output.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", CLASSES, BOXES]))
        session = onnxruntime.InferenceSession(wider.SerializeToString(), providers=["CPUExecutionProvider"])
        results = dict(zip([output.name for output in session.get_outputs()], session.run(None, {"x": x})))
        if is_clear(results["boxes"], results["scores"]):
            kept = {name: value for name, value in results.items() if name not in ("boxes", "scores")}
            types = {name: value.dtype.name for name, value in kept.items()}
            assert all(types[name] == ("int32" if name.endswith("1") else "int64") for name in types), types
            what = {"x": [round(float(value), 3) for value in x.flatten()], "shape": list(x.shape), "kept": {name: value.tolist() for name, value in kept.items()}}
            return made.SerializeToString(), json.dumps(what, separators=(",", ":")) + "\n"
    sys.exit("no seed is clear of every bound")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    file, text = make()
    if args.check:
        same = (FOLDER / "golden.json").read_text() == text and (FOLDER / "model.onnx").read_bytes() == file
        sys.exit(0 if same else "tests/data/suppression differs")
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "model.onnx").write_bytes(file)
    (FOLDER / "golden.json").write_text(text)


main()
