"""Makes tokenizers of random components and compares a program with the tokenizers library on them.

    python tests/data/make/text_components.py compare PROGRAM STRINGS.jsonl [--count 60] [--seed 1] [TOKENIZER ...]
    python tests/data/make/text_components.py write [--out tests/data/text/components]

Tokenizer n of a seed is a function of the two, but for what the library trains, which may differ between runs: to compare two
programs, --keep the tokenizers. PROGRAM is called with a tokenizer.json and STRINGS, and prints one line of JSON per string:
[ids, decoded text, byte ranges], or a text where it fails.
"""
import argparse
import collections
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers  # noqa: E402

TEXT = Path(__file__).resolve().parent.parent / "text"
BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
REGEXES = [r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", r"\s?\p{L}+|\s?\d+|[^\s\w]+", r"\w+|[^\w\s]+", r"[^\S\n]+", r"(?<=\p{Ll})(?=\p{Lu})",
           r"\d(?=(\d{3})*$)", r"(?i)the|and|'s", r"[[:punct:]]", r"\b", r"[^\p{L}\p{M}]+", r"\R", r"[a-z&&[^aeiou]]+",
           r"\p{Han}|\p{Hiragana}", r"\s+$|^\s+", r"[\p{P}\p{S}]?\p{L}{2,}", r"\h{2,}", r"(?:[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2})",
           r"(.)\1+", r"[^\W_]+", r"[!-/:-~]?[A-Za-z\p{M}]+|[^\p{L}\p{P}\p{S}\s]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]
REPLACES = [("a", "b"), ("``", '"'), ("  ", " "), (Regex(r"\s+"), " "), (Regex(r"\p{Mn}"), ""), (Regex(r"[0-9]"), "0"), ("\n", "⏎"),
            (Regex(r"(?<=.)\b(?=\w)"), "|"), ("e", "é"), (Regex(r"\p{Lu}"), "^x")]


def a_normalizer(r):
    kind = r.choice(["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip", "Prepend", "Replace", "Replace"])
    if kind == "Strip":
        return normalizers.Strip(left=r.random() < .6, right=r.random() < .6)
    if kind == "Prepend":
        return normalizers.Prepend(r.choice(["▁", "_", " ", "ab"]))
    if kind == "Replace":
        return normalizers.Replace(*r.choice(REPLACES))
    return getattr(normalizers, kind)()


def a_pre_tokenizer(r):
    kind = r.choice(["Split", "Split", "Split", "ByteLevel", "Digits", "Punctuation", "Whitespace", "WhitespaceSplit", "Metaspace"])
    if kind == "Split":
        pattern = r.choice([" ", "e", "ab", "\n", "▁"]) if r.random() < .25 else Regex(r.choice(REGEXES))
        return pre_tokenizers.Split(pattern, r.choice(BEHAVIORS), invert=r.random() < .3)
    if kind == "ByteLevel":
        return pre_tokenizers.ByteLevel(add_prefix_space=r.random() < .3, use_regex=r.random() < .6)
    if kind == "Digits":
        return pre_tokenizers.Digits(individual_digits=r.random() < .5)
    if kind == "Punctuation":
        return pre_tokenizers.Punctuation(r.choice(BEHAVIORS))
    if kind == "Metaspace":
        return pre_tokenizers.Metaspace(r.choice(["▁", "▁", "_"]), r.choice(["always", "first", "never"]), r.random() < .7)
    return getattr(pre_tokenizers, kind)()


def a_decoder(r):
    kind = r.choice(["ByteLevel", "ByteFallback", "Fuse", "Strip", "Replace", "Metaspace", "BPEDecoder"])
    if kind == "Strip":  # one side only: a token of nothing else makes the library panic
        return decoders.Strip(r.choice([" ", "a", "▁"]), *r.choice([(1, 0), (0, 1), (2, 0)]))
    if kind == "Replace":
        return decoders.Replace(*r.choice(REPLACES + [("▁", " "), ("▁", " ")]))
    if kind == "Metaspace":
        return decoders.Metaspace("▁", r.choice(["always", "first", "never"]))
    if kind == "BPEDecoder":
        return decoders.BPEDecoder(r.choice(["</w>", "e"]))
    return getattr(decoders, kind)()


def sequence(r, module, make, counts):
    parts = [make(r) for _ in range(r.choice(counts))]
    if not parts:
        return None
    return parts[0] if len(parts) == 1 and r.random() < .7 else module.Sequence(parts)


def drop_tokens(r, model, share):
    """Takes tokens of one character out of a BPE vocabulary, and the merges that need them."""
    vocab = model["vocab"]
    gone = {t for t in vocab if len(t) == 1 and r.random() < share}
    prefix = len(model["continuing_subword_prefix"] or "")
    kept = []
    for left, right in model["merges"]:
        if left in gone or right in gone or left + right[prefix:] in gone:
            gone.add(left + right[prefix:])
        else:
            kept.append([left, right])
    tokens = [t for t in sorted(vocab, key=vocab.get) if t not in gone]
    # A merge may make a token that another one made, and that is gone.
    alive = set(tokens)
    model["merges"] = [m for m in kept if m[0] in alive and m[1] in alive and m[0] + m[1][prefix:] in alive]
    model["vocab"] = {t: i for i, t in enumerate(tokens)}


def byte_tokens(r):
    names = ["<0x%02X>" % b for b in range(256)]
    return names if r.random() < .6 else [n for n in names if r.random() < .7]


def random_bpe(r, tok, texts):
    affixes = {}
    if r.random() < .15:
        affixes["continuing_subword_prefix"] = "##"
    if r.random() < .15:
        affixes["end_of_word_suffix"] = "</w>"
    tok.model = models.BPE(unk_token="<unk>" if r.random() < .5 else None, fuse_unk=r.random() < .5, **affixes)
    alphabet = pre_tokenizers.ByteLevel.alphabet() if r.random() < .5 else []
    tok.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=r.randrange(300, 900), special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=sorted(alphabet),
        limit_alphabet=r.choice([60, 200, 1000]), show_progress=False, **affixes))
    root = json.loads(tok.to_str())
    model = root["model"]
    if r.random() < .5:
        drop_tokens(r, model, r.choice([.05, .2]))
    if r.random() < .35:
        model["byte_fallback"] = True
        for name in byte_tokens(r):
            model["vocab"].setdefault(name, len(model["vocab"]))
    model["ignore_merges"] = r.random() < .2
    root["added_tokens"] = []
    return root


def random_unigram(r, tok, texts):
    counts = collections.Counter()
    for text in texts[:150]:
        text = tok.normalizer.normalize_str(text) if tok.normalizer else text
        words = tok.pre_tokenizer.pre_tokenize_str(text) if tok.pre_tokenizer else [(text, None)]
        for word, _ in words:
            word = word[:200]
            counts.update(word[i:i + n] for n in range(1, 7) for i in range(len(word) - n + 1))
    chosen = [c for c, n in counts.items() if len(c) == 1 and n > 2] + [c for c, _ in counts.most_common(r.randrange(200, 800))]
    vocab = [["<s>", 0.0], ["<unk>", r.choice([0.0, -3.5])]]
    vocab += [[c, math.log(counts[c] / counts.total()) + .3 * len(c)] for c in sorted(set(chosen))]
    r.shuffle(vocab)
    tok.model = models.Unigram([tuple(p) for p in vocab], unk_id=vocab.index(next(p for p in vocab if p[0] == "<unk>")))
    root = json.loads(tok.to_str())
    model = root["model"]
    if r.random() < .5:
        model["byte_fallback"] = True
        model["vocab"] += [[n, -r.uniform(5, 20)] for n in byte_tokens(r)]
    if r.random() < .5:  # whole numbers: equally good ways to cut
        model["vocab"] = [[p, float(round(s))] for p, s in model["vocab"]]
    root["added_tokens"] = []
    return root


def random_root(seed, number, texts):
    """The tokenizer.json of a seed and a number."""
    r = random.Random(f"{seed} {number}")
    tok = Tokenizer(models.BPE())
    normalizer = sequence(r, normalizers, a_normalizer, [0, 0, 1, 1, 2, 3])
    pre = sequence(r, pre_tokenizers, a_pre_tokenizer, [0, 1, 1, 2, 3])
    style = r.choice(["any", "any", "bytes", "pieces", "legacy"])
    if style == "bytes":
        pre = pre_tokenizers.Sequence(([pre] if pre else []) + [pre_tokenizers.ByteLevel(r.random() < .3, use_regex=r.random() < .5)])
    if style == "pieces":
        pre = pre_tokenizers.Metaspace("▁", r.choice(["always", "first", "never"]), r.random() < .6)
    if style == "legacy":
        normalizer, pre = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None
    if normalizer:
        tok.normalizer = normalizer
    if pre:
        tok.pre_tokenizer = pre
    sample = [t for t in r.sample(texts, 400) if len(t) < 400]
    root = random_unigram(r, tok, sample) if r.random() < .35 else random_bpe(r, tok, sample)
    decoder = sequence(r, decoders, a_decoder, [0, 1, 2, 3])
    if style == "bytes" and r.random() < .7:
        decoder = decoders.ByteLevel()
    root["decoder"] = json.loads(decoder.__getstate__()) if decoder else None
    add_tokens(r, root)
    # The library panics on most texts where an added token is normalized to nothing.
    for token in root["added_tokens"]:
        token["normalized"] = token["normalized"] and bool(not normalizer or normalizer.normalize_str(token["content"]))
    return root


def add_tokens(r, root):
    size = len(root["model"]["vocab"])
    for content in r.sample(["<s>", "<|x|>", "the", " and", "É", "\n\n", "ab ", "１"], r.randrange(4)):
        vocab = root["model"]["vocab"]
        known = vocab.get(content) if isinstance(vocab, dict) else next((i for i, p in enumerate(vocab) if p[0] == content), None)
        special = r.random() < .5
        root["added_tokens"].append({
            "id": size if known is None else known, "content": content, "single_word": r.random() < .2, "lstrip": r.random() < .2,
            "rstrip": r.random() < .2, "normalized": r.random() < .4, "special": special})
        size += known is None
    root["added_tokens"].sort(key=lambda t: t["id"])


def byte_ranges(text, offsets):
    """In bytes; null where the library counts beyond the text."""
    at = [0]
    for c in text:
        at.append(at[-1] + len(c.encode()))
    return [[at[b], at[e]] for b, e in offsets] if all(e < len(at) for _, e in offsets) else None


def expected(tok, text):
    """[ids, decoded text, byte ranges], each null where the library fails."""
    try:
        e = tok.encode(text, add_special_tokens=False)
    except BaseException:  # a panic is one
        return None
    try:
        decoded = tok.decode(e.ids, skip_special_tokens=False)
    except BaseException:
        decoded = None
    return [e.ids, decoded, byte_ranges(text, e.offsets)]


def compare_one(program, file, strings, texts, report):
    tok = Tokenizer.from_file(str(file))
    run = subprocess.run([program, str(file), str(strings)], capture_output=True, text=True)
    lines = run.stdout.rstrip("\n").split("\n")
    counts = dict(rows=0, ids=0, text=0, offsets=0, failed=0)
    if run.returncode or len(lines) != len(texts):
        report(f"{file}: {(lines or [run.stderr])[0][:300]}")
        counts["ids"] = len(texts)
        return counts
    for text, line in zip(texts, lines):
        found, want = json.loads(line), expected(tok, text)
        counts["rows"] += 1
        if want is None:
            counts["failed"] += 1
        elif isinstance(found, str) or found[0] != want[0]:
            counts["ids"] += 1
            if counts["ids"] <= 2:
                report(f"{file}: {text[:60]!r}\n  expected {tok.encode(text, add_special_tokens=False).tokens[:30]} {want[0][:30]}\n  found {found if isinstance(found, str) else found[0][:30]}")
        else:
            if want[1] is not None and found[1] != want[1]:
                counts["text"] += 1
                if counts["text"] <= 2:
                    report(f"{file}: {[tok.id_to_token(i) for i in want[0]][:20]}\n  expected text {want[1][:80]!r}\n  found {found[1][:80]!r}")
            if found[2] != want[2]:
                counts["offsets"] += 1
    return counts


def compare(arguments):
    texts = [json.loads(line)["text"] for line in open(arguments.strings, encoding="utf-8")]
    corpus = [json.loads(line)["text"] for line in open(TEXT / "strings.jsonl", encoding="utf-8")]
    total, tokenizers = {}, 0
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(p) / "tokenizer.json" if Path(p).is_dir() else Path(p) for p in arguments.tokenizers]
        for number in range(0 if files else arguments.count):
            file = Path(arguments.keep or folder) / f"{arguments.seed}-{number}.json"
            file.write_text(json.dumps(random_root(arguments.seed, number, corpus), ensure_ascii=False), encoding="utf-8")
            files.append(file)
        for file in files:
            counts = compare_one(arguments.program, file, arguments.strings, texts, lambda m: print(m, flush=True))
            tokenizers += 1
            for key, value in counts.items():
                total[key] = total.get(key, 0) + value
            if counts["ids"] or counts["text"]:
                print(file, counts, flush=True)
    print(f"{tokenizers} tokenizers:", total)
    return 1 if total["ids"] or total["text"] else 0


# Every component, behavior, option and model is in one of these.
SELECTION = [(1, n) for n in (1, 4, 5, 10, 11, 17, 18, 24, 39, 45, 48)]


def write(arguments):
    corpus = [json.loads(line)["text"] for line in open(TEXT / "strings.jsonl", encoding="utf-8")]
    for seed, number in SELECTION:
        root = random_root(seed, number, corpus)
        folder = Path(arguments.out) / f"{seed}-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokenizer.json").write_text(json.dumps(root, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
        tok = Tokenizer.from_str(json.dumps(root))
        with open(folder / "ids.jsonl", "w", encoding="utf-8", newline="\n") as out:
            for i in range(number % 10, len(corpus), 10):
                want = expected(tok, corpus[i]) if len(corpus[i]) < 200 else None
                if want is None:
                    continue
                row = {"i": i, "ids": want[0]}
                if want[1] is not None and want[1] != corpus[i]:
                    row["decoded"] = want[1]
                out.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("compare")
    one.add_argument("program")
    one.add_argument("strings")
    one.add_argument("tokenizers", nargs="*")
    one.add_argument("--count", type=int, default=60)
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--keep", help="a folder to leave the tokenizers in")
    one.set_defaults(run=compare)
    one = commands.add_parser("write")
    one.add_argument("--out", default=TEXT / "components")
    one.set_defaults(run=lambda a: write(a) or 0)
    given = parser.parse_args()
    sys.exit(given.run(given))
