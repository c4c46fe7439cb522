#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "numpy==2.4.6"]
# ///
"""Records attention of PyTorch into `torch_attention.safetensors`, beside this file: the `state_dict()` of each module under
its name, the sequences `x` and `memory`, batch first, and `NAME.y`, what it makes of them: of `x` alone, or of `x` as queries
and `memory` as keys and values.
"""

import pathlib

import torch

from record_torch_flatten import save, uniform


def main():
    nn = torch.nn
    x, memory = uniform(2, 5, 6) * 2, uniform(2, 4, 6) * 2
    tensors = {"x": x, "memory": memory}
    for name, layer, inputs in [
        ("attention", nn.MultiheadAttention(6, 2, batch_first=True), (x, x, x)),
        ("cross", nn.MultiheadAttention(6, 3, bias=False, batch_first=True), (x, memory, memory)),
        ("encoder", nn.TransformerEncoderLayer(6, 2, 7, dropout=0, batch_first=True), (x,)),
    ]:
        with torch.no_grad():
            for p in layer.parameters():
                p.copy_(uniform(*p.shape))
            tensors |= {f"{name}.{key}": value for key, value in layer.state_dict().items()}
            y = layer(*inputs)
            tensors[f"{name}.y"] = y[0] if isinstance(y, tuple) else y
    save(tensors, pathlib.Path(__file__).with_name("torch_attention.safetensors"))


if __name__ == "__main__":
    main()
