#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Encoding a long text: Hugging Face's tokenizers beside veneer, in turn, one thread each.

    python3 benchmarks/peers/tokenize.py build/release/benchmarks/peer_tokenize [TOKENIZER.json ...]

The text is mixed: Python sources of this machine, and the strings of tests/data (many scripts, white space, digits, marks),
10 MB in all. Both sides give the same ids (counts and hashes are compared). "whole": the text in one call; "lines": a call a
line for veneer, one call of encode_batch_fast for the peer. Times are the processor's: the machine may be busy. Memory: how far
veneer's process grew, over the text's size.
Prints "skipped: ..." and exits with 0 where tokenizers can't be imported.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
SOURCE = Path(__file__).resolve().parent.parent.parent / "tests" / "data" / "text"
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("program", help="the program peer_tokenize")
parser.add_argument("tokenizers", nargs="*", default=[str(SOURCE / "tokenizers" / name / "tokenizer.json")
                                                      for name in ("llama3-tiny", "spm-legacy-tiny", "spm-metaspace-tiny")])
parser.add_argument("--bytes", type=int, default=10_000_000)
parser.add_argument("--pairs", type=int, default=5, help="runs of each side that count (default 5)")
ARGUMENTS = parser.parse_args()
try:
    from tokenizers import Tokenizer
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)


def mixed_text(size):
    rng = random.Random(1)
    strings = [json.loads(line)["text"] for line in open(SOURCE / "strings.jsonl", encoding="utf-8")]
    strings = [text for text in strings if len(text) < 400]
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    parts, total = [], 0
    while total < size:
        part = rng.choice(files).read_text(encoding="utf-8", errors="replace")[:20000]
        part += "\n".join(rng.choice(strings) for _ in range(200)) + "\n"
        parts.append(part)
        total += len(part.encode())
    return "".join(parts).encode()[:size].decode(errors="ignore")


def fnv(ids):
    value = 0xCBF29CE484222325
    for number in ids:
        for byte in number.to_bytes(4, "little"):
            value = ((value ^ byte) * 0x100000001B3) & (2**64 - 1)
    return value


TEXT = mixed_text(ARGUMENTS.bytes)
LINES = [part + "\n" for part in TEXT.split("\n")[:-1]] + ([TEXT.split("\n")[-1]] if not TEXT.endswith("\n") else [])
print(f"{len(TEXT.encode()) / 1e6:.1f} MB, one thread, processor time, medians of {ARGUMENTS.pairs}; load {os.getloadavg()[0]:.1f}")
with tempfile.NamedTemporaryFile(suffix=".txt") as file:
    file.write(TEXT.encode())
    file.flush()
    for path in ARGUMENTS.tokenizers:
        them = Tokenizer.from_file(path)
        us = subprocess.Popen([ARGUMENTS.program, path, file.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for what in ("whole", "lines"):
            times = []
            for pair in range(ARGUMENTS.pairs + 1):
                begin = time.process_time()
                found = ([them.encode_batch_fast([TEXT], add_special_tokens=False)[0]] if what == "whole"
                         else them.encode_batch_fast(LINES, add_special_tokens=False))
                peer = time.process_time() - begin
                us.stdin.write(what + "\n")
                us.stdin.flush()
                seconds, count, hashed, peak = us.stdout.readline().split()
                times.append((peer, float(seconds)))
                if pair == 0:
                    ids = [number for part in found for number in part.ids]
                    if (len(ids), fnv(ids)) != (int(count), int(hashed)):
                        sys.exit(f"{path}: {what}: other ids ({len(ids)} and {count})")
                    first_peak = int(peak)
                del found
            peer, own = (statistics.median(side) for side in zip(*times[1:]))
            size = len(TEXT.encode())
            memory = f"memory {first_peak / size:4.1f} times the text" if what == "whole" else ""
            print(f"{Path(path).parent.name:20} {what:6} tokenizers {size / peer / 1e6:6.1f} MB/s   veneer {size / own / 1e6:6.1f} MB/s"
                  f"   {peer / own:5.2f} times as fast   {memory}")
        us.stdin.close()
        us.wait()
