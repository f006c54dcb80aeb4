#!/usr/bin/env python3
"""Writes tests/data/golden/resample.json: maps that ONNX's Resize makes of pixel numbers.

Needs onnx, onnxruntime and numpy; the file says of which versions it is.

    python tools/make_resample_golden.py

Each case is run by onnxruntime and by ONNX's reference implementation. A case on which these differ
is printed and left out: onnxruntime's places are f32, the reference's sizes and places f64.
"""

import itertools
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
NEAREST = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
# Rows and columns of the input, and of the output or their scales.
EXTENTS = [
    ((4, 5), "sizes", (8, 10)),
    ((7, 9), "sizes", (3, 4)),
    ((6, 10), "sizes", (4, 3)),
    ((5, 4), "sizes", (7, 11)),
    ((3, 7), "sizes", (1, 1)),
    ((1, 2), "sizes", (3, 5)),
    ((4, 5), "scales", (2.0, 2.0)),
    ((8, 6), "scales", (0.5, 0.5)),
    ((7, 9), "scales", (1.5, 0.7)),
    ((10, 10), "scales", (0.7, 0.3)),
]


def run(size, kind, extent, **attributes):
    """What onnxruntime and the reference make of a map that holds each pixel's number."""
    values = np.array((1, 1) + extent, np.float32 if kind == "scales" else np.int64)
    inputs = ["x", "", kind] if kind == "scales" else ["x", "", "", kind]
    node = helper.make_node("Resize", inputs, ["y"], **attributes)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy")
    graph = helper.make_graph([node], "resize", [x], [y], [numpy_helper.from_array(values, kind)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    feed = {"x": np.arange(size[0] * size[1], dtype=np.float32).reshape(1, 1, *size)}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feed)[0][0, 0], ReferenceEvaluator(model).run(None, feed)[0][0, 0]


def case(size, kind, extent, coordinates, mode, nearest):
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if nearest:
        attributes["nearest_mode"] = nearest
    made, reference = run(size, kind, extent, **attributes)
    what = f"left out: {size} by {kind} {extent}, {mode}, {coordinates}, {nearest}:"
    if made.shape != reference.shape:
        print(what, f"onnxruntime makes {made.shape}, the reference {reference.shape}")
    elif np.abs(made - reference).max() > (0 if nearest else 1e-4):
        print(what, f"onnxruntime and the reference differ by {np.abs(made - reference).max()}")
    else:
        numbers = [int(v) if v == int(v) else float(f"{v:.7g}") for v in made.ravel().tolist()]
        given = {"size": size, kind: extent, "coordinates": coordinates, "nearest": nearest}
        return given | {"output": made.shape, "values": numbers}


def main():
    cases = []
    for extent, coordinates in itertools.product(EXTENTS, COORDINATES):
        for mode, nearest in [("linear", None)] + [("nearest", nearest) for nearest in NEAREST]:
            cases.append(case(*extent, coordinates, mode, nearest))
    lines = ",\n".join(json.dumps(case) for case in cases if case)
    versions = f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}"
    file = Path(__file__).resolve().parent.parent / "tests" / "data" / "golden" / "resample.json"
    file.write_text(f'{{"made_by": "{versions}", "cases": [\n{lines}\n]}}\n')


main()
