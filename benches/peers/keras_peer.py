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
from protocol import BETA1, BETA2, EPSILON, LAYER_EPSILON, NORM_EPSILON, NORM_MOMENTUM


class Positions(keras.layers.Layer):
    """Adds a learned vector for each place."""

    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], name="table")

    def call(self, x):
        return x + self.table


def block(x, arrays, count):
    """A block of GPT, of Keras' layers with these weights."""
    pairs = list(zip(arrays[::2], arrays[1::2]))
    width = x.shape[2]

    def norm(x, pair):
        layer = keras.layers.LayerNormalization(epsilon=LAYER_EPSILON)
        return with_weights(layer, x, pair)

    def dense(x, pair, activation=None):
        return with_weights(keras.layers.Dense(pair[0].shape[1], activation=activation), x, pair)

    attention = keras.layers.MultiHeadAttention(count, width // count)
    y = norm(x, pairs[0])
    y = attention(y, y, use_causal_mask=True)
    parts = zip(np.split(pairs[1][0], 3, axis=1), np.split(pairs[1][1], 3))
    heads = (count, width // count)
    weights = [array for w, b in parts for array in (w.reshape(width, *heads), b.reshape(heads))]
    attention.set_weights(weights + [pairs[2][0].reshape(*heads, width), pairs[2][1]])
    x = x + y
    return x + dense(dense(norm(x, pairs[3]), pairs[4], "gelu"), pairs[5])


def with_weights(layer, x, arrays):
    """What the layer makes of `x`, with these as its weights."""
    y = layer(x)
    layer.set_weights(list(arrays) + layer.get_weights()[len(arrays) :])
    return y


def lstm(arrays):
    """A layer and its weights: those of the file are the kernel's rows, then those of the recurrent kernel."""
    weights, biases = arrays
    units = len(biases) // 4
    return keras.layers.LSTM(units), [weights[:-units], weights[-units:], biases]


MAKE = {
    "dense": lambda shape, _: keras.layers.Dense(shape[1]),
    "convolution": lambda shape, bias: keras.layers.Conv2D(shape[3], shape[:2], use_bias=bias),
    "same_convolution": lambda shape, bias: keras.layers.Conv2D(shape[3], shape[:2], padding="same", use_bias=bias),
    "batch_normalization": lambda *_: keras.layers.BatchNormalization(momentum=NORM_MOMENTUM, epsilon=NORM_EPSILON),
    "relu": lambda *_: keras.layers.ReLU(),
    "max_pooling": lambda *_: keras.layers.MaxPooling2D(2),
    "global_average_pooling": lambda *_: keras.layers.GlobalAveragePooling2D(),
    "flatten": lambda *_: keras.layers.Flatten(),
    "embedding": lambda shape, _: keras.layers.ReversibleEmbedding(*shape),
    "positions": lambda *_: Positions(),
    "layer_normalization": lambda *_: keras.layers.LayerNormalization(epsilon=LAYER_EPSILON),
}


def compiled(layers, input_shape, rate):
    """The network with the file's weights, its loss and Adam."""
    x = start = keras.Input(input_shape)
    embedding = None
    for kind, arrays, number in layers:
        if kind == "stem":
            print(json.dumps({"lacks": "residual network here"}), flush=True)
            raise SystemExit
        if kind == "block":
            x = block(x, arrays, number)
            continue
        if kind == "scores":
            x = embedding(x, reverse=True)
            continue
        if kind == "lstm":
            layer, arrays = lstm(arrays)
        else:
            layer = MAKE[kind](arrays[0].shape if arrays else (), len(arrays) == 2)
        x = with_weights(layer, x, arrays)
        embedding = layer if kind == "embedding" else embedding
    model = keras.Model(start, x)
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
