"""make_images.py OUT_DIR: the pictures to try the program on.

They are from those that scikit-image installs. See assets/PROVENANCE.md for authors and licences.
"""
import os, shutil, sys
import skimage
from PIL import Image

source, out = os.path.join(os.path.dirname(skimage.__file__), "data"), sys.argv[1]
os.makedirs(out, exist_ok=True)
# These are small enough: the bytes as they are.
for name in ("chelsea.png", "coffee.png", "rocket.jpg", "camera.png"):
    shutil.copyfile(os.path.join(source, name), os.path.join(out, name))
# A silhouette with an alpha channel, laid on white.
horse = Image.open(os.path.join(source, "horse.png"))
Image.alpha_composite(Image.new("RGBA", horse.size, "white"), horse).convert("RGB").save(os.path.join(out, "horse.png"), optimize=True)
Image.open(os.path.join(source, "astronaut.png")).save(os.path.join(out, "astronaut.jpg"), quality=90, subsampling=0, optimize=True)
