# SPDX-License-Identifier: Apache-2.0
"""Copies what the tests read of the output of make_nf4.py: subset.py FROM TO.

All of it but most of the random cases: four of fifteen stay."""
import json
import pathlib
import shutil
import sys

from safetensors.torch import load_file, save_file

source, target = map(pathlib.Path, sys.argv[1:])
keep = ["f32_bs64", "f16_bs64", "bf16_bs64", "f32_bs4096"]
(target / "cases").mkdir(parents=True, exist_ok=True)
for name in ["tables.safetensors", *(f"cases/{c}.{e}" for c in ["edge", "rows", "fp4", "storage"] for e in ["json", "safetensors"])]:
    shutil.copyfile(source / name, target / name)
index = json.loads((source / "cases/random.json").read_text())
index["cases"] = [c for c in index["cases"] if c["name"] in keep]
(target / "cases/random.json").write_text(json.dumps(index, indent=1) + "\n")
tensors = load_file(source / "cases/random.safetensors")
save_file({k: v for k, v in tensors.items() if k.split(".")[0] in keep}, target / "cases/random.safetensors")
for family in ["llama", "llama_odd"]:
    for folder in sorted((source / family).iterdir()):
        to = target / family / folder.name
        to.mkdir(parents=True, exist_ok=True)
        for name in ["config.json", "model.safetensors", "expected.safetensors"]:
            shutil.copyfile(folder / name, to / name)
for runs in ["qlora", "merge"]:
    shutil.copytree(source / runs, target / runs, dirs_exist_ok=True)
