"""Models C and V trained in f64: the losses that `tools/peers/src/models.rs` records for them, and how far they move.

What `reference_large.py` does for L, for networks with convolutions. JAX gives the gradients; the forward pass is written
here from the layers' definitions (a convolution is a product of patches, a pooling a maximum of four slices), so that it
shares no code with a peer. Each run prints its line.

    cargo test -p peers large_files -- --ignored    # makes the files
    python3 benches/peers/reference_images.py --data target/peers/C.safetensors
"""

import jax
import jax.numpy as jnp

from protocol import NORM_EPSILON
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


FORWARD = {
    "dense": lambda x, weights, biases: x @ weights + biases,
    "convolution": convolution,
    "same_convolution": same_convolution,
    "batch_normalization": batch_normalization,
    "relu": lambda x: jnp.where(x > 0, x, 0),
    "max_pooling": max_pooling,
    "global_average_pooling": lambda x: x.mean((1, 2)),
    "flatten": lambda x: x.reshape(len(x), -1),
}


def gradients(kinds):
    """A function of all weights, images and labels: the mean loss and the gradients of the weights."""

    def mean_loss(weights, x, labels):
        for kind, arrays in zip(kinds, weights):
            x = FORWARD[kind](x, *arrays)
        logits = x - x.max(1, keepdims=True)
        chosen = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
        return jnp.mean(jnp.log(jnp.exp(logits).sum(1)) - chosen)

    return jax.jit(jax.value_and_grad(mean_loss))


def train(layers, batches, rate, run, raw):
    """The losses of all steps."""
    parameters = [[Parameter(array, run) for array in layer.arrays] for layer in layers]
    step_of = gradients([layer.kind for layer in layers])
    losses = []
    for step, (x, labels) in enumerate(batches, 1):
        weights = [[p.values() for p in layer] for layer in parameters]
        loss, found = step_of(weights, x.astype("float64"), labels)
        losses.append(float(loss))
        for layer, layer_gradients in zip(parameters, found):
            for parameter, gradient in zip(layer, layer_gradients):
                parameter.update(jax.device_get(gradient), step, rate, raw)
    return losses


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)
    report(train)
