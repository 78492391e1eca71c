# SPDX-License-Identifier: Apache-2.0
"""Weights in 8 bits by bitsandbytes' quantize_blockwise on a CPU: tests/data/int8/cases.safetensors.

    python3 tests/data/make/int8.py

For each case: .input, .absmax and .codes by the reference rule of bitsandbytes (its kernel "default"), .cpu_codes by its
compiled CPU kernel, and what dequantize_blockwise makes of the former in each type (.f32, .bf16, .f16) and of the latter
in float (.cpu_f32). `map` is create_dynamic_map().
"""
from pathlib import Path

import torch
from bitsandbytes.functional import QuantState, create_dynamic_map, dequantize_blockwise, quantize_blockwise
from safetensors.torch import save_file

torch.set_num_threads(1)
table = create_dynamic_map()
reference = torch._C.DispatchKeySet(torch._C.DispatchKey.CompositeExplicitAutograd)
generator = torch.Generator().manual_seed(2026)


def normal(*shape):
    return torch.randn(*shape, generator=generator)


bounds = (table[:-1] + table[1:]) / 2
infinity = torch.tensor(torch.inf)
special = normal(5, 64)
special[1] = 0
special[2, 7] = torch.inf
special[3, 9] = torch.nan
special[4] *= 1e-39
inputs = {
    "f32": normal(9, 131),
    "bf16": normal(5, 50).bfloat16(),
    "f16": normal(5, 50).half(),
    # every value, every bound and its neighbours, under a maximum of 1
    "bounds": torch.cat([table, bounds, bounds.nextafter(infinity), bounds.nextafter(-infinity), torch.ones(3)]),
    "special": special,
    "short": torch.tensor([0.0, 0.0, 0.0]),
}
tensors = {"map": table}
for name, x in inputs.items():
    for blocksize in (64, 256, 4096) if name == "f32" else (1024,) if name == "bounds" else (64,):
        case = f"{name}.{blocksize}"
        codes, absmax = torch.ops.bitsandbytes.quantize_blockwise.default.redispatch(reference, x, table, blocksize)
        cpu_codes, state = quantize_blockwise(x, blocksize=blocksize)
        tensors |= {f"{case}.input": x, f"{case}.absmax": absmax, f"{case}.codes": codes, f"{case}.cpu_codes": cpu_codes}
        for suffix, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16), ("f16", torch.float16)):
            as_type = QuantState(absmax=absmax, code=table, blocksize=blocksize, dtype=dtype)
            tensors[f"{case}.{suffix}"] = dequantize_blockwise(codes, as_type)
        tensors[f"{case}.cpu_f32"] = dequantize_blockwise(
            cpu_codes, QuantState(absmax=absmax, code=table, blocksize=blocksize, dtype=torch.float32))
target = Path(__file__).resolve().parent.parent / "int8"
target.mkdir(exist_ok=True)
save_file({name: tensor.clone() for name, tensor in tensors.items()}, target / "cases.safetensors")
(target / "cases.safetensors").chmod(0o644)
for name, x in tensors.items():
    if name.endswith(".cpu_codes"):
        case = name.removesuffix(".cpu_codes")
        other = (x != tensors[f"{case}.codes"]).sum().item()
        print(case, x.numel(), "values; codes of the compiled kernel that differ:", other)
