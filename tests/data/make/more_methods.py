"""adapters-more/: folders of MiSS, HiRA and LoHa by PEFT, with logits and merged logits.   python make/more_methods.py --out FOLDER --models FOLDER/models [--seed N]"""
import argparse
import shutil
from pathlib import Path

import common  # noqa: F401
import torch
from common import generator, load_base, token_batch, write_json, write_tensors
from peft import HiraConfig, LoHaConfig, MissConfig, PeftModel, get_peft_model

CASES = {
    "miss": lambda: MissConfig(r=4, target_modules=["q_proj", "down_proj"], init_weights=True),
    "miss-mini": lambda: MissConfig(r=4, mini_r=2, target_modules=["q_proj", "o_proj"], init_weights="mini"),
    "hira": lambda: HiraConfig(r=4, target_modules="all-linear"),
    "loha": lambda: LoHaConfig(r=3, alpha=6, target_modules=["q_proj", "v_proj", "up_proj"], rank_pattern={"v_proj": 2}),
}


def make(name, base, folder, seed):
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(seed)
    model = get_peft_model(load_base(base), CASES[name]())
    g = generator(seed)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape, generator=g) * 0.2 / max(1, p.shape[-1]) ** 0.5)
    model.peft_config["default"].base_model_name_or_path = f"../../models/{base.name}"
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    model = PeftModel.from_pretrained(load_base(base), str(folder)).eval()
    ids = token_batch(seed + 1, model.config.vocab_size, (2, 14))
    with torch.no_grad():
        logits = model(input_ids=ids).logits
        plain = load_base(base)(input_ids=ids).logits
        trainable = sum(p.numel() for n, p in model.named_parameters() if any(k in n for k in ("miss_", "hira_", "hada_")))
        total = sum(p.numel() for p in model.parameters())
        merged = model.merge_and_unload()(input_ids=ids).logits
    write_tensors(folder / "expected.safetensors", {"input_ids": ids, "logits": logits, "merged_logits": merged})
    write_json(folder / "expected.json", {"base": f"models/{base.name}", "trainable": trainable, "all": total, "moves_logits_by": (logits - plain).abs().max().item()})
    print(name, base.name, (logits - plain).abs().max().item(), (merged - logits).abs().max().item())


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--out", required=True)
    p.add_argument("--models", required=True)
    p.add_argument("--seed", type=int, default=7300)
    a = p.parse_args()
    bases = [f for f in sorted(Path(a.models).iterdir()) if list(f.glob("model*.safetensors")) and "old" not in f.name and "f16" not in f.name][:3]
    for k, name in enumerate(CASES):
        for b, base in enumerate(bases[:2] if k % 2 else bases[1:3]):
            try:
                make(name, base, Path(a.out) / "adapters-more" / f"{name}-{b}", a.seed + 10 * k + b)
            except Exception as e:  # a size that the method does not take
                print("skipped", name, base.name, repr(e)[:120])
