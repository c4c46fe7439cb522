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


def record(name, layer, inputs, weights=(), training=None):
    """A layer with its inputs: one array, or a list for layers that join several.

    Layers that train otherwise than they evaluate say which; then new values of states are recorded too."""
    several = len(inputs) > 1
    layer.build([x.shape for x in inputs] if several else inputs[0].shape)
    layer.set_weights(list(weights))
    values = [v.value for v in layer.trainable_variables]
    states = [v.value for v in layer.non_trainable_variables]
    how = {} if training is None else {"training": training}

    def call(trainable, xs):
        return layer.stateless_call(trainable, states, list(xs) if several else xs[0], **how)

    def forward(trainable, xs):
        return call(trainable, xs)[0]

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
    if training is not None:
        entry["training"] = training
        entry["states"] = [array(s) for s in call(values, inputs)[1]]
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
    padded = np.where(np.asarray([[[1], [0], [1]], [[0], [1], [0]]]) == 1, joined[1][:, :3], 0.5)
    padded = padded.astype(np.float32)
    rows = Inputs(43).normal(5, 3) + np.asarray([0.0, 2.0, -3.0], np.float32)
    first = [
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
    return first + [
        record("subtract", layers.Subtract(), [a, b]),
        record("maximum", layers.Maximum(), [a, b, c]),
        record("minimum", layers.Minimum(), [a, b, c]),
        record(
            "dot, axes 2 and 1",
            layers.Dot((2, 1)),
            [inputs.normal(2, 4, 3), inputs.normal(2, 3, 5)],
        ),
        record("dot, normalised", layers.Dot((1, 2), normalize=True), [a, inputs.normal(2, 4, 3)]),
        record("repeat_vector", layers.RepeatVector(3), [a]),
        record("masking", layers.Masking(0.5), [padded]),
        record(
            "time_distributed",
            layers.TimeDistributed(layers.Dense(2)),
            [joined[1]],
            [inputs.normal(3, 2), inputs.normal(2)],
        ),
    ] + [
        record(
            f"batch_normalization, {'training' if training else 'evaluation'}, {name}",
            layers.BatchNormalization(**settings),
            [x],
            [inputs.uniform(x.shape[-1], low=0.5, high=2.0) for _ in range(4)],
            training,
        )
        for training in [True, False]
        for name, settings, x in [
            ("defaults", {}, rows),
            ("momentum 0.5, epsilon 0.1", {"momentum": 0.5, "epsilon": 0.1}, joined[1]),
        ]
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
