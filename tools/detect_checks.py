#!/usr/bin/env python3
"""What can be said of detectors without a data set: mirrored pictures and crowds that are moved.

    python3 tools/detect_checks.py target/release/ghostnet --models FOLDER --cards FOLDER [--backend gpu]

For each NAME.json of the cards, whose `file`, or NAME.onnx, is the network's in the models' folder:

- The photos of the repository and a crowd, made of one face of them at ten sizes, are mirrored. A
  box of either picture with a partner in the other (same label, IoU above 0.5) moved by how far
  its mirrored middle is from the partner's, x and y, in pixels of the input. The median over all
  boxes is told, since now and then a network sees another thing in a mirror. A picture that is
  sampled half a pixel aside shows here. Returns 1 where a detector that finds five boxes moves
  them by 1.5 pixels or more.
- The crowd is moved by 0 to 7 pixels to the right and down: how many are found, least and most.

Needs Pillow.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

from PIL import Image, ImageOps

IMAGES = pathlib.Path("assets/images")
PHOTOS = ["astronaut.jpg", "chelsea.png", "coffee.png"]
# Where the crowd's faces stand, and their sides.
FACES = [(10, 10, 200), (220, 20, 140), (370, 15, 100), (480, 30, 72), (560, 40, 50), (30, 240, 120), (110, 250, 120), (190, 245, 120), (340, 200, 180), (540, 220, 90)]
MOVED = 1.5
SEEN = 5


def crowd():
    """The astronaut's head ten times, every second one mirrored, three overlapping."""
    head = Image.open(IMAGES / "astronaut.jpg").convert("RGB").crop((150, 0, 310, 160))
    picture = Image.new("RGB", (640, 400), (120, 130, 125))
    for at, (x, y, side) in enumerate(FACES):
        face = head.resize((side, side), Image.Resampling.BILINEAR)
        picture.paste(ImageOps.mirror(face) if at % 2 else face, (x, y))
    return picture


def iou(a, b):
    w, h = (max(0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    area = lambda c: (c[2] - c[0]) * (c[3] - c[1])
    return w * h / (area(a) + area(b) - w * h or 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ghostnet", help="the program")
    parser.add_argument("--models", type=pathlib.Path, required=True)
    parser.add_argument("--cards", type=pathlib.Path, required=True)
    parser.add_argument("--backend", default="cpu")
    options = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        pictures = {name: Image.open(IMAGES / name).convert("RGB") for name in PHOTOS} | {"crowd": crowd()}

        def file(name, picture):
            picture.save(folder / f"{name}.png")
            return folder / f"{name}.png"

        files = [file(pathlib.Path(name).stem, picture) for name, picture in pictures.items()]
        mirrored = [file(f"mirrored-{path.stem}", ImageOps.mirror(picture)) for path, picture in zip(files, pictures.values())]
        moved = []
        for by in range(8):
            place = Image.new("RGB", (640, 400), (120, 130, 125))
            place.paste(pictures["crowd"], (by, by))
            moved.append(file(f"moved-{by}", place))
        for card in sorted(options.cards.glob("*.json")):
            said = json.loads(card.read_text())
            network = options.models / said.get("file", f"{card.stem}.onnx")
            if said["task"] != "detect" or not network.exists():
                continue

            def found(paths):
                command = [options.ghostnet, "detect", "--json", "--backend", options.backend, "--model", network, "--card", card, *paths]
                done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"detect_checks: {card.name}: {done.stderr.strip()}")
                return [json.loads(line) for line in done.stdout.splitlines()]

            shifts = []
            for one, other in zip(found(files), found(mirrored)):
                w, h = one["width"], one["height"]
                size = said["input"]["size"]
                # Of a card that says a multiple the picture is the input.
                rows, columns = size if isinstance(size, list) else (h, w)
                stretched = said["input"].get("fit") == "stretch"
                scale = [columns / w, rows / h] if stretched else [min(columns / w, rows / h)] * 2
                for a in one["detections"]:
                    box = [w - a["box"][2], a["box"][1], w - a["box"][0], a["box"][3]]
                    partner = max(other["detections"], key=lambda b: (b["label"] == a["label"]) * iou(box, b["box"]), default=None)
                    if partner and partner["label"] == a["label"] and iou(box, partner["box"]) > 0.5:
                        shifts.append([(partner["box"][i] + partner["box"][i + 2] - box[i] - box[i + 2]) / 2 * scale[i] for i in (0, 1)])
            x, y = (statistics.median([shift[i] for shift in shifts] or [0]) for i in (0, 1))
            counts = [len(one["detections"]) for one in found(moved)]
            is_wrong = len(shifts) >= SEEN and max(abs(x), abs(y)) >= MOVED
            wrong += is_wrong
            print(f"{card.stem}: {len(shifts)} boxes, moved by {x:.2f}, {y:.2f} where mirrored; {min(counts)} to {max(counts)} of a moved crowd" + (" WRONG" if is_wrong else ""))
    print(f"{wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
