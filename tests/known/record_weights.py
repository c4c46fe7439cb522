#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "keras==3.15.1", "jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6", "safetensors==0.8.0",
# ]
# ///
"""Writes the weights of one network in Keras' and in PyTorch's layout, and what Keras computes with
them, beside this file.

`keras_weights.safetensors` has Keras' names and kernels, inputs by units. `torch_weights.safetensors`
has what `state_dict()` of the same `torch.nn.Sequential` has: `0.weight`, outputs by inputs. It is
written by NumPy, not by PyTorch, from PyTorch's documented layout (y = x W^T + b). The second layer
is square, so that a forgotten transpose gives wrong numbers where it gives no error.
"""

import pathlib

import numpy as np

from record import Inputs, keras, meta, short, tensor, write

import safetensors.numpy


def main():
    inputs = Inputs(31)
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(5, activation="relu", name="dense"),
            keras.layers.Dense(5, activation="tanh", name="dense_1"),
            keras.layers.Dense(3, name="dense_2"),
        ]
    )
    model.set_weights([inputs.normal(*v.shape, scale=0.7) for v in model.trainable_variables])
    x = inputs.normal(6, 4)
    y = np.asarray(model(x))

    ours, theirs = {}, {}
    for variable in model.trainable_variables:
        layer, kind = variable.path.split("/")[-2:]
        value = np.array(variable.value)
        ours[f"{layer}/{kind}"] = value
        # Activations are modules of their own there: Linear, ReLU, Linear, Tanh, Linear.
        place = {"dense": 0, "dense_1": 2, "dense_2": 4}[layer]
        if kind == "kernel":
            theirs[f"{place}.weight"] = np.ascontiguousarray(value.T)
        else:
            theirs[f"{place}.bias"] = value

    h = np.maximum(x @ theirs["0.weight"].T + theirs["0.bias"], 0)
    h = np.tanh(h @ theirs["2.weight"].T + theirs["2.bias"])
    again = h @ theirs["4.weight"].T + theirs["4.bias"]
    assert np.allclose(again, y, rtol=1e-5, atol=1e-6)
    forgotten = np.maximum(x @ theirs["0.weight"].T + theirs["0.bias"], 0)
    forgotten = np.tanh(forgotten @ theirs["2.weight"] + theirs["2.bias"])
    forgotten = forgotten @ theirs["4.weight"].T + theirs["4.bias"]
    assert np.max(np.abs(forgotten - y)) > 0.1

    for name, tensors, metadata in [
        ("keras_weights.safetensors", ours, None),
        ("torch_weights.safetensors", theirs, {"format": "pt"}),
    ]:
        path = pathlib.Path(__file__).with_name(name)
        safetensors.numpy.save_file(tensors, path, metadata=metadata)
        print(f"{name}: {path.stat().st_size} bytes, {', '.join(tensors)}")
    recording = {
        "meta": meta("record_weights.py"),
        "network": "4 - 5 relu - 5 tanh - 3",
        "x": tensor(x),
        "y": {"shape": list(y.shape), "data": short(y)},
    }
    write("weights.json", recording)


if __name__ == "__main__":
    main()
