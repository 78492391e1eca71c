"""splits.jsonl: where the patterns of Mistral NeMo (tekken) and GPT-4o (o200k) cut texts, by tokenizers (Oniguruma).

    python3 text_splits.py OUT.jsonl [SEED] [full]

"full" takes every string of strings.jsonl and strings_newer.jsonl and 4,000 random ones; else 60 of each.
"""
import json
import random
import sys
from pathlib import Path

from tokenizers import Regex, pre_tokenizers

LETTERS = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+", r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERNS = {"tekken": "|".join(r"[^\r\n\p{L}\p{N}]?" + part for part in LETTERS) + r"|\p{N}" + REST,
            "o200k": "|".join(r"[^\r\n\p{L}\p{N}]?" + part + CONTRACTION for part in LETTERS) + r"|\p{N}{1,3}" + REST}
ALPHABET = ("aAbBéÉǅ日本ʰ\u0301\u0897\U00010D50\U00010D70\U0001E030\U00016100 '  sStTlL.,/\n\r\t1239٣\u180e\u2028🙂")

rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 7)
full = "full" in sys.argv
here = Path(__file__).parent
texts = [json.loads(line)["text"] for name in ("strings", "strings_newer")
         for line in open(here / f"{name}.jsonl", encoding="utf-8")]
texts = [text for text in texts if 0 < len(text) < 300]
texts = (texts if full else rng.sample(texts, 60)) + ["".join(rng.choice(ALPHABET) for _ in range(rng.randrange(1, 30)))
                                                      for _ in range(4000 if full else 60)]
with open(sys.argv[1], "w", encoding="utf-8") as out:
    for name, pattern in PATTERNS.items():
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        for text in texts:
            lengths = [len(piece.encode()) for piece, _ in split.pre_tokenize_str(text)]
            out.write(json.dumps({"pattern": name, "text": text, "bytes": lengths}, ensure_ascii=False) + "\n")
