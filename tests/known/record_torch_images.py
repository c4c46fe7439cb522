#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "numpy==2.4.6"]
# ///
"""Records 20 steps of training of PyTorch's layers for images into `torch_images.safetensors`, beside this file: options that
Keras refuses or does not have, and kernels in PyTorch's order.

Each network is a convolution of one tap, through whose kernel the gradient of what follows shows, and the layer.
`NAME.x` and `NAME.target` are channels first, `NAME.first.*` is the `state_dict()` before, `NAME.last.*` after, and
`NAME.losses` has the loss of each step. `spectral.*` is a convolution under spectral normalization in evaluation.
"""

import pathlib

import torch

from record_torch_flatten import save, uniform

nn = torch.nn


def train(name, layer, channels, *extents, rate=0.2):
    net = nn.Sequential([nn.Conv1d, nn.Conv2d, nn.Conv3d][len(extents) - 1](channels, channels, 1), layer)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(uniform(*p.shape))
    x = uniform(3, channels, *extents)
    target = uniform(*net(x).shape)
    out = {f"{name}.x": x, f"{name}.target": target}
    out |= {f"{name}.first.{k}": v.clone() for k, v in net.state_dict().items()}
    rule = torch.optim.SGD(net.parameters(), lr=rate)
    losses = []
    for _ in range(20):
        rule.zero_grad()
        loss = nn.functional.mse_loss(net(x), target)
        losses.append(loss.item())
        loss.backward()
        rule.step()
    assert losses[-1] < 0.9 * losses[0], (name, losses)
    out |= {f"{name}.last.{k}": v.clone() for k, v in net.state_dict().items()}
    return out | {f"{name}.losses": torch.tensor(losses)}


def spectral():
    layer = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3))
    weight = layer.parametrizations.weight.original
    with torch.no_grad():
        weight.copy_(uniform(*weight.shape))
        layer.bias.copy_(uniform(4))
        x = uniform(2, 3, 5, 6)
        # Until the vectors are those of the largest singular value.
        for _ in range(500):
            layer(x)
        layer.eval()
        state = layer.state_dict()
        u = state["parametrizations.weight.0._u"]
        return {
            "spectral.x": x,
            "spectral.y": layer(x),
            "spectral.0.weight": weight,
            "spectral.0.bias": layer.bias,
            "spectral.u": u.reshape(1, 4),
        }


def main():
    torch.manual_seed(5)
    tensors = train("groups", nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), 4, 7, 6)
    tensors |= train("dilated", nn.Conv2d(2, 4, 3, stride=2, dilation=3, padding=3), 2, 9, 8)
    tensors |= train("volume", nn.Conv3d(2, 3, 2, stride=(1, 2, 1), padding=(0, 1, 1), dilation=(1, 1, 2)), 2, 3, 4, 5)
    tensors |= train("up1", nn.ConvTranspose1d(3, 2, 4, stride=2, padding=1, output_padding=1), 3, 6)
    tensors |= train("up2", nn.ConvTranspose2d(2, 3, 3, stride=(2, 3), padding=(1, 0), output_padding=(1, 2)), 2, 4, 5)
    tensors |= train("up3", nn.ConvTranspose3d(2, 2, 3, stride=(2, 1, 2), padding=1, output_padding=(1, 0, 1)), 2, 3, 3, 2)
    tensors |= train("instance", nn.InstanceNorm2d(3, affine=True), 3, 5, 4)
    tensors |= spectral()
    save(tensors, pathlib.Path(__file__).with_name("torch_images.safetensors"))


if __name__ == "__main__":
    main()
