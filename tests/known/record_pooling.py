#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6"]
# ///
"""Records what pooling layers of Keras 3 give, and their gradients, into `pooling.json`, beside this file.

Each model is recorded as Keras writes it, so that it is read again from that. Gradients are those of
sum(y * upstream), jax's automatic derivatives of Keras' layers.
"""

import json

import numpy as np

from record import Inputs, jax, keras, meta, write
from record_layers import array


def record(name, x, *layers):
    model = keras.Sequential([keras.Input(x.shape[1:]), *layers], name="pooling")

    def forward(x):
        return model.stateless_call([], [], x)[0]

    y = forward(x)
    upstream = Inputs(52).normal(*y.shape)
    grad = jax.grad(lambda x: (forward(x) * upstream).sum())(x)
    return {
        "name": name,
        "model": json.loads(model.to_json()),
        "x": array(x),
        "y": array(y),
        "upstream": array(upstream),
        "grad": array(grad),
    }


def record_all():
    inputs = Inputs(51)
    k = keras.layers
    steps, image, volume = inputs.normal(2, 7, 3), inputs.normal(1, 7, 9, 2), inputs.normal(1, 4, 5, 3, 2)
    even = inputs.normal(2, 6, 4, 4)
    # Half of it zeros: windows with ties.
    rectified = np.maximum(inputs.normal(1, 6, 7, 4), 0)
    padded = np.where(np.asarray([[[1], [0], [1], [1]], [[0], [1], [0], [0]]]) == 1, inputs.normal(2, 4, 3), 0)
    padded = padded.astype(np.float32)
    # Of three channels two have ties of their largest element: one is all zero.
    tied = np.stack([0 * image[..., 0], np.round(image[..., 0]).clip(-1, 1), image[..., 1]], -1)
    entries = [
        record("max 1D", steps, k.MaxPooling1D()),
        record("max 1D, 3 by 2, same", steps, k.MaxPooling1D(3, 2, "same")),
        record("max 2D", even, k.MaxPooling2D()),
        record("max 2D, 2x3 by 2x1", image, k.MaxPooling2D((2, 3), (2, 1))),
        record("max 2D, 3 by 1, same, ties", rectified, k.MaxPooling2D(3, 1, "same")),
        record("max 2D, 2 by 3", image, k.MaxPooling2D(2, 3)),
        record("max 3D, 2 by 1x2x1, same", volume, k.MaxPooling3D(2, (1, 2, 1), "same")),
        record("average 1D, 3 by 2, same", steps, k.AveragePooling1D(3, 2, "same")),
        record("average 2D, 2", even, k.AveragePooling2D(2)),
        record("average 2D, 3 by 1, same", image, k.AveragePooling2D(3, 1, "same")),
        record("average 2D, 2x3 by 3", image, k.AveragePooling2D((2, 3), 3)),
        record("average 3D, 2 by 1x2x1, same", volume, k.AveragePooling3D(2, (1, 2, 1), "same")),
        record("global average of what counts", padded, k.Masking(), k.GlobalAveragePooling1D()),
    ]
    for d, x in [("1D", steps), ("2D", image), ("3D", volume)]:
        for kind in ["Max", "Average"]:
            layer = getattr(k, f"Global{kind}Pooling{d}")
            entries.append(record(f"global {kind} {d}", x, layer()))
            entries.append(record(f"global {kind} {d}, keepdims", x, layer(keepdims=True)))
    return entries + [
        record("adaptive 1D", steps, k.AdaptiveAveragePooling1D(3)),
        record("adaptive 1D, more than there are", steps, k.AdaptiveAveragePooling1D(10)),
        record("adaptive 2D", image, k.AdaptiveAveragePooling2D((3, 4))),
        record("adaptive 2D, a divisor", even, k.AdaptiveAveragePooling2D((3, 2))),
        record("adaptive 3D", volume, k.AdaptiveAveragePooling3D((2, 5, 2))),
        record("global Max 2D, ties", tied, k.GlobalMaxPooling2D()),
    ]


if __name__ == "__main__":
    write("pooling.json", {"meta": meta("record_pooling.py"), "pooling": record_all()})
