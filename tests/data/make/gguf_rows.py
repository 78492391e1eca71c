# SPDX-License-Identifier: Apache-2.0
"""Rows and their bytes in Q8_0, F16 and BF16 as the Python package gguf encodes them: tests/data/gguf/encoded.safetensors.

    python3 tests/data/make/gguf_rows.py
"""
from pathlib import Path

import gguf
import numpy
from gguf.quants import quantize
from safetensors.numpy import save_file

generator = numpy.random.default_rng(5)
rows = generator.standard_normal((24, 64), dtype=numpy.float32) * numpy.float32(2.0) ** generator.integers(-20, 8, (24, 1))
rows = rows.astype(numpy.float32)
rows[0, :32] = 0  # a block of zeros
rows[1, :32] = numpy.arange(-16, 16) + 0.5  # halves: scale 127 / 127
rows[1, 0] = 127
rows[2, 32:] = 1e-7  # a scale that is subnormal as a half
rows[3] = 0.1
rows[4, ::2] *= -1
tensors = {"rows": rows}
for name in ("Q8_0", "F16", "BF16"):
    encoded = quantize(rows, getattr(gguf.GGMLQuantizationType, name))
    tensors[name] = numpy.ascontiguousarray(encoded).view(numpy.uint8).reshape(-1)
target = Path(__file__).resolve().parent.parent / "gguf"
target.mkdir(exist_ok=True)
save_file(tensors, target / "encoded.safetensors")
