#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["scikit-learn==1.9.1", "numpy==2.4.6"]
# ///
"""Records metrics from scikit-learn into `metrics.json`, beside this file.

    python3 -m venv venv
    venv/bin/pip install scikit-learn==1.9.1 numpy==2.4.6
    venv/bin/python3 record_metrics.py

Scores are multiples of 1/64 and targets of 1/16, so they are exact in float32 and in short decimals,
and no threshold and no tie depends on rounding. scikit-learn computes in float64.
"""

import datetime
import json
import pathlib
import platform
import re

import numpy as np
import scipy
import sklearn
from sklearn import metrics

ROWS = 60
CLASSES = 4


def grid(values, denominator):
    return np.round(np.asarray(values) * denominator) / denominator


def averages(y_true, y_pred, labels):
    """Precision, recall and F1 of each class and averaged; 0 where a quotient has no denominator."""
    out = {}
    functions = {
        "precision": metrics.precision_score,
        "recall": metrics.recall_score,
        "f1": metrics.f1_score,
    }
    for name, function in functions.items():
        for average in [None, "macro", "micro", "weighted"]:
            value = function(y_true, y_pred, labels=labels, average=average, zero_division=0)
            key = average or "per_class"
            out.setdefault(name, {})[key] = np.asarray(value).tolist()
    return out


def binary(name, y_true, scores, threshold=0.5):
    """A prediction is positive above the threshold, as in Keras, not at it."""
    y_pred = (scores > threshold).astype(int)
    both = len(np.unique(y_true)) == 2
    return {
        "name": name,
        "threshold": threshold,
        "y_true": y_true.tolist(),
        "scores": scores.tolist(),
        "accuracy": metrics.accuracy_score(y_true, y_pred),
        "precision": metrics.precision_score(y_true, y_pred, zero_division=0),
        "recall": metrics.recall_score(y_true, y_pred, zero_division=0),
        "f1": metrics.f1_score(y_true, y_pred, zero_division=0),
        "confusion_matrix": metrics.confusion_matrix(y_true, y_pred, labels=[0, 1]).tolist(),
        # Undefined where a class is absent.
        "roc_auc": metrics.roc_auc_score(y_true, scores) if both else None,
    }


def record_binary():
    state = np.random.RandomState(21)
    y = (state.uniform(size=ROWS) < 0.4).astype(int)
    scores = grid(np.clip(0.3 + 0.3 * y + 0.25 * state.normal(size=ROWS), 0, 1), 64)
    tied = grid(scores, 8)
    assert len(np.unique(tied)) < 10 and np.any(tied == 0.5)
    ones = np.ones(ROWS, int)
    return [
        binary("ordinary", y, scores),
        binary("threshold 0.25", y, scores, 0.25),
        binary("ties, also at the threshold", y, tied),
        binary("all scores equal", y, np.full(ROWS, 0.75)),
        binary("none predicted", y, scores / 4),
        binary("separated", y, grid(0.25 + 0.5 * y, 64)),
        binary("reversed", y, grid(0.75 - 0.5 * y, 64)),
        binary("one class", ones, scores),
        binary("one class, none predicted", ones, scores / 4),
        binary("logits", y, 8 * scores - 4, 0.0),
    ]


def multiclass(name, y_true, scores):
    labels = list(range(CLASSES))
    y_pred = np.argmax(scores, axis=1)
    top = {
        str(k): metrics.top_k_accuracy_score(y_true, scores, k=k, labels=labels)
        for k in range(1, CLASSES)
    }
    return {
        "name": name,
        "y_true": y_true.tolist(),
        "scores": {"shape": list(scores.shape), "data": scores.reshape(-1).tolist()},
        "y_pred": y_pred.tolist(),
        "accuracy": metrics.accuracy_score(y_true, y_pred),
        "top_k_accuracy": top,
        "confusion_matrix": metrics.confusion_matrix(y_true, y_pred, labels=labels).tolist(),
    } | averages(y_true, y_pred, labels)


def record_multiclass():
    """In each row the scores differ, because implementations break ties differently."""
    state = np.random.RandomState(22)
    y = state.randint(CLASSES, size=ROWS)
    rows = np.stack([state.permutation(64)[:CLASSES] for _ in range(ROWS)]) / 64
    scores = rows.copy()
    for i, label in enumerate(y):
        if i % 3:  # two of three rows: the label takes the row's largest score
            j = np.argmax(scores[i])
            scores[i, [label, j]] = scores[i, [j, label]]
    never = scores.copy()
    never[:, 2] -= 2
    absent = np.where(y == 1, 0, y)
    return [
        multiclass("ordinary", y, scores),
        multiclass("class 2 never predicted", y, never),
        multiclass("class 1 absent from the labels", absent, scores),
        multiclass("class 1 absent, class 2 never predicted", absent, never),
        multiclass("always class 0", y, scores + [2, 0, 0, 0]),
        multiclass("one sample", y[:1], scores[:1]),
    ]


def regression(name, y_true, y_pred):
    width = 1 if y_true.ndim == 1 else y_true.shape[1]
    flat = {"shape": list(y_true.shape), "data": y_true.reshape(-1).tolist()}
    out = {
        "name": name,
        "y_true": flat,
        "y_pred": {"shape": list(y_pred.shape), "data": y_pred.reshape(-1).tolist()},
        "mse": metrics.mean_squared_error(y_true, y_pred),
        # Over all elements, as Keras takes it; scikit-learn averages the outputs' own roots.
        "rmse": metrics.root_mean_squared_error(y_true.reshape(-1), y_pred.reshape(-1)),
        "mae": metrics.mean_absolute_error(y_true, y_pred),
        "r2": metrics.r2_score(y_true, y_pred),
    }
    if width > 1:
        raw = {"multioutput": "raw_values"}
        out["rmse_per_output"] = metrics.root_mean_squared_error(y_true, y_pred, **raw).tolist()
        out["r2_per_output"] = metrics.r2_score(y_true, y_pred, **raw).tolist()
        out["r2_variance_weighted"] = metrics.r2_score(
            y_true, y_pred, multioutput="variance_weighted"
        )
    return out


def record_regression():
    state = np.random.RandomState(23)
    y = grid(3 * state.normal(size=ROWS), 16)
    near = y + grid(0.5 * state.normal(size=ROWS), 16)
    far = grid(3 * state.normal(size=ROWS), 16)
    wide = grid(state.normal(size=(20, 3)) * [1, 5, 20] + [0, 100, -50], 16)
    wide_near = wide + grid(state.normal(size=(20, 3)) * [0.5, 1, 30], 16)
    constant = np.full(ROWS, 2.5)
    return [
        regression("near", y, near),
        regression("worse than the mean", y, far),
        regression("exact", y, y),
        regression("far from zero", y + 1000, near + 1000),
        regression("constant targets", constant, near),
        regression("constant targets, exact", constant, constant),
        regression("three outputs", wide, wide_near),
    ]


def main():
    recording = {
        "meta": {
            "recorded": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            "script": "tests/known/record_metrics.py",
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "python": platform.python_version(),
        },
        "binary": record_binary(),
        "multiclass": record_multiclass(),
        "regression": record_regression(),
    }
    text = json.dumps(recording, indent=1, allow_nan=False)
    text = re.sub(r"\[([^\[\]{}\"]*)\]", lambda m: f"[{' '.join(m.group(1).split())}]", text)
    path = pathlib.Path(__file__).with_name("metrics.json")
    path.write_text(text + "\n")
    print(f"{path.name}: {len(text)} bytes")


if __name__ == "__main__":
    main()
