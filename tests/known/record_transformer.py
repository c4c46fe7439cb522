#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "keras-hub==0.32.0", "jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6"]
# ///
"""Records what KerasHub's layers of transformers give, their gradients, 20 training steps of each, and the paths of their
weights, into `transformer.json`, beside this file. The layout is that of `attention.json`. Weights are in the order of the encoder's
parts: KerasHub's decoder has its last norm at the end.
"""

import numpy as np

from record import Inputs, f32, jax, keras, meta, write
from record_attention import BATCH, KEEP, KEYS, OF_KEYS, OF_QUERIES, QUERIES, WIDTH, array, data, losses_of
from record_recurrent import VOCABULARY, words

from keras_hub.layers import (
    PositionEmbedding,
    RotaryEmbedding,
    SinePositionEncoding,
    TransformerDecoder,
    TransformerEncoder,
)

# Each step sees itself at least.
OWN = KEEP[:, :, :QUERIES] | np.eye(QUERIES, dtype=bool)
OF_MASKS = ["attention_mask", "decoder_attention_mask", "encoder_attention_mask"]


def cases():
    """Name, layer, width of the second sequence if there is one, arguments of the call."""
    encoder, decoder = TransformerEncoder, TransformerDecoder
    q, k = OF_QUERIES, OF_KEYS
    return [
        ("Encoder", lambda: encoder(7, 2), 0, {}),
        ("Encoder, pairs", lambda: encoder(7, 2), 0, {"attention_mask": OWN}),
        (
            "Encoder, pairs, padding, pre-norm",
            lambda: encoder(7, 4, normalize_first=True, activation="gelu"),
            0,
            {"attention_mask": OWN, "padding_mask": q},
        ),
        ("Decoder, pairs", lambda: decoder(7, 2), 0, {"decoder_attention_mask": OWN}),
        ("Decoder, not causal", lambda: decoder(7, 2), 0, {"use_causal_mask": False}),
        (
            "Decoder, not causal, pairs, padding",
            lambda: decoder(7, 2, normalize_first=True),
            0,
            {"use_causal_mask": False, "decoder_attention_mask": OWN, "decoder_padding_mask": q},
        ),
        ("Decoder, cross, not causal", lambda: decoder(7, 2), 3, {"use_causal_mask": False}),
        ("Decoder, cross, pairs", lambda: decoder(7, 2), 3, {"encoder_attention_mask": KEEP}),
        (
            "Decoder, cross, both pairs, padding",
            lambda: decoder(7, 2, layer_norm_epsilon=1e-3),
            3,
            {
                "decoder_attention_mask": OWN,
                "encoder_attention_mask": KEEP,
                "decoder_padding_mask": q,
                "encoder_padding_mask": k,
            },
        ),
        ("Rotary", lambda: RotaryEmbedding(max_wavelength=50, scaling_factor=2.0), 0, {}),
        ("Encoder, pre-norm", lambda: encoder(7, 2, normalize_first=True), 0, {}),
        ("Encoder, padding", lambda: encoder(7, 2), 0, {"padding_mask": q}),
        ("Decoder", lambda: decoder(7, 2), 0, {}),
        ("Decoder, cross, pre-norm", lambda: decoder(7, 2, normalize_first=True, activation="gelu"), 3, {}),
        (
            "Decoder, cross, pre-norm, padding",
            lambda: decoder(7, 2, normalize_first=True),
            3,
            {"decoder_padding_mask": q, "encoder_padding_mask": k},
        ),
        ("Positions", lambda: PositionEmbedding(7), 0, {}),
        ("Sines", lambda: SinePositionEncoding(max_wavelength=100), 0, {}),
    ]


def order(weight):
    """The place of a weight among the parts."""
    parts = ["self_attention", "cross_attention", "feedforward_layer_norm", "intermediate", "output_dense", "embeddings"]
    return next(i for i, part in enumerate(parts) if part in weight.path)


def written(layer, more):
    """What Keras writes of a layer, with the arguments of the call."""
    own = keras.saving.serialize_keras_object(layer)
    call = {key: "keep" if key in OF_MASKS else value for key, value in more.items() if "padding" not in key}
    return {**own, "config": {**own["config"], **call}}


def record(name, make, memory, more):
    layer = make()
    shapes = [(BATCH, QUERIES, WIDTH)] + ([(BATCH, KEYS, memory)] if memory else [])
    layer.build(*shapes)
    inputs = Inputs(71)
    xs = [inputs.normal(*shape) for shape in shapes]
    own = sorted(layer.trainable_variables, key=order)
    weights = [inputs.normal(*w.shape, scale=0.5) for w in own]
    places = [next(i for i, w in enumerate(own) if w is v) for v in layer.trainable_variables]
    masks = [more.get("padding_mask", more.get("decoder_padding_mask")), more.get("encoder_padding_mask")]
    masks = masks[: len(xs)]
    rows = 1.0 if masks[0] is None else f32(masks[0])[:, :, None]

    def forward(weights, xs):
        return layer.stateless_call([weights[i] for i in places], [], *xs, **more)[0] * rows

    y = forward(weights, xs)
    upstream = f32(Inputs(72).normal(*y.shape) * rows)
    total = lambda weights, xs: (forward(weights, xs) * upstream).sum()
    of_weights, of_xs = jax.grad(total, argnums=(0, 1))(weights, xs)
    return {
        "name": name,
        "layer": written(layer, more),
        "inputs": [array(x) for x in xs],
        "weights": [array(w) for w in weights],
        "outputs": [array(y)],
        "upstream": array(upstream),
        "input_grads": [array(g) for g in of_xs],
        "weight_grads": [array(g) for g in of_weights],
        "masks": [None if m is None else array(f32(m)) for m in masks],
        "pairs": [array(f32(more[key])) for key in OF_MASKS if key in more],
    }


class Ordered:
    """A layer whose weights are in the order of the parts."""

    def __init__(self, layer):
        self.layer = layer

    def own(self):
        return sorted(self.layer.trainable_variables, key=order)

    def get_weights(self):
        return [np.asarray(w) for w in self.own()]

    def set_weights(self, values):
        for weight, value in zip(self.own(), values, strict=True):
            weight.assign(value)


def train(name, make, memory, more):
    """As in `record_attention.py`: all sequences of the layer are the same, and masks of pairs are where their product is
    positive."""
    layers = keras.layers
    inputs, x, y = data()
    ids, steps = words()
    layer, head, parts = make(), layers.Dense(2), []
    padded = any("padding" in key for key in more)
    if padded:
        given = layers.Input((QUERIES,), dtype="int32")
        parts.append(layers.Embedding(VOCABULARY, WIDTH, mask_zero=True))
        h = parts[0](given)
        mask = keras.ops.not_equal(given, 0)
    else:
        h = given = layers.Input((QUERIES, WIDTH))
    pairs = [key for key in OF_MASKS if key in more]
    product = keras.ops.matmul(h, keras.ops.transpose(h, (0, 2, 1))) > 0
    call = {key: mask if "padding" in key else product if key in pairs else value for key, value in more.items()}
    count = 2 if memory else 1
    own = layer(*[h] * count, **call)
    own = h + own if padded else layers.Add()([h, own])
    model = keras.Model(given, head(own if padded else layers.Flatten()(own)))
    entry = {"name": name, "layer": written(layer, more), "inputs": count, "pairs": len(pairs)}
    entry |= {"x": "ids", "y": "steps"} if padded else {"x": "x", "y": "y"}
    read = (ids, steps, ids != 0) if padded else (x, y)
    return entry | losses_of(model, [*parts, Ordered(layer), head], inputs, "mse", *read)


def paths():
    """Paths and shapes of the weights in a model of the layers that have them."""
    layers = keras.layers
    x, memory = layers.Input((QUERIES, WIDTH)), layers.Input((KEYS, 3))
    y = layers.Add()([x, PositionEmbedding(7, name="position_embedding")(x)])
    y = TransformerEncoder(7, 2, name="transformer_encoder")(y)
    y = TransformerDecoder(7, 2, name="transformer_decoder")(y, memory)
    model = keras.Model([x, memory], y)
    return [{"path": w.path, "shape": list(w.shape)} for w in model.weights]


def main():
    _, x, y = data()
    ids, steps = words()
    write(
        "transformer.json",
        {
            "meta": meta("record_transformer.py"),
            "layers": [record(*case) for case in cases()],
            "x": array(x),
            "y": array(y),
            "ids": {"shape": list(ids.shape), "data": ids.reshape(-1).tolist()},
            "steps": array(steps),
            "training": [train(*case) for case in cases()],
            "paths": paths(),
        },
    )


if __name__ == "__main__":
    main()
