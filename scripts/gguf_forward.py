# SPDX-License-Identifier: Apache-2.0
"""A forward pass over a GGUF file in float64, with the rounding of llama.cpp's matmuls. Used by compare_with_llamacpp.

llama.cpp rounds each row of activations before a matmul to the type that its kernel multiplies with: float16, bfloat16, or
for Q8_0 weights 8 bits with a scale per 32 values (`quantize_row_q8_0` in ggml/src/ggml-cpu). A value next to the middle of
two steps is rounded by the last bit of a float32 sum, and the layers after it amplify that: `noise` says how far results
of the same arithmetic are apart. Architectures llama, qwen2 and qwen3, without RoPE scaling.
"""
import gguf
import numpy


def round_q8_0(values):
    blocks = values.astype(numpy.float32).reshape(-1, 32)
    largest = numpy.abs(blocks).max(1, keepdims=True)
    scale = (largest / numpy.float32(127)).astype(numpy.float16).astype(numpy.float64)
    inverse = numpy.float32(127) / numpy.where(largest > 0, largest, numpy.float32(1))
    return (numpy.rint(blocks * inverse) * scale).reshape(values.shape)


def round_bf16(values):
    bits = values.astype(numpy.float32).view(numpy.uint32)
    bits = bits + 0x7FFF + (bits >> 16 & 1) & numpy.uint32(0xFFFF0000)
    return bits.view(numpy.float32).astype(numpy.float64)


ROUND = {"F32": lambda values: values, "F16": lambda values: values.astype(numpy.float16).astype(numpy.float64),
         "BF16": round_bf16, "Q8_0": round_q8_0}


def read(path):
    """The keys, and each tensor as (float64 values, type)."""
    reader = gguf.GGUFReader(path)
    keys = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("tokenizer")}
    return keys, {t.name: (gguf.dequantize(t.data, t.tensor_type).astype(numpy.float64), t.tensor_type.name)
                  for t in reader.tensors}


class Forward:
    """Log-probabilities of the next token. `noise` is relative, on the input of each rounded matmul."""

    def __init__(self, path, adapter=None):
        self.keys, self.tensors = read(path)
        adapter_keys, self.adapter = read(adapter) if adapter else ({}, {})
        self.alpha = adapter_keys.get("adapter.lora.alpha", 0.0)
        self.architecture = self.keys["general.architecture"]

    def key(self, name, default=None):
        return self.keys.get(f"{self.architecture}.{name}", default)

    def matmul(self, x, name, random, noise):
        weight, kind = self.tensors[name + ".weight"]
        if noise and kind != "F32":
            x = x * (1 + noise * random.standard_normal(x.shape))
        y = ROUND[kind](x) @ weight.T
        if name + ".weight.lora_a" in self.adapter:
            a, b = (self.adapter[f"{name}.weight.lora_{part}"][0] for part in "ab")
            y = y + x @ a.T @ b.T * (self.alpha / len(a) if self.alpha else 1.0)
        return y + self.tensors[name + ".bias"][0] if name + ".bias" in self.tensors else y

    def norm(self, x, name):
        epsilon = self.key("attention.layer_norm_rms_epsilon")
        return x / numpy.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * self.tensors[name + ".weight"][0]

    def rope(self, x):
        size = x.shape[-1]
        angles = numpy.outer(numpy.arange(len(x)), self.key("rope.freq_base", 10000.0) ** (-numpy.arange(0, size, 2) / size))
        cos, sin = numpy.cos(angles)[:, None], numpy.sin(angles)[:, None]
        first, second = (x[..., 0::2], x[..., 1::2]) if self.architecture == "llama" else numpy.split(x, 2, -1)
        pair = first * cos - second * sin, first * sin + second * cos
        return numpy.stack(pair, -1).reshape(x.shape) if self.architecture == "llama" else numpy.concatenate(pair, -1)

    def attention(self, x, layer, matmul):
        heads, size = self.key("attention.head_count"), self.key("attention.key_length")
        q, k, v = (matmul(x, f"{layer}attn_{part}").reshape(len(x), -1, size) for part in "qkv")
        if layer + "attn_q_norm.weight" in self.tensors:
            q, k = self.norm(q, layer + "attn_q_norm"), self.norm(k, layer + "attn_k_norm")
        q, k = self.rope(q), self.rope(k)
        k, v = (numpy.repeat(part, heads // part.shape[1], 1) for part in (k, v))
        scores = numpy.einsum("qhd,khd->hqk", q, k) / numpy.sqrt(size) + numpy.triu(numpy.full((len(x),) * 2, -numpy.inf), 1)
        scores = numpy.exp(scores - scores.max(-1, keepdims=True))
        mixed = numpy.einsum("hqk,khd->qhd", scores / scores.sum(-1, keepdims=True), v)
        return matmul(mixed.reshape(len(x), -1), layer + "attn_output")

    def __call__(self, ids, noise=0.0, seed=0):
        random = numpy.random.default_rng(seed)

        def matmul(x, name):
            return self.matmul(x, name, random, noise)

        x = self.tensors["token_embd.weight"][0][ids]
        for index in range(self.key("block_count")):
            layer = f"blk.{index}."
            x = x + self.attention(self.norm(x, layer + "attn_norm"), layer, matmul)
            inside = self.norm(x, layer + "ffn_norm")
            gate = matmul(inside, layer + "ffn_gate")
            x = x + matmul(gate / (1 + numpy.exp(-gate)) * matmul(inside, layer + "ffn_up"), layer + "ffn_down")
        head = "output" if "output.weight" in self.tensors else "token_embd"
        logits = matmul(self.norm(x, "output_norm")[-1:], head)[0]
        return logits - (logits.max() + numpy.log(numpy.exp(logits - logits.max()).sum()))


def wrong_bytes(path, exact):
    """The matrices of a file whose bytes differ from those of the package gguf for the same file in F32."""
    whole = {t.name: t for t in gguf.GGUFReader(exact).tensors}
    tensors = gguf.GGUFReader(path).tensors
    return [t.name for t in tensors if gguf.quantize(numpy.array(whole[t.name].data), t.tensor_type).tobytes() != t.data.tobytes()]
