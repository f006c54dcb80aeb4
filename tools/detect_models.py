#!/usr/bin/env python3
"""Compares `ghostnet detect` with expected detections.

    python3 tools/detect_models.py target/release/ghostnet --models FOLDER --expected expected.json [--backend gpu]

FOLDER has the networks, and a folder of photos may be named by --photos (default: assets/images).
expected.json has `cards` (each with its `file`), `photos` (each with its `path` and, by network,
`detections`) and `tolerance`. A detection whose score is at least the threshold + 0.01 needs a
partner of the same label within the tolerance, on either side. In between everything may be.
Returns 1 where one has none.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

SCORE = 2e-3
# Pixels of the input.
PLACE = 0.5


def scale(card, size):
    """The picture's pixels for one of the input, the larger of both axes."""
    if isinstance(card["input"]["size"], dict):
        return 1.0
    h, w = card["input"]["size"]
    return max(size[0] / w, size[1] / h)


def is_near(a, b, within):
    numbers = [*zip(a["box"], b["box"])] + [(p, q) for m, n in zip(a.get("points", []), b.get("points", [])) for p, q in zip(m, n)]
    return a["label"] == b["label"] and abs(a["score"] - b["score"]) <= SCORE and all(abs(p - q) <= within for p, q in numbers)


def unmatched(some, others, threshold, within):
    left = list(others)
    missing = []
    for one in some:
        partner = next((other for other in left if is_near(one, other, within)), None)
        if partner is not None:
            left.remove(partner)
        elif one["score"] >= threshold + 0.01:
            missing.append(one)
    return missing


def run(options, *args):
    command = [options.ghostnet, "detect", "--json", "--backend", options.backend, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"detect_models: {' '.join(command)}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ghostnet", help="the program")
    parser.add_argument("--models", type=pathlib.Path, required=True, help="the folder of the networks")
    parser.add_argument("--expected", type=pathlib.Path, required=True)
    parser.add_argument("--photos", type=pathlib.Path, action="append", default=[], help="more folders of photos")
    parser.add_argument("--backend", default="cpu")
    options = parser.parse_args()
    expected = json.loads(options.expected.read_text())
    folders = [pathlib.Path("assets/images"), *options.photos]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        cards = {name: pathlib.Path(folder) / f"{name}.json" for name in expected["cards"]}
        for name, file in cards.items():
            file.write_text(json.dumps(expected["cards"][name]))
        for photo, said in expected["photos"].items():
            path = next((folder / photo for folder in folders if (folder / photo).exists()), None)
            if path is None:
                print(f"{photo}: not there")
                continue
            for name, wanted in said["models"].items():
                card = expected["cards"][name]
                if card["task"] != "detect":
                    continue
                if not (options.models / card["file"]).exists():
                    print(f"{photo} {name}: not there")
                    continue
                [found] = run(options, path, "--model", options.models / card["file"], "--card", cards[name])
                within = PLACE * scale(card, said["size"])
                threshold = card["threshold"]
                missing = unmatched(wanted["detections"], found["detections"], threshold, within)
                extra = unmatched(found["detections"], wanted["detections"], threshold, within)
                wrong += len(missing) + len(extra)
                print(f"{photo} {name}: {len(found['detections'])} of {len(wanted['detections'])}" + "".join(f"\n  missing {d}" for d in missing) + "".join(f"\n  extra {d}" for d in extra))
            points = said["models"].get("pfld_ghostone")
            if points and points["results"]:
                of, card = points["faces_from"], expected["cards"]["pfld_ghostone"]
                extra = ["--landmarks", options.models / card["file"], "--landmarks-card", cards["pfld_ghostone"]]
                [found] = run(options, path, "--model", options.models / expected["cards"][of]["file"], "--card", cards[of], *extra)
                faces = found["detections"]
                for result in points["results"]:
                    within = PLACE * result["region"][2] / card["input"]["size"][1]
                    far = min((max(math.dist(p, q) for p, q in zip(face["landmarks"], result["points"])) for face in faces), default=math.inf)
                    wrong += far > within
                    print(f"{photo} landmarks: {far:.3f} px, {within:.3f} are allowed")
    print(f"{wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
