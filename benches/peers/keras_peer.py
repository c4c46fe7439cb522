"""Keras on its JAX backend, as its guides train: `compile`, `fit`.

As in wgrad's peer the protocol's steps are passes of `fit` over the same batches in the same order: the first batch
alone, the batches up to the last, the last alone, then passes over all, timed from epoch's end to epoch's end.
"""

import json
import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np

import protocol
from protocol import BETA1, BETA2, EPSILON, NORM_EPSILON, NORM_MOMENTUM


MAKE = {
    "dense": lambda shape, _: keras.layers.Dense(shape[1]),
    "convolution": lambda shape, bias: keras.layers.Conv2D(shape[3], shape[:2], use_bias=bias),
    "same_convolution": lambda shape, bias: keras.layers.Conv2D(shape[3], shape[:2], padding="same", use_bias=bias),
    "batch_normalization": lambda *_: keras.layers.BatchNormalization(momentum=NORM_MOMENTUM, epsilon=NORM_EPSILON),
    "relu": lambda *_: keras.layers.ReLU(),
    "max_pooling": lambda *_: keras.layers.MaxPooling2D(2),
    "global_average_pooling": lambda *_: keras.layers.GlobalAveragePooling2D(),
    "flatten": lambda *_: keras.layers.Flatten(),
}


def compiled(layers, input_shape, rate):
    """The network with the file's weights, its loss and Adam."""
    model = keras.Sequential([keras.Input(input_shape)])
    for kind, arrays in layers:
        layer = MAKE[kind](arrays[0].shape if arrays else (), len(arrays) == 2)
        model.add(layer)
        if kind in protocol.WEIGHTED:
            layer.set_weights(arrays + layer.get_weights()[len(arrays) :])
    adam = keras.optimizers.Adam(rate, beta_1=BETA1, beta_2=BETA2, epsilon=EPSILON)
    model.compile(adam, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


class Ends(keras.callbacks.Callback):
    """The times at which epochs end; Keras has read the loss by then."""

    def __init__(self):
        super().__init__()
        self.times = []

    def on_epoch_end(self, epoch, logs=None):
        self.times.append(time.perf_counter())


def main():
    args = protocol.arguments()
    protocol.configure_jax(jax, args)
    size, rate, layers, batches = protocol.read(args.data)
    steps = len(batches)
    x, y = (np.concatenate(parts) for parts in zip(*batches))
    options = {"batch_size": size, "shuffle": False, "verbose": 0}

    def loss(model, first, last):
        """Trains once over some of the batches and gives the mean of their losses."""
        rows = slice(first * size, last * size)
        return float(model.fit(x[rows], y[rows], **options).history["loss"][0])

    line = {"name": "keras", "version": keras.__version__}
    start = time.perf_counter()
    model = compiled(layers, x.shape[1:], rate)
    line["loss_first"] = loss(model, 0, 1)
    line["first_step_seconds"] = time.perf_counter() - start
    line["device"] = f"{keras.backend.backend()}, {jax.devices()[0].device_kind}"
    loss(model, 1, steps - 1)
    line["loss"] = loss(model, steps - 1, steps)

    ends = Ends()
    model.fit(x, y, epochs=args.repeats + 1, callbacks=[ends], **options)
    line["step_seconds"] = [s / steps for s in np.diff(ends.times)]

    ends = []
    for _ in range(args.repeats + 1 if args.repeats else 0):
        start = time.perf_counter()
        model.predict(x, batch_size=size, verbose=0)
        ends.append((time.perf_counter() - start) / steps)
    line["predict_seconds"] = ends[1:]

    if args.mnist != "none":
        pixels, labels = protocol.images_and_labels(args.mnist, "train")
        count = len(labels) // size * size
        model = compiled(layers, x.shape[1:], rate)
        start = time.perf_counter()
        model.fit(protocol.scaled(pixels[:count]), labels[:count], **options)
        line["mnist_epoch_seconds"] = time.perf_counter() - start
        pixels, labels = protocol.images_and_labels(args.mnist, "t10k")
        logits = model.predict(protocol.scaled(pixels), batch_size=size, verbose=0)
        line["mnist_accuracy"] = float((logits.argmax(1) == labels).mean())
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
