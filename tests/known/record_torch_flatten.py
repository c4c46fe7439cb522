#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "numpy==2.4.6"]
# ///
"""Records a network of PyTorch whose `Linear` follows a `Flatten` of images into `torch_flatten.safetensors`, beside this
file: its `state_dict()` with `x`, channels first, and `y`, what it makes of it. `steps.*` is the same with a `Conv1d`.

And what rules of PyTorch give that differ from Keras': `rules.*`, an average that counts padding, a transposed
convolution with output padding, and batch normalization while it trains, with its running statistics afterwards.
"""

import pathlib
import struct
import json

import torch

torch.manual_seed(3)


def uniform(*shape):
    return torch.round((torch.rand(*shape) * 2 - 1) * 1e4) / 1e4


def network(prefix, *modules, shape):
    net = torch.nn.Sequential(*modules)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(uniform(*p.shape))
        x = uniform(*shape)
        out = {f"{prefix}{k}": v for k, v in net.state_dict().items()}
        return out | {f"{prefix}x": x, f"{prefix}y": net(x)}


def rules():
    x = uniform(2, 3, 5, 6)
    out = {"rules.x": x}
    pool = torch.nn.AvgPool2d(3, stride=2, padding=1)
    out["rules.pool"] = pool(x)
    norm = torch.nn.BatchNorm2d(3)
    losses = []
    with torch.no_grad():
        norm.weight.copy_(uniform(3) + 1.5)
        norm.bias.copy_(uniform(3))
    out |= {"rules.gamma": norm.weight.detach().clone(), "rules.beta": norm.bias.detach().clone()}
    target = uniform(2, 3, 5, 6)
    out["rules.target"] = target
    rule = torch.optim.SGD(norm.parameters(), lr=0.05)
    for _ in range(20):
        rule.zero_grad()
        loss = torch.nn.functional.mse_loss(norm(x), target)
        losses.append(loss.item())
        loss.backward()
        rule.step()
    out["rules.losses"] = torch.tensor(losses)
    out["rules.running_mean"] = norm.running_mean
    out["rules.running_var"] = norm.running_var
    return out


def main():
    nn = torch.nn
    tensors = network("", nn.Conv2d(2, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 4 * 3, 7), nn.Tanh(), nn.Linear(7, 3), shape=(4, 2, 6, 5))
    tensors |= network("steps.", nn.Conv1d(2, 3, 2), nn.Flatten(), nn.Linear(3 * 6, 4), shape=(3, 2, 7))
    tensors |= network("up.", nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1), shape=(2, 2, 4, 5))
    tensors |= rules()
    save(tensors, pathlib.Path(__file__).with_name("torch_flatten.safetensors"))


def save(tensors, path):
    """A safetensors file, with tensors in the order of their names."""
    header, data = {}, b""
    for name in sorted(tensors):
        t = tensors[name].detach().contiguous().float()
        raw = bytes(t.numpy().tobytes())
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)


if __name__ == "__main__":
    main()
