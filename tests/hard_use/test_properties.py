"""Properties that hold for any input (hypothesis): rotary algebra, padding, names, config JSON."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_roformer.config import RoFormerConfig
from keras_roformer.layers import RotaryEmbedding, apply_rotary, rotary_angles, rotary_frequencies
from keras_roformer.layers.block import causal_bias, padding_bias
from keras_roformer.weights import layouts, names
from tests.hard_use.common import ids, often, outputs
from tests.support import TASKS, close, make

SETTINGS = settings(max_examples=often(300, 25), deadline=None, derandomize=True)
POSITIONS = st.integers(0, 30_000)
SIZE = 8  # one head size: every other would be compiled anew


def vector(seed, length=1):
    return np.random.default_rng(seed).normal(size=(1, length, 1, SIZE)).astype("float32")


def turned(x, positions):
    rotation = rotary_angles(np.asarray(positions), rotary_frequencies(SIZE))
    return ops.convert_to_numpy(apply_rotary(ops.convert_to_tensor(x), rotation))


@SETTINGS
@given(POSITIONS, POSITIONS, st.integers(0, 30_000), st.integers(0, 2**32 - 1))
def test_product_depends_on_the_distance_only(i, j, shift, seed):
    q, k = vector(seed), vector(seed + 1)
    near = np.sum(turned(q, [i]) * turned(k, [j]))
    far = np.sum(turned(q, [i + shift]) * turned(k, [j + shift]))
    close(near, far)


@SETTINGS
@given(POSITIONS, st.integers(0, 2**32 - 1))
def test_length_and_inverse(i, seed):
    x = vector(seed)
    y = turned(x, [i])
    close(np.linalg.norm(y), np.linalg.norm(x))
    close(turned(y, [-i]), x)


@SETTINGS
@given(POSITIONS, POSITIONS, st.integers(0, 2**32 - 1))
def test_turns_add_up(i, j, seed):
    x = vector(seed)
    close(turned(turned(x, [i]), [j]), turned(x, [i + j]))


@SETTINGS
@given(st.integers(0, 5000), st.integers(0, 2**32 - 1))
def test_offset_of_a_cache_counts_on(offset, seed):
    x = vector(seed, length=4)
    counted = ops.convert_to_numpy(RotaryEmbedding()(x, offset=offset))
    close(counted, turned(x, np.arange(offset, offset + 4)))


@SETTINGS
@given(st.lists(st.booleans(), min_size=6, max_size=6), st.integers(0, 5))
def test_a_bias_hides_what_the_mask_says(mask, offset):
    row = np.array([mask], "int32")
    bias = ops.convert_to_numpy(padding_bias(ops.convert_to_tensor(row), "float32"))
    assert ((bias[0, 0, 0] == 0) == np.array(mask)).all() and np.isfinite(bias).all()
    causal = ops.convert_to_numpy(causal_bias(6 - offset, 6, offset, "float32"))[0, 0]
    assert ((causal == 0) == np.tril(np.ones((6, 6), bool))[offset:]).all()


@pytest.fixture(scope="module")
def model():
    return make("ForMaskedLM", rotary_value=True)


@settings(SETTINGS, max_examples=often(100, 8))
@given(seed=st.integers(0, 2**32 - 1), lengths=st.lists(st.integers(1, 8), min_size=3, max_size=3))
def test_padding_changes_nothing(model, seed, lengths):
    batch = ids(3, 8, seed=seed)
    mask = np.array([[1] * n + [0] * (8 - n) for n in lengths])
    other = np.where(mask == 1, batch, ids(3, 8, seed=seed + 1))
    logits = [outputs(model, input_ids=x, attention_mask=mask)["logits"] for x in (batch, other)]
    real = mask == 1
    close(logits[0][real], logits[1][real])


SHAPES = st.fixed_dictionaries(
    dict(
        num_hidden_layers=st.integers(1, 3),
        embedding_size=st.sampled_from([8, 16]),
        is_decoder=st.booleans(),
        tie_word_embeddings=st.booleans(),
        summary_use_proj=st.booleans(),
        num_labels=st.integers(1, 5),
    )
)


@settings(SETTINGS, max_examples=often(40, 3))
@given(task=st.sampled_from(TASKS), changes=SHAPES, cross=st.booleans())
def test_every_name_maps_back(task, changes, cross):
    """Saved names, loaded into a model of other weights, give the same weights again."""
    changes = {**changes, "add_cross_attention": cross and changes["is_decoder"]}
    network = make(task, **changes).network
    table = list(names.weights(network))
    assert len({w.name for w in table}) == len(table) == len(network.trainable_variables)
    assert {id(w.variable) for w in table} == {id(v) for v in network.trainable_variables}
    paths = {layouts.flax_path(w.name, w.kind) for w in table}
    assert len(paths) == len(table)


FIELDS = st.dictionaries(
    st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=13, max_size=15),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
        lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(), part, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)


@SETTINGS
@given(
    FIELDS,
    st.integers(1, 64),
    st.integers(1, 32),
    st.floats(0, 1),
    st.lists(st.text(max_size=4), min_size=1, max_size=4, unique=True),
    st.sampled_from(["gelu", "gelu_new", "relu", "silu"]),
)
def test_config_survives_json(fields, heads, pairs, dropout, labels, activation):
    config = RoFormerConfig(
        hidden_size=2 * heads * pairs,
        num_attention_heads=heads,
        hidden_dropout_prob=dropout,
        id2label=dict(enumerate(labels)),
        hidden_act=activation,
        **fields,
    )
    for use_diff in (True, False):
        text = config.to_json_string(use_diff=use_diff)
        again = RoFormerConfig.from_dict(json.loads(text))
        assert again == config and again.to_json_string(use_diff=use_diff) == text
