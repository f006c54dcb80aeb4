#!/usr/bin/env python3
"""isa_report.py [--clamp] ISA_STATS DIR: what every shader of a plan costs on an AMD RDNA2 GPU,
without one.

    ghostnet inspect ghostnet_100 --precision f32|f16 --dump-shaders DIR
    cargo build --release --manifest-path tools/isa-stats/Cargo.toml
    python3 tools/isa_report.py tools/isa-stats/target/release/isa-stats DIR

ISA_STATS turns WGSL into SPIR-V as wgpu does and prints the statistics of Mesa's RADV compiler.
With --clamp it also clamps the indices of buffers and zeroes workgroup memory, as wgpu does for
Metal. This script runs it on each file and prints a table. It adds what the disassembly says of the loop
over input channels: its instructions, and the share of them that are multiply-adds (one of two
halves at once counts as one).

It exits 1 if a shader spills, uses scratch or leaves fewer than 8 subgroups per SIMD. It exits 1
too if in `pointwise` or `ghost` less than half of that loop is multiply-adds, unless --clamp.
"""
import os, pathlib, re, subprocess, sys

ICD = "radeon_icd.x86_64.json"


def driver():
    for folder in ("/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"):
        if os.path.exists(os.path.join(folder, ICD)):
            return os.path.join(folder, ICD)
    sys.exit(f"isa_report: no {ICD} (Debian: mesa-vulkan-drivers)")


def run(command, file):
    # Without its cache the driver compiles, and prints, every time.
    env = dict(os.environ, RADV_FORCE_FAMILY="navi21", VK_ICD_FILENAMES=driver(), VK_DRIVER_FILES=driver(), RADV_DEBUG="shaders,nocache",
               MESA_SHADER_CACHE_DISABLE="true")
    done = subprocess.run([*command, str(file)], env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"isa_report: {file.name}: {done.stderr.strip().splitlines()[-1]}")
    stats = {m[1].strip(): float(m[2]) for m in re.finditer(r"^  (\S.*?)\s{2,}([\d.]+)$", done.stdout, re.M)}
    return stats, done.stderr.split("disasm:")[-1]


def main_loop(disassembly):
    """Instructions and multiply-adds of the loop over input channels.

    That is the one with most multiply-adds among the innermost loops that read buffers and no
    workgroup memory.
    """
    blocks, code = {}, []
    for line in disassembly.splitlines():
        if label := re.match(r"\s*(BB\d+):", line):
            blocks[label[1]] = len(code)
        elif op := re.match(r"\s+((?:s|v|ds|buffer|global|scratch|image)_\w+)\s*(.*?)(?:;.*)?$", line):
            code.append((op[1], op[2].strip()))
    loops = []
    for at, (op, operands) in enumerate(code):
        start = blocks.get(operands) if op.startswith(("s_branch", "s_cbranch")) else None
        if start is not None and start <= at:
            loops.append((start, at + 1))
    inner = [(a, b) for a, b in loops if not any(a <= c and d <= b and (c, d) != (a, b) for c, d in loops)]
    over_channels = [(a, b) for a, b in inner if any(op.startswith("buffer_load") for op, _ in code[a:b])
                     and not any(op.startswith("ds_read") for op, _ in code[a:b])]
    return max(((sum("fma" in op or "mad" in op and "f32" in op or op == "v_pk_mul_f16" for op, _ in code[a:b]), b - a) for a, b in over_channels), default=(0, 0))


def main():
    flags = [arg for arg in sys.argv[1:] if arg.startswith("--")]
    others = [arg for arg in sys.argv[1:] if not arg.startswith("--")]
    if len(others) != 2 or flags not in ([], ["--clamp"]):
        sys.exit(__doc__)
    command, files = [others[0], *flags], sorted(pathlib.Path(others[1]).glob("*.wgsl"))
    if not files:
        sys.exit(f"isa_report: no .wgsl files in {others[1]}")
    width = max(len(f.stem) for f in files)
    print(f"{'shader':{width}}  VGPRs  spills  scratch  subgroups/SIMD  workgroup bytes  instructions  loop  multiply-adds")
    bad = []
    for file in files:
        stats, disassembly = run(command, file)
        fma, loop = main_loop(disassembly)
        spills = stats["Spilled SGPRs"] + stats["Spilled VGPRs"]
        share = fma / loop if loop else 0
        print(f"{file.stem:{width}}  {stats['VGPRs']:5.0f}  {spills:6.0f}  {stats['Scratch size']:7.0f}  {stats['Subgroups per SIMD']:14.0f}  "
              f"{stats['LDS size']:15.0f}  {stats['Instructions']:12.0f}  {loop:4d}  {fma:5d} ({share:4.0%})")
        wants = {"spills": spills > 0, "uses scratch": stats["Scratch size"] > 0, "leaves fewer than 8 subgroups": stats["Subgroups per SIMD"] < 8,
                 "has under half multiply-adds": len(command) == 1 and file.stem.split("-")[0] in ("pointwise", "ghost") and share < 0.5}
        bad += [f"{file.stem} {what}" for what, failed in wants.items() if failed]
    for line in bad:
        print("NOT MET:", line)
    sys.exit(bool(bad))


main()
