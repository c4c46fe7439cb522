"""One protocol for all peers: what `protocol/src/lib.rs` is for the Rust ones, step for step.

A peer is a class with the methods of `Peer`; `main` runs it and prints one line of JSON.
"""

import argparse
import json
import os
import time
from typing import NamedTuple

import numpy as np
from safetensors import safe_open

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-12
"""Adam's numbers beside the rate, which is the model's. Epsilon is so little that it does not matter whether a library adds it before the root's bias
correction or after; the usual 1e-8 makes a difference that the comparison of losses sees."""

NORM_EPSILON, NORM_MOMENTUM = 1e-3, 0.99
"""What batch normalization adds to a variance, and the share of its moving mean that a step keeps: Keras' defaults."""

LAYER_EPSILON = 1e-5
"""What layer normalization adds to a variance."""

INPUTS = 784
"""Pixels of an image of MNIST."""


class Layer(NamedTuple):
    """A layer of the network; images have their channels last."""

    kind: str
    """`dense`, `convolution`, `lstm`, `block` or another word; `tools/peers/src/models.rs` says what each is."""
    arrays: list
    """Its weights, each followed by its biases if it has them."""
    number: int
    """What its weights do not show: the heads of a block, the stride of a bottleneck."""


WEIGHTED = {
    "dense": 1,
    "convolution": 1,
    "same_convolution": 1,
    "batch_normalization": 1,
    "lstm": 1,
    "embedding": 1,
    "positions": 1,
    "block": 6,
    "layer_normalization": 1,
    "stem": 2,
    "bottleneck": 6,
    "projected_bottleneck": 8,
}
"""Of the kinds of layers that have weights, how many arrays of weights a layer has, biases apart."""


class Peer:
    """One library's training of a network."""

    name = version = device = None

    def __init__(self, layers, rate, args):
        """The model with these layers, its loss and its optimizer."""
        raise NotImplementedError

    def upload(self, images, labels):
        """Brings a batch to the device, or a whole data set, its images as bytes."""
        raise NotImplementedError

    def step(self, batch):
        """Queues one step: forward, backward, Adam."""
        raise NotImplementedError

    def step_on(self, kept, i, size):
        """Queues step `i`, counted from 0 since the peer began, on the next images of an uploaded data set, scaled to
        [0, 1] on the device."""
        raise NotImplementedError

    def loss(self):
        """The loss of the last step, before its update; waits until every queued step is done."""
        raise NotImplementedError

    def logits(self, images):
        """Logits of a whole batch, as NumPy has it, by the network as it predicts."""
        raise NotImplementedError


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--mnist", default="none")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    return parser.parse_args()


def configure_jax(jax, args):
    """Sets JAX up before its first array: the device, and f32 products that are f32 products on every device."""
    if args.device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_default_matmul_precision", "highest")


def read(path):
    """Batch size, Adam's rate, layers, and the batches, from a safetensors file."""
    with safe_open(path, framework="np") as file:
        size, rate = int(file.metadata()["batch"]), float(file.metadata()["rate"])
        names, layers, count = set(file.keys()), [], 0
        for word in file.metadata()["layers"].split():
            kind, _, number = word.partition(":")
            arrays = []
            for _ in range(WEIGHTED.get(kind, 0)):
                arrays += [file.get_tensor(f"{name}{count}") for name in "wb" if f"{name}{count}" in names]
                count += 1
            layers.append(Layer(kind, arrays, int(number or 1)))
        x, y = file.get_tensor("x"), file.get_tensor("y")
    steps = len(x) // size
    return size, rate, layers, list(zip(np.split(x, steps), np.split(y, steps)))


def idx(folder, name, header):
    """The bytes of a plain IDX file."""
    return np.fromfile(os.path.join(folder, name), dtype=np.uint8)[header:]


def images_and_labels(folder, part):
    pixels = idx(folder, f"{part}-images-idx3-ubyte", 16).reshape(-1, INPUTS)
    return pixels, idx(folder, f"{part}-labels-idx1-ubyte", 8).astype(np.int32)


def scaled(pixels):
    return pixels.astype(np.float32) / np.float32(255)


def timed(peer, batches, repeats):
    """Seconds per step of each pass over the batches: many steps, then one wait. The first does not count."""
    seconds = []
    for repeat in range(repeats + 1):
        start = time.perf_counter()
        for batch in batches:
            peer.step(batch)
        peer.loss()
        if repeat > 0:
            seconds.append((time.perf_counter() - start) / len(batches))
    return seconds


def predicted(peer, batches, repeats):
    """Seconds per batch of each pass of prediction, from images on the host to logits on the host. The first does not
    count."""
    seconds = []
    for repeat in range(repeats + 1 if repeats else 0):
        start = time.perf_counter()
        for images, _ in batches:
            peer.logits(images)
        if repeat > 0:
            seconds.append((time.perf_counter() - start) / len(batches))
    return seconds


def epoch(new_peer, size, folder):
    """One epoch of MNIST in the files' order, upload and scaling included, and the accuracy after it.

    The data set goes to the device once, as bytes. Images that fill no batch are left out of training, since a library
    whose shapes are static would need a second model for them.
    """
    pixels, labels = images_and_labels(folder, "train")
    # What a library compiles for such batches it compiles here: the epoch's time is that of training.
    peer = new_peer()
    peer.step_on(peer.upload(pixels, labels), 0, size)
    peer.loss()
    del peer

    peer = new_peer()
    start = time.perf_counter()
    kept = peer.upload(pixels, labels)
    for i in range(len(labels) // size):
        peer.step_on(kept, i, size)
    loss = peer.loss()
    seconds = time.perf_counter() - start

    pixels, labels = images_and_labels(folder, "t10k")
    hits = 0
    for i in range(0, len(labels), size):
        images = scaled(pixels[i : i + size])
        count = len(images)
        images = np.pad(images, ((0, size - count), (0, 0)))
        hits += int((peer.logits(images)[:count].argmax(1) == labels[i : i + size]).sum())
    return {
        "mnist_epoch_seconds": seconds,
        "mnist_last_loss": loss,
        "mnist_accuracy": hits / len(labels),
    }


def main(peer_class):
    """Runs a peer through the protocol and prints its line. Imports are not in its times."""
    args = arguments()
    size, rate, layers, file_batches = read(args.data)
    line = {"name": peer_class.name}

    start = time.perf_counter()
    peer = peer_class(layers, rate, args)
    batches = [peer.upload(*file_batches[0])]
    peer.step(batches[0])
    line["loss_first"] = peer.loss()
    line["first_step_seconds"] = time.perf_counter() - start
    line["version"], line["device"] = peer.version, peer.device

    for file_batch in file_batches[1:]:
        batches.append(peer.upload(*file_batch))
        peer.step(batches[-1])
    line["loss"] = peer.loss()

    line["step_seconds"] = timed(peer, batches, args.repeats)
    line["predict_seconds"] = predicted(peer, file_batches, args.repeats)
    if args.mnist != "none":
        # The epoch starts from the file's weights, with nothing of the first model around.
        del peer, batches
        line |= epoch(lambda: peer_class(layers, rate, args), size, args.mnist)
    print(json.dumps(line), flush=True)
