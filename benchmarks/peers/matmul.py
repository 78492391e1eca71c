#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Products of veneer beside PyTorch's, in turn, by shape and storage, and beside the kernel alone.

    python3 benchmarks/peers/matmul.py build/release/benchmarks/peer_matmul

y = x w^T, as a linear layer has it forward, and y = x w, as it has it back, with m rows of x. float32 and bfloat16 on
both sides; nf4, with x in bfloat16, on veneer's alone. Each round runs every product once on either side while the
other waits; medians of GFLOP/s and their ratio are printed. "of the kernel" is the share of what the kernel reaches
with its operands in the first cache, times the threads. Prints "skipped: ..." and exits with 0 without torch.
"""
import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.pop(0)  # tokenize.py beside this file is no module of Python's
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("program", type=Path, help="the program peer_matmul")
parser.add_argument("--threads", type=int, default=2, help="of each side (default 2)")
parser.add_argument("--rounds", type=int, default=9, help="that count (default 9), after two that do not")
parser.add_argument("--shapes", default="512x4096x4096,2048x4096x4096,512x8192x2048,512x576x576,512x1536x576,1x4096x4096",
                    help="m x n x k, separated by commas")
ARGUMENTS = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(ARGUMENTS.threads)
try:
    import torch
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)


def torch_product(shape, storage, form, made={}):
    m, n, k = shape
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[storage]
    if (shape, storage, form) not in made:
        rows, columns = (n, k) if form == "T" else (k, n)
        made[shape, storage, form] = torch.rand(m, k).sub(0.5).to(dtype), torch.rand(rows, columns).sub(0.5).to(dtype)
    x, w = made[shape, storage, form]
    start = time.perf_counter()
    torch.nn.functional.linear(x, w) if form == "T" else x @ w
    return 2 * m * n * k / (time.perf_counter() - start) / 1e9


def main():
    torch.set_num_threads(ARGUMENTS.threads)
    child = subprocess.Popen([ARGUMENTS.program, str(ARGUMENTS.threads)], text=True, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
    kernels = child.stdout.readline().strip()

    def ask(line):
        child.stdin.write(line + "\n")
        child.stdin.flush()
        return float(child.stdout.readline())

    shapes = [tuple(int(x) for x in shape.split("x")) for shape in ARGUMENTS.shapes.split(",")]
    cases = [(shape, storage, form) for shape in shapes for form in "TN" for storage in ("float32", "bfloat16", "nf4")]
    ours = {case: [] for case in cases}
    theirs = {case: [] for case in cases}
    peaks = {"float32": [], "bfloat16": []}
    for number in range(ARGUMENTS.rounds + 2):
        for name in peaks:
            peaks[name].append(ask(f"peak {name}"))
        for case in cases:
            (m, n, k), storage, form = case
            found = ask(f"{m} {n} {k} {storage} {form}")
            peer = torch_product(*case) if storage != "nf4" else 0.0
            if number >= 2:
                ours[case].append(found)
                theirs[case].append(peer)
    peak = {name: statistics.median(values) * ARGUMENTS.threads for name, values in peaks.items()}
    print(f"{platform.processor() or platform.machine()}, kernels {kernels}, {ARGUMENTS.threads} threads, "
          f"torch {torch.__version__}, medians of {ARGUMENTS.rounds} rounds, GFLOP/s")
    print(f"the kernel alone: float32 {peak['float32']:.0f}, bfloat16 {peak['bfloat16']:.0f}")
    print(f"{'m x n x k':18} {'form':5} {'storage':9} {'veneer':>8} {'torch':>8} {'ratio':>6} {'of the kernel':>14}")
    for case in cases:
        (m, n, k), storage, form = case
        found, peer = statistics.median(ours[case]), statistics.median(theirs[case])
        of = peak["float32" if storage == "float32" else "bfloat16"] or peak["float32"]
        print(f"{f'{m} x {n} x {k}':18} {'x w^T' if form == 'T' else 'x w':5} {storage:9} {found:8.0f} "
              f"{f'{peer:.0f}' if peer else '':>8} {f'{found / peer:.2f}' if peer else '':>6} {100 * found / of:13.0f}%")


if __name__ == "__main__":
    main()
