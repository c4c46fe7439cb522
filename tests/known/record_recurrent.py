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
        case(
            f"{kind}, rules",
            lambda layer=layer: layer(
                UNITS,
                return_sequences=True,
                kernel_regularizer=keras.regularizers.L2(0.02),
                recurrent_regularizer=keras.regularizers.L1(0.01),
                bias_regularizer=keras.regularizers.L2(0.03),
                kernel_constraint=keras.constraints.MaxNorm(0.7),
                recurrent_constraint=keras.constraints.UnitNorm(),
                bias_constraint=keras.constraints.NonNeg(),
            ),
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
        "Bidirectional, states, mask",
        lambda: layers.Bidirectional(layers.LSTM(UNITS, return_state=True)),
        4,
        True,
    )
    two = lambda: layers.Bidirectional(
        layers.GRU(UNITS), backward_layer=layers.GRU(UNITS, go_backwards=True, use_bias=False)
    )
    case("Bidirectional, two layers", two)
    case("Bidirectional, two layers, mask", two, 0, True)
    return out


def stateful():
    """Layers that begin each step at the states of the step before: trained only, from states that are drawn."""
    every = {
        "SimpleRNN": lambda **more: layers.SimpleRNN(UNITS, **more),
        "LSTM": lambda **more: layers.LSTM(UNITS, **more),
        "GRU": lambda **more: layers.GRU(UNITS, **more),
        "GRU, reset before": lambda **more: layers.GRU(UNITS, reset_after=False, **more),
    }
    out = [(f"{name}, stateful", lambda make=make: make(stateful=True)) for name, make in every.items()]
    backwards = lambda: layers.LSTM(UNITS, stateful=True, go_backwards=True, return_sequences=True)
    return [*out, ("LSTM, stateful, backwards", backwards)]


def wide():
    """More units than one launch takes on a CPU adapter: trained only, for the size of the file."""
    every = [layers.SimpleRNN, layers.LSTM, layers.GRU]
    return [(f"{layer.__name__}, 65 units", lambda layer=layer: layer(65)) for layer in every]


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


def keeping_states(model, layer, x, y):
    """The losses of a stateful layer. Keras' trainer loses its states with jax, so the loop is written here."""
    variables, optimizer = model.trainable_variables, model.optimizer
    optimizer.build(variables)
    states = keras.tree.flatten(layer.states)
    kept = [v.value for v in states]

    def loss(values, kept, x, y):
        mapping = [*zip(variables, values), *zip(states, kept)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            out = model(x, training=True)
        new = [scope.get_current_value(v) for v in states]
        return ((out - y) ** 2).mean(), [v if n is None else n for v, n in zip(kept, new)]

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    values, own = [v.value for v in variables], [v.value for v in optimizer.variables]
    losses = []
    for i in range(20):
        rows = slice(16 * (i % 3), 16 * (i % 3) + 16)
        (now, kept), grads = step(values, kept, x[rows], y[rows])
        values, own = optimizer.stateless_apply(own, grads, values)
        losses.append(f32(now))
    return losses


def train(name, make, states=0, masked=False, mask_zero=True, scale=0.4, table=None):
    """The loss of each of 20 steps of Adam on one batch after the other. A dense layer gives the outputs, of all outputs of
    the layer, or of each step of a sequence with a mask. Masks are those of an embedding of ids; initial states are dense
    layers of the input. The `table` of an embedding is settings of its own."""
    inputs, x, y = data()
    ids, steps = words()
    parts = []
    made = make() if make else None
    keeps = getattr(made, "stateful", False)

    def part(layer):
        parts.append(layer)
        return layer

    if masked:
        given = layers.Input((TIME,), dtype="int32")
        h = part(layers.Embedding(VOCABULARY, FEATURES, mask_zero=mask_zero, **(table or {})))(given)
        embedding = parts[0]
    else:
        h = given = layers.Input(batch_shape=(16 if keeps else None, TIME, FEATURES))
    start = [part(layers.Dense(UNITS))(layers.Flatten()(h)) for _ in range(states)]
    layer = part(made) if make else None
    outputs = h
    if layer is not None:
        # Keras forgets the mask of a sequence that comes with states, unless it is given.
        mask = {"mask": keras.ops.not_equal(given, 0)} if masked and mask_zero and start else {}
        outputs = layer(h, initial_state=start, **mask) if start else layer(h)
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
        own = [inputs.normal(*w.shape, scale=scale) for w in layer_of_weights.get_weights()]
        layer_of_weights.set_weights(own)
        weights += own
    model.compile(optimizer=keras.optimizers.Adam(0.02), loss="mse")
    read, target = ids if masked else x, steps if each else y
    losses = keeping_states(model, layer, x, y) if keeps else []
    for step in range(0 if keeps else 20):
        rows = slice(16 * (step % 3), 16 * (step % 3) + 16)
        model.reset_metrics()
        losses.append(f32(model.train_on_batch(read[rows], target[rows])))
    written = keras.saving.serialize_keras_object(layer) if layer is not None else None
    if keeps:
        written["config"]["stateful_batch_size"] = 16
    more = {"table": keras.saving.serialize_keras_object(embedding)} if table else {}
    return {
        "name": name,
        "layer": written,
        **more,
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
    rules = {
        "embeddings_regularizer": keras.regularizers.L2(0.02),
        "embeddings_constraint": keras.constraints.MaxNorm(0.7),
    }
    write(
        "recurrent.json",
        {
            "meta": meta("record_recurrent.py"),
            "x": array(x),
            "y": array(y),
            "ids": {"shape": list(ids.shape), "data": ids.reshape(-1).tolist()},
            "steps": array(steps),
            "layers": [record(*case) for case in cases()],
            "training": [train(*case) for case in cases() + tables + stateful()]
            + [train("Embedding, rules", None, 0, True, table=rules)]
            + [train(*case, scale=0.1) for case in wide()],
        },
    )


if __name__ == "__main__":
    main()
