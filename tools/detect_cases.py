#!/usr/bin/env python3
"""Writes tests/data/detect_cases.json: detectors' cards, results that a formula gives, and what a reference finds in them.

    python3 tools/detect_cases.py [--check] [FILE]

The reference is this file, in numpy and with nothing of the engine. docs/detection.md says what the fields of a card mean.
With --check nothing is written: it tells whether FILE holds the same, numbers to 1e-4. Needs numpy.
"""

import argparse
import json
import math
import pathlib
import sys

import numpy as np

FILE = pathlib.Path(__file__).parent.parent / "tests/data/detect_cases.json"
FORMULA = "values of channels [a, b): fill((b - a) * n, lo, hi, seed) reshaped to [n, b - a]"
# Candidates whose boxes and scores are written whatever their score.
FIRST = 6
SIZE = [32, 48]


def columns(start, end):
    """Channels of the only result."""
    return {"outputs": ["y"], "channels": [start, end]}


def greedy(iou):
    return {"kind": "greedy", "iou": iou, "per_class": True}


CELLS = {"strides": [8, 16], "offset": 0.0, "size": "stride"}
CENTER = {"form": "center", "center": "linear", "size": "exp"}

# By name: a card, the result's channels, and ranges of them with the lowest and highest value.
CASES = {
    "distribution (NanoDet-Plus, GFL)": (
        {
            "priors": {"strides": [8, 16], "offset": 0.0},
            "score": {"classes": columns(0, 3)},
            "box": {"form": "distances", "values": columns(3, 35), "bins": 8},
            "nms": greedy(0.6),
        },
        35,
        [(0, 3, 0, 1), (3, 35, -2, 3)],
    ),
    "distribution, 16 bins, offset 0.5 (YOLOv8)": (
        {
            "priors": {"strides": [8, 16], "offset": 0.5},
            "score": {"classes": columns(64, 67), "activation": "sigmoid"},
            "box": {"form": "distances", "values": columns(0, 64), "bins": 16},
            "nms": greedy(0.7),
        },
        67,
        [(0, 64, -2, 3), (64, 67, -3, 3)],
    ),
    "distances, two candidates in a cell (SCRFD)": (
        {
            "priors": {"strides": [8, 16], "repeat": [2, 2], "offset": 0.0},
            "score": {"classes": columns(0, 1)},
            "box": {"form": "distances", "values": columns(1, 5)},
            "nms": greedy(0.4),
        },
        5,
        [(0, 1, 0, 1), (1, 5, 0, 3)],
    ),
    "grid (YOLOX, YuNet)": (
        {
            "threshold": 0.3,
            "priors": CELLS,
            "score": {"classes": columns(5, 8), "objectness": columns(4, 5), "powers": [1, 1]},
            "box": CENTER | {"values": columns(0, 4)},
            "points": {"values": columns(8, 18), "count": 5},
            "nms": greedy(0.45),
        },
        18,
        [(0, 2, -1, 1), (2, 4, -0.5, 1), (4, 8, 0, 1), (8, 18, -2, 2)],
    ),
    "grid, root of the product (YuNet in OpenCV)": (
        {
            "priors": CELLS,
            "score": {"classes": columns(5, 6), "objectness": columns(4, 5), "powers": [0.5, 0.5]},
            "box": CENTER | {"values": columns(0, 4)},
            "nms": greedy(0.3),
        },
        6,
        [(0, 2, -1, 1), (2, 4, -0.5, 1), (4, 6, 0, 1)],
    ),
    "grid, tanh and sigmoid (FastestDet)": (
        {
            "priors": CELLS,
            "score": {"classes": columns(5, 8), "objectness": columns(0, 1), "powers": [0.4, 0.6]},
            "box": {"form": "center", "values": columns(1, 5), "center": "tanh", "size": "sigmoid", "size_of": "input"},
            "nms": greedy(0.45),
        },
        8,
        [(0, 1, 0, 1), (1, 3, -1, 1), (3, 5, 0, 3), (5, 8, 0, 1)],
    ),
    "priors with variances (SSD, UltraFace)": (
        {
            "priors": {"strides": [8, 16], "offset": 0.5, "sizes": [[10, 16, 24], [32, 64]], "clamp": True},
            "score": {"classes": columns(1, 2)},
            "box": CENTER | {"values": columns(2, 6), "scale": [0.1, 0.2]},
            "nms": greedy(0.3),
        },
        6,
        [(0, 2, 0, 1), (2, 6, -3, 3)],
    ),
    "priors of the input's size, weighted NMS (BlazeFace)": (
        {
            "priors": {"strides": [8, 16], "repeat": [2, 6], "offset": 0.5, "size": "input"},
            "score": {"classes": columns(0, 1), "activation": "sigmoid", "clip": 100},
            "box": {"form": "center", "values": columns(1, 5), "center": "linear", "size": "linear", "scale": [1 / 48] * 2},
            "points": {"values": columns(5, 17), "count": 6, "scale": 1 / 48},
            "nms": {"kind": "weighted", "iou": 0.3},
        },
        17,
        [(0, 1, -200, 50), (1, 3, -8, 8), (3, 5, 8, 24), (5, 17, -8, 8)],
    ),
    "corners (decoded in the graph)": (
        {
            "score": {"classes": columns(0, 2)},
            "box": {"form": "corners", "values": columns(2, 6), "scale": "input"},
            "nms": greedy(0.5),
        },
        6,
        [(0, 2, 0, 1), (2, 4, 0, 0.5), (4, 6, 0.5, 1)],
    ),
}
# Rows of a result whose card has no priors.
ROWS = 24


def fill(n, low, high, seed):
    """n values in [low, high), of whole numbers alone, rounded to f32."""
    with np.errstate(over="ignore"):
        h = np.arange(n, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed) * np.uint32(40503) + np.uint32(12345)
        for _ in range(2):
            h ^= h >> np.uint32(16)
            h *= np.uint32(0x45D9F3B)
        h ^= h >> np.uint32(16)
    return (low + (high - low) * ((h >> np.uint32(8)).astype(np.float64) / 2**24)).astype(np.float32)


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def priors(fields, h, w):
    """[n, 5]: centre, width and height, stride, in pixels of the input; by level, row, column, anchor."""
    rows = []
    for level, stride in enumerate(fields["strides"]):
        grid_h, grid_w = -(-h // stride), -(-w // stride)
        if "sizes" in fields:
            sides = [(side, side) for side in fields["sizes"][level]]
            # A level that does not divide the input has cells of its share.
            cell = (w / grid_w, h / grid_h)
        else:
            repeat = fields.get("repeat", [1] * len(fields["strides"]))[level]
            sides = [(w, h) if fields.get("size") == "input" else (stride, stride)] * repeat
            cell = (stride, stride)
        for y in range(grid_h):
            for x in range(grid_w):
                center = ((x + fields["offset"]) * cell[0], (y + fields["offset"]) * cell[1])
                rows.extend((*center, *side, stride) for side in sides)
    rows = np.array(rows, np.float32)
    if fields.get("clamp"):
        rows[:, [0, 2]] = rows[:, [0, 2]].clip(0, w)
        rows[:, [1, 3]] = rows[:, [1, 3]].clip(0, h)
    return rows


def decode(card, result, h, w):
    """Every candidate: corners [n, 4], class, score, points [n, k, 2] or None; in pixels of the input."""

    def values(of):
        start, end = of["channels"]
        return result[:, start:end]

    score = card["score"]
    classes = values(score["classes"])
    if score.get("activation") == "sigmoid":
        bound = score.get("clip", math.inf)
        classes = sigmoid(classes.clip(-bound, bound))
    index, best = classes.argmax(1), classes.max(1)
    if "objectness" in score:
        of_class, of_object = map(np.float32, score["powers"])
        best = best**of_class * values(score["objectness"])[:, 0] ** of_object

    box, sides = card["box"], np.float32([w, h])
    v = values(box["values"])
    prior = priors(card["priors"], h, w) if "priors" in card else None
    if box["form"] == "corners":
        corners = v * np.tile(sides, 2)
    elif box["form"] == "distances":
        bins = box.get("bins", 1)
        if bins > 1:
            e = v.reshape(-1, 4, bins)
            e = np.exp(e - e.max(-1, keepdims=True))
            v = (e * np.arange(bins, dtype=np.float32)).sum(-1) / e.sum(-1)
        v = v * prior[:, 4:5]
        corners = np.concatenate([prior[:, :2] - v[:, :2], prior[:, :2] + v[:, 2:]], 1)
    else:
        of_center, of_size = map(np.float32, box.get("scale", [1, 1]))
        moved = np.tanh(v[:, :2]) if box["center"] == "tanh" else v[:, :2]
        center = prior[:, :2] + moved * of_center * prior[:, 2:4]
        size = {"exp": np.exp, "linear": lambda x: x, "sigmoid": sigmoid}[box["size"]](v[:, 2:4] * of_size)
        size = size * (sides if box.get("size_of") == "input" else prior[:, 2:4])
        corners = np.concatenate([center - size / 2, center + size / 2], 1)
    points = None
    if "points" in card:
        of = card["points"]
        points = values(of["values"]).reshape(-1, of["count"], 2)
        points = prior[:, None, :2] + points * np.float32(of.get("scale", 1)) * prior[:, None, 2:4]
    return corners.astype(np.float32), index, best.astype(np.float32), points


def overlaps(one, many):
    """Intersections over unions. A box without area overlaps nothing."""
    sides = np.minimum(one[2:], many[:, 2:]) - np.maximum(one[:2], many[:, :2])
    both = sides.clip(0).prod(1)
    union = (one[2:] - one[:2]).prod() + (many[:, 2:] - many[:, :2]).prod(1) - both
    return both / np.maximum(union, np.float32(1e-12))


def suppress(corners, index, score, points, rule):
    """The numbers of those that stay, best first and of equal scores the earlier one; corners and points, of groups their means."""
    left, kept = np.argsort(-score, kind="stable"), []
    new_corners, new_points = corners.copy(), None if points is None else points.copy()
    while len(left):
        best = left[0]
        same = overlaps(corners[best], corners[left]) > rule["iou"]
        if rule.get("per_class"):
            same &= index[left] == index[best]
        same[0] = True
        if rule["kind"] == "weighted":
            group = left[same]
            share = score[group] / score[group].sum()
            new_corners[best] = (corners[group] * share[:, None]).sum(0)
            if points is not None:
                new_points[best] = (points[group] * share[:, None, None]).sum(0)
        kept.append(best)
        left = left[~same]
    return kept, new_corners, new_points


def rounded(values, digits):
    return np.round(np.asarray(values, np.float64), digits).tolist()


def case(at, name):
    card, channels, ranges = CASES[name]
    card = {"input": {"size": SIZE}, "threshold": 0.5, "limit": 50} | card
    h, w = SIZE
    rows = len(priors(card["priors"], h, w)) if "priors" in card else ROWS
    result = np.zeros((rows, channels), np.float32)
    for seed, (start, end, low, high) in enumerate(ranges, 100 * at):
        result[:, start:end] = fill(rows * (end - start), low, high, seed).reshape(rows, -1)
    corners, index, score, points = decode(card, result, h, w)
    above = np.where(score > card["threshold"])[0]
    is_bounded = card["box"]["form"] != "corners" and card["nms"]["kind"] != "weighted"
    found = corners[above].clip(0, np.float32([w, h, w, h])) if is_bounded else corners[above]
    of = None if points is None else points[above]
    kept, found, of = suppress(found, index[above], score[above], of, card["nms"])
    said = [{"channels": [start, end], "lo": low, "hi": high, "seed": seed} for seed, (start, end, low, high) in enumerate(ranges, 100 * at)]

    def detection(i):
        row = above[i]
        one = {"candidate": int(row), "index": int(index[row]), "score": round(float(score[row]), 6), "box": rounded(found[i], 4)}
        return one if of is None else one | {"points": rounded(of[i], 4)}

    return {
        "name": name,
        "card": card,
        "output": {"y": {"shape": [1, rows, channels], "ranges": said}},
        "candidates": len(above),
        "first_boxes": rounded(corners[:FIRST], 5),
        "first_scores": rounded(score[:FIRST], 6),
        "kept": [detection(i) for i in kept[: card["limit"]]],
    }


def same(a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return abs(a - b) <= 1e-4
    return a == b


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=pathlib.Path, nargs="?", default=FILE)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    made = {"formula": FORMULA, "cases": [case(at, name) for at, name in enumerate(CASES)]}
    if not args.check:
        args.file.write_text(json.dumps(made, separators=(",", ":")))
        return 0
    known = json.loads(args.file.read_text())
    wrong = [one["name"] for one, other in zip(made["cases"], known["cases"]) if not same(one, other)]
    if wrong or len(made["cases"]) != len(known["cases"]):
        print(f"{args.file} holds others: {', '.join(wrong) or len(known['cases'])}")
        return 1
    print(f"{args.file} holds the same {len(made['cases'])} cases")
    return 0


if __name__ == "__main__":
    sys.exit(main())
