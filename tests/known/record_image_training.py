#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6"]
# ///
"""Records 20 steps of training by Keras 3 for each layer for images into `image_training.json`, beside this file.

Each network is one layer between a convolution and a dense layer, so that the layer's gradient moves what is before it.
"""

import json

import numpy as np

from record import Inputs, keras, meta, short, write


def tensor(values):
    """In the fewest digits that read back exactly."""
    return {"shape": list(np.shape(values)), "data": short(values)}


layers = keras.layers
CONV = [None, layers.Conv1D, layers.Conv2D, layers.Conv3D]
SAMPLE = [None, (11, 2), (7, 6, 2), (4, 5, 4, 2)]


def rules(layer):
    """The penalties and constraints of a layer."""
    config = layer.get_config()
    return [k for k, v in config.items() if v and k.endswith(("regularizer", "constraint"))]


def run(seed, layer, rank):
    """A run at the first of these rates at which the loss falls and stays finite."""
    for rate in [0.05, 0.5, 0.01, 0.002, 2.0]:
        made = train(seed, type(layer).from_config(layer.get_config()), rank, rate)
        if made["losses"][-1] < 0.95 * made["losses"][0]:
            print(made["name"], rate, flush=True)
            return made
    raise AssertionError((layer.name, made["losses"]))


def train(seed, layer, rank, rate):
    """The losses of 20 steps, before each step's update, and the moving statistics afterwards if there are any; of a
    layer with penalties or constraints all of its weights."""
    model = keras.Sequential(
        [
            keras.Input(SAMPLE[rank]),
            CONV[rank](4, 2, padding="same", activation="tanh"),
            layer,
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    inputs = Inputs(seed)
    weights = []
    for w in model.weights:
        # Scales and variances are positive.
        low = 0.5 if w.name in ("gamma", "moving_variance") else -0.4
        weights.append(inputs.uniform(*w.shape, low=low, high=low + 0.8))
    if isinstance(layer, layers.SpectralNormalization):
        at = [w.path for w in model.weights].index(layer.vector_u.path)
        weights[at] = weights[at] / np.linalg.norm(weights[at])
    model.set_weights(weights)
    x, y = inputs.normal(4, *SAMPLE[rank]), inputs.normal(4, 2)
    config = json.loads(model.to_json())
    model.compile(keras.optimizers.SGD(rate), "mse", jit_compile=False)
    losses = [float(model.train_on_batch(x, y)) for _ in range(20)]
    states = {w.name: w for w in model.weights if w.name.startswith("moving")}
    if rules(layer):
        states = {f"{layer.name}/{w.name}": w for w in layer.weights}
    if isinstance(layer, layers.SpectralNormalization):
        # A layer's states follow its weights.
        weights.insert(at + 1, weights.pop(at))
    return {
        "name": ", ".join([f"{type(layer).__name__} {rank}D", *rules(layer)]),
        "model": config,
        "weights": [tensor(w) for w in weights],
        "x": tensor(x),
        "y": tensor(y),
        "learning_rate": rate,
        "losses": short(np.nan_to_num(losses, nan=1e30, posinf=1e30)),
        "states": {name: tensor(np.nan_to_num(w.numpy())) for name, w in states.items()},
    }


def scales():
    """A penalty and a constraint on scales, and on shifts."""
    l1, l2, most = keras.regularizers.L1, keras.regularizers.L2, keras.constraints.MaxNorm
    return {
        "gamma_regularizer": l2(0.1),
        "gamma_constraint": most(1),
        "beta_regularizer": l1(0.05),
        "beta_constraint": most(0.3),
    }


def listed():
    same = {"padding": "same"}
    l1, l2, l1_l2 = keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2
    most = keras.constraints.MaxNorm(1, axis=[0, 1, 2])
    below = keras.constraints.MaxNorm(0.3, axis=[0, 1, 2])
    unit = keras.constraints.UnitNorm(axis=[0, 1, 2])
    positive = keras.constraints.NonNeg()
    return [
        (layers.Conv1D(3, 3, padding="causal", dilation_rate=2), 1),
        (layers.Conv2D(6, 3, strides=2, groups=2, **same), 2),
        (layers.Conv3D(3, 2, strides=2, **same), 3),
        (layers.DepthwiseConv1D(3, strides=2, **same), 1),
        (layers.DepthwiseConv2D(3, dilation_rate=2, depth_multiplier=2, **same), 2),
        (layers.SeparableConv1D(3, 3, dilation_rate=2), 1),
        (layers.SeparableConv2D(3, 3, strides=2, depth_multiplier=2, **same), 2),
        (layers.Conv1DTranspose(3, 3, strides=2, **same), 1),
        (layers.Conv2DTranspose(3, 3, strides=(2, 3), output_padding=(1, 2)), 2),
        (layers.Conv3DTranspose(2, 2, strides=2), 3),
        (layers.MaxPooling1D(3, strides=2, **same), 1),
        (layers.MaxPooling2D(2), 2),
        (layers.MaxPooling3D(2, **same), 3),
        (layers.AveragePooling1D(3, strides=2, **same), 1),
        (layers.AveragePooling2D(3, strides=2, **same), 2),
        (layers.AveragePooling3D(2), 3),
        (layers.GlobalMaxPooling1D(), 1),
        (layers.GlobalMaxPooling2D(), 2),
        (layers.GlobalMaxPooling3D(), 3),
        (layers.GlobalAveragePooling1D(), 1),
        (layers.GlobalAveragePooling2D(), 2),
        (layers.GlobalAveragePooling3D(), 3),
        (layers.AdaptiveAveragePooling1D(3), 1),
        (layers.AdaptiveAveragePooling2D((3, 4)), 2),
        (layers.AdaptiveAveragePooling3D(3), 3),
        (layers.BatchNormalization(), 2),
        (layers.BatchNormalization(momentum=0.8, epsilon=1e-2, scale=False), 1),
        (layers.LayerNormalization(), 2),
        (layers.LayerNormalization(axis=[1, 2]), 2),
        (layers.GroupNormalization(groups=2), 2),
        (layers.GroupNormalization(groups=-1), 3),
        (layers.UnitNormalization(), 2),
        (layers.SpectralNormalization(layers.Conv2D(3, 2)), 2),
        (layers.ZeroPadding1D(2), 1),
        (layers.ZeroPadding2D(((1, 0), (2, 1))), 2),
        (layers.ZeroPadding3D(1), 3),
        (layers.Cropping1D((1, 2)), 1),
        (layers.Cropping2D(1), 2),
        (layers.Cropping3D(1), 3),
        (layers.UpSampling1D(2), 1),
        (layers.UpSampling2D(2), 2),
        (layers.UpSampling2D((2, 3), interpolation="bilinear"), 2),
        (layers.UpSampling3D(2), 3),
        (layers.Resizing(9, 4), 2),
        (layers.Resizing(5, 8, interpolation="nearest"), 2),
        (layers.CenterCrop(5, 4), 2),
        (layers.Rescaling(0.5, offset=0.25), 2),
        (
            layers.Conv2D(
                3,
                3,
                kernel_regularizer=l2(0.01),
                bias_regularizer=l1(0.01),
                kernel_constraint=most,
            ),
            2,
        ),
        (layers.DepthwiseConv2D(3, depthwise_constraint=positive, depthwise_regularizer=l2(0.02)), 2),
        (
            layers.SeparableConv2D(
                3, 3, depthwise_regularizer=l1(0.003), pointwise_regularizer=l2(0.02), pointwise_constraint=below
            ),
            2,
        ),
        (layers.Conv2DTranspose(3, 3, strides=2, kernel_constraint=unit, **same), 2),
        (layers.Conv1D(3, 3, activity_regularizer=l2(0.05)), 1),
        (layers.DepthwiseConv2D(3, activity_regularizer=l1_l2(0.002, 0.01)), 2),
        (layers.SeparableConv1D(3, 3, activation="tanh", activity_regularizer=l2(0.05)), 1),
        (layers.Conv3DTranspose(2, 2, activity_regularizer=l2(0.01)), 3),
        (layers.SeparableConv2D(3, 3, depthwise_constraint=below, bias_regularizer=l1(0.02)), 2),
        (layers.Conv2DTranspose(3, 3, strides=2, kernel_regularizer=l2(0.02), bias_regularizer=l2(0.1), **same), 2),
        (layers.BatchNormalization(**scales()), 2),
        (layers.LayerNormalization(**scales()), 2),
        (layers.GroupNormalization(groups=2, **scales()), 2),
    ]


def record_runs():
    return [run(300 + i, layer, rank) for i, (layer, rank) in enumerate(listed())]


def main():
    write("image_training.json", {"meta": meta("record_image_training.py"), "runs": record_runs()})


if __name__ == "__main__":
    main()
