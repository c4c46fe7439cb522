#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "numpy==2.4.6"]
# ///
"""Records recurrent layers of PyTorch into `torch_recurrent.safetensors`, beside this file: the `state_dict()` of each under
its name, the sequences `x`, batch first, and `NAME.y`, all steps of what it makes of them.
"""

import pathlib

import torch

from record_torch_flatten import save, uniform


def main():
    nn = torch.nn
    torch.manual_seed(5)
    x = uniform(3, 6, 4) * 2
    tensors = {"x": x}
    for name, layer in {
        "rnn": nn.RNN(4, 5, batch_first=True),
        "lstm": nn.LSTM(4, 5, batch_first=True),
        "gru": nn.GRU(4, 5, batch_first=True),
        "both": nn.LSTM(4, 5, batch_first=True, bidirectional=True),
        "deep": nn.GRU(4, 5, num_layers=2, batch_first=True, bidirectional=True),
    }.items():
        with torch.no_grad():
            for p in layer.parameters():
                p.copy_(uniform(*p.shape))
            tensors |= {f"{name}.{key}": value for key, value in layer.state_dict().items()}
            tensors[f"{name}.y"] = layer(x)[0]
    save(tensors, pathlib.Path(__file__).with_name("torch_recurrent.safetensors"))


if __name__ == "__main__":
    main()
