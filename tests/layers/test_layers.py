"""The Keras layers against plain NumPy, and their algebra, on the running backend."""

import inspect
import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_roformer.layers import (
    RoFormer,
    RoFormerAttention,
    RoFormerClassificationHead,
    RoFormerEncoder,
    RoFormerEncoderLayer,
    RoFormerLMHead,
    RoFormerSummaryHead,
    RoFormerTokenHead,
    RotaryEmbedding,
    apply_rotary,
    rotary_angles,
    rotary_frequencies,
)
from keras_roformer.layers.activations import get_activation
from keras_roformer.layers.spec import EncoderSpec
from tests.support import close
from tests.tolerances import BFLOAT16, FLOAT32, FLOAT32_GRADIENT

TINY = dict(num_layers=2, hidden_size=16, num_heads=2, intermediate_size=24)


def gradients(loss, values):
    """The gradients of a function of a list of arrays, compiled where the backend does that."""
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        return list(map(numpy, jax.jit(jax.grad(loss))(values)))
    tensors = [ops.convert_to_tensor(value) for value in values]
    if backend == "torch":
        import torch

        torch.manual_seed(0)
        tensors = [tensor.requires_grad_() for tensor in tensors]
        return list(map(numpy, torch.autograd.grad(loss(tensors), tensors)))
    import tensorflow as tf

    @tf.function
    def gradient(tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = loss(tensors)
        return tape.gradient(value, tensors)

    return list(map(numpy, gradient(tensors)))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def randomise(layer, seed=0):
    """Random weights, so that no bias is 0 and no scale 1."""
    rng = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(0, 0.3, variable.shape))
    return layer


def angles(positions, head_size):
    return rotary_angles(np.asarray(positions), rotary_frequencies(head_size))


def exact_rotation(x, positions):
    """Rotation of (B, L, N, H) by complex numbers in float64."""
    size = x.shape[-1]
    frequency = 10000.0 ** (-2 * np.arange(size // 2) / size)
    turn = np.exp(1j * np.asarray(positions, "float64")[:, None] * frequency)[:, None, :]
    turned = (x[..., ::2] + 1j * x[..., 1::2]) * turn
    return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)


class TestRotary:
    @pytest.mark.parametrize("start", [0, 1000, 8000, 60000])
    def test_equals_complex_rotation_at_any_position(self, start):
        x = normal(2, 5, 3, 8)
        positions = np.arange(start, start + 5)
        rotated = numpy(RotaryEmbedding()(x, offset=start))
        close(rotated, exact_rotation(x, positions))

    def test_product_depends_on_distance_only(self):
        q, k = normal(1, 1, 1, 16, seed=1), normal(1, 1, 1, 16, seed=2)

        def product(i, j):
            turned = [
                numpy(
                    apply_rotary(
                        ops.convert_to_tensor(x),
                        rotary_angles(np.array([p]), rotary_frequencies(16)),
                    )
                )
                for x, p in ((q, i), (k, j))
            ]
            return np.sum(turned[0] * turned[1])

        close(product(7, 3), product(1007, 1003))
        assert abs(product(7, 3) - product(7, 5)) > 1e-3

    def test_keeps_length_and_inverts(self):
        x = normal(2, 6, 2, 8)
        positions = np.arange(6)
        rotated = apply_rotary(
            ops.convert_to_tensor(x), rotary_angles(positions, rotary_frequencies(8))
        )
        close(np.linalg.norm(numpy(rotated), axis=-1), np.linalg.norm(x, axis=-1))
        back = apply_rotary(rotated, angles(-positions, 8))
        close(numpy(back), x)

    def test_positions_per_example(self):
        x = normal(2, 3, 1, 4)
        positions = np.array([[0, 1, 2], [5, 3, 9]])
        rotated = numpy(RotaryEmbedding()(x, positions=positions))
        for row in range(2):
            alone = exact_rotation(x[row : row + 1], positions[row])
            close(rotated[row : row + 1], alone)

    def test_odd_head_size_is_an_error(self):
        with pytest.raises(ValueError, match="must be even.*got 7"):
            RotaryEmbedding()(normal(1, 2, 1, 7))


def numpy_attention(layer, x, mask=None, context=None):
    """Softmax attention of a `RoFormerAttention` in float64."""

    def project(dense, y):
        y = y @ numpy(dense.kernel).astype("float64") + numpy(dense.bias)
        return y.reshape(*y.shape[:2], layer.num_heads, layer.head_size)

    source = x if context is None else context
    q, k, v = project(layer.query, x), project(layer.key, source), project(layer.value, source)
    if context is None:
        q, k = (exact_rotation(y, np.arange(y.shape[1])) for y in (q, k))
        v = exact_rotation(v, np.arange(v.shape[1])) if layer.rotary_value else v
    scores = np.einsum("blnh,bsnh->bnls", q, k) / np.sqrt(layer.head_size)
    if mask is not None:
        scores = np.where(mask[:, None, None, :], scores, -np.inf)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    y = np.einsum("bnls,bsnh->blnh", scores, v).reshape(*x.shape[:2], -1)
    return y @ numpy(layer.output_dense.kernel) + numpy(layer.output_dense.bias), scores


@pytest.mark.quick
class TestAttention:
    @pytest.mark.parametrize("rotary_value", [False, True])
    @pytest.mark.parametrize("with_scores", [False, True])
    def test_equals_numpy(self, rotary_value, with_scores):
        layer = RoFormerAttention(2, 8, rotary_value=rotary_value)
        x = normal(2, 5, 16)
        mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], bool)
        layer.build((None, None, 16))
        randomise(layer)
        bias = np.where(mask, 0, np.finfo("float32").min)[:, None, None].astype("float32")
        y = layer(
            x,
            bias=bias,
            rotation=angles(np.arange(5), 8),
            return_attention_scores=with_scores,
        )
        wanted, scores = numpy_attention(layer, x, mask)
        if with_scores:
            y, extras = y
            close(numpy(extras["attentions"]), scores)
        close(numpy(y), wanted)

    def test_sizes_are_those_of_the_inputs(self):
        """Queries of one width, a context of another, an output of a third; made again, too."""
        layer = RoFormerAttention(2, 8, hidden_size=24)
        x, context = normal(2, 5, 12), normal(2, 7, 10, seed=1)
        y = layer(x, context=context)
        randomise(layer)
        y = numpy(layer(x, context=context))
        assert y.shape == (2, 5, 24)
        close(y, numpy_attention(layer, x, context=context)[0])
        again = RoFormerAttention.from_config(layer.get_config())
        again.build_from_config(layer.get_build_config())
        again.set_weights(layer.get_weights())
        close(numpy(again(x, context=context)), y)
        assert numpy(RoFormerAttention(2, 8)(normal(2, 5, 12))).shape == (2, 5, 16)

    def test_cross_attention_has_no_rotation(self):
        layer = RoFormerAttention(2, 8)
        layer.build((None, None, 16))
        randomise(layer)
        x, context = normal(2, 3, 16), normal(2, 6, 16, seed=1)
        wanted, _ = numpy_attention(layer, x, context=context)
        close(numpy(layer(x, context=context)), wanted)


def encoder(**kwargs):
    layer = RoFormerEncoder(**{**TINY, **kwargs})
    layer.build()
    return randomise(layer)


class TestEncoder:
    def test_padding_changes_no_real_token(self):
        layer, x = encoder(), normal(2, 7, 16)
        mask = np.array([[1] * 7, [1] * 4 + [0] * 3])
        padded = numpy(layer(x, attention_mask=mask))
        alone = numpy(layer(x[1:, :4]))
        close(padded[1:, :4], alone)
        other = np.where(mask[..., None] == 1, x, 100 * normal(2, 7, 16, seed=5))
        close(numpy(layer(other, attention_mask=mask))[1:, :4], alone)

    def test_2d_mask_equals_its_3d_form(self):
        layer, x = encoder(), normal(2, 5, 16)
        mask = np.array([[1] * 5, [1, 1, 0, 1, 0]])
        close(
            numpy(layer(x, attention_mask=mask)),
            numpy(layer(x, attention_mask=np.repeat(mask[:, None], 5, axis=1))),
        )

    def test_scores_and_head_mask(self):
        layer, x = encoder(), normal(2, 5, 16)
        y, extras = layer(x, return_attention_scores=True, return_hidden_states=True)
        close(numpy(y), numpy(layer(x)))
        assert [tuple(a.shape) for a in extras["attentions"]] == [(2, 2, 5, 5)] * 2
        close(numpy(extras["hidden_states"][-1]), numpy(y))
        same = layer(x, head_mask=np.ones((2, 2), "float32"))
        close(numpy(same), numpy(y))
        _, masked = layer(
            x, head_mask=np.array([0.0, 1.0], "float32"), return_attention_scores=True
        )
        assert np.all(numpy(masked["attentions"][0])[:, 0] == 0)
        assert np.all(numpy(masked["attentions"][0])[:, 1].sum(-1) > 0.99)

    def test_causal_sees_no_future(self):
        layer, x = encoder(causal=True), normal(1, 6, 16)
        changed = x.copy()
        changed[:, 4:] = normal(1, 2, 16, seed=9)
        y, z = numpy(layer(x)), numpy(layer(changed))
        close(y[:, :4], z[:, :4])
        assert np.abs(y[:, 4:] - z[:, 4:]).max() > 1e-2

    @pytest.mark.parametrize("size", [None, 8])
    def test_cache_equals_one_pass(self, size):
        """Token by token, with a growing cache and with one of fixed size."""
        layer, x = encoder(causal=True, rotary_value=True), normal(2, 6, 16)
        wanted = numpy(layer(x))
        if size is None:
            y, extras = layer(x[:, :2], return_cache=True)
            parts, start = [numpy(y)], 2
        else:
            empty = np.zeros((2, size, 2, 8), "float32")
            extras = {"cache": [{"cache": (empty, empty)} for _ in range(2)]}
            parts, start = [], 0
        for i in range(start, 6):
            y, extras = layer(
                x[:, i : i + 1],
                cache=extras["cache"],
                cache_index=None if size is None else i,
                return_cache=True,
            )
            parts.append(numpy(y))
        close(np.concatenate(parts, axis=1), wanted)

    @pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
    @pytest.mark.parametrize("rate", [0.0, 0.4])
    def test_gradient_checkpointing_changes_no_gradient(self, rate, dtype):
        """Nor what is dropped, in this step and in the next."""
        x = normal(2, 5, 16)
        models = []
        for flag in (False, True):
            keras.utils.set_random_seed(0)
            layer = encoder(
                dropout=rate, attention_dropout=rate, gradient_checkpointing=flag, dtype=dtype
            )
            inputs = keras.Input((5, 16))
            model = keras.Model(inputs, layer(inputs))
            before = model.get_weights()
            model.compile(keras.optimizers.SGD(0.1), "mse")
            keras.utils.set_random_seed(1)  # torch drops by its global generator
            model.fit(x, np.zeros_like(x), epochs=2, verbose=0)
            models.append(model)
        moved = [np.abs(a - b).max() for a, b in zip(before, model.get_weights(), strict=True)]
        assert max(moved) > 0.01
        for a, b in zip(*(m.variables for m in models), strict=True):
            close(numpy(a), numpy(b), FLOAT32 if dtype == "float32" else BFLOAT16)

    def test_gradient_checkpointing_with_values_of_an_outer_scope(self):
        """As in a function of the weights: gradients flow to those, not to the variables."""
        layers = []
        for flag in (False, True):
            keras.utils.set_random_seed(0)
            layers.append(encoder(dropout=0.4, gradient_checkpointing=flag))
        x = ops.convert_to_tensor(normal(2, 5, 16))
        values = [numpy(v) for v in layers[0].trainable_variables]
        found = []
        for layer in layers:
            other = [v.value for v in layer.non_trainable_variables]

            def loss(values, layer=layer, other=other):
                y, _ = layer.stateless_call(values, other, x, training=True)
                return keras.ops.sum(keras.ops.square(y))

            found.append(gradients(loss, values))
        assert max(np.abs(g).max() for g in found[0]) > 0.01
        for a, b in zip(*found, strict=True):
            close(a, b, FLOAT32_GRADIENT)

    def test_what_an_encoder_cannot_do(self):
        with pytest.raises(ValueError, match="head size must be even.*got 9"):
            RoFormerEncoder(1, 18, 2, 36)(normal(1, 2, 18))
        with pytest.raises(ValueError, match="add_cross_attention=True"):
            encoder()(normal(2, 3, 16), context=normal(2, 3, 16))

    def test_fully_padded_row_is_finite(self):
        for dtype in ("float32", "bfloat16", "float16", "float64"):
            layer = RoFormerEncoder(**TINY, dtype=dtype)
            mask = np.array([[1, 1, 1], [0, 0, 0]])
            for scores in (False, True):
                y = layer(normal(2, 3, 16), attention_mask=mask, return_attention_scores=scores)
                y = y[0] if scores else y
                assert np.isfinite(numpy(y).astype("float32")).all(), dtype

    @pytest.mark.parametrize("padded", ["attention_mask", "context_mask"])
    def test_fully_padded_row_has_the_gradient_of_its_probabilities(self, padded):
        """On torch, the attention without them works them out again, and wrongly for such a row."""
        layer = encoder(add_cross_attention=True)
        masks = {
            name: np.array([[1, 1, 0], [1, 1, 1]]) for name in ("attention_mask", "context_mask")
        }
        masks[padded][1] = 0
        inputs = [normal(2, 3, 16), normal(2, 3, 16, seed=1)]
        found = []
        for scores in (False, True):

            def loss(tensors, scores=scores):
                x, context = tensors
                y = layer(x, context=context, **masks, return_attention_scores=scores)
                return ops.sum(ops.sin(y[0] if scores else y))

            found.append(gradients(loss, inputs))
        for a, b in zip(*found, strict=True):
            close(a, b, FLOAT32_GRADIENT)


class TestKerasConventions:
    """What Keras's own layers do in functional models, and so do ours."""

    ids = np.array([[3, 1, 4, 1, 5], [2, 7, 0, 0, 0]])

    def test_a_mask_from_an_embedding_is_used_and_handed_on(self, recwarn):
        embedding, layer, head = (
            keras.layers.Embedding(8, 16, mask_zero=True),
            RoFormerEncoder(**TINY),
            RoFormerTokenHead(3, 16),
        )
        inputs = keras.Input((None,), dtype="int32")
        states = layer(embedding(inputs))
        outputs = [head(states), RoFormerClassificationHead(3, 16)(states)]
        model = randomise(keras.Model(inputs, outputs))
        assert not [w for w in recwarn if "does not support masking" in str(w.message)]
        for padded, alone in zip(model(self.ids), model(self.ids[1:, :2]), strict=True):
            padded = padded[1:, :2] if len(padded.shape) == 3 else padded[1:]
            close(numpy(padded), numpy(alone))
        # The loss leaves the padding out, as it does with Keras's layers.
        model = keras.Model(inputs, outputs[0])
        model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        losses = -numpy(ops.log_softmax(model(self.ids)))[..., 1]
        loss = model.evaluate(self.ids, np.ones_like(self.ids), verbose=0)
        close(loss, losses[self.ids > 0].mean())

    def test_masks_of_both_sides_of_cross_attention(self):
        layer = RoFormerEncoder(**TINY, add_cross_attention=True)
        embedding = keras.layers.Embedding(8, 16, mask_zero=True)
        inputs = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
        x, context = map(embedding, inputs)
        model = randomise(keras.Model(inputs, layer(x, context=context)))
        x, context = self.ids, self.ids[::-1]
        wanted = layer(
            numpy(embedding.embeddings)[x],
            attention_mask=x > 0,
            context=numpy(embedding.embeddings)[context],
            context_mask=context > 0,
        )
        close(numpy(model([x, context])), numpy(wanted))

    def test_time_distributed(self):
        """Sentence by sentence, with the mask of each."""
        layer = RoFormerEncoder(**TINY)
        inputs = keras.Input((2, 5), dtype="int32")
        embedding = keras.layers.Embedding(8, 16, mask_zero=True)
        model = randomise(
            keras.Model(inputs, keras.layers.TimeDistributed(layer)(embedding(inputs)))
        )
        ids = np.stack([self.ids, self.ids[::-1]], axis=1)
        got = numpy(model(ids))
        for i in range(2):
            x = numpy(embedding.embeddings)[ids[:, i]]
            wanted = layer(x, attention_mask=ids[:, i] > 0)
            close(got[:, i], numpy(wanted))

    @pytest.mark.parametrize(
        "layer",
        [
            RoFormerAttention(2, 8, hidden_size=24),
            RoFormerEncoderLayer(16, 2, 24),
            RoFormerEncoder(**TINY),
        ],
        ids=lambda layer: type(layer).__name__,
    )
    def test_output_shapes(self, layer):
        x = normal(2, 5, 16)
        assert layer.compute_output_shape(x.shape) == tuple(layer(x).shape)
        y, extras = layer(keras.Input((5, 16)), return_attention_scores=True)
        assert y.shape == layer.compute_output_shape((None, 5, 16))
        assert keras.tree.flatten(extras)[0].shape == (None, 2, 5, 5)

    def test_a_summary_has_the_shapes_of_layers_in_a_model_class(self):
        class Model(keras.Model):
            def __init__(self):
                super().__init__()
                self.roformer = RoFormer(vocab_size=8, **TINY)
                self.encoder = RoFormerEncoder(**TINY)
                self.layer = RoFormerEncoderLayer(16, 2, 24)
                self.head = RoFormerLMHead(8, 16, tied=False)

            def call(self, ids):
                return self.head(self.layer(self.encoder(self.roformer(ids)[0])))

        model, lines = Model(), []
        model(self.ids)
        model.summary(print_fn=lines.append, line_length=120)
        text = "\n".join(lines)
        assert text.count("(2, 5, 16)") == 3 and "(2, 5, 8)" in text

    def test_output_shapes_of_the_model(self):
        layer = RoFormer(vocab_size=8, add_pooler=True, **TINY)
        shapes = layer.compute_output_shape(self.ids.shape)
        assert shapes == ((2, 5, 16), {"pooler_output": (2, 16)})
        layer.build()
        spec = layer.compute_output_spec(keras.KerasTensor((2, 5), "int32"))
        assert keras.tree.map_structure(lambda x: x.shape, spec) == shapes


class TestSpec:
    def test_arguments_by_position_by_name_and_as_a_spec(self):
        sizes = (2, 16, 2, 24, 8, "relu", 0.2, 0.3, True, True, True, True, 1e-6, 0.03)
        names = list(inspect.signature(RoFormerEncoder).parameters)[: len(sizes)]
        spec = EncoderSpec(vocab_size=None, **dict(zip(names, sizes, strict=True)))
        by_position, by_name, by_spec = (
            RoFormerEncoder(*sizes, name="e"),
            RoFormerEncoder(**dict(zip(names, sizes, strict=True)), name="e"),
            RoFormerEncoder(spec=spec, name="e"),
        )
        assert by_position.get_config() == by_name.get_config() == by_spec.get_config()
        assert names[:4] == ["num_layers", "hidden_size", "num_heads", "intermediate_size"]
        config = by_name.get_config()
        assert tuple(config[name] for name in names) == sizes
        assert by_name.blocks[1].get_config()["layer_norm_eps"] == 1e-6

    def test_mistakes_are_named(self):
        with pytest.raises(TypeError, match="RoFormerEncoder.*intermediate_size"):
            RoFormerEncoder(2, 16, 2)
        with pytest.raises(TypeError, match="multiple values.*num_layers"):
            RoFormerEncoder(2, 16, 2, 24, num_layers=3)
        with pytest.raises((TypeError, ValueError), match="vocab_size"):
            RoFormerEncoder(2, 16, 2, 24, vocab_size=3)


class TestActivations:
    x = np.linspace(-3, 3, 13).astype("float32")

    def test_gelus(self):
        exact = [x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in self.x]
        close(numpy(get_activation("gelu")(self.x)), exact)
        tanh = (
            0.5 * self.x * (1 + np.tanh(math.sqrt(2 / math.pi) * (self.x + 0.044715 * self.x**3)))
        )
        close(numpy(get_activation("gelu_new")(self.x)), tanh)

    def test_names_of_transformers(self):
        """The functions behind the names that only transformers has."""
        gelu, tanh = (numpy(get_activation(name)(self.x)) for name in ("gelu", "gelu_new"))
        sigma = 0.282095
        laplace = [0.5 * (1 + math.erf((x - 0.707107) / (sigma * math.sqrt(2)))) for x in self.x]
        expected = dict(
            gelu_python=gelu,
            gelu_10=np.clip(gelu, -10, 10),
            gelu_fast=tanh,
            gelu_accurate=tanh,
            gelu_python_tanh=tanh,
            laplace=laplace,
            relu2=np.maximum(self.x, 0) ** 2,
        )
        for name, values in expected.items():
            close(numpy(get_activation(name)(self.x)), values)

    def test_leaky_relu_is_the_reference_s(self):
        """torch's slope, 0.01; Keras's own is 0.2."""
        expected = np.where(self.x < 0, 0.01 * self.x, self.x)
        close(numpy(get_activation("leaky_relu")(self.x)), expected)

    def test_registered_functions_by_name(self):
        @keras.saving.register_keras_serializable(package="tests")
        def cube(x):
            return x**3

        np.testing.assert_array_equal(get_activation("tests>cube")(self.x), self.x**3)
        assert get_activation(cube) is cube

    def test_functions_come_back_from_files(self, tmp_path):
        def wave(x):
            return x * ops.tanh(x)

        inputs = keras.Input((None, 16))
        states = RoFormerEncoder(**TINY, hidden_act=wave)(inputs)
        head = RoFormerSummaryHead(16, activation=keras.activations.silu)
        model = randomise(keras.Model(inputs, head(states)))
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras", custom_objects={"wave": wave})
        x = normal(2, 5, 16)
        close(numpy(again(x)), numpy(model(x)))

    def test_unknown_name_is_an_error(self):
        with pytest.raises(ValueError, match="hidden_act is 'gulu', which is no known activation"):
            get_activation("gulu")


@pytest.mark.quick
class TestModel:
    def model(self, **kwargs):
        layer = RoFormer(vocab_size=30, embedding_size=12, **TINY, **kwargs)
        layer.build()
        return randomise(layer)

    def test_keras_file_round_trip(self, tmp_path):
        layer = self.model(rotary_value=True)
        inputs = keras.Input((None,), dtype="int32")
        states, _ = layer(inputs)
        model = keras.Model(inputs, states)
        ids = np.random.default_rng(0).integers(1, 30, (2, 7))
        wanted = numpy(layer(ids)[0])
        close(numpy(model(ids)), wanted)
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
        close(numpy(again(ids)), wanted)

    def test_neither_and_both_inputs_are_errors(self):
        layer = self.model()
        with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
            layer(attention_mask=np.ones((1, 2)))
        with pytest.raises(ValueError, match="got both"):
            layer(np.zeros((1, 2), "int32"), inputs_embeds=normal(1, 2, 12))

    def test_context_without_cross_attention_is_an_error(self):
        with pytest.raises(ValueError, match="add_cross_attention=True"):
            self.model()(np.zeros((1, 2), "int32"), context=normal(1, 2, 16))

    def test_bfloat16_policy_is_close_to_float32(self):
        ids = np.random.default_rng(0).integers(1, 30, (2, 7))
        exact = self.model()
        rough = RoFormer(vocab_size=30, embedding_size=12, **TINY, dtype="mixed_bfloat16")
        rough.build()
        for a, b in zip(rough.trainable_variables, exact.trainable_variables, strict=True):
            a.assign(numpy(b))
        y = rough(ids)[0]
        assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
        error = np.abs(numpy(y).astype("float32") - numpy(exact(ids)[0]))
        assert error.max() < 0.2 and error.mean() < 0.02
