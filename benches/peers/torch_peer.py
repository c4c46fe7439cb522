"""PyTorch, eager or through `torch.compile`, f32 with TF32 off."""

import numpy as np
import torch
from torch import nn

from protocol import BETA1, BETA2, EPSILON, NORM_EPSILON, NORM_MOMENTUM, Peer, arguments, main


def modules(layers):
    """PyTorch's modules with the file's weights. Images have their channels first there, so kernels and the rows of a dense
    layer after `Flatten` are turned."""
    made, channels = [], None
    for kind, arrays in layers:
        parameters = [torch.from_numpy(array) for array in arrays]
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
        self.adam = torch.optim.Adam(
            self.model.parameters(), lr=rate, betas=(BETA1, BETA2), eps=EPSILON, fused=True
        )
        criterion = nn.CrossEntropyLoss()
        forward = lambda x, y: criterion(self.model(x), y)
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
