"""Models C, V, R and T trained in f64: the losses that `tools/peers/src/models.rs` records, and how far they move.

What `reference_large.py` does for L, for networks of other layers. JAX gives the gradients; the forward pass is written
here from the layers' definitions (a convolution is a product of patches, a pooling a maximum of four slices, an LSTM a loop
over its steps, attention a sum over the heads), so that it shares no code with a peer. Each run prints its line.

    cargo test -p peers large_files -- --ignored    # makes the files
    python3 benches/peers/reference_layers.py --data target/peers/C.safetensors
"""

import jax
import jax.numpy as jnp

from protocol import LAYER_EPSILON, NORM_EPSILON
from reference_large import Parameter, report


def taps(x, rows, columns):
    """For each tap of a 3x3 kernel the part of the image that it sees."""
    return [x[:, i : i + rows, j : j + columns] for i in range(3) for j in range(3)]


def convolution(x, kernel, biases=None):
    _, rows, columns, _ = x.shape
    patches = jnp.concatenate(taps(x, rows - 2, columns - 2), axis=3)
    y = patches @ kernel.reshape(-1, kernel.shape[3])
    return y if biases is None else y + biases


def same_convolution(x, kernel, biases=None):
    return convolution(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), kernel, biases)


def batch_normalization(x, scale, offset):
    mean = x.mean((0, 1, 2))
    variance = ((x - mean) ** 2).mean((0, 1, 2))
    return (x - mean) / jnp.sqrt(variance + NORM_EPSILON) * scale + offset


def max_pooling(x):
    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    parts = [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return jnp.maximum(jnp.maximum(parts[0], parts[1]), jnp.maximum(parts[2], parts[3]))


def sigmoid(x):
    return 1 / (1 + jnp.exp(-x))


def lstm(x, weights, biases):
    units = len(biases) // 4
    h = c = jnp.zeros((len(x), units))
    for t in range(x.shape[1]):
        gates = jnp.concatenate([x[:, t], h], axis=1) @ weights + biases
        i, f, new, o = (gates[:, k * units : (k + 1) * units] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(new)
        h = sigmoid(o) * jnp.tanh(c)
    return h


def layer_normalization(x, scale, offset):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + LAYER_EPSILON) * scale + offset


def block(x, heads, *arrays):
    norm, parts, output, second_norm, inner, outer = zip(arrays[::2], arrays[1::2])
    time, width = x.shape[1:]
    head = width // heads
    all_parts = layer_normalization(x, *norm) @ parts[0] + parts[1]
    after = jnp.arange(time)[None, :] > jnp.arange(time)[:, None]
    y = output[1]
    for i in range(heads):
        q, k, v = (all_parts[:, :, p * width + i * head : p * width + (i + 1) * head] for p in range(3))
        scores = jnp.where(after, -1e300, jnp.einsum("bqd,bkd->bqk", q, k) / head**0.5)
        shares = jnp.exp(scores - scores.max(-1, keepdims=True))
        shares = shares / shares.sum(-1, keepdims=True)
        y = y + jnp.einsum("bqk,bkd->bqd", shares, v) @ output[0][i * head : (i + 1) * head]
    x = x + y
    z = layer_normalization(x, *second_norm) @ inner[0] + inner[1]
    gelu = z * (1 + jax.scipy.special.erf(z / 2**0.5)) / 2
    return x + gelu @ outer[0] + outer[1]


FORWARD = {
    "dense": lambda x, weights, biases: x @ weights + biases,
    "convolution": convolution,
    "same_convolution": same_convolution,
    "batch_normalization": batch_normalization,
    "relu": lambda x: jnp.where(x > 0, x, 0),
    "max_pooling": max_pooling,
    "global_average_pooling": lambda x: x.mean((1, 2)),
    "flatten": lambda x: x.reshape(len(x), -1),
    "lstm": lstm,
    "embedding": lambda ids, table: table[ids],
    "positions": lambda x, table: x + table,
    "block": block,
    "layer_normalization": layer_normalization,
}


def gradients(kinds):
    """A function of all weights, images and labels: the mean loss and the gradients of the weights."""

    def mean_loss(weights, x, labels):
        for (kind, number), arrays in zip(kinds, weights):
            # What its weights do not show.
            more = [number] if kind == "block" else []
            # The scores of a tied model are products with its table.
            x = x @ weights[0][0].T if kind == "scores" else FORWARD[kind](x, *more, *arrays)
        logits = x - x.max(-1, keepdims=True)
        chosen = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
        return jnp.mean(jnp.log(jnp.exp(logits).sum(-1)) - chosen)

    return jax.jit(jax.value_and_grad(mean_loss))


def train(layers, batches, rate, run, raw):
    """The losses of all steps."""
    parameters = [[Parameter(array, run) for array in layer.arrays] for layer in layers]
    step_of = gradients([(layer.kind, layer.number) for layer in layers])
    losses = []
    for step, (x, labels) in enumerate(batches, 1):
        weights = [[p.values() for p in layer] for layer in parameters]
        x = x if x.dtype.kind == "i" else x.astype("float64")
        loss, found = step_of(weights, x, labels)
        losses.append(float(loss))
        for layer, layer_gradients in zip(parameters, found):
            for parameter, gradient in zip(layer, layer_gradients):
                parameter.update(jax.device_get(gradient), step, rate, raw)
    return losses


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)
    report(train)
