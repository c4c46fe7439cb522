#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6"]
# ///
"""Records what the recurrent layers of Keras 3 give, their gradients, and 20 training steps of each and of an embedding, into
`recurrent.json`, beside this file.

Gradients are those of sum(y * upstream) of the first output, jax's automatic derivatives of Keras' layers. The settings
of a layer are what Keras writes of it, from which a reader makes it again.
"""

import numpy as np

from record import Inputs, f32, jax, keras, meta, short, write

layers = keras.layers
BATCH, TIME, FEATURES, UNITS = 3, 5, 4, 4
VOCABULARY = 7


def array(values):
    values = np.asarray(values)
    return {"shape": list(values.shape), "data": short(values)}


def cases():
    """Name, layer, number of initial states, and whether there is a mask."""
    out = []

    def case(name, make, states=0, masked=False):
        out.append((name, make, states, masked))

    every = [("SimpleRNN", layers.SimpleRNN, 1), ("LSTM", layers.LSTM, 2), ("GRU", layers.GRU, 1)]
    for kind, layer, states in every:
        case(f"{kind}, defaults", lambda layer=layer: layer(UNITS))
        case(
            f"{kind}, sequences",
            lambda layer=layer: layer(UNITS, return_sequences=True, return_state=True),
        )
        case(
            f"{kind}, backwards",
            lambda layer=layer: layer(UNITS, return_sequences=True, go_backwards=True),
        )
        case(f"{kind}, each step", lambda layer=layer: layer(UNITS, return_sequences=True))
        case(f"{kind}, no bias", lambda layer=layer: layer(UNITS, use_bias=False))
        case(f"{kind}, states", lambda layer=layer: layer(UNITS, return_state=True), states)
        case(f"{kind}, mask", lambda layer=layer: layer(UNITS, return_sequences=True), 0, True)
        case(f"{kind}, mask, last", lambda layer=layer: layer(UNITS, return_state=True), 0, True)
        case(
            f"{kind}, mask, backwards",
            lambda layer=layer: layer(UNITS, return_sequences=True, go_backwards=True),
            0,
            True,
        )
        case(
            f"{kind}, mask, zeros",
            lambda layer=layer: layer(UNITS, return_sequences=True, zero_output_for_mask=True),
            0,
            True,
        )
        case(f"{kind}, softsign", lambda layer=layer: layer(UNITS, activation="softsign"))
        # No function of one element: the gates are computed one by one.
        case(f"{kind}, softmax", lambda layer=layer: layer(UNITS, activation="softmax"))
    for kind, layer, _ in every[1:]:
        case(
            f"{kind}, hard gates",
            lambda layer=layer: layer(
                UNITS, recurrent_activation="hard_sigmoid", return_sequences=True
            ),
        )
    case("GRU, reset before", lambda: layers.GRU(UNITS, reset_after=False, return_sequences=True))
    case("GRU, reset before, no bias", lambda: layers.GRU(UNITS, reset_after=False, use_bias=False))
    case("GRU, reset before, mask", lambda: layers.GRU(UNITS, reset_after=False), 0, True)
    for mode in ["concat", "sum", "mul", "ave"]:
        case(
            f"Bidirectional, {mode}",
            lambda mode=mode: layers.Bidirectional(
                layers.LSTM(UNITS, return_sequences=True), merge_mode=mode
            ),
        )
    case("Bidirectional, none", lambda: layers.Bidirectional(layers.GRU(UNITS), merge_mode=None))
    case("Bidirectional, last", lambda: layers.Bidirectional(layers.LSTM(UNITS)))
    case("Bidirectional, mask", lambda: layers.Bidirectional(layers.LSTM(UNITS)), 0, True)
    case(
        "Bidirectional, mask, sequences",
        lambda: layers.Bidirectional(layers.SimpleRNN(UNITS, return_sequences=True)),
        0,
        True,
    )
    case(
        "Bidirectional, states",
        lambda: layers.Bidirectional(layers.LSTM(UNITS, return_state=True)),
        4,
    )
    case(
        "Bidirectional, two layers",
        lambda: layers.Bidirectional(
            layers.GRU(UNITS), backward_layer=layers.GRU(UNITS, go_backwards=True, use_bias=False)
        ),
    )
    return out


MASK = np.asarray([[1, 1, 1, 1, 1], [0, 1, 1, 0, 0], [1, 0, 1, 1, 0]], dtype=bool)


def record(name, make, states, masked):
    layer = make()
    layer.build((BATCH, TIME, FEATURES))
    inputs = Inputs(51)
    weights = [inputs.normal(*w.shape, scale=0.5) for w in layer.get_weights()]
    layer.set_weights(weights)
    x = inputs.normal(BATCH, TIME, FEATURES)
    initial = [inputs.normal(BATCH, UNITS, scale=0.5) for _ in range(states)]
    values = [v.value for v in layer.trainable_variables]
    fixed = [v.value for v in layer.non_trainable_variables]

    def forward(trainable, x, initial):
        more = {"initial_state": list(initial)} if initial else {}
        if masked:
            more["mask"] = MASK
        y = layer.stateless_call(trainable, fixed, x, **more)[0]
        return list(y) if isinstance(y, (list, tuple)) else [y]

    outputs = forward(values, x, initial)
    upstream = Inputs(52).normal(*outputs[0].shape)

    def total(trainable, x, initial):
        return (forward(trainable, x, initial)[0] * upstream).sum()

    of_weights, of_x, of_states = jax.grad(total, argnums=(0, 1, 2))(values, x, initial)
    entry = {
        "name": name,
        "layer": keras.saving.serialize_keras_object(layer),
        "inputs": [array(v) for v in [x, *initial]],
        "weights": [array(w) for w in weights],
        "outputs": [array(y) for y in outputs],
        "upstream": array(upstream),
        "input_grads": [array(v) for v in [of_x, *of_states]],
        "weight_grads": [array(g) for g in of_weights],
    }
    if masked:
        entry["mask"] = array(f32(MASK))
    return entry


def data():
    inputs = Inputs(53)
    x = inputs.normal(48, TIME, FEATURES)
    y = f32(np.round(np.tanh(x[:, 0, :2] - x[:, 3, 2:]) + inputs.normal(48, 2, scale=0.3), 4))
    return inputs, x, y


def words():
    """Ids of which 0 is padding, and what belongs to each step: the second batch has a row of padding alone."""
    inputs = Inputs(54)
    ids = inputs.state.randint(1, VOCABULARY, size=(48, TIME))
    ids[np.arange(TIME)[None, :] >= inputs.state.randint(1, TIME + 1, size=(48, 1))] = 0
    ids[::7, 1] = 0
    ids[::11, 0] = 0
    ids[20] = 0
    table = inputs.normal(VOCABULARY, 2)
    steps = f32(np.round(np.tanh(table[ids] - table[ids[:, :1]]) + inputs.normal(48, TIME, 2, scale=0.3), 4))
    return ids.astype("int32"), steps


def train(name, make, states, masked, mask_zero=True):
    """The loss of each of 20 steps of Adam on one batch after the other. A dense layer gives the outputs, of all outputs of
    the layer, or of each step of a sequence with a mask. Masks are those of an embedding of ids; initial states are dense
    layers of the input."""
    inputs, x, y = data()
    ids, steps = words()
    parts = []

    def part(layer):
        parts.append(layer)
        return layer

    if masked:
        given = layers.Input((TIME,), dtype="int32")
        h = part(layers.Embedding(VOCABULARY, FEATURES, mask_zero=mask_zero))(given)
    else:
        h = given = layers.Input((TIME, FEATURES))
    start = [part(layers.Dense(UNITS))(layers.Flatten()(h)) for _ in range(states)]
    layer = part(make()) if make else None
    outputs = h
    if layer is not None:
        outputs = layer(h, initial_state=start) if start else layer(h)
    outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    each = masked and mask_zero and len(outputs[0].shape) == 3
    if each:
        (out,) = outputs
    else:
        flat = [layers.Flatten()(out) for out in outputs]
        out = layers.Concatenate()(flat) if len(flat) > 1 else flat[0]
    model = keras.Model(given, part(layers.Dense(2))(out))
    weights = []
    for layer_of_weights in parts:
        own = [inputs.normal(*w.shape, scale=0.4) for w in layer_of_weights.get_weights()]
        layer_of_weights.set_weights(own)
        weights += own
    model.compile(optimizer=keras.optimizers.Adam(0.02), loss="mse")
    read, target = ids if masked else x, steps if each else y
    losses = []
    for step in range(20):
        rows = slice(16 * (step % 3), 16 * (step % 3) + 16)
        model.reset_metrics()
        losses.append(f32(model.train_on_batch(read[rows], target[rows])))
    return {
        "name": name,
        "layer": keras.saving.serialize_keras_object(layer) if layer is not None else None,
        "mask_zero": mask_zero,
        "x": "ids" if masked else "x",
        "y": "steps" if each else "y",
        "states": states,
        "outputs": len(outputs),
        "weights": [array(w) for w in weights],
        "losses": short(losses),
    }


def main():
    _, x, y = data()
    ids, steps = words()
    tables = [("Embedding", None, 0, True, False), ("Embedding, mask", None, 0, True)]
    write(
        "recurrent.json",
        {
            "meta": meta("record_recurrent.py"),
            "x": array(x),
            "y": array(y),
            "ids": {"shape": list(ids.shape), "data": ids.reshape(-1).tolist()},
            "steps": array(steps),
            "layers": [record(*case) for case in cases()],
            "training": [train(*case) for case in cases() + tables],
        },
    )


if __name__ == "__main__":
    main()
