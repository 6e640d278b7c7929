"""The fast ways of `layers/kernels` against plain ones; see test_layers.py for the rest."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_roformer.layers import kernels
from keras_roformer.layers.kernels import plain
from tests.support import close
from tests.tolerances import BFLOAT16, FLOAT32, LONG_SUM

BACKEND = keras.config.backend()


def random(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def attention(query, key, value, bias):
    """Softmax attention in NumPy, float64; all (B, …, N, H)."""
    scores = np.einsum("blnh,bsnh->bnls", query, key, dtype="float64") / query.shape[-1] ** 0.5
    scores = scores + (0 if bias is None else bias)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("bnls,bsnh->blnh", scores / scores.sum(-1, keepdims=True), value)


@pytest.fixture
def block_calls(monkeypatch):
    """A list that grows with every call of `_attention_in_blocks`."""
    calls = []
    in_blocks = plain._attention_in_blocks
    monkeypatch.setattr(
        plain, "_attention_in_blocks", lambda *args: calls.append(1) or in_blocks(*args)
    )
    return calls


@pytest.mark.parametrize(
    "bias",
    [None, (1, 1, 1, 131), (2, 1, 1, 131), (1, 3, 130, 1), (1, 1, 130, 131), (2, 3, 130, 131)],
)
@pytest.mark.parametrize("block", [512, 32])
def test_attention_in_blocks(bias, block, monkeypatch, block_calls):
    monkeypatch.setattr(plain, "BLOCK", block)
    query, key, value = random(2, 130, 3, 4), random(2, 131, 3, 4), random(2, 131, 3, 4) + 1
    bias = None if bias is None else np.where(random(*bias) > 0, 0, -1e30).astype("float32")
    given = None if bias is None else ops.convert_to_tensor(bias)
    tensors = map(ops.convert_to_tensor, (query, key, value))
    got = plain.fused_attention(*tensors, given, many_scores=1)
    assert block_calls
    close(ops.convert_to_numpy(got), attention(query, key, value, bias))


@pytest.mark.parametrize("size", [64, 1024])  # below and above where torch takes oneDNN
@pytest.mark.parametrize("trained", [False, True])
def test_dense(size, trained):
    layer = keras.layers.Dense(size, bias_initializer="normal")
    x = ops.convert_to_tensor(random(2, 5, size))
    expected = layer(x)
    if BACKEND == "torch" and not trained:
        import torch

        from keras_roformer.layers.kernels import torch_kernels

        with torch.no_grad():
            got = kernels.dense(layer, x)
            assert torch_kernels.onednn_is_faster(x, layer.kernel.value) == (
                size == 1024 and torch.backends.mkldnn.is_available()
            )
    else:
        got = kernels.dense(layer, x)
    close(*map(ops.convert_to_numpy, (got, expected)))


@pytest.mark.skipif(BACKEND != "torch", reason="only torch has two products")
@pytest.mark.parametrize("avx512", [False, True])
def test_the_product_is_chosen_by_processor(avx512, monkeypatch):
    import torch

    from keras_roformer.layers.kernels import torch_kernels

    monkeypatch.setattr(torch_kernels, "HAS_AVX512", avx512)
    weight, bias = random(1024, 1024), random(1024)
    for rows in (3, 50):
        x = random(rows, 1024)
        tensors = [torch.from_numpy(array) for array in (x, weight, bias)]
        with torch.no_grad():
            got = torch_kernels.linear(*tensors)
        expected = x.astype("float64") @ weight.T + bias
        close(got.numpy(), expected, LONG_SUM)
        assert torch_kernels.onednn_is_faster(*tensors[:2]) == (
            (avx512 or rows == 3) and torch.backends.mkldnn.is_available()
        )


def test_tensorflow_attends_in_blocks_in_graphs(monkeypatch, block_calls):
    if BACKEND != "tensorflow":
        pytest.skip("TensorFlow's two ways of running")
    import tensorflow as tf

    monkeypatch.setattr(plain, "MANY_SCORES", 1)
    tensors = [tf.constant(random(2, 128, 3, 4)) for _ in range(3)]
    eager = kernels.fused_attention(*tensors)
    assert not block_calls
    close(tf.function(kernels.fused_attention)(*tensors), eager)
    assert block_calls


@pytest.mark.parametrize("size", [64, 1024])
def test_products_with_all_embeddings(size):
    layer = keras.layers.ReversibleEmbedding(1100, size, embeddings_initializer="normal")
    layer.build()
    x = random(2, 5, size)
    got = kernels.embedding(layer, ops.convert_to_tensor(x), reverse=True)
    expected = x @ ops.convert_to_numpy(layer.embeddings).T
    close(ops.convert_to_numpy(got), expected)


@pytest.mark.skipif(BACKEND != "torch", reason="torch's autocast, transforms and gradients")
def test_dense_leaves_the_transforms_of_torch_alone():
    import torch

    layer = keras.layers.Dense(1024)
    x = torch.as_tensor(random(2, 5, 1024))
    layer(x)
    kernel = layer.kernel.value.detach()
    call = lambda x: kernels.dense(layer, x)  # noqa: E731
    with torch.no_grad():
        expected = call(x)
        torch.testing.assert_close(torch.func.vmap(call)(x), expected)
        _, moved = torch.func.jvp(call, (x,), (x,))
        torch.testing.assert_close(moved, x @ kernel)
        with torch.autocast("cpu", torch.bfloat16):
            assert call(x).dtype == torch.bfloat16
    assert call(x).requires_grad
    pulled = torch.func.grad(lambda x: call(x).sum())(x)
    torch.testing.assert_close(pulled, kernel.sum(1).expand_as(x))


@pytest.mark.skipif(BACKEND != "torch", reason="a product with gradients of its own")
def test_gradients_of_the_product():
    import torch

    layer = keras.layers.Dense(1024)
    x = torch.as_tensor(random(2, 5, 1024)).requires_grad_()
    layer(x)
    kernel, bias = layer.kernel.value, layer.bias.value

    def gradients(call):
        y = call(x).square().sum()
        first = torch.autograd.grad(y, (x, kernel, bias), create_graph=True)
        return *first, torch.autograd.grad(first[0].square().sum(), kernel)[0]

    expected = gradients(lambda x: x @ kernel + bias)
    for got, wanted in zip(gradients(lambda x: kernels.dense(layer, x)), expected, strict=True):
        torch.testing.assert_close(got, wanted, **LONG_SUM)
    (first,) = torch.autograd.grad(kernels.dense(layer, x).square().sum(), x)
    torch.testing.assert_close(first, expected[0], **LONG_SUM)


@pytest.mark.skipif(BACKEND != "torch", reason="only torch rotates complex numbers")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_rotation_is_the_same_in_both_forms(dtype, monkeypatch):
    import torch

    from keras_roformer.layers.kernels import torch_kernels

    x = torch.as_tensor(random(2, 5, 3, 8)).to(getattr(torch, dtype))
    angles = torch.as_tensor(random(5, 4))
    as_complex = kernels.rotate(x, kernels.make_rotation(angles.sin(), angles.cos()))
    monkeypatch.setattr(torch_kernels, "is_eager", lambda: False)
    as_pairs = kernels.rotate(x, kernels.make_rotation(angles.sin(), angles.cos()))
    assert as_complex.dtype == as_pairs.dtype == x.dtype
    tolerance = BFLOAT16 if dtype == "bfloat16" else FLOAT32
    torch.testing.assert_close(as_complex, as_pairs, **tolerance)


@pytest.mark.skipif(BACKEND != "torch", reason="torch's attention and its tracers")
def test_rows_without_keys_are_told_where_values_can_be_seen():
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    shown, padded = torch.zeros(2, 1, 1, 3), torch.zeros(2, 1, 1, 3)
    shown[0, ..., 1] = padded[1] = -1e30
    fails = kernels.gradient_needs_probabilities
    assert fails((shown, padded), False) and not fails((shown, None), True)
    with torch.no_grad():
        assert not fails((padded,), True)
    answers = []

    def traced(bias):  # in evaluation, then in training
        answers.extend(fails((bias,), training) for training in (False, True))
        return bias + 1

    make_fx(traced)(padded)
    torch.jit.trace(traced, (padded,), check_trace=False)
    assert answers == [False, True, False, True]
