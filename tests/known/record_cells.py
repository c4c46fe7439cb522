#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6"]
# ///
"""Records what Keras' `RNN` gives with its cells, and 20 training steps of each, into `cells.json`, beside this file, as
`record_recurrent.py` does for layers.
"""

from record import meta, write
from record_recurrent import UNITS, array, data, layers, record, train, words


def stack():
    return layers.StackedRNNCells([layers.LSTMCell(3), layers.GRUCell(5), layers.LSTMCell(2)])


def cases():
    """Name, layer, number of initial states, and whether there is a mask."""
    out = []
    cells = [
        ("SimpleRNNCell", layers.SimpleRNNCell, {"activation": "softsign"}),
        ("LSTMCell", layers.LSTMCell, {"recurrent_activation": "hard_sigmoid"}),
        ("GRUCell", layers.GRUCell, {"reset_after": False}),
    ]
    for kind, cell, other in cells:
        out += [
            (kind, lambda cell=cell: layers.RNN(cell(UNITS)), 0, False),
            (
                f"{kind}, sequences, mask",
                lambda cell=cell: layers.RNN(cell(UNITS, use_bias=False), return_sequences=True),
                0,
                True,
            ),
            (f"{kind}, {other}", lambda cell=cell, other=other: layers.RNN(cell(UNITS, **other)), 0, False),
        ]
    return out + [
        ("LSTMCell, states", lambda: layers.RNN(layers.LSTMCell(UNITS), return_state=True), 2, False),
        (
            "LSTMCell, backwards, mask",
            lambda: layers.RNN(layers.LSTMCell(UNITS), return_sequences=True, go_backwards=True),
            0,
            True,
        ),
        (
            "GRUCell, mask, zeros",
            lambda: layers.RNN(layers.GRUCell(UNITS), return_sequences=True, zero_output_for_mask=True),
            0,
            True,
        ),
        (
            "SimpleRNNCell, backwards",
            lambda: layers.RNN(layers.SimpleRNNCell(UNITS), go_backwards=True),
            0,
            False,
        ),
        ("Stack", lambda: layers.RNN(stack(), return_sequences=True), 0, False),
        ("Stack, mask", lambda: layers.RNN(stack()), 0, True),
        ("Bidirectional", lambda: layers.Bidirectional(layers.RNN(layers.GRUCell(UNITS))), 0, False),
    ]


def main():
    _, x, y = data()
    ids, steps = words()
    write(
        "cells.json",
        {
            "meta": meta("record_cells.py"),
            "x": array(x),
            "y": array(y),
            "ids": {"shape": list(ids.shape), "data": ids.reshape(-1).tolist()},
            "steps": array(steps),
            "layers": [record(*case) for case in cases()],
            "training": [train(*case) for case in cases()],
        },
    )


if __name__ == "__main__":
    main()
