#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6"]
# ///
"""Records from Keras 3 what training does step by step into `steps.json`, beside this file.

A tanh network of three layers is trained on the same arrays, from the same weights and with the
same batches under each optimizer, and the loss of every step is recorded. Step t reads the 16 rows
from 16 * (t % 8) on. Nothing is random: no dropout, no shuffling. The same with clipped and with
accumulated gradients, and the values of the learning rate schedules.
"""

import numpy as np

from record import Inputs, f32, full_config, keras, meta, short, tensor, write

BATCH = 16
ROWS = 128
MSE = "MeanSquaredError"
CROSSENTROPY = "SparseCategoricalCrossentropy"


def data():
    """Noisy targets, so that no loss gets near zero, where a relative difference means nothing."""
    inputs = Inputs(11)
    x = inputs.normal(ROWS, 6)
    hidden = np.tanh(x @ inputs.normal(6, 5, scale=0.8))
    y = f32(np.round(hidden @ inputs.normal(5, 3, scale=0.8) + inputs.normal(ROWS, 3, scale=0.4), 4))
    labels = np.argmax(y + inputs.normal(ROWS, 3, scale=0.4), axis=1).astype(np.int32)
    weights = [
        inputs.normal(6, 10, scale=0.4),
        inputs.normal(10, scale=0.1),
        inputs.normal(10, 8, scale=0.3),
        inputs.normal(8, scale=0.1),
        inputs.normal(8, 3, scale=0.4),
        inputs.normal(3, scale=0.1),
    ]
    return x, y, labels, weights


def train(name, optimizer, config, loss, steps):
    """The loss of every step, before the step's update."""
    x, y, labels, weights = data()
    model = keras.Sequential(
        [
            keras.layers.Input((6,)),
            keras.layers.Dense(10, activation="tanh"),
            keras.layers.Dense(8, activation="tanh"),
            keras.layers.Dense(3),
        ]
    )
    model.set_weights(weights)
    rule = getattr(keras.optimizers, optimizer)(**config)
    from_logits = {"from_logits": True} if loss == CROSSENTROPY else {}
    model.compile(optimizer=rule, loss=getattr(keras.losses, loss)(**from_logits))
    targets = labels if loss == CROSSENTROPY else y
    losses = []
    for step in range(steps):
        rows = slice(BATCH * step % ROWS, BATCH * step % ROWS + BATCH)
        # What is returned is the mean since the last reset: here of one step.
        model.reset_metrics()
        losses.append(f32(model.train_on_batch(x[rows], targets[rows])))
    return {
        "name": name,
        "optimizer": optimizer,
        "config": full_config(rule) | config,
        "loss": loss,
        "losses": short(losses),
    }


def apart(runs):
    """Each two runs of a loss differ clearly, so a wrong rule is seen. The first step is the same."""
    for i, a in enumerate(runs):
        for b in runs[:i]:
            if a["loss"] == b["loss"]:
                p, q = np.array(a["losses"]), np.array(b["losses"])
                assert p[0] == q[0], (a["name"], b["name"])
                difference = np.max(np.abs(p - q) / q)
                assert difference > 1e-2, (a["name"], b["name"], difference)
    return runs


def record_runs():
    cases = [
        ("sgd", "SGD", {"learning_rate": 0.1}),
        ("sgd momentum", "SGD", {"learning_rate": 0.05, "momentum": 0.9}),
        ("sgd nesterov", "SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
        ("rmsprop", "RMSprop", {"learning_rate": 0.005}),
        ("rmsprop momentum", "RMSprop", {"learning_rate": 0.002, "momentum": 0.8}),
        ("rmsprop centered", "RMSprop", {"learning_rate": 0.005, "centered": True}),
        (
            "rmsprop momentum centered",
            "RMSprop",
            {"learning_rate": 0.002, "momentum": 0.8, "centered": True},
        ),
        ("adagrad", "Adagrad", {"learning_rate": 0.1}),
        ("adam", "Adam", {"learning_rate": 0.01}),
        ("adamw", "AdamW", {"learning_rate": 0.01, "weight_decay": 0.05}),
    ]
    return apart([train(*case, loss, 200) for loss in [MSE, CROSSENTROPY] for case in cases])


def record_clipping():
    """The bounds lie below most gradients of this network."""
    rules = [("SGD", {"learning_rate": 0.1}), ("Adam", {"learning_rate": 0.01})]
    bounds = [{}, {"clipvalue": 0.02}, {"clipnorm": 0.1}, {"global_clipnorm": 0.15}]
    cases = [
        (" ".join([rule.lower(), *bound]), rule, config | bound)
        for rule, config in rules
        for bound in bounds
    ]
    return apart([train(*case, CROSSENTROPY, 40) for case in cases])


def record_accumulation():
    """Four batches' mean gradient, clipped after it is taken, moves the parameters once."""
    four = {"gradient_accumulation_steps": 4}
    cases = [
        ("sgd", "SGD", {"learning_rate": 0.4} | four),
        ("sgd momentum", "SGD", {"learning_rate": 0.2, "momentum": 0.9} | four),
        ("adam", "Adam", {"learning_rate": 0.03} | four),
        ("adamw", "AdamW", {"learning_rate": 0.03, "weight_decay": 0.5} | four),
        ("sgd global_clipnorm", "SGD", {"learning_rate": 0.4, "global_clipnorm": 0.1} | four),
    ]
    runs = [train(*case, CROSSENTROPY, 40) for case in cases]
    return apart(runs)


def record_schedules():
    steps = [0, 1, 2, 5, 9, 10, 11, 15, 19, 20, 21, 25, 29, 30, 31, 45, 60, 61, 99, 100, 250]
    cases = [
        ("ExponentialDecay", {"decay_steps": 20, "decay_rate": 0.5}),
        ("ExponentialDecay", {"decay_steps": 20, "decay_rate": 0.5, "staircase": True}),
        ("InverseTimeDecay", {"decay_steps": 20, "decay_rate": 0.5}),
        ("InverseTimeDecay", {"decay_steps": 20, "decay_rate": 0.5, "staircase": True}),
        ("PolynomialDecay", {"decay_steps": 30, "end_learning_rate": 0.01}),
        ("PolynomialDecay", {"decay_steps": 30, "end_learning_rate": 0.01, "power": 2.0}),
        (
            "PolynomialDecay",
            {"decay_steps": 30, "end_learning_rate": 0.01, "power": 0.5, "cycle": True},
        ),
        ("CosineDecay", {"decay_steps": 60}),
        ("CosineDecay", {"decay_steps": 60, "alpha": 0.1}),
        (
            "CosineDecay",
            {"decay_steps": 50, "alpha": 0.1, "warmup_target": 0.4, "warmup_steps": 10},
        ),
        ("CosineDecayRestarts", {"first_decay_steps": 10}),
        ("CosineDecayRestarts", {"first_decay_steps": 20, "t_mul": 1.0, "m_mul": 0.5, "alpha": 0.1}),
        ("CosineDecayRestarts", {"first_decay_steps": 8, "t_mul": 1.5, "m_mul": 0.9}),
    ]
    out = []
    for name, config in cases:
        config = {"initial_learning_rate": 0.2} | config
        schedule = getattr(keras.optimizers.schedules, name)(**config)
        full = {k: v for k, v in schedule.get_config().items() if k != "name" and v is not None}
        out.append(
            {
                "schedule": name,
                "config": full,
                "steps": steps,
                "values": short([schedule(step) for step in steps]),
            }
        )
    config = {"boundaries": [10, 20, 60], "values": [0.2, 0.1, 0.05, 0.01]}
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(**config)
    values = short([schedule(step) for step in steps])
    out.append(
        {"schedule": "PiecewiseConstantDecay", "config": config, "steps": steps, "values": values}
    )
    return out


def main():
    x, y, labels, weights = data()
    recording = {
        "meta": meta("record_steps.py"),
        "data": {
            "batch": BATCH,
            "x": {"shape": list(x.shape), "data": short(x)},
            "y": {"shape": list(y.shape), "data": short(y)},
            "labels": tensor(labels),
            "weights": [{"shape": list(w.shape), "data": short(w)} for w in weights],
        },
        "runs": record_runs(),
        "clipping": record_clipping(),
        "accumulation": record_accumulation(),
        "schedules": record_schedules(),
    }
    write("steps.json", recording)


if __name__ == "__main__":
    main()
