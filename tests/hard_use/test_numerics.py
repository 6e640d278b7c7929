"""Half precision, lengths 1 and 8,192, padding, batches, seeds: finite, and equal to float32."""

import keras
import numpy as np
import pytest

from keras_roformer.tasks import cross_entropy, reduce_loss
from tests.hard_use.common import ids, often, outputs, spread
from tests.support import BACKEND, PREFIX, close, make
from tests.tolerances import BFLOAT16, FLOAT16

HALVES = {"float16": FLOAT16, "bfloat16": BFLOAT16}
# What each family calls computing in half precision; Flax's parameters stay float32.
DTYPES = {"torch": {}, "jax": {}, "tensorflow": {"bfloat16": "mixed_bfloat16"}}[BACKEND]


def pair(dtype, factor=1.0, task="ForMaskedLM", **changes):
    """The same model in float32 and in half precision."""
    exact = spread(make(task, **changes), factor)
    half = spread(make(task, dtype=DTYPES.get(dtype, dtype), **changes), factor)
    return exact, half


def compare(exact, half, tolerance, **inputs):
    wanted, found = (outputs(model, **inputs) for model in (exact, half))
    for name, array in wanted.items():
        assert np.isfinite(array).all() and np.isfinite(found[name]).all(), name
        close(found[name], array, tolerance, message=name)


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision(dtype):
    exact, half = pair(dtype)
    tolerance = HALVES[dtype]
    padded = np.array([[1] * 5 + [0] * 2, [0] * 7, [1] * 7])
    compare(exact, half, tolerance, input_ids=ids(3, 7), attention_mask=padded)
    compare(exact, half, tolerance, input_ids=ids(3, 7), attention_mask=np.zeros((3, 7), "i4"))
    compare(exact, half, tolerance, input_ids=ids(2, 1))
    decoders = pair(dtype, task="ForCausalLM", is_decoder=True, use_cache=False)
    compare(*decoders, tolerance, input_ids=ids(3, 7), attention_mask=padded)


def test_length_8192():
    """Tiny layers, all of the length: finite in half precision, exact in float32."""
    small = dict(num_hidden_layers=1, vocab_size=40)
    exact = make("Model", **small)
    long = ids(1, 8192)
    whole = outputs(exact, input_ids=long)["last_hidden_state"]
    assert np.isfinite(whole).all()
    # A mask of the last 100 tokens: they see one another as at the start (relative positions).
    mask = np.zeros((1, 8192), "i4")
    mask[:, -100:] = 1
    end = outputs(exact, input_ids=long, attention_mask=mask)["last_hidden_state"][:, -100:]
    alone = outputs(exact, input_ids=long[:, -100:])["last_hidden_state"]
    close(end, alone)
    for dtype in often(HALVES, ["bfloat16"]):
        half = make("Model", dtype=DTYPES.get(dtype, dtype), **small)
        found = outputs(half, input_ids=long, attention_mask=mask)["last_hidden_state"][:, -100:]
        close(found, alone, HALVES[dtype])


@pytest.mark.parametrize("dtype", [None, *HALVES])
def test_very_large_logits(dtype):
    """Weights 1,000 times too large: scores of 10^4 and more; the softmax must not overflow."""
    # Without a projection of the embeddings, whose own result float16 cannot hold.
    model = make("Model", dtype=DTYPES.get(dtype, dtype), embedding_size=None)
    model = spread(model, 1000.0)
    mask = np.array([[1] * 5 + [0] * 2, [0] * 7])
    found = outputs(model, input_ids=ids(2, 7), attention_mask=mask, output_attentions=True)
    assert np.isfinite(found["last_hidden_state"]).all()


def test_losses_at_the_edges():
    """Logits of ±10^4, all labels ignored: a finite loss, 0 where nothing counts."""
    logits = np.array([[[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]]])
    for dtype in ("float32", "float16", "bfloat16"):
        given = keras.ops.cast(logits, dtype)
        for labels, wanted in (([[0, 1]], np.log(2) / 2), ([[-100, -100]], 0.0), ([[1, 0]], 2e4)):
            loss = reduce_loss([cross_entropy(given, keras.ops.convert_to_tensor(labels))])
            close(keras.ops.convert_to_numpy(loss), wanted, BFLOAT16)
    if PREFIX == "Flax":
        return  # the documented classes take no labels
    for task, shape in (("ForMaskedLM", (2, 6)), ("ForTokenClassification", (2, 6))):
        labels = np.full(shape, -100)
        loss = outputs(make(task), input_ids=ids(2, 6), labels=labels)["loss"]
        np.testing.assert_array_equal(loss, np.zeros_like(loss))


@pytest.mark.parametrize("task", ["ForMaskedLM", "ForCausalLM"])
def test_padding_and_batch_change_nothing(task):
    model = make(task, is_decoder=task == "ForCausalLM", use_cache=False)
    rows = [ids(1, length, seed=length) for length in (1, 5, 9)]
    batch, mask = np.zeros((3, 16), "int64"), np.zeros((3, 16), "int64")
    for i, row in enumerate(rows):
        batch[i, : row.shape[1]], mask[i, : row.shape[1]] = row, 1
    together = outputs(model, input_ids=batch, attention_mask=mask)["logits"]
    other = np.where(mask == 1, batch, ids(3, 16, seed=1))  # what stands in the padding
    changed = outputs(model, input_ids=other, attention_mask=mask)["logits"]
    for i, row in enumerate(rows):
        alone = outputs(model, input_ids=row)["logits"][0]
        close(together[i, : len(alone)], alone)
        close(changed[i, : len(alone)], alone)


def test_same_seed_same_result():
    """Weights, dropout and outputs: equal bits with one seed, others with another."""
    first, again, other = (make("ForMaskedLM", seed=seed) for seed in (3, 3, 4))
    states = [model._canonical() for model in (first, again, other)]
    name = "roformer.embeddings.word_embeddings.weight"
    assert all(np.array_equal(states[0][n], states[1][n]) for n in states[0])
    assert not np.array_equal(states[0][name], states[2][name])

    plain = outputs(first, input_ids=ids(2, 6))["logits"]

    def dropped(model):
        keras.utils.set_random_seed(3)
        x = ids(2, 6)
        if BACKEND == "jax":
            import jax

            key = jax.random.PRNGKey(3)
            return np.asarray(model(x, dropout_rng=key, train=True).logits)
        if BACKEND == "tensorflow":
            return model(x, training=True).logits.numpy()
        import torch

        with torch.no_grad():
            return model.train()(torch.as_tensor(x)).logits.numpy()

    random = dropped(first)
    np.testing.assert_array_equal(dropped(again), random)
    assert np.abs(random - plain).max() > 1e-4
