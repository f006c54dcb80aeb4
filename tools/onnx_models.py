#!/usr/bin/env python3
"""onnx_models.py GHOSTNET FILE.onnx[:NxCxHxW]...: networks by ghostnet and by ONNX Runtime, on the CPU.

    python3 -m venv VENV
    VENV/bin/pip install numpy onnxruntime
    cargo build --release
    VENV/bin/python tools/onnx_models.py target/release/ghostnet MODEL.onnx OTHER.onnx:1x3x48x192

A shape stands for open sides of the input. Prints a row of docs/measured.md's table for each network: dispatches on a GPU,
before fusion and after; ghost modules among them; the largest difference of any result from ONNX Runtime's, as a share
of what is allowed: 1e-4 of that result's largest value, or four times what ONNX Runtime differs by from itself without
optimisations; and the milliseconds of a run by each, all threads. The two take turns, each time in a process of its
own, and the medians of five such medians are given. Exits 1 if a difference is more than is allowed.
"""
import argparse, json, os, re, statistics, subprocess, sys, tempfile

import numpy as np
import onnxruntime

ROUNDS, RUNS = 5, 30
TIME = """
import onnxruntime, numpy, sys, time, json
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
given, times = {sys.argv[2]: numpy.load(sys.argv[3])}, []
for _ in range(int(sys.argv[4]) + 3):
    start = time.perf_counter()
    session.run(None, given)
    times.append(time.perf_counter() - start)
print(1000 * sorted(times[3:])[len(times[3:]) // 2])
"""


def output_of(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()[-400:]}")
    return done.stdout


def session_of(file, level):
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.graph_optimization_level = 3, level
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def row(ghostnet, spec):
    file, _, shape = spec.partition(":")
    levels = onnxruntime.GraphOptimizationLevel
    session, plain = session_of(file, levels.ORT_ENABLE_ALL), session_of(file, levels.ORT_DISABLE_ALL)
    (given,) = session.get_inputs()
    shape = [int(side) for side in shape.split("x")] if shape else given.shape
    if any(not isinstance(side, int) for side in shape):
        sys.exit(f"{file}: input {shape} has open sides: give a shape, as {file}:1x3x224x224")
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype("f4")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.npy")
        np.save(path, x)
        output_of([ghostnet, "run", "--model", file, "--backend", "cpu", "--input", f"{given.name}={path}", "--outputs", folder])
        worst = 0
        given_x = {given.name: x}
        for output, wanted, own in zip(session.get_outputs(), session.run(None, given_x), plain.run(None, given_x)):
            got = np.load(os.path.join(folder, re.sub(r"[^A-Za-z0-9._-]", "_", output.name) + ".npy"))
            if got.shape != wanted.shape:
                sys.exit(f"{file}: {output.name} is {got.shape}, should be {wanted.shape}")
            allowed = max(1e-4 * np.abs(wanted).max(), 4 * np.abs(own - wanted).max(), 1e-30)
            worst = max(worst, np.abs(got - wanted).max() / allowed)
        size = ["--batch", str(shape[0]), *(["--size", f"{shape[2]}x{shape[3]}"] if len(shape) == 4 and shape[1] == 3 else [])]
        bench = [ghostnet, "bench", file, "--backend", "cpu", "--json", "--iters", str(RUNS), *size]
        times = {"ghostnet": [], "ONNX Runtime": []}
        for _ in range(ROUNDS):
            times["ghostnet"].append(json.loads(output_of(bench))["latency_ms"]["median"])
            times["ONNX Runtime"].append(float(output_of([sys.executable, "-c", TIME, file, given.name, path, str(RUNS)])))
        plan = json.loads(output_of([ghostnet, "inspect", file, "--json", *size]))
    ghosts = sum(step["kernel"] == "ghost" for step in plan["steps"])
    first, second = (statistics.median(times[name]) for name in times)
    name = os.path.splitext(os.path.basename(file))[0]
    print(f"| {name} | {plan['unfused']} | {plan['dispatches']} | {ghosts} | {worst:.3f} | {first:.2f} | {second:.2f} |", flush=True)
    return worst <= 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="The head of this file says what is printed.")
    parser.add_argument("ghostnet")
    parser.add_argument("files", nargs="+", metavar="FILE.onnx[:NxCxHxW]")
    args = parser.parse_args()
    print("| network | before fusion | dispatches | ghost modules | difference | ms | ONNX Runtime's ms |\n|---|--:|--:|--:|--:|--:|--:|")
    sys.exit(0 if all([row(args.ghostnet, spec) for spec in args.files]) else 1)


main()
