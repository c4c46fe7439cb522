#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["scikit-learn==1.9.1", "numpy==2.4.6"]
# ///
"""Records arrays saved by NumPy and numbers computed by scikit-learn, beside this file.

    python3 -m venv venv
    venv/bin/pip install scikit-learn==1.9.1 numpy==2.4.6
    venv/bin/python3 record.py

`.npy` and `.npz` files are of every kind that is read, and of some that are refused. `sklearn.json`
holds what the scalers make of a small table, and, for each `make_*`, numbers that describe the
distribution, each with its mean and standard deviation over many seeds: the generators differ, so
the samples cannot be compared.
"""

import json
import pathlib

import numpy as np
from sklearn import datasets, preprocessing

HERE = pathlib.Path(__file__).parent
SEEDS = range(100)


def arrays():
    count = np.arange(24).reshape(2, 3, 4)
    kinds = {
        "f4": count.astype("<f4") / 4,
        "f8_fortran": np.asfortranarray(count.astype("<f8") / 4),
        "f4_big": count.astype(">f4") / 4,
        "u1": count.astype("u1"),
        "u1_fortran": np.asfortranarray(count.astype("u1")),
        "bool": count % 3 == 0,
        "i1": count.astype("i1"),
        "i2": count.astype("<i2"),
        "i4_big": count.astype(">i4"),
        "i8_fortran": np.asfortranarray(count.astype("<i8")),
        "u2": count.astype("<u2"),
        "u4": count.astype("<u4") + 4_000_000_000,
        "u8": count.astype("<u8"),
        "scalar": np.float32(2.5),
        "empty": np.zeros((0, 3), "f4"),
        "i8_negative": np.array([3, -1]),
        "u8_large": np.array([1, 2**32], "u8"),
        "f8_large": np.array([1.0, 1e39]),
        "f2": count.astype("f2"),
        "complex": count.astype("c8"),
        "text": np.array(["a", "bc"]),
        "record": np.array([(1, 2.0)], dtype=[("a", "<i4"), ("b", "<f4")]),
    }
    for name, array in kinds.items():
        np.save(HERE / f"{name}.npy", array)
    with open(HERE / "version2.npy", "wb") as file:
        np.lib.format.write_array(file, kinds["f4"], version=(2, 0))
    with open(HERE / "object.npy", "wb") as file:
        np.save(file, np.array([1, "a", None], dtype=object), allow_pickle=True)
    pair = {"x": kinds["f8_fortran"], "y": np.array([1, 0])}
    np.savez(HERE / "pair.npz", **pair)
    np.savez_compressed(HERE / "pair_compressed.npz", **pair)


def scalers():
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(7, 4)) * [1, 100, 1e-3, 0] + [0, 5e4, 0, 7]).astype("f4")
    standard = preprocessing.StandardScaler().fit(x.astype("f8"))
    minmax = preprocessing.MinMaxScaler((-2, 3)).fit(x.astype("f8"))
    return {
        "x": x.tolist(),
        "standard": {
            "mean": standard.mean_.tolist(),
            "var": standard.var_.tolist(),
            "scale": standard.scale_.tolist(),
            "z": standard.transform(x.astype("f8")).tolist(),
        },
        "minmax": {
            "data_min": minmax.data_min_.tolist(),
            "data_max": minmax.data_max_.tolist(),
            "min": minmax.min_.tolist(),
            "scale": minmax.scale_.tolist(),
            "z": minmax.transform(x.astype("f8")).tolist(),
        },
    }


def nearest_centroid(x, y):
    """The share of the samples that lie nearest to their own class's mean."""
    means = np.stack([x[y == c].mean(0) for c in np.unique(y)])
    distance = ((x[:, None] - means) ** 2).sum(-1)
    return float((np.unique(y)[distance.argmin(1)] == y).mean())


def makers():
    def describe_all(describe):
        rows = [describe(seed) for seed in SEEDS]
        columns = {key: [row[key] for row in rows] for key in rows[0]}
        return {key: [float(np.mean(v)), float(np.std(v))] for key, v in columns.items()}

    def classification(seed):
        x, y = datasets.make_classification(
            500, 9, n_informative=3, n_redundant=2, n_repeated=1, n_classes=3,
            n_clusters_per_class=2, weights=[0.5, 0.3, 0.2], flip_y=0.05, class_sep=1.5,
            shift=0.5, scale=2.0, shuffle=False, random_state=seed)
        return {
            "informative_mean": x[:, :3].mean(), "informative_var": x[:, :3].var(0).mean(),
            "redundant_var": x[:, 3:5].var(0).mean(), "random_var": x[:, 6:].var(0).mean(),
            "class0": (y == 0).mean(), "class2": (y == 2).mean(),
            "nearest_centroid": nearest_centroid(x, y),
        }

    def regression(seed):
        x, y, coef = datasets.make_regression(
            200, 6, n_informative=4, bias=3.0, noise=5.0, coef=True, shuffle=False,
            random_state=seed)
        return {"x_var": x.var(), "coef_mean": coef[:4].mean(), "coef_var": coef[:4].var(),
                "noise_var": (y - x @ coef - 3.0).var(), "y_mean": y.mean()}

    def blobs(seed):
        x, y = datasets.make_blobs(101, 3, centers=4, cluster_std=1.5, random_state=seed)
        inner = np.mean([x[y == c].var(0).mean() for c in range(4)])
        return {"within_var": inner, "total_var": x.var(), "class0": (y == 0).mean(),
                "class3": (y == 3).mean()}

    def moons(seed):
        x, y = datasets.make_moons(101, noise=0.1, random_state=seed)
        return {"mean0": x[:, 0].mean(), "mean1": x[:, 1].mean(), "var0": x[:, 0].var(),
                "var1": x[:, 1].var(), "class1": y.mean(),
                "nearest_centroid": nearest_centroid(x, y)}

    def circles(seed):
        x, y = datasets.make_circles(101, noise=0.1, factor=0.4, random_state=seed)
        radius = (x**2).sum(1)
        return {"outer": radius[y == 0].mean(), "inner": radius[y == 1].mean(),
                "mean0": x[:, 0].mean(), "class1": y.mean()}

    return {f.__name__: describe_all(f) for f in (classification, regression, blobs, moons, circles)}


if __name__ == "__main__":
    arrays()
    known = {"scalers": scalers(), "makers": makers()}
    (HERE / "sklearn.json").write_text(json.dumps(known, indent=1) + "\n")
