"""JAX: one jitted function for the whole step, its state given away to it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from protocol import BETA1, BETA2, EPSILON, Peer, configure_jax, main


def forward(layers, x):
    for weights, biases in layers[:-1]:
        x = jax.nn.relu(x @ weights + biases)
    weights, biases = layers[-1]
    return x @ weights + biases


def mean_loss(layers, x, y):
    rows = jax.nn.log_softmax(forward(layers, x))
    return -jnp.mean(jnp.take_along_axis(rows, y[:, None], axis=1))


def advance(state, x, y, rate):
    layers, m, v, t = state
    loss, g = jax.value_and_grad(mean_loss)(layers, x, y)
    t = t + 1
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, g)
    v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, g)
    # 1 - beta^t, by the way that keeps its digits in f32 while t is small.
    c1, c2 = (-jnp.expm1(t * np.log(beta)) for beta in (BETA1, BETA2))
    rule = lambda p, m, v: p - rate * (m / c1) / (jnp.sqrt(v / c2) + EPSILON)
    return (jax.tree.map(rule, layers, m, v), m, v, t), loss


train_step = jax.jit(advance, static_argnums=3, donate_argnums=0)


@functools.partial(jax.jit, static_argnums=(3, 4), donate_argnums=0)
def train_step_on(state, pixels, labels, size, rate):
    # The count of steps, which is on the device already, says which images are next: no number travels.
    first = state[3].astype(jnp.int32) * size
    x = jax.lax.dynamic_slice_in_dim(pixels, first, size).astype(jnp.float32) / 255
    return advance(state, x, jax.lax.dynamic_slice_in_dim(labels, first, size), rate)


class Jax(Peer):
    name = "jax"
    version = jax.__version__

    def __init__(self, layers, rate, args):
        configure_jax(jax, args)
        self.rate = rate
        layers = jax.tree.map(jnp.array, layers)
        zeros = lambda: jax.tree.map(jnp.zeros_like, layers)
        self.state = (layers, zeros(), zeros(), jnp.float32(0))
        self.device = jax.devices()[0].device_kind
        self.forward = jax.jit(forward)

    def upload(self, images, labels):
        return jnp.asarray(images), jnp.asarray(labels)

    def step(self, batch):
        self.state, self.last = train_step(self.state, *batch, self.rate)

    def step_on(self, kept, i, size):
        self.state, self.last = train_step_on(self.state, *kept, size, self.rate)

    def loss(self):
        jax.block_until_ready(self.state)
        return float(self.last)

    def logits(self, images):
        return self.forward(self.state[0], images)


if __name__ == "__main__":
    main(Jax)
