#!/usr/bin/env python3
"""Makes tests/data/images: small images of every kind, and what Pillow and timm make of them.

Run with Pillow 13.0.0, timm 1.0.31, torchvision 0.29.2, torch 2.15.0, scikit-image 0.26.0, numpy (any):

    python tools/make_image_fixtures.py

The photos come from scikit-image's bundled `skimage/data`, scaled down. Their licences as its
`_fetchers.py` states them:
    chelsea (Stefan van der Walt)  CC0
    coffee (Rachel Michetti)       CC0
    horse (Andreas Preuss)         CC0
    rocket (SpaceX)                public domain

Written:
    *.png, *.jpg, ...     inputs
    decoded/NAME.png      inputs that are lossy: Pillow's pixels (EXIF orientation applied, converted
                          to RGB)
    resized/NAME_*.png    timm's evaluation transform before ToTensor, for a look at the pixels when
                          a hash differs
    tensor_32.f32         timm's whole transform of photo.png at 32 x 32, f32 little endian [3, 32, 32]
    decoded.txt           NAME WIDTH HEIGHT FNV of the RGB bytes, for lossless inputs
    resized.txt           NAME HEIGHT WIDTH FILTER CROP_PCT FNV of the RGB bytes. NAME is a file, or
                          `noise-WxH` or `bits-WxH`, images that the test makes by the same formula
                          as `generated` here
FNV is 64-bit FNV-1a, in hexadecimal.
"""

import pathlib

import numpy as np
import PIL
import skimage
import timm
import torch
import torchvision
from PIL import Image, ImageOps
from timm.data import create_transform

WANTED = {"Pillow": "13.0.0", "timm": "1.0.31", "torchvision": "0.29.2", "torch": "2.15.0", "scikit-image": "0.26.0"}
found = {
    "Pillow": PIL.__version__,
    "timm": timm.__version__,
    "torchvision": torchvision.__version__.split("+")[0],
    "torch": torch.__version__.split("+")[0],
    "scikit-image": skimage.__version__,
}
for name, version in WANTED.items():
    if found[name] != version:
        print(f"note: {name} {found[name]}, the stored values are of {version}")

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/data/images"
PHOTOS = pathlib.Path(skimage.__file__).parent / "data"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
for folder in ("", "decoded", "resized"):
    (OUT / folder).mkdir(parents=True, exist_ok=True)
    for old in (OUT / folder).iterdir():
        if old.is_file():
            old.unlink()


def fnv(data: bytes) -> str:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def generated(name: str) -> Image.Image:
    kind, size = name.split("-")
    w, h = map(int, size.split("x"))
    i = np.arange(w * h * 3, dtype=np.uint64)
    value = (i * 2654435761 + (i >> np.uint64(7)) * 40503) % 2**32 >> np.uint64(19)
    value = value % 256 if kind == "noise" else value % 2 * 255
    return Image.fromarray(value.astype(np.uint8).reshape(h, w, 3))


def photo(name: str, w: int, h: int) -> Image.Image:
    return Image.open(PHOTOS / name).convert("RGB").resize((w, h), Image.LANCZOS)


cat = photo("chelsea.png", 95, 63)
rocket = photo("rocket.jpg", 61, 90)
coffee = photo("coffee.png", 120, 80)

# Inputs that a decoder must give back exactly.
lossless = {}


def save(name: str, image: Image.Image, expected: np.ndarray | None = None, **options) -> None:
    image.save(OUT / name, **options)
    if expected is None:
        expected = np.asarray(ImageOps.exif_transpose(Image.open(OUT / name)).convert("RGB"))
    lossless[name] = expected


alpha = Image.fromarray((np.add.outer(np.arange(63) * 3, np.arange(95)) % 256).astype(np.uint8))
rgba = cat.copy()
rgba.putalpha(alpha)
grey_alpha = cat.convert("L")
grey_alpha.putalpha(alpha)
palette = cat.quantize(64)
save("photo.png", cat, optimize=True)
save("tall.png", rocket, optimize=True)
save("horse.png", Image.open(PHOTOS / "horse.png").convert("1"), optimize=True)
save("grey.png", cat.convert("L"), optimize=True)
save("grey_alpha.png", grey_alpha, optimize=True)
save("rgba.png", rgba, optimize=True)
save("palette.png", palette, optimize=True)
save("palette_alpha.png", palette, transparency=bytes(range(0, 256, 4)), optimize=True)
save("palette_4bit.png", cat.quantize(11), optimize=True)
save("one_bit.png", cat.convert("1"), optimize=True)
save("colour_key.png", cat, transparency=cat.getpixel((5, 5)), optimize=True)
sixteen = np.asarray(cat.convert("L")).astype(np.uint16) * 257 - 100 * (np.asarray(cat.convert("L")) > 50)
# Pillow's convert("RGB") of 16-bit grey clips at 255. The crate takes the high byte, as Pillow does
# for colour.
save("grey_16.png", Image.fromarray(sixteen.astype(np.uint16)), np.repeat((sixteen >> 8).astype(np.uint8)[..., None], 3, 2))
save("photo.bmp", cat.resize((51, 34)))
save("palette.bmp", palette.resize((51, 34)))
save("grey.bmp", cat.convert("L").resize((51, 34)))
save("photo.gif", cat.resize((51, 34)))
save("transparent.gif", palette, transparency=7)
save("animated.gif", cat.resize((51, 34)), save_all=True, append_images=[coffee.resize((51, 34)), rocket.resize((51, 34))], duration=100)
save("lossless.webp", cat, lossless=True)
save("lossless_alpha.webp", rgba, lossless=True, exact=True)
save("animated.webp", cat.resize((51, 34)), save_all=True, append_images=[coffee.resize((51, 34))], duration=100, lossless=True)
small = cat.resize((36, 25), Image.LANCZOS)
for kind in ("png", "webp"):
    exif = Image.Exif()
    exif[0x0112] = 6
    save(f"orientation_6.{kind}", small, exif=exif, **({"lossless": True} if kind == "webp" else {}))


def png_16(path: pathlib.Path, pixels: np.ndarray) -> None:
    """A 16-bit RGB PNG, which Pillow reads but cannot write."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    h, w, channels = pixels.shape
    header = struct.pack(">IIBBBBB", w, h, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


deep = np.asarray(small).astype(np.uint16) * 256 + (np.arange(36 * 25 * 3).reshape(25, 36, 3) * 37 % 256).astype(np.uint16)
for name, pixels in {
    "rgb_16.png": deep,
    "rgba_16.png": np.concatenate([deep, deep[..., :1]], 2),
    "grey_alpha_16.png": deep[..., :2],
}.items():
    png_16(OUT / name, pixels)
    lossless[name] = np.asarray(Image.open(OUT / name).convert("RGB"))

with open(OUT / "decoded.txt", "w") as file:
    for name, pixels in lossless.items():
        file.write(f"{name} {pixels.shape[1]} {pixels.shape[0]} {fnv(pixels.tobytes())}\n")

# Inputs whose pixels depend on the decoder.
lossy = {
    "photo.jpg": (cat, dict(quality=90, subsampling=0)),
    "subsampled.jpg": (cat, dict(quality=85)),
    "progressive.jpg": (cat, dict(quality=85, progressive=True)),
    "grey.jpg": (cat.convert("L"), dict(quality=85)),
    "cmyk.jpg": (cat.convert("CMYK"), dict(quality=90)),
    "lossy.webp": (cat, dict(quality=85)),
    "lossy_alpha.webp": (rgba, dict(quality=85, exact=True)),
}
for k in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = k
    lossy[f"orientation_{k}.jpg"] = (small, dict(quality=92, subsampling=0, exif=exif))
for name, (image, options) in lossy.items():
    image.save(OUT / name, **options)
    ImageOps.exif_transpose(Image.open(OUT / name)).convert("RGB").save(OUT / "decoded" / (name + ".png"), optimize=True)

# The transform.
CONFIGS = [
    (224, 224, "bicubic", 0.875),
    (32, 32, "bicubic", 1.0),
    (192, 256, "bilinear", 0.9),
    (160, 160, "bilinear", 0.875),
    (240, 240, "bicubic", 0.95),
    (224, 224, "bicubic", 0.8),
    (96, 40, "bicubic", 0.875),
    (33, 77, "bilinear", 1.0),
    (65, 65, "bicubic", 1.3),
    (50, 61, "bicubic", 1.25),
]
NAMES = ["photo.png", "tall.png", "horse.png", "grey.png", "palette_alpha.png", "rgba.png", "grey_16.png", "rgb_16.png"]
NAMES += [f"{kind}-{size}" for kind in ("noise", "bits") for size in ("640x427", "1x1", "5x3", "3x300", "400x2", "256x256", "1023x768", "225x224")]
# Tall ones, of which Pillow 13 resizes some vertically first.
NAMES += ["noise-300x700", "bits-59x127", "bits-100x200", "bits-100x201", "noise-250x1300"]
PIXELS = {("photo.png", 1), ("horse.png", 0), ("tall.png", 7), ("photo.png", 6), ("rgba.png", 8)}


def transform(config, whole=False):
    h, w, interpolation, crop_pct = config
    made = create_transform((3, h, w), is_training=False, interpolation=interpolation, mean=MEAN, std=STD, crop_pct=crop_pct)
    if whole:
        return made
    return torchvision.transforms.Compose([t for t in made.transforms if type(t).__name__ in ("Resize", "ResizeKeepRatio", "CenterCrop")])


with open(OUT / "resized.txt", "w") as file:
    for name in NAMES:
        image = Image.fromarray(lossless[name]) if "." in name else generated(name)
        for number, config in enumerate(CONFIGS):
            out = transform(config)(image)
            h, w, interpolation, crop_pct = config
            assert out.size == (w, h)
            file.write(f"{name} {h} {w} {interpolation} {crop_pct} {fnv(out.tobytes())}\n")
            if (name, number) in PIXELS:
                out.save(OUT / "resized" / f"{name.removesuffix('.png')}_{h}_{w}_{interpolation}_{crop_pct}.png", optimize=True)

tensor = transform(CONFIGS[1], whole=True)(cat)
(OUT / "tensor_32.f32").write_bytes(tensor.numpy().astype("<f4").tobytes())

total = sum(path.stat().st_size for path in OUT.rglob("*") if path.is_file())
print(f"{total} bytes in {OUT}")
