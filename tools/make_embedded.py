"""make_embedded.py F32.safetensors DATA OUT.safetensors

Makes the weights that the crate embeds: every tensor of F32.safetensors rounded to f16,
num_batches_tracked left out, metadata kept. DATA holds test.tar.xz (CIFAR-10 as JPEGs).

The accuracy of the rounded weights, computed in f32, goes into the metadata as test_top1 and the
one of F32.safetensors as test_top1_f32. Prints how much each kind of tensor lost.
"""
import json, os, struct, sys
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from train_cifar10 import accuracy, build, load

NAMES = {"float16": "F16", "float32": "F32"}


def write_safetensors(path, tensors, metadata):
    """Writes numpy arrays in an order that depends on their types and names alone.

    So the same input gives the same bytes.
    """
    header, offset = {"__metadata__": dict(sorted(metadata.items()))}, 0
    order = sorted(tensors, key=lambda k: (-tensors[k].dtype.itemsize, k))
    for k in order:
        a = tensors[k]
        header[k] = {"dtype": NAMES[str(a.dtype)], "shape": list(a.shape), "data_offsets": [offset, offset + a.nbytes]}
        offset += a.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for k in order:
            f.write(np.ascontiguousarray(tensors[k]).tobytes())


def kind(name, array):
    last = name.rsplit(".", 1)[1]
    return last if last != "weight" else ("conv or linear weight" if array.ndim > 1 else "BatchNorm weight")


def report(source, rounded):
    rows = {}
    for k, a in source.items():
        r = rows.setdefault(kind(k, a), {"smallest": np.inf, "largest": 0.0, "to_zero": 0, "subnormal": 0, "rel_error_normal": 0.0, "abs_error_subnormal": 0.0, "count": 0})
        magnitude, back = np.abs(a.astype(np.float64)), rounded[k].astype(np.float64)
        nonzero, normal = magnitude > 0, magnitude >= 2.0**-14
        error = np.abs(back - a)
        r["count"] += a.size
        r["largest"] = max(r["largest"], magnitude.max())
        if nonzero.any(): r["smallest"] = min(r["smallest"], magnitude[nonzero].min())
        r["to_zero"] += int((nonzero & (back == 0)).sum())
        r["subnormal"] += int((nonzero & ~normal & (back != 0)).sum())
        if normal.any(): r["rel_error_normal"] = max(r["rel_error_normal"], (error[normal] / magnitude[normal]).max())
        if (~normal).any(): r["abs_error_subnormal"] = max(r["abs_error_subnormal"], error[~normal].max())
    for k, r in rows.items():
        print(k, {n: (v if isinstance(v, int) else float(f"{v:.3g}")) for n, v in r.items()})


def measure(state, meta, data):
    model = build(meta["architecture"], [int(meta["stem_stride"]), 2])
    missing = model.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys and all("num_batches" in k for k in missing.missing_keys), missing
    mean, std = (torch.tensor(json.loads(meta[k]))[None, :, None, None] for k in ("mean", "std"))
    return accuracy(model, *data, mean, std)


def main():
    source_path, data, out = sys.argv[1:4]
    torch.set_num_threads(1)
    with safe_open(source_path, "pt") as f:
        meta = f.metadata()
    source = {k: v.numpy() for k, v in load_file(source_path).items() if "num_batches_tracked" not in k}
    rounded = {k: v.astype(np.float16) for k, v in source.items()}
    assert all(np.isfinite(v).all() for v in rounded.values())
    report(source, rounded)
    images = load(os.path.join(data, "test.tar.xz"))
    meta["test_top1_f32"] = f"{measure({k: torch.from_numpy(v) for k, v in source.items()}, meta, images):.4f}"
    meta["test_top1"] = "0"
    # Measured on what the file gives back, then written with the figure.
    write_safetensors(out, rounded, meta)
    state = {k: v.float() for k, v in load_file(out).items()}
    meta["test_top1"] = f"{measure(state, meta, images):.4f}"
    write_safetensors(out, rounded, meta)
    print(json.dumps(meta, indent=1), len(rounded), "tensors", sum(v.size for v in rounded.values()), "values", os.path.getsize(out), "bytes")


if __name__ == "__main__":
    main()
