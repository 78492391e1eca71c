#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One LoRA training step of PyTorch + PEFT beside one of veneer, in turn, on the shipped model and data.

    python3 benchmarks/peers/train_step.py build/release/benchmarks/peer_train_step

Both: LoRA on every linear layer, AdamW, clipping at 1, the same lines in the same order, the same number of
threads. PyTorch is eager; its rows are padded on the right to the longest, as transformers' collators
pad them. veneer packs its sequences. A step is forward, backward, clipping and the optimiser; reading and tokenising
come before it on both sides. One side runs while the other waits. Prints medians and their ratio; prints "skipped: ..."
and exits with 0 where torch, peft or transformers can't be imported.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

sys.path.pop(0)  # tokenize.py beside this file is no module of Python's
ROOT = Path(__file__).resolve().parents[2]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, help="the program peer_train_step")
    parser.add_argument("--model", type=Path, default=ROOT / "examples/data/veneer-tiny")
    parser.add_argument("--data", type=Path, default=ROOT / "examples/data/iso.train.jsonl")
    parser.add_argument("--threads", type=int, default=2, help="of each side (default 2)")
    parser.add_argument("--pairs", type=int, default=60, help="steps of each side that count (default 60)")
    parser.add_argument("--warm-up", type=int, default=10, help="steps of each side before (default 10)")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32",
                        help="of the base and the activations; adapters stay float32 (default float32)")
    parser.add_argument("--rank", type=int, default=8, help="of the adapter; alpha is twice that (default 8)")
    parser.add_argument("--dora", action="store_true", help="DoRA in place of LoRA")
    parser.add_argument("--tokens", type=int, help="random ids, so many a line, in place of --data")
    parser.add_argument("--lines", type=int, default=32, help="of the data a step takes (default 32)")
    return parser.parse_args()


ARGUMENTS = parse_arguments()
os.environ["HF_HUB_OFFLINE"] = "1"  # the model is here: nothing is to be looked up
os.environ["OMP_NUM_THREADS"] = str(ARGUMENTS.threads)
try:
    import peft
    import torch
    import transformers
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)


def random_rows():
    """Lines of random ids, which the other side reads from a file."""
    vocabulary = transformers.AutoConfig.from_pretrained(ARGUMENTS.model).vocab_size
    generator = random.Random(1)
    rows = [[generator.randrange(vocabulary) for _ in range(ARGUMENTS.tokens)] for _ in range(4 * ARGUMENTS.lines)]
    ARGUMENTS.data = Path(tempfile.mkdtemp()) / "ids.jsonl"
    ARGUMENTS.data.write_text("".join(json.dumps({"input_ids": row}) + "\n" for row in rows))
    return [(row, row) for row in rows], 0


def read_rows():
    """(ids, labels) of each line: the completion and the end are learnt, the prompt is not."""
    if ARGUMENTS.tokens:
        return random_rows()
    tokenizer = transformers.AutoTokenizer.from_pretrained(ARGUMENTS.model)
    rows = []
    for line in ARGUMENTS.data.read_text().splitlines():
        record = json.loads(line)
        encoded = tokenizer(record["prompt"] + record["completion"], return_offsets_mapping=True)
        ids = encoded["input_ids"] + [tokenizer.eos_token_id]
        starts = [begin for begin, _ in encoded["offset_mapping"]] + [len(record["prompt"])]
        special = encoded["input_ids"][:1] == [tokenizer.bos_token_id]
        labels = [i if start >= len(record["prompt"]) else -100 for i, start in zip(ids, starts)]
        if special:
            labels[0] = -100
        rows.append((ids, labels))
    return rows, tokenizer.eos_token_id


def padded(rows, pad_id):
    """The rows as a batch, padded on the right to the longest."""
    length = max(len(ids) for ids, _ in rows)

    def fill(values, value):
        return torch.tensor([list(v) + [value] * (length - len(v)) for v in values])

    return {"input_ids": fill([ids for ids, _ in rows], pad_id),
            "attention_mask": fill([[1] * len(ids) for ids, _ in rows], 0),
            "labels": fill([labels for _, labels in rows], -100)}


class Theirs:
    """A PEFT model and its optimiser."""

    def __init__(self):
        torch.set_num_threads(ARGUMENTS.threads)
        torch.manual_seed(0)
        base = transformers.LlamaForCausalLM.from_pretrained(ARGUMENTS.model, dtype=getattr(torch, ARGUMENTS.dtype))
        config = peft.AdapterConfig(r=ARGUMENTS.rank, lora_alpha=2 * ARGUMENTS.rank, target_modules="all-linear",
                                 use_dora=ARGUMENTS.dora, task_type="CAUSAL_LM")
        self.model = peft.get_peft_model(base, config).train()
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-3, weight_decay=0.01)
        self.attention = base.config._attn_implementation

    def step(self, batch):
        start = time.perf_counter()
        loss = self.model(**batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        value = loss.item()
        return (time.perf_counter() - start) * 1e3, value


class Ours:
    """The program that makes a step for each line it is sent."""

    def __init__(self):
        command = [ARGUMENTS.program, ARGUMENTS.model, ARGUMENTS.data, ARGUMENTS.threads, ARGUMENTS.lines,
                   ARGUMENTS.dtype, ARGUMENTS.rank, "dora" if ARGUMENTS.dora else "lora"]
        self.process = subprocess.Popen([str(part) for part in command], text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def step(self):
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if len(answer) != 3:
            sys.exit(f"{ARGUMENTS.program} ended without an answer")
        return float(answer[0]), float(answer[1]), int(answer[2])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def pause():
    """Lets the threads of the side that has just run go to sleep."""
    time.sleep(0.01)


def spread(values):
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:8.2f} ms   (quartiles {low:.2f} and {high:.2f}, fastest {min(values):.2f})"


def main():
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    rows, pad_id = read_rows()
    theirs, ours = Theirs(), Ours()
    lines = ARGUMENTS.lines
    batches = [padded(rows[i:i + lines], pad_id) for i in range(0, len(rows) - lines + 1, lines)]
    their_times, our_times = [], []
    for step in range(ARGUMENTS.warm_up + ARGUMENTS.pairs):
        batch = batches[step % len(batches)]
        pause()
        our_time, our_loss, tokens = ours.step()
        pause()
        their_time, their_loss = theirs.step(batch)
        there = int(batch["attention_mask"].sum())
        if tokens != there:
            sys.exit(f"step {step + 1}: {tokens} tokens here, {there} there: not the same lines")
        # Before the first update both are the base model; after it their adapters differ.
        tolerance = 1e-4 if ARGUMENTS.dtype == "float32" else 1e-2
        if step == 0 and abs(our_loss - their_loss) > tolerance * their_loss:
            sys.exit(f"the first loss is {our_loss:.6f} here and {their_loss:.6f} there: not the same model")
        if step >= ARGUMENTS.warm_up:
            their_times.append(their_time)
            our_times.append(our_time)
    ours.close()
    print(f"torch {torch.__version__}, peft {peft.__version__}, transformers {transformers.__version__}, "
          f"attention {theirs.attention}, {torch.get_num_threads()} threads each")
    load = " ".join(f"{average:.2f}" for average in os.getloadavg())
    print(f"{ARGUMENTS.model.name}, {ARGUMENTS.dtype}, rank {ARGUMENTS.rank}{', DoRA' if ARGUMENTS.dora else ''}, "
          f"{tokens} tokens in the last step")
    print(f"{lines} lines a step, {ARGUMENTS.pairs} pairs after {ARGUMENTS.warm_up}; load {load}")
    print(f"PyTorch + PEFT  {spread(their_times)}   last loss {their_loss:.4f}")
    print(f"veneer          {spread(our_times)}   last loss {our_loss:.4f}")
    pairs = statistics.median(t / o for t, o in zip(their_times, our_times))
    ratio = statistics.median(their_times) / statistics.median(our_times)
    print(f"ratio of medians {ratio:.2f}, median of the pairs' ratios {pairs:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
