"""PyTorch, eager or through `torch.compile`, f32 with TF32 off."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from protocol import BETA1, BETA2, EPSILON, LAYER_EPSILON, NORM_EPSILON, NORM_MOMENTUM, Peer, arguments, main


def filled(module, *parameters):
    """A module with these parameters in its order."""
    with torch.no_grad():
        for parameter, values in zip(module.parameters(), parameters, strict=True):
            parameter.copy_(values)
    return module


def linear(weights, biases):
    return filled(nn.Linear(*weights.shape), weights.T, biases)


def layer_norm(scale, offset):
    return filled(nn.LayerNorm(len(scale), eps=LAYER_EPSILON), scale, offset)


class Lstm(nn.Module):
    """The output after the last step. PyTorch has a second bias, which stays zero: two would learn twice as fast."""

    def __init__(self, weights, biases):
        super().__init__()
        units = len(biases) // 4
        self.lstm = nn.LSTM(len(weights) - units, units, batch_first=True)
        kernel, recurrent = weights[:-units].T, weights[-units:].T
        filled(self.lstm, kernel, recurrent, biases, torch.zeros_like(biases))
        self.lstm.bias_hh_l0.requires_grad_(False)

    def forward(self, x):
        return self.lstm(x)[0][:, -1]


class Positions(nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.weight = nn.Parameter(weights)

    def forward(self, x):
        return x + self.weight


class Block(nn.Module):
    """A block of GPT, as nanoGPT writes it."""

    def __init__(self, heads, *parameters):
        super().__init__()
        self.heads = heads
        pairs = list(zip(parameters[::2], parameters[1::2]))
        self.norm, self.parts, self.output = layer_norm(*pairs[0]), linear(*pairs[1]), linear(*pairs[2])
        self.second_norm, self.inner, self.outer = layer_norm(*pairs[3]), linear(*pairs[4]), linear(*pairs[5])

    def forward(self, x):
        batch, time, width = x.shape
        parts = self.parts(self.norm(x)).split(width, dim=2)
        q, k, v = (part.view(batch, time, self.heads, width // self.heads).transpose(1, 2) for part in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(y.transpose(1, 2).reshape(x.shape))
        return x + self.outer(F.gelu(self.inner(self.second_norm(x))))


def normalized(kernel, scale, offset, stride=1):
    """A convolution without biases and its normalization; zeros around the image keep its size but for the stride."""
    size, _, inputs, filters = kernel.shape
    convolution = nn.Conv2d(inputs, filters, size, stride, size // 2, bias=False)
    # PyTorch's momentum is the share of what is new.
    norm = nn.BatchNorm2d(filters, eps=NORM_EPSILON, momentum=1 - NORM_MOMENTUM)
    return nn.Sequential(filled(convolution, kernel.permute(3, 2, 0, 1)), filled(norm, scale, offset))


class Bottleneck(nn.Module):
    """ResNet's block, as torchvision writes it."""

    def __init__(self, stride, *parameters):
        super().__init__()
        parts = [parameters[i : i + 3] for i in range(0, len(parameters), 3)]
        self.first, self.third = normalized(*parts[0]), normalized(*parts[2])
        self.second = normalized(*parts[1], stride)
        self.projection = normalized(*parts[3], stride) if len(parts) == 4 else nn.Identity()

    def forward(self, x):
        y = F.relu(self.second(F.relu(self.first(x))))
        return F.relu(self.third(y) + self.projection(x))


class Scores(nn.Module):
    """Products with the rows of the embedding."""

    def __init__(self, embedding):
        super().__init__()
        self.embedding = embedding

    def forward(self, x):
        return F.linear(x, self.embedding.weight)


WHOLE = {
    "lstm": lambda _, *parameters: Lstm(*parameters),
    "embedding": lambda _, table: filled(nn.Embedding(*table.shape), table),
    "positions": lambda _, weights: Positions(weights),
    "block": Block,
    "layer_normalization": lambda _, *parameters: layer_norm(*parameters),
    "stem": lambda _, *parameters: nn.Sequential(normalized(*parameters, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
    "bottleneck": Bottleneck,
    "projected_bottleneck": Bottleneck,
}
"""Layers made of their number and their parameters alone."""


def modules(layers):
    """PyTorch's modules with the file's weights. Images have their channels first there, so kernels and the rows of a dense
    layer after `Flatten` are turned."""
    made, channels = [], None
    for kind, arrays, number in layers:
        parameters = [torch.from_numpy(array) for array in arrays]
        if kind in WHOLE:
            made.append(WHOLE[kind](number, *parameters))
            continue
        if kind == "scores":
            made.append(Scores(made[0]))
            continue
        if kind == "dense":
            weights = parameters[0]
            if channels and isinstance(made[-1], nn.Flatten):
                outputs = weights.shape[1]
                weights = weights.reshape(-1, channels, outputs).transpose(0, 1).reshape(-1, outputs)
            module, parameters[0] = nn.Linear(*weights.shape), weights.T
        elif kind.endswith("convolution"):
            inputs, channels = arrays[0].shape[2:]
            padding = "same" if kind == "same_convolution" else "valid"
            module = nn.Conv2d(inputs, channels, arrays[0].shape[:2], padding=padding, bias=len(arrays) == 2)
            parameters[0] = parameters[0].permute(3, 2, 0, 1)
        elif kind == "batch_normalization":
            # PyTorch's momentum is the share of what is new.
            module = nn.BatchNorm2d(channels, eps=NORM_EPSILON, momentum=1 - NORM_MOMENTUM)
        elif kind == "global_average_pooling":
            made.append(nn.AdaptiveAvgPool2d(1))
            module = nn.Flatten()
        else:
            module = {"relu": nn.ReLU, "max_pooling": lambda: nn.MaxPool2d(2), "flatten": nn.Flatten}[kind]()
        with torch.no_grad():
            for parameter, values in zip(module.parameters(), parameters):
                parameter.copy_(values)
        made.append(module)
    return made


def channels_first(images):
    """Images of a row of pixels as they are, others with their channels first as PyTorch counts axes. Memory stays as it is:
    `channels_last`."""
    return images.permute(0, 3, 1, 2) if images.ndim == 4 else images


class Torch(Peer):
    name = "torch"
    version = torch.__version__

    def __init__(self, layers, rate, args):
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
        self.where = torch.device(args.device)
        cuda = self.where.type == "cuda"
        self.device = torch.cuda.get_device_name(self.where) if cuda else f"cpu, {torch.get_num_threads()} threads"
        model = nn.Sequential(*modules(layers)).to(self.where)
        self.model = model.to(memory_format=torch.channels_last)
        # The fused rule is the fastest that PyTorch has for its eager step.
        learned = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.adam = torch.optim.Adam(
            learned, lr=rate, betas=(BETA1, BETA2), eps=EPSILON, fused=True
        )
        criterion = nn.CrossEntropyLoss()
        forward = lambda x, y: criterion(self.model(x).flatten(0, -2), y.flatten())
        self.forward = torch.compile(forward) if args.compile else forward
        self.predict = torch.compile(self.model) if args.compile else self.model

    def upload(self, images, labels):
        labels = torch.from_numpy(labels.astype(np.int64))
        images = torch.from_numpy(np.ascontiguousarray(images))
        return channels_first(images).to(self.where), labels.to(self.where)

    def step_on(self, kept, i, size):
        pixels, labels = (part[i * size : (i + 1) * size] for part in kept)
        # The quotient of bytes is f32: one kernel scales a batch.
        self.step((pixels / 255, labels))

    def step(self, batch):
        self.adam.zero_grad(set_to_none=True)
        loss = self.forward(*batch)
        loss.backward()
        self.adam.step()
        self.last = loss.detach()

    def loss(self):
        if self.where.type == "cuda":
            torch.cuda.synchronize(self.where)
        return self.last.item()

    def logits(self, images):
        self.model.eval()
        with torch.no_grad():
            logits = self.predict(channels_first(torch.from_numpy(images)).to(self.where)).cpu().numpy()
        self.model.train()
        return logits


if __name__ == "__main__":
    if arguments().compile:
        Torch.name = "torch-compile"
    main(Torch)
