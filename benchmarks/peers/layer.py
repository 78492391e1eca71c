#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Forward and backward of one linear layer: frozen, with LoRA and with DoRA, by rank; and the same in PyTorch + PEFT.

    python3 benchmarks/peers/layer.py build/release/benchmarks/peer_layer [--widths 4096] [--ranks 1 16 64] [--peft]

x: (tokens, width), w: (width, width); x has a gradient, as in the middle of a model. All cases run in turn, and a ratio is
the median of the ratios of neighbouring runs. With --peft the LoRA layer of PEFT runs too, in the same storage with float32
factors; where torch or peft can't be imported it prints "skipped: ..." and goes on without.
"""
import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.pop(0)  # tokenize.py beside this file is no module of Python's


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, help="the program peer_layer")
    parser.add_argument("--widths", type=int, nargs="+", default=[4096])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--storages", nargs="+", default=["bfloat16", "nf4", "float32"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--peft", action="store_true", help="PyTorch + PEFT too (not for nf4)")
    return parser.parse_args()


ARGUMENTS = parse_arguments()
os.environ["OMP_NUM_THREADS"] = str(ARGUMENTS.threads)


class Ours:
    def __init__(self):
        self.process = subprocess.Popen([str(ARGUMENTS.program.resolve()), str(ARGUMENTS.threads)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, method, width, rank, storage):
        self.process.stdin.write(f"{method} {width} {ARGUMENTS.tokens} {rank} {storage}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def peft_layer(width, rank, storage):
    """A function that runs PEFT's layer once and returns milliseconds."""
    import peft
    import torch

    torch.set_num_threads(ARGUMENTS.threads)
    dtype = getattr(torch, storage)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(width, width, bias=False, dtype=dtype)

        def forward(self, x):
            return self.layer(x)

    model = peft.get_peft_model(Net(), peft.AdapterConfig(r=rank, lora_alpha=2 * rank, target_modules=["layer"]))
    x = torch.randn(ARGUMENTS.tokens, width).to(dtype).requires_grad_()
    dy = torch.randn(ARGUMENTS.tokens, width).to(dtype)

    def run():
        start = time.perf_counter()
        model(x).backward(dy)
        taken = 1e3 * (time.perf_counter() - start)
        model.zero_grad(set_to_none=True)
        x.grad = None
        return taken

    return run


def theirs(width, rank, storage):
    if not ARGUMENTS.peft or storage == "nf4":
        return None
    try:
        return peft_layer(width, rank, storage)
    except ImportError as error:
        print(f"skipped: PyTorch + PEFT: {error}")
        ARGUMENTS.peft = False
        return None


def main():
    ours = Ours()
    print(f"{ARGUMENTS.tokens} tokens, {ARGUMENTS.threads} threads, {ARGUMENTS.runs} runs; milliseconds are medians; "
          f"load {os.getloadavg()[0]:.2f}")
    for storage in ARGUMENTS.storages:
        for width in ARGUMENTS.widths:
            for rank in ARGUMENTS.ranks:
                peer = theirs(width, rank, storage)
                times = {name: [] for name in ("frozen", "lora", "dora", "peft")}
                for _ in range(ARGUMENTS.runs + 2):  # the first two warm up
                    for method in ("frozen", "lora", "dora"):
                        times[method].append(ours.run(method, width, rank, storage))
                    if peer:
                        times["peft"].append(peer())
                times = {name: values[2:] for name, values in times.items()}

                def ratio(over, under):
                    return statistics.median(a / b for a, b in zip(times[over], times[under]))

                line = (f"{storage:8} {width:5} x {width:<5} rank {rank:3}   frozen {statistics.median(times['frozen']):8.3f} ms"
                        f"   LoRA {ratio('lora', 'frozen'):.3f}   DoRA {ratio('dora', 'frozen'):.3f} of it")
                if peer:
                    line += f"   PEFT's LoRA {ratio('peft', 'lora'):.1f} times LoRA here"
                print(line, flush=True)


if __name__ == "__main__":
    main()
