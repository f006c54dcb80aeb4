"""export.py TRAINED.safetensors OUT.safetensors DATA

Rewrites the metadata in its final form and measures the written file on the test images.
"""
import json, os, sys, torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from train_cifar10 import CLASSES, MEAN, STD, accuracy, build, load

trained, out, data = sys.argv[1:4]
torch.set_num_threads(2)
meta = safe_open(trained, "pt").metadata(); state = load_file(trained)
strides = [int(s) for s in meta["strides"].split(",")]
model = build(meta["arch"], strides); missing = model.load_state_dict(state, strict=False)
assert not missing.unexpected_keys and all("num_batches" in k for k in missing.missing_keys), missing
x, y = load(os.path.join(data, "test.tar.xz"))
mean, std = torch.tensor(MEAN)[None, :, None, None], torch.tensor(STD)[None, :, None, None]
top1 = accuracy(model, x, y, mean, std)
final = {"format": "pt", "architecture": meta["arch"], "stem_stride": str(strides[0]), "num_classes": "10", "labels": json.dumps(CLASSES), "input_size": "[3, 32, 32]",
         "mean": json.dumps(MEAN), "std": json.dumps(STD), "interpolation": "bicubic", "crop_pct": "1.0", "dataset": "CIFAR-10", "test_top1": f"{top1:.4f}"}
save_file({k: v.contiguous().float() for k, v in state.items()}, out, metadata=final)
print(json.dumps(final, indent=1), sum(v.numel() for v in state.values()))
