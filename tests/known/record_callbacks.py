#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6"]
# ///
"""Records what Keras 3's callbacks decide on made-up sequences into `callbacks.json`, beside this file.

    python3 -m venv venv
    venv/bin/pip install keras==3.15.1 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
    venv/bin/python3 record_callbacks.py

Nothing is trained: the callbacks get the numbers as logs of a model that isn't one. Numbers and
differences are multiples of 1/64, so that comparing them in float32 is exact.
"""

import datetime
import json
import os
import pathlib
import platform
import tempfile

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["KERAS_HOME"] = tempfile.mkdtemp()  # a user's own keras.json must not matter

import keras
import numpy as np

EPOCHS = 30
CASES = 24


class Optimizer:
    """A learning rate in float32."""

    def __init__(self):
        self._rate = np.float32(0.125)

    @property
    def learning_rate(self):
        return self._rate

    @learning_rate.setter
    def learning_rate(self, rate):
        self._rate = np.float32(rate)


class Model:
    """What callbacks ask of a model."""

    def __init__(self):
        self.stop_training = False
        self.optimizer = Optimizer()
        self.metrics = []


def sequence(rng):
    """Numbers that get better, by less and less, and worse in between."""
    trend = 4.0 * np.exp(-np.arange(EPOCHS) / rng.uniform(3, 30))
    return (np.round((trend + rng.normal(0, 0.1, EPOCHS)) * 64) / 64).tolist()


def run(callback, values):
    """Calls the hooks of `fit`; gives the model, the epochs that ran and the rate of each."""
    model, rates = Model(), []
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        rates.append(float(model.optimizer.learning_rate))
        callback.on_epoch_end(epoch, {"loss": value})
        if model.stop_training:
            break
    callback.on_train_end()
    return len(rates), rates + [float(model.optimizer.learning_rate)]


def direction(i, values):
    """Every other case is the same upside down."""
    return ("min", values) if i % 2 == 0 else ("max", [-v for v in values])


def early_stopping(rng):
    cases = []
    for i in range(CASES):
        mode, values = direction(i, sequence(rng))
        config = {
            "mode": mode,
            "patience": int(rng.integers(0, 7)),
            "min_delta": int(rng.integers(0, 3)) * 4 / 64,
            "start_from_epoch": int(rng.choice([0, 0, 5])),
            "baseline": None,
        }
        if i % 3 == 0:
            config["baseline"] = values[int(rng.integers(2, 12))]
        callback = keras.callbacks.EarlyStopping(monitor="loss", **config)
        epochs, _ = run(callback, values)
        cases.append({
            "config": config,
            "values": values,
            "epochs": epochs,
            "best": float(callback.best),
            "best_epoch": callback.best_epoch,
            "wait": callback.wait,
        })
    return cases


def reduce_lr_on_plateau(rng):
    cases = []
    for i in range(CASES):
        mode, values = direction(i, sequence(rng))
        config = {
            "mode": mode,
            "factor": float(rng.choice([0.1, 0.5, 0.95])),
            "patience": int(rng.integers(0, 5)),
            "min_delta": int(rng.integers(0, 3)) * 4 / 64,
            "cooldown": int(rng.integers(0, 4)),
            "min_lr": float(rng.choice([0.0, 0.01])),
        }
        callback = keras.callbacks.ReduceLROnPlateau(monitor="loss", **config)
        _, rates = run(callback, values)
        cases.append({"config": config, "values": values, "learning_rates": rates})
    return cases


def main():
    rng = np.random.default_rng(0)
    out = {
        "meta": {
            "date": datetime.date.today().isoformat(),
            "python": platform.python_version(),
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
        "early_stopping": early_stopping(rng),
        "reduce_lr_on_plateau": reduce_lr_on_plateau(rng),
    }
    lines = ["{"]
    for i, (name, value) in enumerate(out.items()):
        comma = "," if i + 1 < len(out) else ""
        if isinstance(value, list):
            rows = ",\n".join("  " + json.dumps(row) for row in value)
            lines.append(f"{json.dumps(name)}: [\n{rows}\n]{comma}")
        else:
            lines.append(f"{json.dumps(name)}: {json.dumps(value)}{comma}")
    lines.append("}")
    path = pathlib.Path(__file__).with_name("callbacks.json")
    path.write_text("\n".join(lines) + "\n")


main()
