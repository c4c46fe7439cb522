#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6"]
# ///
"""Records what the convolutions of Keras 3 give, their gradients, and 20 steps of training, into `convolutions.json`,
beside this file.

Each layer is recorded with Keras' own config, from which the library makes it again.
"""

import json

import numpy as np

from record import Inputs, jax, keras, meta, short, write
from record_layers import array, record

layers = keras.layers


def entry(seed, name, layer, *shape):
    """A layer on inputs of this shape, with weights up to 1."""
    inputs = Inputs(seed)
    x = inputs.normal(*shape)
    layer.build(x.shape)
    weights = [inputs.uniform(*w.shape, low=-1.0) for w in layer.weights]
    fresh = type(layer).from_config(layer.get_config())
    data = keras.saving.serialize_keras_object(layer)
    # `record` writes the class in the place of the whole.
    return record(name, fresh, [x], weights) | {"layer": data}


def record_layers():
    same = {"padding": "same"}
    listed = [
        ("same, stride 2", layers.Conv2D(4, 3, strides=2, **same), (2, 7, 8, 3)),
        ("same, stride 2, even kernel", layers.Conv2D(2, (2, 4), strides=2, **same), (1, 7, 6, 2)),
        ("valid, width 41", layers.Conv2D(3, (3, 5)), (1, 3, 41, 7)),
        ("groups 3", layers.Conv2D(9, 3, groups=3, **same), (2, 5, 4, 6)),
        ("dilation 3", layers.Conv2D(3, 3, dilation_rate=3, **same), (2, 9, 8, 2)),
        (
            "strides 2 and 3, tanh, no bias",
            layers.Conv2D(4, 3, strides=(2, 3), activation="tanh", use_bias=False),
            (2, 8, 9, 3),
        ),
        ("window larger than the image", layers.Conv2D(3, 5, **same), (1, 2, 3, 2)),
        ("causal, dilation 3", layers.Conv1D(4, 3, padding="causal", dilation_rate=3), (2, 11, 3)),
        ("causal, stride 2", layers.Conv1D(4, 2, padding="causal", strides=2), (2, 9, 3)),
        ("same, stride 3", layers.Conv1D(5, 4, strides=3, **same), (2, 10, 2)),
        ("same, stride 2", layers.Conv3D(3, (2, 3, 3), strides=2, **same), (1, 4, 5, 6, 2)),
        ("groups 2", layers.Conv3D(4, 2, groups=2), (2, 3, 3, 4, 4)),
        (
            "same, stride 2, multiplier 2",
            layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, **same),
            (2, 7, 8, 3),
        ),
        ("dilation 3", layers.DepthwiseConv2D(3, dilation_rate=3, **same), (2, 7, 6, 4)),
        ("stride 2", layers.DepthwiseConv1D(4, strides=2, activation="sigmoid"), (2, 11, 5)),
        (
            "same, stride 2, multiplier 2",
            layers.SeparableConv2D(5, 3, strides=2, depth_multiplier=2, **same),
            (2, 7, 6, 3),
        ),
        ("dilation 2", layers.SeparableConv1D(4, 3, dilation_rate=2), (2, 11, 3)),
    ]
    for name, rank, kernel, settings, shape in [
        ("same, stride 2", 2, 3, {"strides": 2} | same, (2, 4, 5, 3)),
        ("same, stride 2, output padding 0", 2, 3, {"strides": 2, "output_padding": 0} | same, (1, 4, 3, 2)),
        ("same, stride 2, output padding 1", 2, 4, {"strides": 2, "output_padding": 1} | same, (1, 4, 3, 2)),
        ("valid, stride 3 above the kernel", 2, 2, {"strides": 3}, (2, 3, 4, 2)),
        ("valid, strides 2 and 3, output padding", 2, 3, {"strides": (2, 3), "output_padding": (1, 2)}, (1, 3, 2, 2)),
        ("same, dilation 2", 2, 3, {"dilation_rate": 2} | same, (1, 5, 4, 2)),
        ("stride 2", 1, 5, {"strides": 2, "activation": "tanh"}, (2, 6, 3)),
        ("same, stride 2", 3, 3, {"strides": 2} | same, (1, 2, 3, 2, 2)),
    ]:
        layer = [layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose][rank - 1]
        listed.append((name, layer(3, kernel, **settings), shape))
    return [entry(50 + i, name, layer, *shape) for i, (name, layer, shape) in enumerate(listed)]


def record_training():
    """20 steps of a network of every kind of convolution."""
    model = keras.Sequential(
        [
            keras.Input((9, 8, 2)),
            layers.Conv2D(6, 3, strides=2, padding="same", groups=2, activation="tanh"),
            layers.DepthwiseConv2D(3, dilation_rate=2, padding="same", depth_multiplier=2),
            layers.SeparableConv2D(4, (2, 3), activation="tanh"),
            layers.Conv2DTranspose(3, 3, strides=2, padding="same", activation="tanh"),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    inputs = Inputs(90)
    weights = [inputs.uniform(*w.shape, low=-0.4, high=0.4) for w in model.get_weights()]
    model.set_weights(weights)
    x, y = inputs.normal(6, 9, 8, 2), inputs.normal(6, 2)
    config = json.loads(model.to_json())
    model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=False)
    losses = [float(model.train_on_batch(x, y)) for _ in range(20)]
    return {
        "model": config,
        "weights": [array(w) for w in weights],
        "x": array(x),
        "y": array(y),
        "learning_rate": 0.05,
        "losses": short(losses),
    }


def main():
    recording = {
        "meta": meta("record_convolutions.py"),
        "layers": record_layers(),
        "training": record_training(),
    }
    write("convolutions.json", recording)


if __name__ == "__main__":
    main()
