#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "keras==3.15.1", "jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6",
#     "scikit-learn==1.9.1", "safetensors==0.8.0",
# ]
# ///
"""Records the tutorial's binary classification with Keras 3: arrays and initial weights into
`classification.safetensors`, what Keras reports into `classification.json`, beside this file.

    make_classification(1000, 20, 2 classes) -> 80/20 split -> StandardScaler -> 64-32-1, Adam 0.001,
    binary cross-entropy, 50 epochs in batches of 32, the last fifth of the training rows for validation

once with a sigmoid output and once from logits. Batches are taken in order, without shuffling: the
split has shuffled the rows already.
"""

import pathlib

import numpy as np

from record import f32, keras, meta, short, write

import safetensors.numpy
import sklearn
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

SEED = 42
EPOCHS = 50
BATCH = 32
VALIDATION = 0.2


def arrays():
    x, y = make_classification(n_samples=1000, n_features=20, n_classes=2, random_state=SEED)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=SEED)
    scaler = StandardScaler()
    return {
        "x_train": f32(scaler.fit_transform(x_train)),
        "y_train": f32(y_train[:, None]),
        "x_test": f32(scaler.transform(x_test)),
        "y_test": f32(y_test[:, None]),
    }


def network(output):
    return keras.Sequential(
        [
            keras.layers.Input((20,)),
            keras.layers.Dense(64, activation="relu", name="dense"),
            keras.layers.Dense(32, activation="relu", name="dense_1"),
            keras.layers.Dense(1, activation=output, name="dense_2"),
        ]
    )


def train(data, initial, from_logits):
    model = network("linear" if from_logits else "sigmoid")
    model.set_weights(initial)
    # By the word "accuracy" Keras would compare logits with 0.5.
    accuracy = keras.metrics.BinaryAccuracy(
        name="accuracy", threshold=0.0 if from_logits else 0.5
    )
    model.compile(
        optimizer=keras.optimizers.Adam(0.001),
        loss=keras.losses.BinaryCrossentropy(from_logits=from_logits),
        metrics=[accuracy],
    )
    history = model.fit(
        data["x_train"],
        data["y_train"],
        epochs=EPOCHS,
        batch_size=BATCH,
        validation_split=VALIDATION,
        shuffle=False,
        verbose=0,
    ).history
    loss, accuracy = model.evaluate(data["x_test"], data["y_test"], batch_size=200, verbose=0)
    predicted = model.predict(data["x_test"][:10], verbose=0)
    return {
        "from_logits": from_logits,
        "test_loss": float(loss),
        "test_accuracy": float(accuracy),
        "predictions": short(predicted),
        "history": {name: short(values) for name, values in history.items()},
    }


def main():
    keras.utils.set_random_seed(SEED)
    data = arrays()
    model = network("sigmoid")
    initial = model.get_weights()
    names = [v.path for v in model.trainable_variables]
    names = ["/".join(name.split("/")[-2:]) for name in names]
    assert names[:2] == ["dense/kernel", "dense/bias"], names
    tensors = data | {name: np.asarray(w) for name, w in zip(names, initial, strict=True)}
    path = pathlib.Path(__file__).with_name("classification.safetensors")
    safetensors.numpy.save_file(tensors, path)
    print(f"{path.name}: {path.stat().st_size} bytes")

    recording = {
        "meta": meta("record_classification.py") | {"scikit-learn": sklearn.__version__},
        "config": {
            "epochs": EPOCHS,
            "batch_size": BATCH,
            "validation_split": VALIDATION,
            "learning_rate": 0.001,
        },
        "weights": names,
        "runs": [train(data, initial, from_logits) for from_logits in [False, True]],
    }
    for run in recording["runs"]:
        print(run["test_accuracy"], run["test_loss"])
    write("classification.json", recording)


if __name__ == "__main__":
    main()
