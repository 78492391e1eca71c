"""The cases: sizes, seeds and settings. Another module of the same form makes other data with the same scripts."""
GQA, TIED, HALF, BIASES = "llama-gqa-llama3rope-sharded", "llama-tied-bf16", "llama-f16", "llama-linear-rope-biases"
QWEN, MISTRAL = "qwen2-bias", "mistral-swa"
QKVO = ["q_proj", "k_proj", "v_proj", "o_proj"]
L0, L1 = "model.layers.0.", "model.layers.1."

MODELS = {
    GQA: {"kind": "llama", "seed": 100, "shape": (2, 40), "max_shard_size": "220KB", "config": dict(
        hidden_size=64, num_attention_heads=4, num_key_value_heads=2, intermediate_size=176, num_hidden_layers=2,
        vocab_size=320, max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=False, eos_token_id=[2, 3],
        rope_parameters=dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                             original_max_position_embeddings=64))},
    TIED: {"kind": "llama", "seed": 110, "shape": (2, 26), "dtype": "bfloat16", "config": dict(
        hidden_size=48, num_attention_heads=4, num_key_value_heads=4, intermediate_size=96, num_hidden_layers=2,
        vocab_size=160, max_position_embeddings=128, rms_norm_eps=1e-6, tie_word_embeddings=True)},
    HALF: {"kind": "llama", "seed": 120, "shape": (3, 24), "dtype": "float16", "config": dict(
        hidden_size=32, num_attention_heads=4, num_key_value_heads=2, head_dim=16, intermediate_size=80,
        num_hidden_layers=2, vocab_size=144, max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=False)},
    BIASES: {"kind": "llama", "seed": 130, "shape": (2, 28), "config": dict(
        hidden_size=40, num_attention_heads=4, num_key_value_heads=2, intermediate_size=72, num_hidden_layers=2,
        vocab_size=128, max_position_embeddings=256, rms_norm_eps=1e-5, tie_word_embeddings=False, attention_bias=True,
        mlp_bias=True, rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0)),
        "grads": ["model.embed_tokens.weight", L0 + "self_attn.q_proj.weight", L1 + "mlp.down_proj.weight",
                  "model.norm.weight", L0 + "self_attn.k_proj.bias", L1 + "self_attn.o_proj.bias", L1 + "mlp.up_proj.bias",
                  "lm_head.weight"]},
    MISTRAL: {"kind": "mistral", "seed": 140, "shape": (2, 30), "config": dict(
        hidden_size=48, num_attention_heads=4, num_key_value_heads=1, intermediate_size=88, num_hidden_layers=2,
        vocab_size=150, max_position_embeddings=256, rms_norm_eps=1e-5, sliding_window=8, tie_word_embeddings=False)},
    QWEN: {"kind": "qwen2", "seed": 150, "shape": (2, 25), "config": dict(
        hidden_size=48, num_attention_heads=6, num_key_value_heads=2, intermediate_size=100, num_hidden_layers=2,
        vocab_size=200, max_position_embeddings=256, rms_norm_eps=1e-6, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="default", rope_theta=1000000.0)),
        "grads": ["model.embed_tokens.weight", L0 + "self_attn.q_proj.weight", L1 + "mlp.down_proj.weight",
                  "model.norm.weight", L0 + "self_attn.q_proj.bias", L1 + "self_attn.v_proj.bias"]},
    "qwen2-mixed-window": {"kind": "qwen2", "seed": 160, "shape": (2, 24), "config": dict(
        hidden_size=32, num_attention_heads=4, num_key_value_heads=4, intermediate_size=56, num_hidden_layers=3,
        vocab_size=96, max_position_embeddings=128, rms_norm_eps=1e-6, tie_word_embeddings=False, use_sliding_window=True,
        sliding_window=6, max_window_layers=1)},
}

_OLD = {"architectures": ["LlamaForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 1, "hidden_act": "silu",
        "initializer_range": 0.02, "model_type": "llama", "num_hidden_layers": 2, "pretraining_tp": 1,
        "rope_theta": 10000.0, "tie_word_embeddings": False, "torch_dtype": "float32", "transformers_version": "4.40.0",
        "use_cache": True}
OLD_CONFIGS = {
    "llama-linear-rope-old-config": {"weights_of": BIASES, "config": _OLD | {
        "attention_bias": True, "eos_token_id": 2, "hidden_size": 40, "intermediate_size": 72, "max_position_embeddings": 256,
        "mlp_bias": True, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-05,
        "rope_scaling": {"factor": 4.0, "type": "linear"}, "vocab_size": 128}},
    "llama3-rope-old-config": {"weights_of": GQA, "copy_weights": False, "config": _OLD | {
        "attention_bias": False, "eos_token_id": [2, 3], "hidden_size": 64, "intermediate_size": 176,
        "max_position_embeddings": 512, "mlp_bias": False, "num_attention_heads": 4, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-05, "rope_scaling": {
            "factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 64,
            "rope_type": "llama3"}, "vocab_size": 320}},
}

_SMALL = dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=64, num_attention_heads=4,
              num_key_value_heads=2, intermediate_size=176, num_hidden_layers=2, vocab_size=320, max_position_embeddings=512,
              rms_norm_eps=1e-5, hidden_act="silu", torch_dtype="float32", tie_word_embeddings=False)
_LONG = dict(rope_type="longrope", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=64,
             short_factor=[1.0, 1.05, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6], long_factor=[1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0])
_YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=128)
REFUSED = {
    "gpt-neox": {"reason": "model_type gpt_neox is another architecture", "config": dict(
        architectures=["GPTNeoXForCausalLM"], model_type="gpt_neox", hidden_size=64, num_attention_heads=4,
        intermediate_size=256, num_hidden_layers=2, vocab_size=320, rotary_pct=0.25, use_parallel_residual=True)},
    "mixtral": {"reason": "model_type mixtral has expert layers", "config": dict(
        architectures=["MixtralForCausalLM"], model_type="mixtral", hidden_size=64, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=176, num_hidden_layers=2, vocab_size=320, num_local_experts=4,
        num_experts_per_tok=2)},
    "llama-yarn": {"reason": "rope type yarn: implement it (see rope/yarn.json) or refuse, never ignore",
                   "config": _SMALL | {"rope_parameters": _YARN}},
    "llama-longrope": {"reason": "rope type longrope: implement it (see rope/longrope.json) or refuse, never ignore",
                       "config": _SMALL | {"rope_parameters": _LONG}},
    "llama-dynamic": {"reason": "rope type dynamic: implement it (see rope/dynamic.json) or refuse, never ignore",
                      "config": _SMALL | {"rope_parameters": dict(rope_type="dynamic", rope_theta=10000.0, factor=2.0)}},
    "llama-dynamic-old": {"reason": "rope type dynamic in the transformers-4 form, with the old key `type`",
                          "config": _SMALL | {"rope_theta": 10000.0, "rope_scaling": {"type": "dynamic", "factor": 2.0}}},
    "llama-unknown-rope": {"reason": "a rope type that no version of transformers knows",
                           "config": _SMALL | {"rope_parameters": dict(rope_type="spiral", rope_theta=10000.0)}},
    "llama-gelu": {"reason": "hidden_act gelu: implement or refuse, never run silu instead",
                   "config": _SMALL | {"hidden_act": "gelu"}},
    "llama-gptq": {"reason": "quantization_config of another method (gptq)",
                   "config": _SMALL | {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}}},
    "llama-heads-do-not-divide": {"reason": "5 query heads cannot share 2 key/value heads",
                                  "config": _SMALL | {"hidden_size": 60, "num_attention_heads": 5}},
    "llama-no-hidden-size": {"reason": "hidden_size is absent; a default of 4096 would be wrong and the weights are absent too",
                             "config": {k: v for k, v in _SMALL.items() if k != "hidden_size"}},
}


def _rope(parameters, **kwargs):
    return dict(hidden_size=64, num_attention_heads=4, max_position_embeddings=512) | kwargs | {"rope_parameters": parameters}


ROPE = {
    "default": _rope(dict(rope_type="default", rope_theta=10000.0), head_dim=128),
    "linear": _rope(dict(rope_type="linear", rope_theta=10000.0, factor=2.5)),
    "llama3-8b": _rope(dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                            original_max_position_embeddings=8192), head_dim=128, max_position_embeddings=131072),
    "llama3-1b": _rope(dict(rope_type="llama3", rope_theta=500000.0, factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
                            original_max_position_embeddings=8192), head_dim=64, max_position_embeddings=131072),
    "dynamic": _rope(dict(rope_type="dynamic", rope_theta=10000.0, factor=2.0)),
    "yarn": _rope(_YARN, head_dim=32),
    "longrope": _rope(_LONG, max_position_embeddings=256),
}

_PATTERNS = dict(
    r=4, lora_alpha=6, target_modules="all-linear",
    rank_pattern={"^model.layers.0.mlp.down_proj": 2, "down_proj": 5, r"layers\.[01]\.self_attn\.(k|v)_proj": 3,
                  "model.layers.1.mlp.down_proj": 7},
    alpha_pattern={"^model.layers.0.self_attn.q_proj": 12, "(gate|up)_proj": 10, "q_proj": 5})
ADAPTERS = {
    "lora-qv": {"base": GQA, "seed": 200, "kwargs": dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
                "merged": [L0 + "self_attn.q_proj", L1 + "self_attn.v_proj"]},
    "lora-all-linear-patterns": {
        "base": GQA, "seed": 201, "kwargs": _PATTERNS, "merged": [L0 + "mlp.down_proj", L1 + "mlp.down_proj"],
        "note": "the first entry that matches decides: rank 5 for layer 1's down_proj, never 7; ^ binds to the full path"},
    "lora-regex-target": {"base": GQA, "seed": 202, "kwargs": dict(
        r=3, lora_alpha=9, target_modules=r".*\.layers\.1\.(self_attn\.(q|o)_proj|mlp\.up_proj)"),
        "merged": [L1 + "self_attn.o_proj", L1 + "mlp.up_proj"]},
    "lora-exclude": {"base": TIED, "seed": 203, "kwargs": dict(
        r=2, lora_alpha=4, target_modules="all-linear", exclude_modules=["k_proj", "model.layers.0.mlp.gate_proj"]),
        "merged": [L0 + "self_attn.o_proj", L1 + "mlp.gate_proj"]},
    "lora-exclude-regex": {"base": TIED, "seed": 204, "kwargs": dict(
        r=2, lora_alpha=4, target_modules=QKVO, exclude_modules=r"model\.layers\.0\..*"),
        "merged": [L1 + "self_attn.q_proj", L1 + "self_attn.o_proj"]},
    "lora-layers-to-transform": {"base": GQA, "seed": 205, "kwargs": dict(
        r=4, lora_alpha=16, target_modules=["q_proj", "gate_proj"], layers_to_transform=[1], layers_pattern="layers"),
        "merged": [L1 + "self_attn.q_proj", L1 + "mlp.gate_proj"]},
    "rslora": {"base": GQA, "seed": 206, "kwargs": dict(r=6, lora_alpha=3, use_rslora=True, target_modules=["q_proj", "down_proj"]),
               "merged": [L0 + "self_attn.q_proj", L1 + "mlp.down_proj"]},
    "rslora-patterns": {"base": TIED, "seed": 207, "kwargs": dict(
        r=4, lora_alpha=4, use_rslora=True, target_modules=["q_proj", "v_proj"], rank_pattern={"v_proj": 9},
        alpha_pattern={"layers.1.self_attn.q_proj": 10}), "merged": [L0 + "self_attn.v_proj", L1 + "self_attn.q_proj"]},
    "dora": {"base": GQA, "seed": 208, "kwargs": dict(
        r=4, lora_alpha=8, use_dora=True, target_modules=["q_proj", "v_proj", "down_proj"]),
        "merged": [L0 + "self_attn.q_proj", L1 + "mlp.down_proj"]},
    "dora-qwen2-bias": {"base": QWEN, "seed": 209, "kwargs": dict(r=3, lora_alpha=6, use_dora=True, target_modules=QKVO),
                        "merged": [L0 + "self_attn.q_proj", L1 + "self_attn.o_proj"]},
    "dora-rslora-embedding": {"base": MISTRAL, "seed": 210, "kwargs": dict(
        r=4, lora_alpha=2, use_dora=True, use_rslora=True, target_modules=["embed_tokens", "o_proj"]),
        "merged": ["model.embed_tokens", L1 + "self_attn.o_proj"]},
    "adalora": {"base": GQA, "seed": 211, "method": "adalora", "special": "adalora", "kwargs": dict(
        init_r=4, target_r=1, lora_alpha=8, tinit=3, tfinal=3, deltaT=2, total_step=16, target_modules="all-linear"),
        "merged": [L0 + "self_attn.q_proj", L1 + "mlp.down_proj"],
        "note": "some modules keep rank 0: their tensors have zero rows and still count as adapted"},
    "adalora-unpruned": {"base": GQA, "seed": 212, "method": "adalora", "kwargs": dict(
        init_r=3, target_r=2, lora_alpha=-1, tinit=3, tfinal=3, deltaT=2, total_step=16, target_modules=["q_proj", "up_proj"]),
        "merged": [L0 + "self_attn.q_proj", L1 + "mlp.up_proj"], "note": "rank_pattern is null; alpha <= 0 means scaling = r"},
    "lora-bias-all": {"base": BIASES, "seed": 213, "kwargs": dict(r=2, lora_alpha=4, bias="all", target_modules=["q_proj", "v_proj"]),
                      "merged": [L0 + "self_attn.q_proj", L1 + "mlp.down_proj"]},
    "lora-bias-lora-only": {"base": BIASES, "seed": 214, "kwargs": dict(
        r=2, lora_alpha=4, bias="lora_only", target_modules=["k_proj", "up_proj"]),
        "merged": [L0 + "self_attn.k_proj", L1 + "mlp.up_proj"]},
    "lora-b-bias": {"base": BIASES, "seed": 215, "kwargs": dict(r=2, lora_alpha=5, lora_bias=True, target_modules=["q_proj", "o_proj"]),
                    "merged": [L0 + "self_attn.q_proj", L1 + "self_attn.o_proj"]},
    "lora-modules-to-save": {"base": GQA, "seed": 216, "kwargs": dict(
        r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=["lm_head"]), "merged": [L0 + "self_attn.q_proj", "lm_head"]},
    "lora-norms-to-save": {"base": TIED, "seed": 217, "kwargs": dict(
        r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=["input_layernorm", "norm"]),
        "merged": [L0 + "input_layernorm", "model.norm"],
        "note": "entries match by plain endswith: `norm` takes every name that ends in it (post_attention_layernorm too)"},
    "lora-embedding": {"base": HALF, "seed": 218, "kwargs": dict(r=3, lora_alpha=6, target_modules=["embed_tokens", "q_proj"]),
                       "merged": ["model.embed_tokens", L1 + "self_attn.q_proj"]},
    "lora-embedding-tied": {"base": TIED, "seed": 219, "kwargs": dict(r=3, lora_alpha=6, target_modules=["embed_tokens", "v_proj"]),
                            "merged": ["model.embed_tokens", L1 + "self_attn.v_proj"], "drop_merged_logits": False,
                            "note": "tied head: before merging only the input side is adapted, merging moves the head too"},
    "lora-lm-head": {"base": HALF, "seed": 220, "kwargs": dict(r=3, lora_alpha=6, target_modules=["lm_head", "v_proj"]),
                     "merged": ["lm_head", L1 + "self_attn.v_proj"]},
    "lora-trainable-tokens": {"base": HALF, "seed": 221, "kwargs": dict(
        r=2, lora_alpha=4, target_modules=["q_proj"], trainable_token_indices=[3, 7, 11]),
        "merged": ["model.embed_tokens", L1 + "self_attn.q_proj"]},
    "tokens-tied": {"base": TIED, "seed": 240, "kwargs": dict(
        r=2, lora_alpha=4, target_modules=["v_proj"], trainable_token_indices=[7, 3]),
        "merged": ["model.embed_tokens", L1 + "self_attn.v_proj"]},
    "tokens-two-lists": {"base": HALF, "seed": 241, "kwargs": dict(
        r=2, lora_alpha=4, target_modules="all-linear", trainable_token_indices={"lm_head": [5], "embed_tokens": [11, 3]}),
        "merged": ["model.embed_tokens", "lm_head", L1 + "self_attn.q_proj"]},
    "tokens-tied-one-list": {"base": TIED, "seed": 242, "kwargs": dict(
        r=2, lora_alpha=4, target_modules=["q_proj"], trainable_token_indices={"embed_tokens": [2], "lm_head": [2]}),
        "merged": ["model.embed_tokens"]},
    "tokens-and-head": {"base": HALF, "seed": 243, "kwargs": dict(
        r=2, lora_alpha=4, target_modules=["q_proj", "lm_head"], trainable_token_indices=[1]),
        "merged": ["model.embed_tokens", "lm_head"]},
    "resized": {"base": HALF, "seed": 244, "rows": 3, "kwargs": dict(r=2, lora_alpha=4, target_modules=["q_proj"]),
                "merged": [L1 + "self_attn.q_proj"]},
    "resized-tied": {"base": TIED, "seed": 245, "rows": 2, "kwargs": dict(r=2, lora_alpha=4, target_modules=["q_proj"]),
                     "merged": [L1 + "self_attn.q_proj"]},
    "resized-fewer": {"base": HALF, "seed": 246, "rows": -14, "kwargs": dict(r=2, lora_alpha=4, target_modules=["q_proj"]),
                      "merged": [L1 + "self_attn.q_proj"]},
    "resized-tokens": {"base": HALF, "seed": 247, "rows": 2, "new": True, "kwargs": dict(
        r=2, lora_alpha=4, target_modules=["q_proj"]), "merged": ["model.embed_tokens"]},
    "resized-tokens-tied": {"base": TIED, "seed": 248, "rows": 2, "new": True, "kwargs": dict(
        r=2, lora_alpha=4, target_modules=["q_proj"]), "merged": ["model.embed_tokens"]},
    "resized-to-save": {"base": HALF, "seed": 249, "rows": 2, "kwargs": dict(
        r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"]),
        "merged": ["model.embed_tokens", "lm_head"]},
    "lora-tied-resized-to-save": {"base": TIED, "seed": 250, "rows": 2, "kwargs": dict(
        r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=["embed_tokens"]),
        "merged": ["model.embed_tokens", "lm_head"]},
    "whole-embeddings": {"base": HALF, "seed": 252, "whole": True, "kwargs": dict(
        r=2, lora_alpha=4, target_modules=["q_proj"]), "merged": [L1 + "self_attn.q_proj"]},
    "lora-qv-bf16": {"base": TIED, "seed": 222, "special": "cast", "stored": "bfloat16", "kwargs": dict(
        r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]), "merged": [L0 + "self_attn.q_proj", L1 + "self_attn.v_proj"]},
    "lora-qv-f16": {"base": HALF, "seed": 223, "special": "cast", "stored": "float16", "kwargs": dict(
        r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]), "merged": [L0 + "self_attn.q_proj", L1 + "self_attn.v_proj"]},
    "lora-mistral-all": {"base": MISTRAL, "seed": 224, "kwargs": dict(r=2, lora_alpha=2, target_modules="all-linear"),
                         "merged": [L0 + "self_attn.k_proj", L1 + "mlp.gate_proj"]},
    "pissa": {"base": GQA, "seed": 225, "special": "converted", "kwargs": dict(
        r=4, lora_alpha=6, init_lora_weights="pissa", target_modules=["q_proj", "down_proj"]),
        "merged": [L0 + "self_attn.q_proj", L1 + "mlp.down_proj"]},
    "olora": {"base": GQA, "seed": 226, "special": "converted", "kwargs": dict(
        r=4, lora_alpha=4, init_lora_weights="olora", target_modules=["k_proj", "gate_proj"]),
        "merged": [L0 + "self_attn.k_proj", L1 + "mlp.gate_proj"]},
    "pissa-rslora": {"base": TIED, "seed": 227, "special": "converted", "kwargs": dict(
        r=4, lora_alpha=2, use_rslora=True, init_lora_weights="pissa", target_modules=["v_proj"]),
        "merged": [L0 + "self_attn.v_proj"]},
    "loftq": {"base": GQA, "seed": 228, "special": "loftq", "kwargs": dict(
        r=4, lora_alpha=4, init_lora_weights="loftq", loftq_config={"loftq_bits": 4, "loftq_iter": 3},
        target_modules=["q_proj", "up_proj"]), "merged": [L0 + "self_attn.q_proj", L1 + "mlp.up_proj"]},
    "lora-tied-embedding-to-save": {"base": TIED, "seed": 240, "kwargs": dict(
        r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=["embed_tokens"]), "merged": ["model.embed_tokens", "lm_head"]},
    "lora-tied-both-to-save": {"base": TIED, "seed": 241, "kwargs": dict(
        r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"]),
        "merged": ["model.embed_tokens", "lm_head"]},
    "lora-tied-lm-head": {"base": TIED, "seed": 242, "kwargs": dict(r=2, lora_alpha=4, target_modules=["lm_head", "v_proj"]),
                          "merged": ["lm_head"], "note": "tied head: merging gives it a weight of its own, the embedding stays; "
                          "PEFT adds to the shared weight and moves both"},
    "ia3": {"base": GQA, "seed": 229, "method": "ia3", "kwargs": dict(
        target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]),
        "merged": [L0 + "self_attn.k_proj", L1 + "mlp.down_proj"]},
    "vera": {"base": TIED, "seed": 230, "method": "vera", "kwargs": dict(
        r=6, target_modules=["q_proj", "v_proj"], projection_prng_key=11, save_projection=True),
        "merged": [L0 + "self_attn.q_proj", L1 + "self_attn.v_proj"]},
}

_TWO = dict(target_modules=["q_proj", "v_proj"])
COMBINE = {
    "three": {"base": GQA, "seed": 300, "adapters": {
        "first": dict(r=4, lora_alpha=4, **_TWO), "second": dict(r=4, lora_alpha=12, **_TWO),
        "third": dict(r=2, lora_alpha=3, target_modules=["q_proj", "gate_proj"])},
        "combinations": [
            dict(name="linear", adapters=["first", "second"], weights=[0.7, 0.4], combination_type="linear"),
            dict(name="linear_negative", adapters=["first", "second"], weights=[1.0, -0.5], combination_type="linear"),
            dict(name="cat", adapters=["first", "second", "third"], weights=[0.5, 1.0, -0.25], combination_type="cat"),
            dict(name="svd", adapters=["first", "second", "third"], weights=[0.5, 0.5, 1.0], combination_type="svd", svd_rank=5),
            dict(name="ties_total", adapters=["first", "second"], weights=[1.0, 0.8], combination_type="ties", density=0.4,
                 majority_sign_method="total"),
            dict(name="ties_frequency", adapters=["first", "second"], weights=[1.0, 0.8], combination_type="ties", density=0.4,
                 majority_sign_method="frequency"),
            dict(name="prune", adapters=["first", "second"], weights=[1.0, 0.8], combination_type="magnitude_prune", density=0.3),
            dict(name="ties_svd", adapters=["first", "second"], weights=[1.0, 0.8], combination_type="ties_svd", density=0.5,
                 svd_rank=4, majority_sign_method="total"),
            dict(name="single", adapters=["second"], weights=[0.5], combination_type="svd"),
        ], "note": "svd forms: compare the delta only (the signs of singular vectors are free)"},
    "two-rslora": {"base": TIED, "seed": 310, "adapters": {
        "first": dict(r=4, lora_alpha=2, use_rslora=True, **_TWO), "second": dict(r=4, lora_alpha=6, use_rslora=True, **_TWO)},
        "combinations": [
            dict(name="linear", adapters=["first", "second"], weights=[0.7, 0.4], combination_type="linear"),
            dict(name="cat", adapters=["first", "second"], weights=[0.7, 0.4], combination_type="cat"),
        ], "note": "see the scaling of the new adapter in expected.json: what PEFT does with use_rslora"},
}

PEFT_FILES = {"base": BIASES, "seed": 400, "r": 2, "alpha": 4}

_QV = dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
CURVES = {
    "lora-qv": {"base": GQA, "seed": 500, "shape": (2, 24), "kwargs": _QV, "settings": dict(learning_rate=1e-2)},
    "lora-qv-nonzero-b": {"base": GQA, "seed": 501, "shape": (2, 24), "kwargs": _QV, "nonzero_b": True,
                          "settings": dict(learning_rate=1e-2)},
    "lora-patterns-cosine-clip-accumulate": {
        "base": GQA, "seed": 502, "shape": (2, 20), "kwargs": _PATTERNS, "settings": dict(
            learning_rate=1e-2, schedule="cosine", warmup_steps=4, micro_batches=2, max_grad_norm=0.5, betas=[0.9, 0.95],
            weight_decay=0.1)},
    "rslora": {"base": TIED, "seed": 503, "shape": (2, 20), "kwargs": dict(r=8, lora_alpha=4, use_rslora=True,
               target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]), "settings": dict(learning_rate=1e-2, eps=1e-6)},
    "dora": {"base": GQA, "seed": 504, "shape": (2, 24), "kwargs": dict(
        r=4, lora_alpha=8, use_dora=True, target_modules=["q_proj", "v_proj", "down_proj"]), "settings": dict(learning_rate=1e-2)},
    "dora-bias": {"base": BIASES, "seed": 505, "shape": (2, 24), "kwargs": dict(
        r=3, lora_alpha=6, use_dora=True, target_modules="all-linear"), "settings": dict(learning_rate=1e-2, max_grad_norm=1.0)},
    "lora-bias-all": {"base": BIASES, "seed": 506, "shape": (2, 24), "kwargs": dict(
        r=3, lora_alpha=6, bias="all", target_modules=["q_proj", "v_proj"]), "settings": dict(learning_rate=1e-2)},
    "adalora": {"base": GQA, "seed": 507, "shape": (2, 24), "method": "adalora", "kwargs": dict(
        init_r=8, target_r=4, lora_alpha=16, tinit=10, tfinal=15, deltaT=5, total_step=60, orth_reg_weight=0.5,
        target_modules=["q_proj", "v_proj", "up_proj", "down_proj"]), "settings": dict(steps=60, learning_rate=2e-2)},
    "loraplus": {"base": GQA, "seed": 508, "shape": (2, 24), "kwargs": _QV, "settings": dict(
        learning_rate=1e-3, loraplus_lr_ratio=16.0, weight_decay=0.01)},
    "full": {"base": HALF, "seed": 509, "shape": (2, 24), "method": "full", "settings": dict(learning_rate=2e-3),
             "keep": ["model.layers.0.self_attn.q_proj.weight", "model.norm.weight", "lm_head.weight"]},
    "lora-bf16-base": {"base": TIED, "seed": 510, "shape": (3, 20), "kwargs": _QV, "settings": dict(learning_rate=1e-2)},
}

CASES = {"models": MODELS, "old_configs": OLD_CONFIGS, "refused_configs": REFUSED, "rope": ROPE, "adapters": ADAPTERS,
         "combine": COMBINE, "peft_files": PEFT_FILES, "curves": CURVES}
