#!/usr/bin/env python3
"""Writes the PyTorch fixtures of the checkpoint tests to tests/data/pth.

They are {zip,legacy,nested_zip,expanded}.pth. This needs torch alone. The committed files were
written by Python 3.11.7 and torch 2.15.0.

    python tools/make_pth_fixtures.py
"""

from collections import OrderedDict
from pathlib import Path

import torch


def tensors(prefix=""):
    """One tensor of every element type that checkpoints come in; the test repeats these numbers."""
    named = {
        "conv.weight": torch.arange(12, dtype=torch.float32).reshape(2, 3, 2, 1) / 4,
        "bn.weight": torch.tensor([0.5, -1.5], dtype=torch.float16),
        "bn.bias": torch.tensor([2.0, -0.25], dtype=torch.bfloat16),
        "bn.running_var": torch.tensor([1.0, 4.0], dtype=torch.float64),
        # Counted by PyTorch, of no use to inference.
        "bn.num_batches_tracked": torch.tensor(7),
        # A transposed view: the storage is [3, 2], the tensor [2, 3].
        "fc.weight": torch.tensor([[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]).t(),
        # A number that occurs once, which the test overwrites with NaN.
        "fc.bias": torch.tensor([0.0, 1234.5]),
    }
    return OrderedDict((prefix + name, tensor) for name, tensor in named.items())


def main():
    folder = Path(__file__).resolve().parent.parent / "tests" / "data" / "pth"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(tensors(), folder / "zip.pth")
    torch.save(tensors(), folder / "legacy.pth", _use_new_zipfile_serialization=False)
    # As a training script saves it: nested, from DataParallel, beside the state of the optimiser.
    training = {
        "epoch": 3,
        "state_dict": tensors("module."),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]},
    }
    torch.save(training, folder / "nested_zip.pth")
    # A view that repeats one stored number 250 million times.
    torch.save({"w": torch.zeros(1).expand(250_000_000)}, folder / "expanded.pth")
    for file in sorted(folder.glob("*.pth")):
        print(f"{file.name}: {file.stat().st_size} bytes, torch {torch.__version__}")


if __name__ == "__main__":
    main()
