#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6"]
# ///
"""Records what layers for images of Keras 3 give, and their gradients, into `image_layers.json`, beside this file.

Each entry has the layer as Keras writes it into a `config.json`, from which a reader makes it.
"""

from record import Inputs, keras, meta, write
from record_layers import array, record


def place(data, prefix=""):
    """The layer without what differs between runs: names and dtypes."""
    if isinstance(data, dict):
        skip = {"dtype", "registered_name", "module", "build_config", "name", "shared_object_id"}
        return {k: place(v) for k, v in data.items() if k not in skip}
    return [place(v) for v in data] if isinstance(data, (list, tuple)) else data


def entry(name, layer, x, weights=(), training=None):
    data = place(keras.saving.serialize_keras_object(layer))
    return {"config": data} | record(name, layer, [x], weights, training)


def norms(inputs):
    layers = keras.layers
    image, volume = inputs.normal(2, 3, 4, 6), inputs.normal(2, 2, 3, 2, 4)

    def columns(n, count=2):
        return [inputs.uniform(n, low=0.5, high=2.0) for _ in range(count)]

    batch = [
        ({}, image, 6),
        ({"axis": 1, "epsilon": 0.1}, image, 3),
        ({"axis": -2, "momentum": 0.5}, image, 4),
        ({}, volume, 4),
    ]
    first = [
        entry(f"batch {i}, {training}", layers.BatchNormalization(**settings), x, columns(c, 4), training)
        for i, (settings, x, c) in enumerate(batch)
        for training in [True, False]
    ]
    group = [
        ({"groups": 3}, image, 6),
        ({"groups": -1, "epsilon": 1e-5}, image, 6),
        ({"groups": 2, "axis": 2}, image, 4),
        ({"groups": 2}, volume, 4),
        ({"groups": 2}, inputs.normal(3, 8), 8),
    ]
    groups = [
        entry(f"group {i}", layers.GroupNormalization(**settings), x, columns(c))
        for i, (settings, x, c) in enumerate(group)
    ]
    shapes = [(-1, (6,)), ([1, 2], (3, 4)), ([1, 2, 3], (3, 4, 6)), (-2, (4,))]
    layer = [
        entry(
            f"layer {axis}",
            layers.LayerNormalization(axis=axis),
            image,
            [inputs.uniform(*shape, low=0.5, high=2.0) for _ in range(2)],
        )
        for axis, shape in shapes
    ]
    unit = [
        entry(f"unit {axis}", layers.UnitNormalization(axis=axis), image)
        for axis in [-1, 1, [1, 2]]
    ]
    spectral = [
        entry(
            f"spectral, {n} iterations",
            layers.SpectralNormalization(layers.Dense(3), power_iterations=n),
            inputs.normal(4, 5),
            [inputs.normal(5, 3), inputs.normal(1, 3), inputs.normal(3)],
            True,
        )
        for n in [1, 3]
    ]
    # A reader has states after weights.
    for recorded in spectral:
        kernel, vector, bias = recorded["weights"]
        recorded["weights"] = [kernel, bias, vector]
    return first + groups + layer + unit + spectral


def shapes(inputs):
    layers = keras.layers
    line, image = inputs.normal(2, 5, 3), inputs.normal(2, 5, 4, 3)
    volume = inputs.normal(2, 3, 2, 4, 2)
    all_ = [
        (layers.ZeroPadding1D(2), line),
        (layers.ZeroPadding1D((1, 3)), line),
        (layers.ZeroPadding2D(((1, 2), (0, 3))), image),
        (layers.ZeroPadding2D((1, 2)), image),
        (layers.ZeroPadding3D(((1, 0), (2, 1), (0, 1))), volume),
        (layers.Cropping1D((1, 2)), line),
        (layers.Cropping2D(((1, 2), (0, 3))), image),
        (layers.Cropping3D(((1, 0), (0, 1), (1, 2))), volume),
        (layers.UpSampling1D(3), line),
        (layers.UpSampling2D((2, 3)), image),
        (layers.UpSampling2D((2, 3), interpolation="bilinear"), image),
        (layers.UpSampling3D((2, 1, 3)), volume),
        (layers.Resizing(7, 9), image),
        (layers.Resizing(3, 3), image),
        (layers.Resizing(8, 2, interpolation="nearest"), image),
        (layers.Resizing(3, 6, crop_to_aspect_ratio=True), image),
        (layers.Resizing(3, 6, pad_to_aspect_ratio=True, fill_value=0.5), image),
        (layers.Resizing(6, 3, pad_to_aspect_ratio=True), image),
        (layers.CenterCrop(2, 3), image),
        (layers.CenterCrop(7, 3), image),
        (layers.Rescaling(0.25, offset=-1.5), image),
    ]
    return [entry(f"{type(l).__name__} {i}", l, x) for i, (l, x) in enumerate(all_)]


def running(inputs):
    """The states of a layer after each of three steps of training."""
    out = []
    for settings in [{}, {"axis": 1, "momentum": 0.5}]:
        layer = keras.layers.BatchNormalization(**settings)
        batches = [inputs.normal(n, 3, 4) for n in [5, 5, 2]]
        layer.build(batches[0].shape)
        trained = [v.value for v in layer.trainable_variables]
        states = [v.value for v in layer.non_trainable_variables]
        data = place(keras.saving.serialize_keras_object(layer))
        steps = []
        for x in batches:
            _, states = layer.stateless_call(trained, states, x, training=True)
            steps.append([array(s) for s in states])
        out.append({"config": data, "batches": [array(x) for x in batches], "states": steps})
    return out


def main():
    recording = {
        "meta": meta("record_image_layers.py"),
        "layers": norms(Inputs(51)) + shapes(Inputs(52)),
        "running": running(Inputs(53)),
    }
    write("image_layers.json", recording)


if __name__ == "__main__":
    main()
