#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6"]
# ///
"""Records what layers of Keras 3 give, and their gradients, into `layers.json`, beside this file.

Gradients are those of sum(y * upstream), jax's automatic derivatives of Keras' layers.
"""

import numpy as np

from record import Inputs, jax, keras, meta, short, write


def array(values):
    values = np.asarray(values)
    if values.dtype == np.int32:
        return {"shape": list(values.shape), "data": values.reshape(-1).tolist()}
    return {"shape": list(values.shape), "data": short(values)}


def record(name, layer, inputs, weights=()):
    """A layer with its inputs: one array, or a list for layers that join several."""
    several = len(inputs) > 1
    layer.build([x.shape for x in inputs] if several else inputs[0].shape)
    layer.set_weights(list(weights))
    values = [v.value for v in layer.trainable_variables]

    def forward(trainable, xs):
        return layer.stateless_call(trainable, [], list(xs) if several else xs[0])[0]

    y = forward(values, inputs)
    upstream = Inputs(42).normal(*y.shape)
    entry = {
        "name": name,
        "layer": type(layer).__name__,
        "inputs": [array(x) for x in inputs],
        "weights": [array(w) for w in weights],
        "y": array(y),
        "upstream": array(upstream),
    }

    def total(trainable, xs):
        return (forward(trainable, xs) * upstream).sum()

    if all(x.dtype == np.float32 for x in inputs):  # numbers of rows have no gradient
        grads = jax.grad(total, argnums=1)(values, list(inputs))
        entry["input_grads"] = [array(g) for g in grads]
    if weights:
        entry["weight_grads"] = [array(g) for g in jax.grad(total)(values, list(inputs))]
    return entry


def record_layers():
    inputs = Inputs(41)
    a, b, c = (inputs.normal(2, 3) for _ in range(3))
    wide, cube = inputs.normal(2, 2), inputs.normal(2, 2, 3, 4)
    joined = inputs.normal(2, 2, 3), inputs.normal(2, 4, 3)
    ids = np.asarray([[3, 0, 3], [1, 3, 0]], dtype=np.int32)
    layers = keras.layers
    return [
        record("prelu", layers.PReLU(), [inputs.normal(3, 4)], [inputs.uniform(4, high=0.5)]),
        record(
            "prelu, a slope per element of [2, 3]",
            layers.PReLU(),
            [inputs.normal(2, 2, 3)],
            [inputs.uniform(2, 3, low=-0.2, high=0.5)],
        ),
        # Row 3 is read three times, row 2 never.
        record("embedding", layers.Embedding(4, 3), [ids], [inputs.normal(4, 3)]),
        record("add", layers.Add(), [a, b, c]),
        record("multiply", layers.Multiply(), [a, b, c]),
        record("average", layers.Average(), [a, b, c]),
        record("concatenate, axis -1", layers.Concatenate(), [a, wide]),
        record("concatenate, axis 1", layers.Concatenate(axis=1), joined),
        record("permute [2, 1]", layers.Permute((2, 1)), [joined[0]]),
        record("permute [3, 1, 2]", layers.Permute((3, 1, 2)), [cube]),
        record("reshape [4, 6]", layers.Reshape((4, 6)), [cube]),
        record("reshape [-1, 8]", layers.Reshape((-1, 8)), [cube]),
    ]


def record_alpha_dropout():
    """y = slope * x + offset where kept, one constant where dropped; read off the layer's outputs."""
    out = []
    for rate in [0.1, 0.25, 0.5, 0.8]:
        values = {}
        for x in [0.0, 1.0]:
            layer = keras.layers.AlphaDropout(rate, seed=7)
            y = np.asarray(layer(np.full((4, 1000), x, np.float32), training=True))
            values[x] = set(np.unique(y).tolist())
            assert len(values[x]) == 2, values[x]
        (dropped,) = values[0.0] & values[1.0]
        (offset,) = values[0.0] - {dropped}
        (sum_,) = values[1.0] - {dropped}
        slope = float(np.float32(sum_) - np.float32(offset))
        numbers = zip(["slope", "offset", "dropped"], short([slope, offset, dropped]), strict=True)
        out.append({"rate": rate} | dict(numbers))
    return out


def main():
    recording = {
        "meta": meta("record_layers.py"),
        "layers": record_layers(),
        "alpha_dropout": record_alpha_dropout(),
    }
    write("layers.json", recording)


if __name__ == "__main__":
    main()
