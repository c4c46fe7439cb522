#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "keras-hub==0.32.0", "jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6"]
# ///
"""Records what the blocks of KerasHub's transformers give with masks of pairs, and their gradients, into `transformer.json`,
beside this file. The layout is that of the layers in `attention.json`. Weights are in the order of the encoder's parts: KerasHub's
decoder has its last norm at the end.
"""

import numpy as np

from record import Inputs, f32, jax, keras, meta, write
from record_attention import BATCH, KEEP, KEYS, OF_KEYS, OF_QUERIES, QUERIES, WIDTH, array

from keras_hub.layers import RotaryEmbedding, TransformerDecoder, TransformerEncoder

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
    ]


def order(weight):
    """The place of a weight among the parts."""
    parts = ["self_attention", "cross_attention", "feedforward_layer_norm", "intermediate", "output_dense"]
    return next(i for i, part in enumerate(parts) if part in weight.path)


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
    serialized = keras.saving.serialize_keras_object(layer)
    call = {key: "keep" if key in OF_MASKS else value for key, value in more.items() if "padding" not in key}
    return {
        "name": name,
        "layer": {**serialized, "config": {**serialized["config"], **call}},
        "inputs": [array(x) for x in xs],
        "weights": [array(w) for w in weights],
        "outputs": [array(y)],
        "upstream": array(upstream),
        "input_grads": [array(g) for g in of_xs],
        "weight_grads": [array(g) for g in of_weights],
        "masks": [None if m is None else array(f32(m)) for m in masks],
        "pairs": [array(f32(more[key])) for key in OF_MASKS if key in more],
    }


def main():
    layers = [record(*case) for case in cases()]
    write("transformer.json", {"meta": meta("record_transformer.py"), "layers": layers})


if __name__ == "__main__":
    main()
