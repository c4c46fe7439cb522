"""Model L trained in f64: the losses that `tools/peers/src/models.rs` records for it, and how far they move.

What `tools/peers/src/reference.rs` does for the smaller models, for one on which its plain loops would take hours: the same
training from the same file, as it is and from weights moved by one part in a million, up or down by the same generator.
On the smaller models' files it gives the numbers that lie in them. A run of L takes minutes; each prints its line.

    cargo test -p peers large_files -- --ignored    # makes the file
    python3 benches/peers/reference_large.py --data target/peers/L.safetensors
"""

import argparse
import time

import numpy as np

from protocol import BETA1, BETA2, EPSILON, read

MOVE = 1e-6
RAW = 6
"""The run whose epsilon is on the other side of the bias correction."""
CHUNK = 1 << 15
"""Numbers that Adam updates at once: few enough to stay in the processor's cache."""


def directions(run, count):
    """1 or -1 for each number, of SplitMix64's first value for the seed `run << 32 | i`; all 0 for run 0."""
    if run == 0:
        return np.zeros(count)
    z = (np.uint64(run << 32) | np.arange(count, dtype=np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.where((z ^ (z >> np.uint64(31))) & np.uint64(1), -1.0, 1.0)


class Parameter:
    """Some weights or biases with Adam's moments."""

    def __init__(self, values, run):
        flat = values.astype(np.float64).ravel()
        self.shape, self.flat = values.shape, flat * (1 + MOVE * directions(run, flat.size))
        self.m, self.v = np.zeros_like(flat), np.zeros_like(flat)

    def values(self):
        return self.flat.reshape(self.shape)

    def update(self, gradient, step, rate, raw):
        """Adam's step, counted from 1."""
        c1, c2 = 1 - BETA1**step, 1 - BETA2**step
        gradient = gradient.ravel()
        for i in range(0, gradient.size, CHUNK):
            p, m, v, g = (array[i : i + CHUNK] for array in (self.flat, self.m, self.v, gradient))
            m *= BETA1
            m += (1 - BETA1) * g
            v *= BETA2
            v += (1 - BETA2) * g * g
            root = (np.sqrt(v) + EPSILON) / np.sqrt(c2) if raw else np.sqrt(v / c2) + EPSILON
            p -= rate / c1 * m / root


def gradients(layers, x, labels):
    """The mean loss of a batch, and for each layer the gradients of its weights and biases."""
    inputs = [x]
    for i, (weights, biases) in enumerate(layers):
        y = inputs[-1] @ weights.values() + biases.values()
        inputs.append(np.maximum(y, 0, out=y) if i < 2 else y)
    logits, rows = inputs.pop(), np.arange(len(labels))
    logits -= logits.max(1, keepdims=True)
    delta = np.exp(logits)
    sums = delta.sum(1, keepdims=True)
    loss = float(np.mean(np.log(sums[:, 0]) - logits[rows, labels]))
    delta /= sums
    delta[rows, labels] -= 1
    delta /= len(labels)
    found = []
    for i in (2, 1, 0):
        found.insert(0, (inputs[i].T @ delta, delta.sum(0)))
        if i > 0:
            delta = (delta @ layers[i][0].values().T) * (inputs[i] > 0)
    return loss, found


def train(layers, batches, rate, run, raw):
    """The losses of all steps of a network of dense layers with ReLU between them."""
    layers = [tuple(Parameter(values, run) for values in layer.arrays) for layer in layers if layer.kind == "dense"]
    losses = []
    for step, (x, labels) in enumerate(batches, 1):
        loss, found = gradients(layers, x.astype(np.float64), labels)
        losses.append(loss)
        for layer, layer_gradients in zip(layers, found):
            for parameter, gradient in zip(layer, layer_gradients):
                parameter.update(gradient, step, rate, raw)
    return losses


def report(train):
    """Trains as the command line says, and prints the losses of each run and how far they move."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--runs", default="0,1,2,3,4,5,6", help="0 is the reference")
    parser.add_argument("--steps", type=int)
    args = parser.parse_args()
    _, rate, layers, batches = read(args.data)
    reference, moved = None, 0.0
    for run in map(int, args.runs.split(",")):
        start = time.perf_counter()
        losses = train(layers, batches[: args.steps], rate, run, run == RAW)
        seconds = time.perf_counter() - start
        print(f"run {run}: first {losses[0]!r}, last {losses[-1]!r}, {seconds:.0f} s", flush=True)
        if run == 0:
            reference = losses[-1]
        elif reference is not None:
            moved = max(moved, abs(losses[-1] - reference))
            print(f"moved by {moved!r}", flush=True)


if __name__ == "__main__":
    report(train)
