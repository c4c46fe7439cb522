"""PyTorch, eager or through `torch.compile`, f32 with TF32 off."""

import numpy as np
import torch
from torch import nn

from protocol import BETA1, BETA2, EPSILON, Peer, arguments, main


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
        modules = []
        for weights, biases in layers:
            linear = nn.Linear(*weights.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weights.T))
                linear.bias.copy_(torch.from_numpy(biases))
            modules += [linear, nn.ReLU()]
        self.model = nn.Sequential(*modules[:-1]).to(self.where)
        # The fused rule is the fastest that PyTorch has for its eager step.
        self.adam = torch.optim.Adam(
            self.model.parameters(), lr=rate, betas=(BETA1, BETA2), eps=EPSILON, fused=True
        )
        criterion = nn.CrossEntropyLoss()
        forward = lambda x, y: criterion(self.model(x), y)
        self.forward = torch.compile(forward) if args.compile else forward

    def upload(self, images, labels):
        labels = torch.from_numpy(labels.astype(np.int64))
        return torch.from_numpy(np.ascontiguousarray(images)).to(self.where), labels.to(self.where)

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
        with torch.no_grad():
            return self.model(torch.from_numpy(images).to(self.where)).cpu().numpy()


if __name__ == "__main__":
    if arguments().compile:
        Torch.name = "torch-compile"
    main(Torch)
