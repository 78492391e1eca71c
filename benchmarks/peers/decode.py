#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One token of greedy generation here and in llama.cpp, in turn, next to the time that reading the weights takes.

    python3 benchmarks/peers/decode.py build/release/benchmarks/peer_decode MODEL_DIR \
        [--veneer build/release/examples/veneer/veneer]

Here: bfloat16, and NF4 (linear layers in 4 bits, the head in bfloat16). The floor is the time in which the same threads
read as many bytes from memory, measured after each run. With --veneer, llama.cpp (of the Python package xllamacpp) runs
the same model with its matrices in Q4_1, which has 5 bits a weight; the file is exported by that program and quantised by
the package gguf. Prints medians; without these packages it prints "skipped: ..." for llama.cpp and goes on.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.pop(0)  # tokenize.py beside this file is no module of Python's


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, help="the program peer_decode")
    parser.add_argument("model", type=Path)
    parser.add_argument("--veneer", type=Path, help="the program veneer, to export the model for llama.cpp")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=64, help="generated in a run (default 64)")
    parser.add_argument("--runs", type=int, default=7, help="of each side (default 7)")
    return parser.parse_args()


class Ours:
    """A program that generates for each line it is sent."""

    def __init__(self, arguments, storage):
        command = [arguments.program.resolve(), arguments.model, arguments.threads, arguments.tokens, storage]
        self.process = subprocess.Popen([str(part) for part in command], text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.bytes = int(self.process.stdout.readline())
        self.times, self.floors = [], []

    def run(self):
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        milliseconds, bandwidth = map(float, self.process.stdout.readline().split())
        self.times.append(milliseconds)
        self.floors.append(self.bytes / bandwidth / 1e6)

    def report(self, name):
        median, floor = statistics.median(self.times), statistics.median(self.floors)
        print(f"{name:9} {median:7.2f} ms a token  {1e3 / median:6.1f} tokens/s   {self.bytes / 1e6:6.1f} MB read at least: "
              f"{floor:.2f} ms, {100 * floor / median:.0f} % of the time")
        self.process.stdin.close()


def quantised(arguments, folder):
    """The model as a GGUF file with its matrices in Q4_1."""
    import gguf

    plain, packed = folder / "f32.gguf", folder / "q4_1.gguf"
    subprocess.run([arguments.veneer, "export", "--model", arguments.model, "--to", "gguf", "--outtype", "f32", "--out",
                    plain], check=True, capture_output=True)
    reader = gguf.GGUFReader(plain)
    writer = gguf.GGUFWriter(packed, "llama")
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind = field.types[0]
        item = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        value = int(gguf.LlamaFileType.MOSTLY_Q4_1) if field.name == "general.file_type" else field.contents()
        writer.add_key_value(field.name, value, kind, sub_type=item)
    for tensor in reader.tensors:
        if len(tensor.shape) == 2:
            kind = gguf.GGMLQuantizationType.Q4_1
            writer.add_tensor(tensor.name, gguf.quantize(tensor.data, kind), raw_dtype=kind)
        else:
            writer.add_tensor(tensor.name, tensor.data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    plain.unlink()
    return packed


class Theirs:
    """llama.cpp, in this process."""

    def __init__(self, arguments, path):
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_gpu_layers, params.n_ctx, params.n_parallel, params.warmup, params.verbosity = 0, 512, 1, True, -1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = arguments.threads
        self.server, self.tokens, self.times = xllamacpp.Server(params), arguments.tokens, []

    def run(self):
        answer = self.server.handle_completions({"prompt": [1, 2, 3, 4, 5, 6, 7, 8], "n_predict": self.tokens,
                                                 "temperature": 0, "cache_prompt": False, "ignore_eos": True})
        answer = answer if isinstance(answer, dict) else json.loads(answer)
        self.times.append(answer["timings"]["predicted_per_token_ms"])


def llama(arguments, folder):
    if arguments.veneer is None:
        return None
    try:
        return Theirs(arguments, quantised(arguments, folder))
    except ImportError as error:
        print(f"skipped: llama.cpp: {error}")
        return None


def main():
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        theirs = llama(arguments, Path(folder))
        sides = {"bfloat16": Ours(arguments, "bfloat16"), "NF4": Ours(arguments, "nf4")}
        for _ in range(arguments.runs):
            for side in [*sides.values(), *([theirs] if theirs else [])]:
                time.sleep(0.5)  # the threads of the side before go to sleep
                side.run()
        print(f"{arguments.model.name}, {arguments.threads} threads, {arguments.runs} runs of {arguments.tokens} tokens; "
              f"load {os.getloadavg()[0]:.2f}")
        for name, side in sides.items():
            side.report(name)
        if theirs:
            median = statistics.median(theirs.times)
            print(f"llama.cpp {median:7.2f} ms a token  {1e3 / median:6.1f} tokens/s   in Q4_1: NF4 here is "
                  f"{median / statistics.median(sides['NF4'].times):.2f} times as fast")
        sys.stdout.flush()
        os._exit(0)  # llama.cpp's server does not end by itself


if __name__ == "__main__":
    main()
