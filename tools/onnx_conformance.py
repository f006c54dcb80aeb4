#!/usr/bin/env python3
"""onnx_conformance.py GHOSTNET [--backend cpu|gpu] [--verbose] [--least N] [NAME...]: ONNX's own test cases, run by the command.

    pip install onnx==1.23.2 numpy
    cargo build --release
    python3 tools/onnx_conformance.py target/release/ghostnet

Takes the cases of the kinds node, simple, pytorch-operator and pytorch-converted that have f32, i32, i64 or boolean
tensors at their ends, and prints how many passed, failed and were refused, with the reasons for refusals. A case that
is refused names what is not covered; one that gives other values fails. Exits 1 if one fails, or if fewer than N
pass. Inputs that shapes or weights depend on become constants, as the command does where it is given them.
"""
import argparse, collections, json, os, re, subprocess, sys, tempfile

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test import loader

KINDS = ["node", "simple", "pytorch-operator", "pytorch-converted"]
TYPES = {"float32", "int32", "int64", "bool"}


def file_name(name):
    return re.sub(r"[^A-Za-z0-9._-]", "_", name) + ".npy"


def tensors(folder, prefix):
    found = []
    while os.path.exists(path := os.path.join(folder, f"{prefix}_{len(found)}.pb")):
        tensor = onnx.TensorProto()
        with open(path, "rb") as file:
            tensor.ParseFromString(file.read())
        found.append(numpy_helper.to_array(tensor))
    return found


def run(ghostnet, backend, model_file, inputs, folder):
    command = [ghostnet, "run", "--model", model_file, "--backend", backend, "--outputs", folder, "--json"]
    for name, value in inputs.items():
        path = os.path.join(folder, "in_" + file_name(name))
        np.save(path, value)
        command += ["--input", f"{name}={path}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def case(ghostnet, backend, test):
    """`passed`, or `refused` or `failed` with a reason; None where the case is out of scope."""
    try:
        if test.model_dir is None:
            model, (given, wanted) = test.model, test.data_sets[0]
            given, wanted = [np.asarray(value) for value in given], [np.asarray(value) for value in wanted]
        else:
            model = onnx.load(os.path.join(test.model_dir, "model.onnx"))
            data = os.path.join(test.model_dir, "test_data_set_0")
            given, wanted = tensors(data, "input"), tensors(data, "output")
    except Exception:
        return None
    known = {tensor.name for tensor in model.graph.initializer}
    names = [value.name for value in model.graph.input if value.name not in known]
    if not names or len(given) < len(names) or any(value.dtype.name not in TYPES for value in given + wanted):
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "model.onnx")
        onnx.save(model, file)
        try:
            done = run(ghostnet, backend, file, dict(zip(names, given)), folder)
        except subprocess.TimeoutExpired:
            return "failed", "it takes more than two minutes"
        if done.returncode == 1:
            return "refused", done.stderr.strip().split("model.onnx: ", 1)[-1]
        if done.returncode:
            return "failed", f"status {done.returncode}: {done.stderr.strip()[-200:]}"
        for output, value in zip(model.graph.output, wanted):
            got = np.load(os.path.join(folder, file_name(output.name)))
            if got.shape != value.shape or got.dtype != value.dtype:
                return "failed", f"{output.name}: {got.dtype} {got.shape}, should be {value.dtype} {value.shape}"
            if not np.allclose(got, value, rtol=test.rtol, atol=max(test.atol, 1e-6), equal_nan=True):
                off = np.abs(got.astype("f8") - value.astype("f8")).max()
                return "failed", f"{output.name}: off by {off:.3g}"
    return "passed", ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ghostnet")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--least", type=int, default=0, help="so many have to pass")
    parser.add_argument("--verbose", action="store_true", help="every refusal")
    args = parser.parse_args()
    results = collections.defaultdict(list)
    for kind in KINDS:
        for test in loader.load_model_tests(kind=kind):
            if args.names and not any(name in test.name for name in args.names):
                continue
            if result := case(args.ghostnet, args.backend, test):
                results[result[0]].append((test.name, result[1]))
    reasons = collections.Counter(re.sub(r"`[^`]*`|\d+", "_", reason) for _, reason in results["refused"])
    for name, reason in results["failed"]:
        print(f"failed {name}: {reason}")
    for name, reason in results["refused"] if args.verbose else []:
        print(f"refused {name}: {reason[:200]}")
    for reason, count in [] if args.verbose else reasons.most_common(25):
        print(f"{count:4} refused: {reason[-160:]}")
    print({kind: len(results[kind]) for kind in ("passed", "failed", "refused")})
    sys.exit(1 if results["failed"] or len(results["passed"]) < args.least else 0)


main()
