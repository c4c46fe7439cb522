#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6"]
# ///
"""Records what attention gives in Keras 3, its gradients, and 20 training steps of each layer, into `attention.json`,
beside this file.

Gradients are those of sum(y * upstream) of the first output, jax's automatic derivatives. The settings of a layer are what
Keras writes of it, with the arguments of the call added. Layers that are KerasHub's are put together here of Keras' layers,
by their papers. At steps that the query's mask takes out Keras gives a mean of all values: outputs are 0 there, and so are
upstream gradients.

Layers and their gradients are computed in float64 and rounded to float32: norms and products of theirs cancel, and in float32
Keras itself is off by up to 0.6 of what the tests allow.
"""

import contextlib
import json
from unittest import mock

import numpy as np

from record import Inputs, f32, jax, jnp, keras, meta, short, write
from record_recurrent import VOCABULARY, words

layers = keras.layers
BATCH, QUERIES, KEYS, WIDTH = 2, 5, 6, 4


def array(values):
    values = np.asarray(values)
    return {"shape": list(values.shape), "data": short(values)}


class Block(layers.Layer):
    """An encoder or decoder of a transformer."""

    def __init__(self, inner, heads, decoder=False, cross=False, **settings):
        super().__init__()
        self.kind = "TransformerDecoder" if decoder else "TransformerEncoder"
        self.settings = {"intermediate_dim": inner, "num_heads": heads, **settings}
        self.causal = decoder
        self.first = settings.get("normalize_first", False)
        norm = lambda: layers.LayerNormalization(epsilon=settings.get("layer_norm_epsilon", 1e-5))
        attention = lambda: layers.MultiHeadAttention(heads, WIDTH // heads)
        self.own, self.own_norm = attention(), norm()
        self.other = attention() if cross else None
        if cross:
            self.other_norm = norm()
        self.feed_norm = norm()
        self.inner = layers.Dense(inner, activation=settings.get("activation", "relu"))
        self.outer = layers.Dense(WIDTH)

    def serialized(self):
        return {"class_name": self.kind, "config": self.settings}

    def residual(self, norm, x, f):
        return x + f(norm(x)) if self.first else norm(x + f(x))

    def call(self, x, memory=None, query_mask=None, value_mask=None):
        causal = {"use_causal_mask": self.causal}
        own = {"query_mask": query_mask, "value_mask": query_mask}
        x = self.residual(self.own_norm, x, lambda x: self.own(x, x, **own, **causal))
        if self.other is not None:
            both = {"query_mask": query_mask, "value_mask": value_mask}
            x = self.residual(self.other_norm, x, lambda x: self.other(x, memory, **both))
        return self.residual(self.feed_norm, x, lambda x: self.outer(self.inner(x)))


class Positions(layers.Layer):
    """A learned vector for each place, added by the one who uses it."""

    def __init__(self, length):
        super().__init__()
        self.length = length

    def build(self, shape):
        self.table = self.add_weight(shape=(self.length, shape[-1]), initializer="glorot_uniform")

    def serialized(self):
        return {"class_name": "PositionEmbedding", "config": {"sequence_length": self.length}}

    def call(self, x):
        return jnp.broadcast_to(self.table.value[: x.shape[1]], x.shape)


class Sines(layers.Layer):
    """Sines at even places, cosines at odd ones."""

    def serialized(self):
        return {"class_name": "SinePositionEncoding", "config": {"max_wavelength": 100.0}}

    def call(self, x):
        time, width = x.shape[1:]
        table = np.zeros((time, width))
        for t in range(time):
            for i in range(width):
                angle = t / 100.0 ** ((i - i % 2) / width)
                table[t, i] = np.cos(angle) if i % 2 else np.sin(angle)
        return jnp.broadcast_to(table.astype(x.dtype), x.shape)


class Rotary(layers.Layer):
    """Features i and i + width / 2 turned as a complex number."""

    def serialized(self):
        config = {"max_wavelength": 50.0, "scaling_factor": 2.0}
        return {"class_name": "RotaryEmbedding", "config": config}

    def call(self, x):
        half = x.shape[-1] // 2
        angles = np.arange(x.shape[1])[:, None] / (2.0 * 50.0 ** (np.arange(half) / half))
        z = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
        return jnp.concatenate([z.real, z.imag], -1).astype(x.dtype)


MHA, GQA = layers.MultiHeadAttention, layers.GroupQueryAttention
KEEP = np.asarray(
    [
        [[1, 0, 0, 1, 0, 1], [1, 1, 1, 1, 1, 1], [0, 0, 1, 0, 0, 0], [0, 1, 1, 0, 1, 0], [1, 0, 1, 0, 1, 1]],
        [[0, 1, 0, 1, 0, 1], [1, 1, 0, 0, 1, 1], [1, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0], [1, 1, 1, 0, 1, 0]],
    ],
    dtype=bool,
)
OF_QUERIES = np.asarray([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=bool)
OF_KEYS = np.asarray([[1, 1, 1, 1, 0, 0], [1, 0, 1, 1, 1, 0]], dtype=bool)


def cases():
    """Name, layer, widths of the inputs, arguments of the call, masks of the inputs."""
    out = []

    def case(name, make, widths=(4,), masks=None, **call):
        out.append((name, make, widths, masks, call))

    q, k = OF_QUERIES, OF_KEYS
    case("MHA, self", lambda: MHA(2, 3))
    case("MHA, cross", lambda: MHA(2, 3), (4, 3))
    # With a rate of dropout Keras computes the products itself; jax's own attention does not take values of another size.
    case("MHA, three inputs", lambda: MHA(2, 3, value_dim=5, dropout=1e-30), (4, 3, 6))
    case("MHA, causal", lambda: MHA(2, 4), use_causal_mask=True)
    case("MHA, causal, cross", lambda: MHA(1, 4), (4, 3), use_causal_mask=True)
    case("MHA, no bias", lambda: MHA(2, 3, use_bias=False))
    case("MHA, output shape", lambda: MHA(2, 3, output_shape=7), (4, 3))
    case("MHA, output of two axes", lambda: MHA(2, 3, output_shape=(2, 3)), (4, 3))
    case("MHA, one head of one", lambda: MHA(1, 1))
    case("MHA, padding", lambda: MHA(2, 3), (4,), [q])
    case("MHA, padding, causal", lambda: MHA(2, 3), (4,), [q], use_causal_mask=True)
    case("MHA, padding, cross", lambda: MHA(2, 3), (4, 3), [q, k])
    case("MHA, padding of values", lambda: MHA(2, 3), (4, 3, 5), [None, k, None])
    case("MHA, pairs", lambda: MHA(2, 3), (4, 3), attention_mask=KEEP)
    case("MHA, pairs, padding", lambda: MHA(2, 3), (4, 3), [None, OF_KEYS], attention_mask=KEEP[:, :, ::-1] | KEEP)
    case("MHA, scores", lambda: MHA(2, 3), (4, 3), return_attention_scores=True)
    case("GQA", lambda: GQA(3, 4, 2))
    case("GQA, cross", lambda: GQA(3, 4, 2), (4, 4))
    case("GQA, one head of keys", lambda: GQA(4, 3, 1, use_bias=False), use_causal_mask=True)
    case("GQA, padding", lambda: GQA(2, 6, 3), (4, 4), [q, k])
    case("GQA, scores", lambda: GQA(3, 4, 2), (4, 4), return_attention_scores=True)
    case("GQA, pairs", lambda: GQA(3, 4, 2), (4, 4), attention_mask=KEEP)
    case("GQA, no bias", lambda: GQA(3, 4, 2, use_bias=False))
    for kind, sizes in ((MHA, (2, 3)), (GQA, (3, 4, 2))):
        rules = {
            "kernel_regularizer": keras.regularizers.L2(0.02),
            "bias_regularizer": keras.regularizers.L2(0.03),
            "kernel_constraint": keras.constraints.MaxNorm(0.7),
            "bias_constraint": keras.constraints.NonNeg(),
        }
        name = "MHA, rules" if kind is MHA else "GQA, rules"
        case(name, lambda kind=kind, sizes=sizes, rules=rules: kind(*sizes, **rules))
    for kind in (layers.Attention, layers.AdditiveAttention):
        name = kind.__name__
        case(name, kind, (4, 4))
        case(f"{name}, key", kind, (4, 3, 4))
        case(f"{name}, scale", lambda kind=kind: kind(use_scale=kind is layers.Attention), (4, 3, 4))
        case(f"{name}, causal", kind, (4, 4), use_causal_mask=True)
        case(f"{name}, padding", kind, (4, 4), [q, k])
        case(f"{name}, scores", kind, (4, 4), return_attention_scores=True)
    case("Attention, concat", lambda: layers.Attention(score_mode="concat"), (4, 4))
    case("Attention, concat, scale", lambda: layers.Attention(score_mode="concat", use_scale=True), (4, 3, 4))
    concat = lambda: layers.Attention(score_mode="concat")
    case("Attention, concat, padding", concat, (4, 4), [q, k])
    case("Attention, concat, causal", concat, (4, 4), use_causal_mask=True)
    case("Attention, concat, scores", concat, (4, 4), return_attention_scores=True)
    plain = lambda: layers.AdditiveAttention(use_scale=False)
    case("AdditiveAttention, no scale, padding", plain, (4, 4), [q, k])
    case("AdditiveAttention, no scale, causal", plain, (4, 4), use_causal_mask=True)
    case("Encoder, post-norm", lambda: Block(7, 2))
    case("Encoder, pre-norm", lambda: Block(7, 2, normalize_first=True, activation="gelu"))
    case("Encoder, padding", lambda: Block(7, 4, layer_norm_epsilon=1e-3), (4,), [q])
    case("Decoder, alone", lambda: Block(7, 2, True))
    case("Decoder, pre-norm", lambda: Block(7, 2, True, normalize_first=True))
    case("Decoder, cross", lambda: Block(7, 2, True, True), (4, 3))
    case("Decoder, cross, pre-norm", lambda: Block(7, 2, True, True, normalize_first=True), (4, 3))
    case("Decoder, cross, padding", lambda: Block(7, 2, True, True), (4, 3), [q, k])
    case("Positions", lambda: Positions(7))
    case("Sines", Sines)
    case("Rotary", Rotary)
    return out


def shapes(widths):
    steps = [QUERIES, KEYS, KEYS]
    return [(BATCH, steps[i], width) for i, width in enumerate(widths)]


def call(layer, inputs, masks, more):
    """What the layer is called with, for Keras' three ways to take masks."""
    masks = masks or [None] * len(inputs)
    more = dict(more)
    if isinstance(layer, layers.Attention):
        given = {"mask": masks[:2]} if any(m is not None for m in masks) else {}
        return [list(inputs)], {**given, **more}
    if isinstance(layer, (Positions, Sines, Rotary)):
        return list(inputs), {}
    named = {f"{name}_mask": m for name, m in zip(["query", "value", "key"], masks) if m is not None}
    inputs = list(inputs)
    if isinstance(layer, (MHA, GQA)) and len(inputs) == 1:
        inputs = inputs * 2
        if "query_mask" in named:
            named["value_mask"] = named["query_mask"]
    return inputs, {**named, **more}


def attend(query, key, value, *, mask=None, scale, is_causal=False, **_):
    """What Keras has jax do, whose softmax is one of float32 whatever it is given."""
    scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) * scale
    if is_causal:
        mask = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    if mask is not None:
        scores = jnp.where(mask, scores, np.finfo(np.float32).min)
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), value)


@contextlib.contextmanager
def in_float64():
    """Layers that are made here compute in float64. Keras' rule for it is float32 unless its backend is TensorFlow."""
    keras.config.set_floatx("float64")
    rule = mock.patch.dict(keras.src.backend.common.dtypes.BIT64_TO_BIT32_DTYPE, {"float64": "float64"})
    attention = mock.patch.object(keras.src.ops, "dot_product_attention", attend)
    with jax.enable_x64(True), rule, attention:
        yield
    keras.config.set_floatx("float32")


def serialized(layer, more):
    own = layer.serialized() if hasattr(layer, "serialized") else keras.saving.serialize_keras_object(layer)
    if "attention_mask" in more:
        more = {**more, "attention_mask": "keep"}
    # A reader's layer is one of float32.
    own = json.loads(json.dumps(own).replace('"float64"', '"float32"'))
    return {**own, "config": {**own["config"], **more}}


@in_float64()
def record(name, make, widths, masks, more):
    layer = make()
    inputs = Inputs(61)
    xs = [np.float64(inputs.normal(*shape)) for shape in shapes(widths)]
    args, named = call(layer, xs, masks, more)
    layer(*args, **named)
    weights = [inputs.normal(*w.shape, scale=0.5) for w in layer.get_weights()]
    layer.set_weights(weights)
    values = [v.value for v in layer.trainable_variables]
    fixed = [v.value for v in layer.non_trainable_variables]
    rows = 1.0
    if masks and masks[0] is not None:
        rows = f32(masks[0])[:, :, None]

    def forward(trainable, xs):
        args, named = call(layer, xs, masks, more)
        y = layer.stateless_call(trainable, fixed, *args, **named)[0]
        return list(y) if isinstance(y, (list, tuple)) else [y]

    outputs = forward(values, xs)
    outputs[0] = outputs[0] * rows
    upstream = f32(Inputs(62).normal(*outputs[0].shape) * rows)

    def total(trainable, xs):
        return (forward(trainable, xs)[0] * upstream).sum()

    of_weights, of_xs = jax.grad(total, argnums=(0, 1))(values, xs)
    entry = {
        "name": name,
        "layer": serialized(layer, more),
        "inputs": [array(x) for x in xs],
        "weights": [array(w) for w in weights],
        "outputs": [array(y) for y in outputs],
        "upstream": array(upstream),
        "input_grads": [array(g) for g in of_xs],
        "weight_grads": [array(g) for g in of_weights],
        "masks": [None if m is None else array(f32(m)) for m in masks or [None] * len(xs)],
    }
    if "attention_mask" in more:
        entry["pairs"] = array(f32(more["attention_mask"]))
    return entry


TABLES = [("tied", {}), ("untied", {"tie_weights": False}), ("bounded", {"logit_soft_cap": 1.5})]


def tied(name, settings):
    """A table that embeds ids and scores them."""
    layer = layers.ReversibleEmbedding(7, 4, **settings)
    inputs = Inputs(63)
    ids = inputs.state.randint(0, 7, size=(3, 5))
    layer.build()
    tables = [inputs.normal(*w.shape) for w in layer.get_weights()]
    layer.set_weights(tables)
    upstream = inputs.normal(3, 5, 7)

    def forward(tables):
        x = layer.stateless_call(tables, [], ids)[0]
        return layer.stateless_call(tables, [], jnp.tanh(x), reverse=True)[0]

    grads = jax.grad(lambda tables: (forward(tables) * upstream).sum())(tables)
    return {
        "name": name,
        "layer": keras.saving.serialize_keras_object(layer),
        "ids": {"shape": list(ids.shape), "data": ids.reshape(-1).tolist()},
        "weights": [array(table) for table in tables],
        "upstream": array(upstream),
        "y": array(forward(tables)),
        "weight_grads": [array(grad) for grad in grads],
    }


def data():
    inputs = Inputs(64)
    x = inputs.normal(48, QUERIES, WIDTH)
    y = f32(np.round(np.tanh(x[:, 0, :2] - x[:, 3, 2:]) + inputs.normal(48, 2, scale=0.3), 4))
    return inputs, x, y


def losses_of(model, parts, inputs, loss, x, y, mask=None):
    """The weights of the parts, drawn, and the loss of each of 20 steps of Adam on one batch after the other. Keras' attention
    loses its mask on the way to the loss, so the mask is given as weights whose mean is 1."""
    weights = []
    for part in parts:
        own = [inputs.normal(*w.shape, scale=0.4) for w in part.get_weights()]
        part.set_weights(own)
        weights += own
    model.compile(optimizer=keras.optimizers.Adam(0.02), loss=loss)
    losses = []
    for step in range(20):
        rows = slice(16 * (step % 3), 16 * (step % 3) + 16)
        model.reset_metrics()
        weight = None if mask is None else f32(mask[rows] / mask[rows].mean())
        losses.append(f32(model.train_on_batch(x[rows], y[rows], sample_weight=weight)))
    return {"weights": [array(w) for w in weights], "losses": short(losses)}


def train(name, make, widths, masks, more):
    """A dense layer gives the outputs, of the whole or, with a mask, of each step. All inputs of the layer are the same
    sequence, and its output is added to it if it is as wide; a mask of pairs is where their product is positive."""
    inputs, x, y = data()
    ids, steps = words()
    layer, head, parts = make(), layers.Dense(2), []
    mask = None
    if masks:
        given = layers.Input((QUERIES,), dtype="int32")
        parts.append(layers.Embedding(VOCABULARY, WIDTH, mask_zero=True))
        h = parts[0](given)
        mask = keras.ops.not_equal(given, 0)
    else:
        h = given = layers.Input((QUERIES, WIDTH))
    if "attention_mask" in more:
        more = {**more, "attention_mask": keras.ops.matmul(h, keras.ops.transpose(h, (0, 2, 1))) > 0}
    args, named = call(layer, [h] * len(widths), [mask] * len(widths) if masks else None, more)
    own = layer(*args, **named)
    own = own[0] if isinstance(own, (list, tuple)) else own
    if own.shape == h.shape:
        own = h + own if masks else layers.Add()([h, own])
    model = keras.Model(given, head(own if masks else layers.Flatten()(own)))
    entry = {"name": name, "layer": serialized(layer, more), "inputs": len(widths), "pairs": "attention_mask" in more}
    entry |= {"x": "ids", "y": "steps"} if masks else {"x": "x", "y": "y"}
    read = (ids, steps, ids != 0) if masks else (x, y)
    return entry | losses_of(model, [*parts, layer, head], inputs, "mse", *read)


def next_words():
    """The ids, and the word after each."""
    ids = Inputs(65).state.randint(0, VOCABULARY, size=(48, QUERIES)).astype("int32")
    return ids, ((ids * 3 + 1) % VOCABULARY).astype("int32")


def language(name, settings):
    """A block between the two uses of a table."""
    ids, labels = next_words()
    table, block = layers.ReversibleEmbedding(VOCABULARY, WIDTH, **settings), Block(7, 2, True)
    given = layers.Input((QUERIES,), dtype="int32")
    model = keras.Model(given, table(block(table(given)), reverse=True))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    entry = {"name": name, "layer": keras.saving.serialize_keras_object(table)}
    return entry | losses_of(model, [table, block], Inputs(66), loss, ids, labels)


def main():
    _, x, y = data()
    ids, steps = words()
    whole = lambda ids: {"shape": list(ids.shape), "data": ids.reshape(-1).tolist()}
    write(
        "attention.json",
        {
            "meta": meta("record_attention.py"),
            "x": array(x),
            "y": array(y),
            "ids": whole(ids),
            "steps": array(steps),
            "words": whole(next_words()[0]),
            "next_words": whole(next_words()[1]),
            "layers": [record(*case) for case in cases()],
            "tied": [tied(*table) for table in TABLES],
            "training": [train(*case) for case in cases()],
            "language": [language(*table) for table in TABLES],
        },
    )


if __name__ == "__main__":
    main()
