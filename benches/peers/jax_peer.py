"""JAX: one jitted function for the whole step, its state given away to it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from protocol import BETA1, BETA2, EPSILON, LAYER_EPSILON, NORM_EPSILON, NORM_MOMENTUM, Peer, configure_jax, main


def convolution(x, arrays, padding, stride=1):
    numbers = ("NHWC", "HWIO", "NHWC")
    y = jax.lax.conv_general_dilated(x, arrays[0], (stride, stride), padding, dimension_numbers=numbers)
    return y + arrays[1] if len(arrays) == 2 else y


def lstm(x, weights, biases):
    """The output after the last step; the products of all inputs are one product."""
    inputs, units = x.shape[2], biases.shape[0] // 4
    kernel, recurrent = weights[:inputs], weights[inputs:]

    def step(state, gates):
        h, c = state
        i, f, new, o = jnp.split(gates + h @ recurrent, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(new)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zeros = jnp.zeros((len(x), units))
    return jax.lax.scan(step, (zeros, zeros), (x @ kernel + biases).swapaxes(0, 1))[0][0]


def layer_normalization(x, scale, offset):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + LAYER_EPSILON) * scale + offset


def attention(x, count, weights, biases):
    """Causal attention of all heads, before its output projection."""
    batch, time, width = x.shape
    heads = (batch, time, count, width // count)
    q, k, v = (part.reshape(heads).swapaxes(1, 2) for part in jnp.split(x @ weights + biases, 3, axis=2))
    scores = q @ k.swapaxes(2, 3) / np.float32(heads[3] ** 0.5)
    scores = jnp.where(jnp.tril(jnp.ones((time, time), bool)), scores, -jnp.inf)
    return (jax.nn.softmax(scores) @ v).swapaxes(1, 2).reshape(x.shape)


def block(x, arrays, heads):
    norm, parts, output, second_norm, inner, outer = zip(arrays[::2], arrays[1::2])
    y = attention(layer_normalization(x, *norm), heads, *parts)
    x = x + y @ output[0] + output[1]
    y = jax.nn.gelu(layer_normalization(x, *second_norm) @ inner[0] + inner[1], approximate=False)
    return x + y @ outer[0] + outer[1]


def normalization(x, scale, offset, kept, training):
    """What batch normalization makes of `x`, and its moving mean and variance after it."""
    mean, variance = (x.mean((0, 1, 2)), x.var((0, 1, 2))) if training else kept
    kept = [NORM_MOMENTUM * k + (1 - NORM_MOMENTUM) * new for k, new in zip(kept, (mean, variance))]
    return (x - mean) * jax.lax.rsqrt(variance + NORM_EPSILON) * scale + offset, kept


def residual(kind, x, arrays, kept, training, stride):
    """ResNet's first part or one of its blocks: kernels and their normalizations in turn."""
    moved = []

    def normalized(x, part, stride=1):
        kernel, scale, offset = arrays[3 * part : 3 * part + 3]
        around = [(kernel.shape[0] // 2,) * 2] * 2
        y, after = normalization(
            convolution(x, [kernel], around, stride), scale, offset, kept[2 * part : 2 * part + 2], training
        )
        moved.extend(after)
        return y

    if kind == "stem":
        y = jax.nn.relu(normalized(x, 0, 2))
        around = ((0, 0), (1, 1), (1, 1), (0, 0))
        return jax.lax.reduce_window(y, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), around), moved
    y = jax.nn.relu(normalized(x, 0))
    y = jax.nn.relu(normalized(y, 1, stride))
    y = normalized(y, 2)
    return jax.nn.relu(y + (normalized(x, 3, stride) if kind == "projected_bottleneck" else x)), moved


def forward(kinds, weights, moving, x, training):
    """The logits, and the moving means and variances after a step."""
    moved = []
    for (kind, number), arrays, kept in zip(kinds, weights, moving):
        if kind == "dense":
            x = x @ arrays[0] + arrays[1]
        elif kind == "convolution":
            x = convolution(x, arrays, "VALID")
        elif kind == "same_convolution":
            x = convolution(x, arrays, "SAME")
        elif kind == "batch_normalization":
            x, kept = normalization(x, *arrays, kept, training)
        elif kind in RESIDUAL:
            x, kept = residual(kind, x, arrays, kept, training, number)
        elif kind == "relu":
            x = jax.nn.relu(x)
        elif kind == "max_pooling":
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        elif kind == "global_average_pooling":
            x = x.mean((1, 2))
        elif kind == "lstm":
            x = lstm(x, *arrays)
        elif kind == "embedding":
            x = arrays[0][x]
        elif kind == "positions":
            x = x + arrays[0]
        elif kind == "block":
            x = block(x, arrays, number)
        elif kind == "layer_normalization":
            x = layer_normalization(x, *arrays)
        elif kind == "scores":
            x = x @ weights[0][0].T
        else:
            assert kind == "flatten", kind
            x = x.reshape(len(x), -1)
        moved.append(kept)
    return x, moved


def mean_loss(weights, kinds, moving, x, y):
    logits, moved = forward(kinds, weights, moving, x, True)
    rows = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.take_along_axis(rows, y[..., None], axis=-1)), moved


def advance(state, x, y, kinds, rate):
    weights, moving, m, v, t = state
    (loss, moving), g = jax.value_and_grad(mean_loss, has_aux=True)(weights, kinds, moving, x, y)
    t = t + 1
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, g)
    v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, g)
    # 1 - beta^t, by the way that keeps its digits in f32 while t is small.
    c1, c2 = (-jnp.expm1(t * np.log(beta)) for beta in (BETA1, BETA2))
    rule = lambda p, m, v: p - rate * (m / c1) / (jnp.sqrt(v / c2) + EPSILON)
    return (jax.tree.map(rule, weights, m, v), moving, m, v, t), loss


train_step = jax.jit(advance, static_argnums=(3, 4), donate_argnums=0)


@functools.partial(jax.jit, static_argnums=(3, 4, 5), donate_argnums=0)
def train_step_on(state, pixels, labels, size, kinds, rate):
    # The count of steps, which is on the device already, says which images are next: no number travels.
    first = state[-1].astype(jnp.int32) * size
    x = jax.lax.dynamic_slice_in_dim(pixels, first, size).astype(jnp.float32) / 255
    return advance(state, x, jax.lax.dynamic_slice_in_dim(labels, first, size), kinds, rate)


RESIDUAL = ("stem", "bottleneck", "projected_bottleneck")
"""The parts of ResNet."""


def fresh(layer):
    """The moving mean and variance of each normalization of a layer."""
    scales = layer.arrays[1::3] if layer.kind in RESIDUAL else layer.arrays[:1]
    if layer.kind not in ("batch_normalization", *RESIDUAL):
        return []
    return [make(scale) for scale in scales for make in (jnp.zeros_like, jnp.ones_like)]


class Jax(Peer):
    name = "jax"
    version = jax.__version__

    def __init__(self, layers, rate, args):
        configure_jax(jax, args)
        self.rules = tuple((layer.kind, layer.number) for layer in layers), rate
        weights = [[jnp.array(array) for array in layer.arrays] for layer in layers]
        moving = [fresh(layer) for layer in layers]
        zeros = lambda: jax.tree.map(jnp.zeros_like, weights)
        self.state = (weights, moving, zeros(), zeros(), jnp.float32(0))
        self.device = jax.devices()[0].device_kind
        self.forward = jax.jit(lambda weights, moving, x: forward(self.rules[0], weights, moving, x, False)[0])

    def upload(self, images, labels):
        return jnp.asarray(images), jnp.asarray(labels)

    def step(self, batch):
        self.state, self.last = train_step(self.state, *batch, *self.rules)

    def step_on(self, kept, i, size):
        self.state, self.last = train_step_on(self.state, *kept, size, *self.rules)

    def loss(self):
        jax.block_until_ready(self.state)
        return float(self.last)

    def logits(self, images):
        return np.asarray(self.forward(*self.state[:2], images))


if __name__ == "__main__":
    main(Jax)
