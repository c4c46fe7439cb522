#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6"]
# ///
"""Records what Keras 3's layers of augmentation make of images into `augment.json`, beside this file.

Both bounds of a factor are equal, so that nothing is left to chance.
"""

from record import Inputs, jax, keras, meta, short, write


def same(factor):
    return (factor, factor)


def main():
    x = Inputs(7).normal(2, 5, 6, 2)
    layers = keras.layers
    entries = []
    for fill in ["constant", "reflect", "wrap", "nearest"]:
        for interpolation in ["bilinear", "nearest"]:
            how = {"fill_mode": fill, "interpolation": interpolation, "fill_value": 0.25}
            for layer in [
                layers.RandomTranslation(same(0.33), same(-0.41), **how),
                layers.RandomRotation(same(0.07), **how),
                layers.RandomRotation(same(-0.4), **how),
                layers.RandomZoom(same(0.37), **how),
                layers.RandomZoom(same(-0.37), same(0.21), **how),
            ]:
                entries.append(entry(layer, x))
    entries.append(entry(layers.RandomBrightness(same(0.3), value_range=(-2, 1.5)), x))
    shape = list(x.shape)
    write("augment.json", {"meta": meta("record_augment.py"), "x": {"shape": shape, "data": short(x)}, "layers": entries})


def entry(layer, x):
    config = layer.get_config()
    for name in ["name", "trainable", "dtype"]:
        del config[name]
    y = keras.ops.convert_to_numpy(layer(x, training=True))
    assert abs(y - x).max() > 0.1
    dy = Inputs(8).normal(*y.shape)
    dx = jax.vjp(lambda x: layer(x, training=True), x)[1](dy)[0]
    tensors = {"y": y, "dy": dy, "dx": keras.ops.convert_to_numpy(dx)}
    tensors = {name: {"shape": list(t.shape), "data": short(t)} for name, t in tensors.items()}
    return {"layer": type(layer).__name__, "config": config} | tensors


if __name__ == "__main__":
    main()
