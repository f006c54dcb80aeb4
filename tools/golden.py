"""golden.py [OUT_DIR]: the reference outputs in tests/data/golden, by timm on the CPU in f32.

The weights are no file. Every element follows from the name of its tensor and its position, by
integer arithmetic and one or two f32 operations. So a test in any language repeats them bit for
bit.

    seed  = FNV-1a 64 of the UTF-8 tensor name
    x_i   = splitmix64: z = seed + (i + 1) * 0x9E3779B97F4A7C15;
            z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
            z = (z ^ z >> 27) * 0x94D049BB133111EB; x = z ^ z >> 31
            (all modulo 2^64, i counts row-major)
    u_i   = (x_i >> 40) / 2^24                             (exact in f32, in [0, 1))
    weight, two dimensions or more   (2u - 1) * bound, bound = f32(sqrt(f64(gain / fan_in))),
                                     fan_in = product of shape[1:]; gain is GAIN or FAMILY's
    weight, one dimension            0.5 + u
    bias, running_mean               (u - 0.5) * 0.2
    running_var                      0.5 + u
    input                            (2u - 1) * 3

Every step is rounded to f32. A batch of n starts with the images of a smaller batch of the same
size, as one run of i goes through the whole input.
"""
from collections import OrderedDict
import copy, importlib.metadata, json, os, platform, sys
import numpy as np
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from timm.models.ghostnet import GhostModule
from timm.utils.model import reparameterize_model

from make_embedded import write_safetensors

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# 6, for ReLU everywhere, would let logits grow to 2e7, as the projections have none. With 3,
# activations stay below 1e3, within f16.
GAIN = 3.0
MASK = (1 << 64) - 1


def fnv1a(name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


def uniform(name, count):
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a(name)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float32) / np.float32(2**24)


def tensor(name, shape, gain=GAIN):
    f, u = np.float32, uniform(name, int(np.prod(shape)))
    last = name.rsplit(".", 1)[-1]
    if last == "input":
        v = (f(2) * u - f(1)) * f(3)
    elif last == "weight" and len(shape) > 1:
        v = (f(2) * u - f(1)) * f(np.sqrt(np.float64(gain) / np.prod(shape[1:])))
    elif last in ("weight", "running_var"):
        v = f(0.5) + u
    elif last in ("bias", "running_mean"):
        v = (u - f(0.5)) * f(0.2)
    else:
        raise ValueError(name)
    assert v.dtype == np.float32
    return torch.from_numpy(v.reshape(shape))


def fill(module, prefix="", gain=GAIN):
    state = module.state_dict()
    module.load_state_dict({k: v if k.endswith("num_batches_tracked") else tensor(prefix + k, tuple(v.shape), gain) for k, v in state.items()})
    return module.eval()


def network(name, num_classes=1000, stem_stride=2):
    model = timm.create_model(name, pretrained=False, num_classes=num_classes)
    model.conv_stem.stride = (stem_stride, stem_stride)
    return model


def relative(x, exact):
    return float(f"{((x.double() - exact).abs().max() / exact.abs().max()).item():.2e}")


def short(v):
    return float(np.float32(v))


def stats(t):
    a = t.detach().numpy()
    step = a.size // 8 - 3
    index = [5 + k * step for k in range(8)]
    flat = a.reshape(-1)
    return {"shape": list(a.shape), "mean": short(a.astype(np.float64).mean()), "abs_max": short(np.abs(a).max()),
            "index": index, "value": [short(flat[i]) for i in index]}


def logits_case(out, name, shape, num_classes=1000, stem_stride=2):
    model, x = fill(network(name, num_classes, stem_stride)), tensor("input", shape)
    y, exact = model(x), copy.deepcopy(model).double()(x.double())
    file = f"{name}_{'x'.join(map(str, shape))}{'' if num_classes == 1000 else f'_classes{num_classes}'}.npy"
    np.save(os.path.join(out, file), y.numpy())
    row = {"file": file, "architecture": name, "num_classes": num_classes, "stem_stride": stem_stride, "shape": list(shape),
           "abs_max": short(y.abs().max()), "f32_error": relative(y, exact)}
    if len(y) > 1:
        row["least_difference"] = float(f"{min((y[i] - y[j]).abs().max() / y.abs().max() for i in range(len(y)) for j in range(i)):.3g}")
    print(row)
    return row


def intermediates(out, name, shape):
    model, rows, exact, gates = fill(network(name)), {}, {}, {}
    double = copy.deepcopy(model).double()
    names = ["act1"] + [f"blocks.{s}.{b}" for s in range(9) for b in range(len(model.blocks[s]))] + ["blocks.9", "global_pool", "act2"]
    label = {"act1": "conv_stem + bn1 + relu", "global_pool": "global average pool", "act2": "conv_head + relu"}
    for n in names:
        double.get_submodule(n).register_forward_hook(lambda m, i, o, n=n: exact.__setitem__(n, o.clone()))
        model.get_submodule(n).register_forward_hook(
            lambda m, i, o, n=n: rows.__setitem__(n, {"module": n, **({"what": label[n]} if n in label else {}), **stats(o), "f32_error": relative(o, exact[n])}))
    for n, m in model.named_modules():
        if n.endswith(".se.gate"):
            m.register_forward_hook(lambda m, i, o, n=n: gates.__setitem__(n, o.clone()))
    x = tensor("input", shape)
    double(x.double()); model(x)
    for n, r in rows.items():
        print(f"  {n:12} mean {r['mean']:10.4f} abs_max {r['abs_max']:10.4f} error {r['f32_error']:.1e}")
    for n, g in gates.items():
        print(f"  {n}: gate 0 {(g == 0).float().mean():.2f} gate 1 {(g == 1).float().mean():.2f}")
    file = f"{name}_intermediates.json"
    with open(os.path.join(out, file), "w") as f:
        json.dump({"architecture": name, "input_shape": list(shape), "layout": "NCHW", "modules": [rows[n] for n in names]}, f, indent=1)
        f.write("\n")
    return {"file": file, "architecture": name, "shape": list(shape)}


def features(name, shape):
    model, whole = timm.create_model(name, pretrained=False, features_only=True), fill(network(name))
    info = [{k: row[k] for k in ("module", "num_chs", "reduction")} for row in model.feature_info.info]
    # The feature network calls blocks.0 blocks_0. The formula hashes the names of the whole one.
    state = whole.state_dict()
    model.load_state_dict({k: state[k.replace("blocks_", "blocks.", 1)] for k in model.state_dict()})
    maps = model.eval()(tensor("input", shape))
    again = whole.forward_intermediates(tensor("input", shape), intermediates_only=True)
    assert len(maps) == len(again) and all(torch.equal(a, b) for a, b in zip(maps, again))
    for row, m in zip(info, maps):
        print(" ", row, list(m.shape))
    note = "the first map is the bare convolution conv_stem, before bn1 and relu; the others are the outputs of the last bottleneck of their stage"
    return {"architecture": name, "shape": list(shape), "note": note, "maps": [{**row, **stats(m)} for row, m in zip(info, maps)]}


def transform_of(model_cfg):
    return create_transform(**model_cfg), {k: list(v) if isinstance(v, tuple) else v for k, v in model_cfg.items()}


def photograph(out, name, image):
    model = network(name)
    transform, config = transform_of(resolve_data_config({}, model=model))
    x = transform(Image.open(os.path.join(ROOT, "assets", "images", image)).convert("RGB"))[None]
    fill(model)
    y = model(x)
    file = f"{name}_{image.split('.')[0]}.npy"
    np.save(os.path.join(out, file), y.numpy())
    row = {"file": file, "architecture": name, "num_classes": 1000, "stem_stride": 2, "image": image, "transform": config,
           "tensor": stats(x), "abs_max": short(y.abs().max()), "f32_error": relative(y, copy.deepcopy(model).double()(x.double()))}
    print({k: row[k] for k in ("file", "abs_max", "f32_error")}, transform)
    return row


GHOSTS = [  # name, GhostModule arguments, activated, input shape
    ("half", dict(in_chs=6, out_chs=12), True, (2, 6, 9, 7)),
    ("half_linear", dict(in_chs=6, out_chs=12), False, (2, 6, 9, 7)),
    ("odd_out", dict(in_chs=5, out_chs=13), True, (2, 5, 9, 7)),
    ("ratio3", dict(in_chs=8, out_chs=16, ratio=3), True, (2, 8, 9, 7)),
    ("ratio3_exact", dict(in_chs=8, out_chs=18, ratio=3), True, (2, 8, 9, 7)),
    ("ratio4", dict(in_chs=7, out_chs=18, ratio=4, dw_size=5), True, (2, 7, 9, 7)),
    ("ratio4_linear", dict(in_chs=7, out_chs=21, ratio=4), False, (2, 7, 9, 7)),
    ("ratio5_few", dict(in_chs=4, out_chs=6, ratio=5), True, (2, 4, 9, 7)),
    ("dw1", dict(in_chs=6, out_chs=10, dw_size=1), True, (2, 6, 9, 7)),
    ("dw5", dict(in_chs=6, out_chs=10, dw_size=5), True, (2, 6, 9, 7)),
    ("dw7_small_map", dict(in_chs=6, out_chs=10, dw_size=7), True, (2, 6, 3, 2)),
    ("kernel3", dict(in_chs=5, out_chs=14, kernel_size=3), True, (2, 5, 9, 7)),
    ("kernel3_stride2", dict(in_chs=5, out_chs=14, kernel_size=3, stride=2), True, (2, 5, 9, 7)),
    ("kernel5_stride2_ratio3", dict(in_chs=3, out_chs=11, kernel_size=5, stride=2, ratio=3), False, (2, 3, 10, 7)),
    ("kernel1_stride2", dict(in_chs=8, out_chs=16, stride=2), True, (2, 8, 9, 8)),
    ("one_pixel", dict(in_chs=9, out_chs=15), True, (1, 9, 1, 1)),
    ("one_channel", dict(in_chs=1, out_chs=3, ratio=3), True, (2, 1, 9, 7)),
    ("wide", dict(in_chs=40, out_chs=67), True, (1, 40, 17, 19)),
]


def ghost_modules(out):
    tensors, metadata, worst = {}, {"format": "pt", "about": "GhostModule outputs; weights and input by the formula, names prefixed by 'case.'"}, 0.0
    for name, arguments, active, shape in GHOSTS:
        full = {"kernel_size": 1, "ratio": 2, "dw_size": 3, "stride": 1, **arguments}
        module = fill(GhostModule(**full, act_layer=torch.nn.ReLU if active else torch.nn.Identity), name + ".")
        x = tensor(f"{name}.input", shape)
        y = module(x.clone())
        exact = copy.deepcopy(module).double()(x.double())
        worst = max(worst, relative(y, exact))
        tensors[name] = y.numpy()
        metadata[name] = json.dumps({**full, "relu": active, "input": list(shape), "f32_error": relative(y, exact)}, sort_keys=True)
    write_safetensors(os.path.join(out, "ghost_modules.safetensors"), tensors, metadata)
    print(f"ghost modules: {len(GHOSTS)}, worst relative error of f32 {worst:.1e}")
    return {"file": "ghost_modules.safetensors", "cases": [g[0] for g in GHOSTS]}


# Gains with which activations of networks without training stay between 1e-2 and 1e3: parallel
# branches add up, and linear projections shrink. With 1.5, GhostNetV3's f32 is wrong by 10 %.
FAMILY = {
    **dict.fromkeys(("ghostnetv2_100", "ghostnetv2_130", "ghostnetv2_160"), GAIN),
    **dict.fromkeys(("ghostnetv3_050", "ghostnetv3_100", "ghostnetv3_130", "ghostnetv3_160"), 1.0),
    **dict.fromkeys(("repghostnet_050", "repghostnet_080", "repghostnet_100", "repghostnet_200"), 1.5),
    **dict.fromkeys(("vgg16", "ghost_vgg16", "resnet20", "ghost_resnet20", "resnet56", "ghost_resnet56"), GAIN),
    **dict.fromkeys(("resnet50", "ghost_resnet50", "ghost_resnet50_s4"), GAIN),
    **dict.fromkeys(("mobilenetv2_100", "mobilenetv3_small_100", "mobilenetv3_large_100"), 4.0),
}
# Odd at every stage.
ODD = (1, 3, 97, 65)


def layers(name, norm, in_chs, out_chs, kernel, stride, act, ratio):
    """A convolution, normalised and with act activated, or a ghost module of a ratio above 1."""
    if ratio > 1:
        kind = torch.nn.ReLU if act else torch.nn.Identity
        return {name: GhostModule(in_chs, out_chs, kernel_size=kernel, ratio=ratio, stride=stride, act_layer=kind)}
    conv = torch.nn.Conv2d(in_chs, out_chs, kernel, stride, kernel // 2, bias=False)
    return {name: conv, norm: torch.nn.BatchNorm2d(out_chs)} | ({f"{name}_relu": torch.nn.ReLU()} if act else {})


def sequence(parts):
    return torch.nn.Sequential(OrderedDict(parts))


class Vgg(torch.nn.Module):
    """VGG-16 for CIFAR-10, as in Li et al., ICLR 2017."""

    def __init__(self, ratio):
        super().__init__()
        parts, c, at = {}, 3, 0
        for group in ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3):
            for out in group:
                parts |= layers(str(at), str(at + 1), c, out, 3, 1, True, ratio)
                c, at = out, at + 3
            parts[str(at)] = torch.nn.MaxPool2d(2)
            at += 1
        self.features = sequence(parts)
        self.classifier = torch.nn.Sequential(torch.nn.Linear(512, 512), torch.nn.BatchNorm1d(512), torch.nn.ReLU(), torch.nn.Linear(512, 10))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class Residual(torch.nn.Module):
    def __init__(self, in_chs, convs, ratio, shortcut_ratio):
        super().__init__()
        c, stride = in_chs, 1
        for at, (out, kernel, s) in enumerate(convs, 1):
            for name, module in layers(f"conv{at}", f"bn{at}", c, out, kernel, s, at < len(convs), ratio).items():
                self.add_module(name, module)
            c, stride = out, stride * s
        self.order, self.downsample = [m for _, m in self.named_children()], None
        if (in_chs, stride) != (c, 1):
            self.downsample = sequence(layers("0", "1", in_chs, c, 1, stride, False, shortcut_ratio))

    def forward(self, x):
        y = x
        for module in self.order:
            y = module(y)
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(torch.nn.Module):
    """ResNet-50 (stages of two numbers each: width and blocks), or one of two convolutions a block for CIFAR-10."""

    def __init__(self, stages, ratio, deep):
        super().__init__()
        c = stages[0][0]
        self.conv1 = torch.nn.Conv2d(3, c, 7 if deep else 3, 2 if deep else 1, 3 if deep else 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(c)
        self.maxpool = torch.nn.MaxPool2d(3, 2, 1) if deep else torch.nn.Identity()
        for stage, (width, blocks) in enumerate(stages):
            parts = []
            for at in range(blocks):
                s = 2 if at == 0 and stage > 0 else 1
                convs = [(width, 1, 1), (width, 3, s), (4 * width, 1, 1)] if deep else [(width, 3, s), (width, 3, 1)]
                parts.append(Residual(c, convs, ratio, ratio if deep else 1))
                c = convs[-1][0]
            self.add_module(f"layer{stage + 1}", torch.nn.Sequential(*parts))
        self.stages = [getattr(self, f"layer{at + 1}") for at in range(len(stages))]
        self.fc = torch.nn.Linear(c, 1000 if deep else 10)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for stage in self.stages:
            x = stage(x)
        return self.fc(x.mean((2, 3)))


def plain(name):
    """The paper's networks that timm has not, and whether they are for small images."""
    ratio = 4 if name.endswith("_s4") else 2 if name.startswith("ghost_") else 1
    if "vgg16" in name:
        return Vgg(ratio), True
    if "resnet50" in name:
        return ResNet([(64, 3), (128, 4), (256, 6), (512, 3)], ratio, True), False
    n = {"20": 3, "56": 9}[name[-2:]]
    return ResNet([(16, n), (32, n), (64, n)], ratio, False), True


def count(model, shape):
    """Parameters, and multiply-adds of convolutions and linear layers."""
    macs, hooks = [], []
    for m in model.modules():
        if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear)):
            hooks.append(m.register_forward_hook(lambda m, i, o: macs.append(o.numel() // o.shape[1] * m.weight.numel())))
    model(torch.zeros(shape))
    for hook in hooks:
        hook.remove()
    return {"params": sum(p.numel() for p in model.parameters()), "macs": sum(macs)}


def family(out):
    logits, rows = {}, []
    for name, gain in FAMILY.items():
        is_plain = name != "resnet50" and name.startswith(("vgg", "resnet", "ghost_"))
        model, is_small = plain(name) if is_plain else (timm.create_model(name), False)
        shape = (1, 3, 32, 32) if is_small else ODD
        row = {"architecture": name, "gain": gain, "shape": list(shape), **count(model.eval(), shape if is_small else (1, 3, 224, 224))}
        fill(model, gain=gain)
        x = tensor("input", shape)
        y, exact = model(x), copy.deepcopy(model).double()(x.double())
        logits[name] = y.numpy()
        row |= {"abs_max": short(y.abs().max()), "f32_error": relative(y, exact)}
        merged = reparameterize_model(model)
        if any(hasattr(m, "reparameterize") for m in model.modules()):
            row["merged"] = {**count(merged, (1, 3, 224, 224)), "difference": relative(merged(x), exact)}
        rows.append(row)
        print(rows[-1])
    write_safetensors(os.path.join(out, "family.safetensors"), logits, {"format": "pt", "about": "logits of networks with weights by formula"})
    return {"file": "family.safetensors", "networks": rows}


@torch.no_grad()
def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "tests", "data", "golden")
    os.makedirs(out, exist_ok=True)
    torch.set_num_threads(1)
    widths = ("ghostnet_050", "ghostnet_100", "ghostnet_130")
    index = {"versions": {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in ("torch", "timm", "numpy", "pillow", "safetensors")}},
             "about": "made by tools/golden.py, which states the formula of weights and inputs; f32_error is the largest difference from an f64 run over the largest f64 magnitude",
             "gain": GAIN}
    index["formula_check"] = [{"name": n, "shape": list(s), "fnv1a": f"{fnv1a(n):016x}", "f32_bits": [f"{b:08x}" for b in tensor(n, s).numpy().reshape(-1)[[0, 1, 2, -1]].view(np.uint32)], "elements": "0, 1, 2, last"}
                              for n, s in (("input", (1, 3, 224, 224)), ("conv_stem.weight", (16, 3, 3, 3)), ("bn1.weight", (16,)), ("bn1.bias", (16,)),
                                           ("bn1.running_mean", (16,)), ("bn1.running_var", (16,)), ("blocks.3.0.se.conv_reduce.weight", (20, 72, 1, 1)), ("classifier.weight", (1000, 1280)))]
    index["models"] = []
    for n in widths:
        m = network(n)
        index["models"].append({"architecture": n, "params": sum(p.numel() for p in m.parameters()), "tensors": sum("num_batches" not in k for k in m.state_dict())})
    small = network("ghostnet_050", 10, 1)
    index["models"].append({"architecture": "ghostnet_050", "num_classes": 10, "params": sum(p.numel() for p in small.parameters()), "tensors": sum("num_batches" not in k for k in small.state_dict())})
    print(index["models"])
    index["cases"] = [logits_case(out, n, s) for n in widths for s in ((1, 3, 224, 224), (3, 3, 224, 224), (1, 3, 160, 160), (2, 3, 192, 256))]
    index["cases"] += [logits_case(out, "ghostnet_050", s, 10, 1) for s in ((3, 3, 32, 32), (1, 3, 33, 47))]
    index["cases"].append(logits_case(out, "ghostnet_100", (1, 3, 65, 97)))
    index["intermediates"] = intermediates(out, "ghostnet_100", (1, 3, 224, 224))
    index["features"] = features("ghostnet_100", (1, 3, 64, 64))
    index["photograph"] = photograph(out, "ghostnet_100", "chelsea.png")
    index["ghost_modules"] = ghost_modules(out)
    index["family"] = family(out)
    with open(os.path.join(out, "index.json"), "w") as f:
        json.dump(index, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
