"""Makes folders whose tokens are declared next to tokenizer.json, and compares a program with transformers on them.

    python tests/data/make/text_declared.py compare PROGRAM [--count 200] [--seed 1]
    python tests/data/make/text_declared.py write [--out tests/data/text/declared]

PROGRAM is called as by text_components.py, with a folder.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
TEXT = Path(__file__).resolve().parent.parent / "text"
CONTENTS = ["<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>", "hello", " world", "the", "<tool>", "É", "<|x y|>", "lo", "<|eot_id|>",
            "<|begin_of_text|>", "  "]
NAMES = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "image_token", "other_token"]


def a_token(r, content, kind=True):
    token = {"content": content}
    for flag in ("lstrip", "rstrip", "single_word", "normalized", "special"):
        if r.random() < .6:
            token[flag] = r.random() < (.5 if flag == "special" else .25)
    if kind:
        token["__type"] = "AddedToken"
    return token


def make_folder(seed, number, folder):
    """Writes tokenizer.json and some of the other files."""
    r = random.Random(f"declared {seed} {number}")
    root = json.loads((TEXT / "bad_tokenizers" / "ok.json").read_text(encoding="utf-8"))
    config, files = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 10 ** 30}, {}
    if r.random() < .5:
        config["added_tokens_decoder"] = {str(i): a_token(r, c, False) for i, c in
                                          zip(r.sample(range(100, 400), 4), r.sample(CONTENTS, r.randrange(5)))}
    for name in NAMES:
        if r.random() < .3:
            content = r.choice(CONTENTS)
            config[name] = content if r.random() < .6 or name in NAMES[-2:] else a_token(r, content)
    for name in ("additional_special_tokens", "extra_special_tokens"):
        if r.random() < .3:
            config[name] = r.sample(CONTENTS, r.randrange(4))
    if r.random() < .15:
        config["extra_special_tokens"] = {"image_token": r.choice(CONTENTS), "tool_token": r.choice(CONTENTS)}
    if r.random() < .4:
        files["added_tokens.json"] = {c: i for c, i in zip(r.sample(CONTENTS, r.randrange(4)), r.sample(range(250, 400), 3))}
    if r.random() < .4:
        files["special_tokens_map.json"] = {n: (r.choice(CONTENTS) if r.random() < .5 else a_token(r, r.choice(CONTENTS), False))
                                            for n in r.sample(NAMES[:7], r.randrange(4))}
        if r.random() < .3:
            files["special_tokens_map.json"]["additional_special_tokens"] = r.sample(CONTENTS, 2)
    files["tokenizer_config.json"] = config
    files["tokenizer.json"] = root
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def make_texts(seed, number, count=30):
    r = random.Random(f"texts {seed} {number}")
    words = CONTENTS + [" ", "a", "hello world", "\n", "é", "xthe", "lo "]
    return ["".join(r.choice(words) for _ in range(r.randrange(1, 9))) for _ in range(count)]


def expected(folder, texts):
    """[ids, text without special tokens] of each text."""
    from transformers import AutoTokenizer
    tok = AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in texts:
        ids = tok.backend_tokenizer.encode(text, add_special_tokens=False).ids
        rows.append({"text": text, "ids": ids, "skipped": tok.backend_tokenizer.decode(ids, skip_special_tokens=True)})
    return rows


def compare(arguments):
    wrong = refused = done = 0
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(arguments.count):
            folder = Path(temporary) / str(number)
            make_folder(arguments.seed, number, folder)
            texts = make_texts(arguments.seed, number)
            try:
                rows = expected(folder, texts)
            except Exception as error:
                refused += 1
                continue
            strings = folder / "strings.jsonl"
            strings.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")
            run = subprocess.run([arguments.program, str(folder), str(strings)], capture_output=True, text=True)
            lines = [json.loads(line) for line in run.stdout.rstrip("\n").split("\n")]
            done += 1
            if len(lines) != len(rows) or any(isinstance(f, str) or f[0] != w["ids"] for f, w in zip(lines, rows)):
                wrong += 1
                if wrong <= 5:
                    bad = next(((w, f) for f, w in zip(lines, rows) if isinstance(f, str) or f[0] != w["ids"]), None)
                    print(number, (folder / "tokenizer_config.json").read_text(),
                          [(p.name, p.read_text()[:500]) for p in folder.glob("*.json") if p.name not in ("tokenizer.json", "tokenizer_config.json")], bad, flush=True)
    print(f"{done} folders: {wrong} differ; {refused} that transformers refuses")
    return 1 if wrong else 0


def write(arguments):
    for number in range(12):
        folder = Path(arguments.out) / str(number)
        make_folder(2, number, folder)
        try:
            rows = expected(folder, make_texts(2, number))
        except Exception:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
            continue
        (folder / "ids.jsonl").write_text("".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n" for r in rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("compare")
    one.add_argument("program")
    one.add_argument("--count", type=int, default=200)
    one.add_argument("--seed", type=int, default=1)
    one.set_defaults(run=compare)
    one = commands.add_parser("write")
    one.add_argument("--out", default=TEXT / "declared")
    one.set_defaults(run=write)
    given = parser.parse_args()
    sys.exit(given.run(given))
