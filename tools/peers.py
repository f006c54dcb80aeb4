#!/usr/bin/env python3
"""peers.py: GhostNet (224 x 224, f32) by ghostnet and its peers, in alternating runs.

    python3 -m venv VENV
    VENV/bin/pip install numpy safetensors onnx onnxruntime onnxruntime-ep-webgpu ncnn tract
    VENV/bin/pip install --no-deps pnnx            # its Python part would bring torch
    cargo build --release
    VENV/bin/python tools/peers.py [--on lavapipe,swiftshader,cpu,...] [--json FILE] [--markdown FILE]

Run with Python 3.11.7, numpy 2.4.6, safetensors 0.8.0, onnx 1.23.2, onnxruntime 1.32.0,
onnxruntime-ep-webgpu 0.4.0, ncnn 1.0.20261020, pnnx 20261020 and tract 0.23.9, on Linux.

GhostNet 1.0, batch 1, runs on the adapters `lavapipe`, `swiftshader` and `cpu`. Others on the CPU are
`cpu-050` and `cpu-130` (widths 0.5 and 1.3), `cpu-batch` (1.0, batch 8), `cpu-avx2` (ghostnet keeps
to AVX2) and `cpu-plain` (1.0 with s = 1: plain convolutions in the place of ghost modules). `cpu-tract` is 1.0
against tract, which takes one thread.

The network is written twice from one set of made-up weights: as safetensors for ghostnet and as
ONNX, BatchNorm folded, which pnnx turns into ncnn's form. With s = 1 ghostnet takes the ONNX file.
ncnn has no batches and takes one image after the other. In the first round every contestant's
logits must be within 1e-3 (of the largest logit) of those of ONNX Runtime on the CPU, or the script
ends.

On each adapter the contestants take turns, each time in a process of its own that finds every
shader cache empty. Two times of a process count:

- The first result, from the first call, with programs and Python modules loaded, to the first
  logits. That is the device, the weights from disk and the pipelines.
- The median of its runs after three that warm up, each from the input on the host to the logits
  there.

Reported are medians over rounds with the least and greatest, and the ratio peer / ghostnet of the
medians with the least and greatest of a round. Some bars have a wider one, beyond which they are
missed. Exit status 1 if a bar is missed or something failed.
"""
import argparse, datetime, importlib.metadata, importlib.util, json, os, pathlib, platform, shlex, statistics, subprocess, sys, tempfile, time

TOLERANCE = 1e-3
WARM_UP = 3
PACKAGES = ("numpy", "safetensors", "onnx", "onnxruntime", "onnxruntime-ep-webgpu", "ncnn", "pnnx", "tract")
ROOT = pathlib.Path(__file__).resolve().parent.parent
LAVAPIPE = ["/usr/share/vulkan/icd.d/lvp_icd.x86_64.json", "/usr/share/vulkan/icd.d/lvp_icd.json", "/usr/share/vulkan/icd.d/lvp_icd.aarch64.json"]
SWIFTSHADER = ["/usr/lib/chromium/vk_swiftshader_icd.json"]

OURS = "ghostnet"
ONE = "ghostnet, 1 thread"


def on_cpu(title, iters, ncnn=True, **network):
    """A suite on the CPU: with one thread against one thread, and with all against all."""
    contestants = {
        "ONNX Runtime, 1 thread": ("onnxruntime-cpu", 1, iters), OURS: ("ghostnet-cpu", 0, iters), "ONNX Runtime": ("onnxruntime-cpu", 0, iters),
        ONE: ("ghostnet-cpu", 1, iters),
    }
    bars = [("latency", ONE, "ONNX Runtime, 1 thread", 0.8, 0.9), ("latency", OURS, "ONNX Runtime", 0.8, 0.9)]
    if ncnn:
        contestants |= {"ncnn": ("ncnn-cpu", 0, iters), "ncnn, 1 thread": ("ncnn-cpu", 1, iters)}
        bars += [("latency", ONE, "ncnn, 1 thread", 0.75, 0.9), ("latency", OURS, "ncnn", 0.75, 0.9)]
    return {"title": title, "icd": None, "network": network, "contestants": contestants, "bars": bars}


# Per adapter or network:
# - title: its name in the table.
# - icd: files that may be its Vulkan driver.
# - network: what `build` takes.
# - contestants: in their order, with threads (0: all) and timed runs per process.
# - bars: (what, ours, peer, ours at most this part of the peer's, missed beyond this part) or
#   (what, ours, None, at most so many ms, missed beyond so many).
SUITES = {
    "lavapipe": {
        "title": "lavapipe",
        "icd": LAVAPIPE,
        "network": {},
        "contestants": {"ncnn Vulkan": ("ncnn-vulkan", 0, 9), OURS: ("ghostnet-gpu", 0, 30)},
        "bars": [("latency", OURS, "ncnn Vulkan", 0.55, 0.55), ("first", OURS, None, 5000, 5000)],
    },
    "swiftshader": {
        "title": "SwiftShader",
        "icd": SWIFTSHADER,
        "network": {},
        "contestants": {"ONNX Runtime WebGPU": ("onnxruntime-webgpu", 0, 3), OURS: ("ghostnet-gpu", 0, 10), "ncnn Vulkan": ("ncnn-vulkan", 0, 3)},
        "bars": [("latency", OURS, "ONNX Runtime WebGPU", 0.13, 0.13), ("first", OURS, None, 5000, 5000)],
    },
    "cpu": on_cpu("CPU", 50),
    "cpu-050": on_cpu("CPU, width 0.5", 50, width=0.5),
    "cpu-130": on_cpu("CPU, width 1.3", 50, width=1.3),
    "cpu-batch": on_cpu("CPU, batch 8", 10, batch=8),
    "cpu-avx2": {
        "title": "CPU, ghostnet by AVX2 alone",
        "icd": None,
        "network": {},
        "contestants": {"ONNX Runtime, 1 thread": ("onnxruntime-cpu", 1, 50), ONE: ("ghostnet-cpu-avx2", 1, 50)},
        "bars": [("latency", ONE, "ONNX Runtime, 1 thread", 1.15, 1.15)],
    },
    "cpu-plain": on_cpu("CPU, s = 1", 30, ncnn=False, ratio=1),
    "cpu-tract": {
        "title": "CPU, tract",
        "icd": None,
        "network": {},
        "contestants": {"tract, 1 thread": ("tract-cpu", 1, 50), ONE: ("ghostnet-cpu", 1, 50), "ONNX Runtime, 1 thread": ("onnxruntime-cpu", 1, 50)},
        "bars": [("latency", ONE, "tract, 1 thread", 0.8, 0.9)],
    },
}

# Rows of the paper's table 1: kernel, expansion, out, squeeze-and-excite, stride. They are by
# stages as timm numbers them (src/model/families/ghostnet.rs).
STAGES = [
    [(3, 16, 16, 0, 1)], [(3, 48, 24, 0, 2)], [(3, 72, 24, 0, 1)], [(5, 72, 40, 1, 2)], [(5, 120, 40, 1, 1)], [(3, 240, 80, 0, 2)],
    [(3, 200, 80, 0, 1), (3, 184, 80, 0, 1), (3, 184, 80, 0, 1), (3, 480, 112, 1, 1), (3, 672, 112, 1, 1)], [(5, 672, 160, 1, 2)],
    [(5, 960, 160, 0, 1), (5, 960, 160, 1, 1), (5, 960, 160, 0, 1), (5, 960, 160, 1, 1)],
]


def divisible(channels):
    """A width's channels: the nearest multiple of 4, but not less than 0.9 of them."""
    whole = max(4, int(channels + 2) // 4 * 4)
    return whole + 4 if whole < 0.9 * channels else whole


def build(folder, width=1.0, batch=1, ratio=2):
    """Writes the network in three forms, and the input as x.npy.

    The forms are weights.safetensors (timm's names), model.onnx for the batch, and ncnn's
    model.param and model.bin for one image. With the ratio 1, ghost modules are plain convolutions,
    and model.onnx is the only form.
    """
    import numpy as np, onnx, safetensors.numpy
    from onnx import helper, numpy_helper
    random, tensors, nodes, constants = np.random.default_rng(0), {}, [], []

    def tensor(name, *shape):
        last, u = name.rsplit(".", 1)[1], random.random(shape)
        if last == "weight" and len(shape) > 1:
            # Keeps activations of a network without training near the size of its input.
            v = (2 * u - 1) * np.sqrt(3 / np.prod(shape[1:]))
        else:
            v = 0.5 + u if last in ("weight", "running_var") else (u - 0.5) * 0.2
        tensors[name] = v.astype(np.float32)
        return tensors[name].astype(np.float64)

    def node(op, inputs, weights=(), **attributes):
        out = f"{op.lower()}_{len(nodes)}"
        for i, w in enumerate(weights):
            constants.append(numpy_helper.from_array(w.astype(np.float32), f"{out}.{i}"))
        nodes.append(helper.make_node(op, [*inputs, *(f"{out}.{i}" for i in range(len(weights)))], [out], out, **attributes))
        return out

    def conv(x, name, c_in, c_out, k, stride=1, groups=1, bn=None, relu=False):
        weight = tensor(f"{name}.weight", c_out, c_in // groups, k, k)
        if bn:
            scale, shift, mean, var = (tensor(f"{bn}.{part}", c_out) for part in ("weight", "bias", "running_mean", "running_var"))
            scale = scale / np.sqrt(var + 1e-5)
            weight, bias = weight * scale[:, None, None, None], shift - mean * scale
        else:
            bias = tensor(f"{name}.bias", c_out)
        x = node("Conv", [x], [weight, bias], kernel_shape=[k, k], strides=[stride] * 2, pads=[k // 2] * 4, group=groups)
        return node("Relu", [x]) if relu else x

    def ghost(x, name, c_in, c_out, relu):
        m, primary, cheap = c_out // ratio, f"{name}.primary_conv", f"{name}.cheap_operation"
        x = conv(x, f"{primary}.0", c_in, m, 1, bn=f"{primary}.1", relu=relu)
        return x if ratio == 1 else node("Concat", [x, conv(x, f"{cheap}.0", m, m, 3, groups=m, bn=f"{cheap}.1", relu=relu)], axis=1)

    c = divisible(16 * width)
    x = conv("input", "conv_stem", 3, c, 3, stride=2, bn="bn1", relu=True)
    for s, stage in enumerate(STAGES):
        for b, (k, e, out, squeeze_excite, stride) in enumerate(stage):
            name, shortcut = f"blocks.{s}.{b}", x
            e, out = divisible(e * width), divisible(out * width)
            x = ghost(x, f"{name}.ghost1", c, e, True)
            if stride > 1:
                x = conv(x, f"{name}.conv_dw", e, e, k, stride, e, bn=f"{name}.bn_dw")
            if squeeze_excite:
                reduced = divisible(e / 4)
                y = conv(node("GlobalAveragePool", [x]), f"{name}.se.conv_reduce", e, reduced, 1, relu=True)
                y = conv(y, f"{name}.se.conv_expand", reduced, e, 1)
                x = node("Mul", [x, node("HardSigmoid", [y], alpha=1 / 6, beta=0.5)])
            x = ghost(x, f"{name}.ghost2", e, out, False)
            if c != out or stride > 1:
                shortcut = conv(shortcut, f"{name}.shortcut.0", c, c, k, stride, c, bn=f"{name}.shortcut.1")
                shortcut = conv(shortcut, f"{name}.shortcut.2", c, out, 1, bn=f"{name}.shortcut.3")
            x, c = node("Add", [x, shortcut]), out
    wide = divisible(960 * width)
    x = node("GlobalAveragePool", [conv(x, "blocks.9.0.conv", c, wide, 1, bn="blocks.9.0.bn1", relu=True)])
    x = node("Flatten", [conv(x, "conv_head", wide, 1280, 1, relu=True)])
    x = node("Gemm", [x], [tensor("classifier.weight", 1000, 1280), tensor("classifier.bias", 1000)], transB=1)
    nodes[-1].output[0] = "logits"

    def save(file, n):
        ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in (("input", [n, 3, 224, 224]), ("logits", [n, 1000]))]
        graph = helper.make_graph(nodes, "ghostnet", ends[:1], ends[1:], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, folder / file)

    save("model.onnx", batch)
    np.save(folder / "x.npy", (random.random((batch, 3, 224, 224)) * 6 - 3).astype(np.float32))
    if ratio > 1:
        safetensors.numpy.save_file(tensors, folder / "weights.safetensors")
        save("one.onnx", 1)
        pnnx = pathlib.Path(importlib.util.find_spec("pnnx").origin).parent / "pnnx"
        run([str(pnnx), "one.onnx", "inputshape=[1,3,224,224]", "fp16=0", "ncnnparam=model.param", "ncnnbin=model.bin"], folder)


def run(command, folder, **env):
    """Runs a command that finds every shader cache empty and returns what it printed.

    The script ends if the command fails.
    """
    with tempfile.TemporaryDirectory() as cache:
        env = {**os.environ, **env, "MESA_SHADER_CACHE_DISABLE": "true", "XDG_CACHE_HOME": cache, "GHOSTNET_CACHE_DIR": ""}
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode:
        what = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()[-1]
        sys.exit(f"peers: {shlex.join(command)}: {what}")
    return done.stdout


def peer_onnxruntime(device, threads, x):
    """A function that computes logits by ONNX Runtime on "cpu" or "webgpu"."""
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if device == "cpu":
        options.intra_op_num_threads = threads
        session = ort.InferenceSession("model.onnx", options, ["CPUExecutionProvider"])
    else:
        import onnxruntime_ep_webgpu as webgpu
        ort.register_execution_provider_library("webgpu", webgpu.get_library_path())
        devices = [d for d in ort.get_ep_devices() if d.ep_name == webgpu.get_ep_name()]
        if not devices:
            sys.exit("onnxruntime-ep-webgpu found no device")
        options.add_provider_for_devices(devices[:1], {})
        # Every node runs on the device, or none.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        session = ort.InferenceSession("model.onnx", options)
    return lambda: session.run(["logits"], {"input": x})[0]


def peer_ncnn(device, threads, x):
    """A function that computes logits by ncnn on "cpu" or "vulkan", in f32 as its model is."""
    import ncnn, numpy as np
    net = ncnn.Net()
    net.opt.use_vulkan_compute = device == "vulkan"
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
    net.opt.num_threads = threads
    if net.load_param("model.param") or net.load_model("model.bin"):
        sys.exit("ncnn cannot load its model")

    def logits(image):
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(image))
        status, y = extractor.extract("out0")
        if status:
            sys.exit(f"ncnn: extract gives {status}")
        return np.array(y).reshape(-1)
    return lambda: np.stack([logits(image) for image in x])


def peer_tract(device, threads, x):
    """A function that computes logits by tract on the CPU, with one thread."""
    import tract
    model = tract.runtime_for_name("default").prepare(tract.onnx().load("model.onnx").into_model())
    return lambda: model.run([x])[0].to_numpy()


def peer(engine, threads, iters, output):
    """What a process that runs a peer does, in the folder of the models.

    It prints {"first_ms", "latency_ms", "libraries"}.
    """
    import numpy as np
    # Libraries are loaded before the clock starts, as ghostnet's code is.
    importlib.import_module(engine.split("-")[0])
    x, (library, device), times = np.load("x.npy"), engine.split("-"), []
    start = time.perf_counter()
    logits = {"onnxruntime": peer_onnxruntime, "ncnn": peer_ncnn, "tract": peer_tract}[library](device, threads, x)
    y = logits()
    first = time.perf_counter() - start
    if output:
        np.save(output, y)
    for _ in range(WARM_UP - 1 + iters):
        start = time.perf_counter()
        logits()
        times.append(time.perf_counter() - start)
    with open("/proc/self/maps") as maps:
        libraries = sorted({os.path.basename(line.split()[-1]) for line in maps if ".so" in line})
    print(json.dumps({"first_ms": first * 1e3, "latency_ms": statistics.median(times[WARM_UP - 1:]) * 1e3, "libraries": libraries}), flush=True)
    # Drivers and thread pools that are torn down in the wrong order must not spoil a measurement
    # that is done.
    os._exit(0)


def driver(candidates, name):
    """The file that describes a Vulkan driver, and the name of its library."""
    file = next((f for f in candidates if os.path.exists(f)), None)
    if not file:
        sys.exit(f"peers: no Vulkan driver for {name}: none of {', '.join(candidates)} is there (`--on` says which adapters are measured)")
    with open(file) as f:
        return file, os.path.basename(json.load(f)["ICD"]["library_path"])


def block(engine, threads, iters, library, env, options, network, output=None):
    """One contestant's process: {"first_ms", "latency_ms"}.

    Of ghostnet's it gives also "adapter" and "driver". `library` is the driver it must use.
    """
    threads = threads or os.cpu_count()
    wrap, (program, device, *level) = shlex.split(options.wrap), engine.split("-")
    if program == "ghostnet":
        env = env | {"GHOSTNET_CPU": name for name in level}
        plain, width, batch = network.get("ratio") == 1, network.get("width", 1.0), network.get("batch", 1)
        model, weights = ("model.onnx", []) if plain else (f"ghostnet_{width * 100:03.0f}", ["--weights", "weights.safetensors"])
        common = [*weights, "--backend", device, "--threads", str(threads), "--json", *(["--adapter", "vulkan"] if library else [])]
        if output:
            run([*wrap, options.ghostnet, "run", "--model", model, *common, "--input", "x.npy", "--output", output], options.folder, **env)
        bench = [*wrap, options.ghostnet, "bench", model, *common, "--batch", str(batch), "--iters", str(iters)]
        got = json.loads(run(bench, options.folder, **env))
        return {"first_ms": got["startup_ms"]["total"], "latency_ms": got["latency_ms"]["median"], "adapter": got["adapter"], "driver": got["driver"]}
    me = [sys.executable, os.path.abspath(__file__), "--peer", engine, "--threads", str(threads), "--iters", str(iters)]
    got = json.loads(run([*wrap, *me, *(["--output", output] if output else [])], options.folder, **env).splitlines()[-1])
    if library and library not in got["libraries"]:
        sys.exit(f"peers: {engine} did not load {library}")
    return {"first_ms": got["first_ms"], "latency_ms": got["latency_ms"]}


def difference(folder, output):
    """The largest difference of logits from ONNX Runtime's, in parts of the largest logit."""
    import numpy as np
    y, expected = (np.load(folder / f) for f in (output, "reference.npy"))
    return float(abs(y - expected).max() / abs(expected).max())


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def compete(name, options):
    """All rounds on one adapter, as a JSON object."""
    suite = SUITES[name]
    build(options.folder, **suite["network"])
    block("onnxruntime-cpu", 0, 1, None, {}, options, suite["network"], "reference.npy")
    file, library = driver(suite["icd"], name) if suite["icd"] else (None, None)
    env = {"VK_ICD_FILENAMES": file, "VK_DRIVER_FILES": file, "ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER": "1"} if file else {}
    result = {"adapter": processor(), "driver": "", "contestants": {}, "ratios": [], "bars": []}
    blocks = {c: [] for c in suite["contestants"]}
    for at in range(options.rounds):
        for c, (engine, threads, iters) in suite["contestants"].items():
            got = block(engine, threads, iters, library, env, options, suite["network"], "y.npy" if at == 0 else None)
            blocks[c].append(got)
            if file and "adapter" in got:
                result["adapter"], result["driver"] = got["adapter"], got["driver"]
            if at == 0:
                off = difference(options.folder, "y.npy")
                if not off <= TOLERANCE:
                    sys.exit(f"peers: {c} on {name}: logits are {off:.1e} of the largest away from ONNX Runtime's on the CPU, more than {TOLERANCE:.0e}")
                result["contestants"][c] = {"logits_off": off}
            print(f"  {name} {at + 1}/{options.rounds} {c}: {got['latency_ms']:.1f} ms, first result {got['first_ms'] / 1e3:.2f} s", file=sys.stderr)
    for c, rows in blocks.items():
        result["contestants"][c].update({key: spread([r[f"{key}_ms"] for r in rows]) for key in ("latency", "first")}, rounds=rows)
    for ours in (c for c in blocks if c.startswith(OURS)):
        for other in (c for c in blocks if not c.startswith(OURS)):
            for key in ("latency", "first"):
                by_round = [p[f"{key}_ms"] / o[f"{key}_ms"] for p, o in zip(blocks[other], blocks[ours])]
                ratio = result["contestants"][other][key]["median"] / result["contestants"][ours][key]["median"]
                result["ratios"].append({"what": key, "peer": other, "ours": ours, "of_medians": ratio, "min": min(by_round), "max": max(by_round)})
    for key, ours, other, most, beyond in suite["bars"]:
        value = result["contestants"][ours][key]["median"]
        value /= result["contestants"][other][key]["median"] if other else 1
        result["bars"].append({"what": key, "ours": ours, "peer": other, "at_most": most, "beyond": beyond, "is": value, "met": value <= most, "missed": value > beyond})
    return result


def ms(s):
    digits = 1 if s["median"] < 100 else 0
    return f"{s['median']:.{digits}f} ({s['min']:.{digits}f} to {s['max']:.{digits}f})"


def seconds(s):
    return f"{s['median'] / 1e3:.2f} ({s['min'] / 1e3:.2f} to {s['max'] / 1e3:.2f})"


def times(ratio):
    return f"{ratio:.2g}" if ratio < 10 else f"{ratio:.0f}"


def report(result):
    """The result as Markdown."""
    versions, names = result["versions"], {name: suite["title"] for name, suite in SUITES.items()}
    where = "; ".join(f"{names[n]}: {s['adapter']}, {s['driver']}" for n, s in result["suites"].items() if s["driver"])
    lines = [
        "## Against its peers", "",
        f"GhostNet, 224 x 224, f32, of width 1.0 and batch 1 if not said, on {result['machine']}, {result['date']}{f' ({where})' if where else ''}. Alternating processes that find no shader cache,",
        f"{result['rounds']} rounds: medians, least to greatest; load average before: {result['load']:.1f}. Everyone runs the same weights; all logits agree within 1e-3 of the largest.",
        f"ghostnet {versions['ghostnet']}, {', '.join(f'{p} {versions[p]}' for p in ('onnxruntime', 'onnxruntime-ep-webgpu', 'ncnn'))}; `python3 tools/peers.py`.", "",
        "| adapter | engine | latency, ms | first result, s | latency / ghostnet's |", "|---|---|---|---|---|",
    ]
    for n, suite in result["suites"].items():
        for c, row in suite["contestants"].items():
            ratio = next((f"{times(r['of_medians'])} ({times(r['min'])} to {times(r['max'])})"
                          for r in suite["ratios"] if (r["what"], r["peer"], r["ours"]) == ("latency", c, OURS)), "")
            lines.append(f"| {names[n]} | {f'**{c}**' if c.startswith(OURS) else c} | {ms(row['latency'])} | {seconds(row['first'])} | {ratio} |")
    lines += ["", "| bar | found | |", "|---|---|---|"]
    for n, suite in result["suites"].items():
        for b in suite["bars"]:
            what = {"latency": "latency", "first": "first result"}[b["what"]]
            if b["peer"]:
                most, found = f"{times(b['at_most'])} of {b['peer']}'s", times(b["is"])
            else:
                most, found = f"{b['at_most'] / 1e3:g} s", f"{b['is'] / 1e3:.2f} s"
            verdict = "met" if b["met"] else "**missed**" if b["missed"] else f"within {times(b['beyond'])}"
            lines.append(f"| {names[n]}: {what} of {b['ours']} at most {most} | {found} | {verdict} |")
    return "\n".join(lines) + "\n"


def versions():
    found, missing = {}, []
    for p in PACKAGES:
        try:
            found[p] = importlib.metadata.version(p)
        except importlib.metadata.PackageNotFoundError:
            missing.append(p)
    if missing:
        sys.exit(f"peers: not installed for {sys.executable}: {', '.join(missing)}; the head of this file says how")
    return {"python": platform.python_version(), **found}


def processor():
    with open("/proc/cpuinfo") as f:
        name = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), platform.machine())
    return f"{name}, {os.cpu_count()} cores"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="The head of this file says what is installed and measured.")
    parser.add_argument("--ghostnet", default=str(ROOT / "target/release/ghostnet"), help="the program [%(default)s]")
    parser.add_argument("--on", default=",".join(SUITES), help="adapters and networks, of [%(default)s]")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each contestant [%(default)s]")
    parser.add_argument("--wrap", default="", metavar="COMMAND", help="goes before each timed command, such as 'nice -n -5' or 'flock FILE'")
    parser.add_argument("--json", metavar="FILE", help="writes everything measured")
    parser.add_argument("--markdown", metavar="FILE", help="writes the table to a file as well")
    for hidden in ("--peer", "--threads", "--iters", "--output"):  # how the script calls itself
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return peer(options.peer, int(options.threads), int(options.iters), options.output)
    names = options.on.split(",")
    if unknown := [n for n in names if n not in SUITES]:
        parser.error(f"no adapter `{unknown[0]}`; there are {', '.join(SUITES)}")
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    result = {"date": datetime.date.today().isoformat(), "machine": processor(), "load": os.getloadavg()[0], "versions": versions(), "rounds": options.rounds, "suites": {}}
    options.ghostnet = os.path.abspath(options.ghostnet)
    if not os.path.exists(options.ghostnet):
        sys.exit(f"peers: no {options.ghostnet}; run `cargo build --release`, or name the program by --ghostnet")
    result["versions"]["ghostnet"] = run([options.ghostnet, "--version"], ".").split()[-1]
    for name in names:
        if SUITES[name]["icd"]:
            driver(SUITES[name]["icd"], name)
    if result["load"] > 1:
        print(f"peers: the load average is {result['load']:.1f}: if other programs are still busy, the figures are worth little", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        options.folder = pathlib.Path(folder)
        for name in names:
            result["suites"][name] = compete(name, options)
    text = report(result)
    print(text, end="")
    for file, content in ((options.json, json.dumps(result, indent=1) + "\n"), (options.markdown, text)):
        if file:
            pathlib.Path(file).write_text(content)
    return 1 if any(b["missed"] for s in result["suites"].values() for b in s["bars"]) else 0


if __name__ == "__main__":
    sys.exit(main())
