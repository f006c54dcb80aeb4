"""Train a GhostNet (Han et al., CVPR 2020) on CIFAR-10 and export it as safetensors.

    python train_cifar10.py --data DIR --out ghostnet_cifar10.safetensors --minutes 90

DIR holds train.tar.xz and test.tar.xz (CLASS/NNNN.jpg). The network is timm's ghostnet_050 with its
stem at stride 1, so a 32x32 image reaches the last stage at 2x2 (or 4x4 with --strides 1,1).
The learning rate follows the clock: one cycle over the minutes given. So a slow machine trains
fewer epochs but always finishes its schedule.
"""
import argparse, io, json, math, os, tarfile, time
import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def load(path):
    images, labels = [], []
    with tarfile.open(path) as tar:
        for member in sorted((m for m in tar if m.isfile()), key=lambda m: m.name):
            images.append(np.asarray(Image.open(io.BytesIO(tar.extractfile(member).read())).convert("RGB")))
            labels.append(CLASSES.index(member.name.split("/")[-2]))
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)


def build(name, strides):
    model = timm.create_model(name, pretrained=False, num_classes=10, drop_rate=0.1)
    model.conv_stem.stride = (strides[0], strides[0])
    if strides[1] == 1:  # keep the first stride-2 bottleneck at full resolution
        block = model.blocks[1][0]
        block.conv_dw.stride = (1, 1)
        block.shortcut[0].stride = (1, 1)
    return model


def augment(x):
    n = len(x)
    x = F.pad(x, (4, 4, 4, 4), mode="reflect")
    dx, dy = torch.randint(0, 9, (n,)), torch.randint(0, 9, (n,))
    rows = (dy[:, None] + torch.arange(32))[:, None, :, None].expand(n, 3, 32, 40)
    x = x.gather(2, rows)
    cols = (dx[:, None] + torch.arange(32))[:, None, None, :].expand(n, 3, 32, 32)
    x = x.gather(3, cols)
    flip = torch.rand(n) < 0.5
    x[flip] = x[flip].flip(3)
    return x


@torch.no_grad()
def accuracy(model, x, y, mean, std):
    model.eval()
    right = 0
    for i in range(0, len(x), 500):
        logits = model(((x[i:i + 500].float() / 255) - mean) / std)
        right += (logits.argmax(1) == y[i:i + 500]).sum().item()
    return right / len(x)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True); p.add_argument("--out", required=True)
    p.add_argument("--model", default="ghostnet_050"); p.add_argument("--strides", default="1,2")
    p.add_argument("--minutes", type=float, default=90); p.add_argument("--batch", type=int, default=128)
    p.add_argument("--lr", type=float, default=0.2); p.add_argument("--seed", type=int, default=0)
    p.add_argument("--probe", type=int, default=0); p.add_argument("--init"); p.add_argument("--bf16", action="store_true"); p.add_argument("--cutout", type=int, default=0); p.add_argument("--smoothing", type=float, default=0.1)
    a = p.parse_args()
    torch.manual_seed(a.seed); torch.set_num_threads(2)
    xt, yt = load(os.path.join(a.data, "train.tar.xz")); xv, yv = load(os.path.join(a.data, "test.tar.xz"))
    mean, std = torch.tensor(MEAN)[None, :, None, None], torch.tensor(STD)[None, :, None, None]
    model = build(a.model, [int(s) for s in a.strides.split(",")]).to(memory_format=torch.channels_last)
    if a.init:
        from safetensors.torch import load_file
        missing, extra = model.load_state_dict(load_file(a.init), strict=False)
        assert not extra and all("num_batches" in k for k in missing), (missing, extra)
    ema = {k: v.detach().clone() for k, v in model.state_dict().items()}
    decay, other = [], []
    for n, q in model.named_parameters():
        (decay if q.ndim > 1 else other).append(q)
    opt = torch.optim.SGD([{"params": decay, "weight_decay": 5e-4}, {"params": other, "weight_decay": 0}], lr=a.lr, momentum=0.9, nesterov=True)
    start, step, epoch, log, clock = time.time(), 0, 0, [], 0.0
    print(json.dumps({"params": sum(q.numel() for q in model.parameters())}), flush=True)
    while clock < 1:
        order, loss_sum, seen = torch.randperm(len(xt)), 0.0, 0
        for i in range(0, len(xt) - a.batch + 1, a.batch):
            clock = min(1.0, (time.time() - start) / (60 * a.minutes))
            lr = a.lr * (clock / 0.1 if clock < 0.1 else 0.5 * (1 + math.cos(math.pi * (clock - 0.1) / 0.9)))
            for g in opt.param_groups: g["lr"] = max(lr, 1e-4)
            pick = order[i:i + a.batch]
            x = ((augment(xt[pick]).float() / 255) - mean) / std
            model.train()
            if a.cutout:
                r = torch.arange(32); cy, cx = torch.randint(0, 32, (len(x), 1, 1)), torch.randint(0, 32, (len(x), 1, 1))
                x = x * ~(((r[None, :, None] - cy).abs() < a.cutout // 2) & ((r[None, None, :] - cx).abs() < a.cutout // 2))[:, None]
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.bf16):
                loss = F.cross_entropy(model(x.to(memory_format=torch.channels_last)), yt[pick], label_smoothing=a.smoothing)
            opt.zero_grad(set_to_none=True); loss.backward(); opt.step()
            step += 1; loss_sum += loss.item(); seen += 1
            m = min(0.998, step / (step + 20))
            for k, v in model.state_dict().items():
                if v.dtype.is_floating_point: ema[k].mul_(m).add_(v.detach(), alpha=1 - m)
                else: ema[k].copy_(v)
            if a.probe and step == a.probe:
                print(json.dumps({"steps": step, "seconds": time.time() - start, "cpu_s": time.process_time()})); return
            if clock >= 1: break
        epoch += 1
        keep = {k: v.clone() for k, v in model.state_dict().items()}
        model.load_state_dict(ema)
        row = {"epoch": epoch, "steps": step, "minutes": (time.time() - start) / 60, "loss": loss_sum / max(seen, 1), "test_top1_ema": accuracy(model, xv, yv, mean, std)}
        if clock >= 1:
            save_file({k: v.contiguous() for k, v in ema.items() if "num_batches" not in k}, a.out, metadata={"arch": a.model, "strides": a.strides, "classes": ",".join(CLASSES), "mean": str(MEAN), "std": str(STD), "test_top1": f"{row['test_top1_ema']:.4f}", "data": "CIFAR-10 (JPEG copy)", "seed": str(a.seed)})
        torch.save({"ema": ema, "row": row}, a.out + ".partial.pt")
        model.load_state_dict(keep)
        log.append(row); print(json.dumps(row), flush=True)
        json.dump(log, open(a.out + ".log.json", "w"), indent=1)


if __name__ == "__main__":
    main()
