#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Quantising and decoding a weight in 4 bits: bitsandbytes beside veneer, in turn, on the CPU.

    python3 benchmarks/peers/nf4.py build/release/benchmarks/peer_nf4

Both: NF4, blocks of 64, the same size and element type, the same number of threads. One side runs while the other waits.
Prints medians and their ratio; prints "skipped: ..." and exits with 0 where bitsandbytes can't be imported.
"""
import argparse
import os
import statistics
import subprocess
import sys
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("program", help="the program peer_nf4")
parser.add_argument("--rows", type=int, default=4096)
parser.add_argument("--columns", type=int, default=4096)
parser.add_argument("--threads", type=int, default=2, help="of each side (default 2)")
parser.add_argument("--pairs", type=int, default=15, help="runs of each side that count (default 15)")
ARGUMENTS = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(ARGUMENTS.threads)
try:
    import bitsandbytes.functional as functional
    import torch
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)

torch.set_num_threads(ARGUMENTS.threads)
size = [str(ARGUMENTS.rows), str(ARGUMENTS.columns)]
peer = subprocess.Popen([ARGUMENTS.program, "time", *size, str(ARGUMENTS.threads)], stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE, text=True)


def ours(what, dtype):
    peer.stdin.write(f"{what} {dtype}\n")
    peer.stdin.flush()
    return float(peer.stdout.readline())


def theirs(action):
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


print(f"{' x '.join(size)}, {ARGUMENTS.threads} threads, medians of {ARGUMENTS.pairs}; load {os.getloadavg()[0]:.1f}")
for dtype in ("float32", "bfloat16"):
    weight = torch.randn(ARGUMENTS.rows, ARGUMENTS.columns).mul(0.02).to(getattr(torch, dtype))
    packed, state = functional.quantize_4bit(weight, blocksize=64, quant_type="nf4")
    actions = {"quantise": lambda: functional.quantize_4bit(weight, blocksize=64, quant_type="nf4"),
               "dequantise": lambda: functional.dequantize_4bit(packed, state)}
    for what, action in actions.items():
        pairs = [(theirs(action), ours(what, dtype)) for _ in range(ARGUMENTS.pairs + 2)][2:]
        them, us = (1e3 * statistics.median(side) for side in zip(*pairs))
        print(f"{what:10} {dtype:8}  bitsandbytes {them:8.2f} ms   veneer {us:8.2f} ms   {them / us:6.1f} times as fast")
peer.stdin.close()
peer.wait()
