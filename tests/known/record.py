#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6"]
# ///
"""Records known values from Keras 3 into `keras.json`, beside this file.

    python3 -m venv venv
    venv/bin/pip install keras==3.15.1 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
    venv/bin/python3 record.py

Every number is computed by Keras in float32 on the CPU, with its jax backend; gradients are
jax's automatic derivatives of Keras' functions. Inputs come from a seeded generator, rounded to
four decimals, and are recorded too, so that a reader needs nothing but the file. The other scripts here
import this one first: it chooses Keras' backend.

A derivative at a kink is each backend's own choice (jax has 1 for the absolute value at 0,
TensorFlow and torch 0), so losses and penalties stay away from theirs; the activations list them
as "kinks".
"""

import datetime
import json
import os
import pathlib
import platform
import re
import tempfile
import warnings

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["KERAS_HOME"] = tempfile.mkdtemp()  # a user's own keras.json must not matter

import jax
import jax.numpy as jnp
import keras
import numpy as np

# One column is a case of its own here, and Keras warns of it.
warnings.filterwarnings("ignore", message="You are using a softmax over axis")
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)


def tensor(values):
    """An array as a shape and a flat list; a float32 is written so that it reads back exactly."""
    values = np.asarray(values)
    if values.dtype == np.float64:
        values = values.astype(np.float32)
    assert np.all(np.isfinite(values)), values
    return {"shape": list(values.shape), "data": values.reshape(-1).tolist()}


def f32(values):
    return np.asarray(values, dtype=np.float32)


def short(values):
    """A list of float32 in the fewest digits that read back exactly."""
    values = f32(values).reshape(-1)
    digits = [float(str(v)) for v in values]
    assert np.array_equal(f32(digits), values), values
    return digits


class Inputs:
    """Fixed pseudo-random inputs (numpy's legacy generator, whose stream never changes)."""

    def __init__(self, seed):
        self.state = np.random.RandomState(seed)

    def normal(self, *shape, scale=1.0):
        return f32(np.round(self.state.normal(size=shape) * scale, 4))

    def uniform(self, *shape, low=0.0, high=1.0):
        return f32(np.round(self.state.uniform(low, high, size=shape), 4))


def record_softmax():
    rows = {
        "2 1 0": [[2.0, 1.0, 0.0]],
        "2 1 0.1": [[2.0, 1.0, 0.1]],
        "one column": [[3.5], [-2.0]],
        "all equal": [[0.25, 0.25, 0.25, 0.25]],
        "large": [[1e4, 1e4, -1e4], [-1e4, -1e4, -1e4], [1e4, 9999.0, 9990.0]],
        "wide spread": [[88.0, -88.0, 0.0, 87.0], [-104.0, 0.0, 16.0, -16.0]],
        "random": Inputs(1).normal(4, 7, scale=3.0),
    }
    out = []
    for name, x in rows.items():
        x = f32(x)
        out.append(
            {
                "name": name,
                "x": tensor(x),
                "softmax": tensor(keras.ops.softmax(x, axis=-1)),
                "log_softmax": tensor(keras.ops.log_softmax(x, axis=-1)),
                "logsumexp": tensor(keras.ops.logsumexp(x, axis=-1)),
            }
        )
    return out


def record_loss(name, loss, config, y_true, y_pred):
    """Per-sample values, their mean (Keras' default reduction), and the mean's gradient."""
    cls = getattr(keras.losses, loss)
    each = cls(reduction="none", **config)
    mean = cls(reduction="sum_over_batch_size", **config)
    grad = jax.grad(lambda p: mean(y_true, p))(jnp.asarray(y_pred))
    return {
        "name": name,
        "loss": loss,
        "config": config,
        "y_true": tensor(y_true),
        "y_pred": tensor(y_pred),
        "per_sample": tensor(each(y_true, y_pred)),
        "mean": tensor(mean(y_true, y_pred)),
        "grad": tensor(grad),
    }


def record_losses():
    inputs = Inputs(2)
    target, pred = inputs.normal(5, 3), inputs.normal(5, 3, scale=1.5)
    bits = f32([[0, 1, 1], [1, 0, 0], [1, 1, 1], [0, 0, 0], [0, 1, 0]])
    soft = inputs.uniform(5, 3)
    probability = inputs.uniform(5, 3, low=0.02, high=0.98)
    logits = inputs.normal(5, 3, scale=3.0)
    extreme = f32([[40, -40, 1e4], [-1e4, 0.5, 90], [100, -100, 0], [0, 0, 0], [-90, 30, -30]])
    labels = np.asarray([2, 0, 1, 1, 2], dtype=np.int32)
    one_hot = np.eye(3, dtype=np.float32)[labels]
    rows = np.asarray(keras.ops.softmax(inputs.normal(5, 3, scale=1.5), axis=-1))
    soft_rows = np.asarray(keras.ops.softmax(inputs.normal(5, 3), axis=-1))
    unnormalised = inputs.uniform(5, 3, low=0.05, high=1.5)
    saturated = f32([[0, 0, 1], [0, 1, 0], [0, 0.25, 0.75], [1, 0, 0], [0.5, 0.5, 0]])

    binary, categorical = "BinaryCrossentropy", "CategoricalCrossentropy"
    sparse = "SparseCategoricalCrossentropy"
    from_p, from_z = {"from_logits": False}, {"from_logits": True}
    cases = [
        ("mse", "MeanSquaredError", {}, target, pred),
        ("mae", "MeanAbsoluteError", {}, target, pred),
        ("huber", "Huber", {"delta": 1.0}, target, pred),
        ("huber small delta", "Huber", {"delta": 0.3}, target, pred),
        ("bce", binary, from_p, bits, probability),
        ("bce soft targets", binary, from_p, soft, probability),
        ("bce saturated", binary, from_p, bits, saturated),
        ("bce logits", binary, from_z, bits, logits),
        ("bce logits soft targets", binary, from_z, soft, logits),
        ("bce logits extreme", binary, from_z, bits, extreme),
        ("cce", categorical, from_p, one_hot, rows),
        ("cce soft targets", categorical, from_p, soft_rows, rows),
        ("cce unnormalised", categorical, from_p, one_hot, unnormalised),
        ("cce saturated", categorical, from_p, one_hot, saturated),
        ("cce logits", categorical, from_z, one_hot, logits),
        ("cce logits soft targets", categorical, from_z, soft_rows, logits),
        ("cce logits extreme", categorical, from_z, one_hot, extreme),
        ("sparse cce", sparse, from_p, labels, rows),
        ("sparse cce unnormalised", sparse, from_p, labels, unnormalised),
        ("sparse cce saturated", sparse, from_p, labels, saturated),
        ("sparse cce logits", sparse, from_z, labels, logits),
        ("sparse cce logits extreme", sparse, from_z, labels, extreme),
    ]
    return [record_loss(*case) for case in cases]


def full_config(optimizer):
    """An optimizer's config with every default filled in, numbers and flags only."""
    return {
        key: value
        for key, value in optimizer.get_config().items()
        if isinstance(value, (int, float)) and not key.startswith("ema") and key != "use_ema"
    }


def record_optimizers():
    # Columns: ordinary, ordinary, never any gradient, small, tiny (where the place of epsilon
    # decides), large, and one that changes its sign.
    initial = f32([0.5, -1.25, 0.75, 0.1, -0.05, 2.0, -0.3])
    gradients = Inputs(3).normal(5, 7) * f32([1, 0.1, 0, 1e-3, 1e-6, 30, 1])
    gradients[:, 6] = [0.4, -0.6, 0.2, -0.1, 0.5]

    cases = [
        ("sgd", "SGD", {"learning_rate": 0.1}),
        ("sgd momentum", "SGD", {"learning_rate": 0.1, "momentum": 0.9}),
        ("sgd nesterov", "SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
        ("sgd decay", "SGD", {"learning_rate": 0.1, "decay": 0.25}),
        (
            "sgd nesterov decay",
            "SGD",
            {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "decay": 0.25},
        ),
        ("rmsprop", "RMSprop", {"learning_rate": 0.01}),
        ("rmsprop rho", "RMSprop", {"learning_rate": 0.01, "rho": 0.8, "epsilon": 1e-5}),
        (
            "rmsprop momentum centered",
            "RMSprop",
            {"learning_rate": 0.01, "momentum": 0.9, "centered": True},
        ),
        ("adagrad", "Adagrad", {"learning_rate": 0.05}),
        (
            "adagrad small accumulator",
            "Adagrad",
            {"learning_rate": 0.05, "initial_accumulator_value": 1e-6},
        ),
        ("adam", "Adam", {"learning_rate": 0.01}),
        (
            "adam betas",
            "Adam",
            {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-4},
        ),
        ("adamw", "AdamW", {"learning_rate": 0.01}),
        ("adamw strong", "AdamW", {"learning_rate": 0.01, "weight_decay": 0.5}),
    ]
    out = []
    for name, cls, config in cases:
        arguments = dict(config)
        if "decay" in arguments:  # Keras 2's argument is a schedule in Keras 3
            arguments["learning_rate"] = keras.optimizers.schedules.InverseTimeDecay(
                arguments["learning_rate"], decay_steps=1, decay_rate=arguments.pop("decay")
            )
        optimizer = getattr(keras.optimizers, cls)(**arguments)
        variable = keras.Variable(initial)
        optimizer.build([variable])
        steps = []
        for gradient in gradients:
            optimizer.apply([jnp.asarray(gradient)], [variable])
            steps.append(np.array(variable.value))
        out.append(
            {
                "name": name,
                "optimizer": cls,
                "config": full_config(optimizer) | config,
                "initial": tensor(initial),
                "gradients": tensor(gradients),
                "parameters": tensor(np.stack(steps)),
            }
        )
    return out


def record_networks():
    out = []
    for activation in ["tanh", "relu"]:
        inputs = Inputs(4)
        x = inputs.normal(6, 5)
        labels = np.asarray([0, 2, 1, 2, 0, 1], dtype=np.int32)
        weights = [
            inputs.normal(5, 4, scale=0.6),
            inputs.normal(4, scale=0.2),
            inputs.normal(4, 3, scale=0.7),
            inputs.normal(3, scale=0.2),
        ]
        model = keras.Sequential(
            [
                keras.layers.Input((5,)),
                keras.layers.Dense(4, activation=activation),
                keras.layers.Dense(3),
            ]
        )
        model.set_weights(weights)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

        def objective(trainable):
            logits, _ = model.stateless_call(trainable, [], x)
            return loss(labels, logits), logits

        values = [v.value for v in model.trainable_variables]
        (value, logits), grads = jax.value_and_grad(objective, has_aux=True)(values)
        out.append(
            {
                "name": f"dense {activation} dense",
                "activation": activation,
                "x": tensor(x),
                "labels": tensor(labels),
                "weights": [tensor(w) for w in weights],
                "logits": tensor(logits),
                "loss": tensor(value),
                "grads": [tensor(g) for g in grads],
            }
        )
    return out


def record_activations():
    x = f32([-1e4, -30, -3.5, -1, -0.1, 0, 0.1, 0.7, 1, 3, 30, 1e4])
    kinks = {"relu": [0.0], "leaky_relu": [0.0], "elu": [0.0], "selu": [0.0]}
    kinks["hard_sigmoid"] = [-3.0, 3.0]
    cases = [
        ("linear", "linear", {}),
        ("relu", "relu", {}),
        ("leaky_relu", "leaky_relu", {"negative_slope": 0.2}),
        ("elu", "elu", {"alpha": 1.0}),
        ("elu", "elu", {"alpha": 0.5}),
        ("selu", "selu", {}),
        ("sigmoid", "sigmoid", {}),
        ("hard_sigmoid", "hard_sigmoid", {}),
        ("tanh", "tanh", {}),
        ("softplus", "softplus", {}),
        ("softsign", "softsign", {}),
        ("gelu", "gelu", {"approximate": False}),
        ("gelu_tanh", "gelu", {"approximate": True}),
        ("silu", "silu", {}),
    ]
    out = []
    for name, function, config in cases:
        f = getattr(keras.activations, function)
        y = f(jnp.asarray(x), **config)
        dy = jax.vmap(jax.grad(lambda v, f=f, config=config: f(v, **config)))(jnp.asarray(x))
        out.append(
            {
                "name": name,
                "activation": function,
                "config": config,
                "kinks": kinks.get(name, []),
                "x": tensor(x),
                "y": tensor(y),
                "dy": tensor(dy),
            }
        )
    return out


def record_regularizers():
    out = []
    for name, l1, l2 in [("l1", 0.02, 0.0), ("l2", 0.0, 0.03), ("l1 l2", 0.02, 0.03)]:
        inputs = Inputs(5)
        x, target = inputs.normal(4, 3), inputs.normal(4, 2)
        kernel, bias = inputs.normal(3, 2), inputs.normal(2)
        layer = keras.layers.Dense(2, kernel_regularizer=keras.regularizers.L1L2(l1=l1, l2=l2))
        layer.build((4, 3))
        layer.set_weights([kernel, bias])
        loss = keras.losses.MeanSquaredError()

        def objective(trainable):
            y, _, penalties = layer.stateless_call(trainable, [], x, return_losses=True)
            return loss(target, y) + sum(penalties), sum(penalties)

        values = [v.value for v in layer.trainable_variables]
        (value, penalty), grads = jax.value_and_grad(objective, has_aux=True)(values)
        out.append(
            {
                "name": name,
                "l1": l1,
                "l2": l2,
                "x": tensor(x),
                "y_true": tensor(target),
                "kernel": tensor(kernel),
                "bias": tensor(bias),
                "penalty": tensor(penalty),
                "loss": tensor(value),
                "grads": [tensor(g) for g in grads],
            }
        )
    return out


def meta(script):
    """When, by which script, and with what versions a file was recorded."""
    return {
        "recorded": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "script": f"tests/known/{script}",
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": jax.devices()[0].platform,
        "floatx": keras.config.floatx(),
        "epsilon": keras.config.epsilon(),
    }


def write(name, recording):
    """Writes `recording` as JSON beside this file, one line per list of numbers."""
    text = json.dumps(recording, indent=1, allow_nan=False)
    text = re.sub(r"\[([^\[\]{}\"]*)\]", lambda m: f"[{' '.join(m.group(1).split())}]", text)
    path = pathlib.Path(__file__).with_name(name)
    path.write_text(text + "\n")
    print(f"{name}: {len(text)} bytes")


def main():
    recording = {
        "meta": meta("record.py"),
        "softmax": record_softmax(),
        "losses": record_losses(),
        "optimizers": record_optimizers(),
        "networks": record_networks(),
        "activations": record_activations(),
        "regularizers": record_regularizers(),
    }
    write("keras.json", recording)


if __name__ == "__main__":
    main()
