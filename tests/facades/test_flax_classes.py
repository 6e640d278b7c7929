"""The Flax classes as JAX users use them: transforms, training, dtypes, parameter trees."""

import copy
import inspect
import pickle

import keras
import numpy as np
import pytest

from tests.support import NO_DROPOUT, WIDE, close
from tests.tolerances import BFLOAT16

if keras.config.backend() != "jax":
    pytest.skip("the Flax classes run on JAX", allow_module_level=True)

import jax
import jax.numpy as jnp
import optax

import keras_roformer as kr
from keras_roformer.weights import checkpoint


@pytest.fixture(scope="module")
def model():
    return kr.FlaxRoFormerForSequenceClassification(kr.RoFormerConfig(**WIDE))


@pytest.fixture(scope="module")
def ids():
    return np.random.default_rng(0).integers(1, 50, (8, 7))


def test_params_have_transformers_names(model):
    assert set(model.params) == {"roformer", "classifier"}
    query = model.params["roformer"]["encoder"]["layer"]["0"]["attention"]["self"]["query"]
    assert query["kernel"].shape == (32, 32)
    assert model.params["roformer"]["embeddings"]["word_embeddings"]["embedding"].shape == (50, 12)
    assert set(model.params["classifier"]) == {"dense", "out_proj"}


def test_params_in_the_call_count(model, ids):
    doubled = jax.tree.map(lambda x: 2 * x, model.params)
    assert np.abs(model(ids, params=doubled).logits - model(ids).logits).max() > 1e-3
    fresh = kr.FlaxRoFormerForSequenceClassification(kr.RoFormerConfig(**WIDE), seed=1)
    close(fresh(ids, params=model.params).logits, model(ids).logits)


def test_wrong_params_are_an_error(model, ids):
    with pytest.raises(ValueError, match="missing .*classifier/dense/bias.*unknown.*'x'"):
        model(ids, params={"x": jnp.ones(1)})


def test_vmap_pmap_and_sharding(model, ids):
    wanted = model(ids).logits
    each = jax.vmap(lambda row: model(row[None]).logits[0])(jnp.array(ids))
    close(each, wanted)
    assert len(jax.devices()) == 8  # tests/conftest.py asks for virtual devices
    on_devices = jax.pmap(lambda p, x: model(x, params=p).logits, in_axes=(None, 0))
    close(on_devices(model.params, ids.reshape(8, 1, 7))[:, 0], wanted)
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("batch",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
    logits = model(jax.device_put(ids, sharding)).logits
    assert len(logits.sharding.device_set) == 8
    close(logits, wanted)


def test_optax_training_lowers_the_loss(model, ids):
    labels = np.arange(8) % 3

    def loss(params, key):
        logits = model(ids, params=params, dropout_rng=key, train=True).logits
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    optimizer = optax.adam(1e-2)

    @jax.jit
    def step(params, state, key):
        value, gradient = jax.value_and_grad(loss)(params, key)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, value

    params, state = model.params, optimizer.init(model.params)
    losses = []
    for i in range(15):
        params, state, value = step(params, state, jax.random.PRNGKey(i))
        losses.append(float(value))
    assert losses[-1] < 0.5 * losses[0]


def test_dropout_follows_its_key(model, ids):
    def logits(seed):
        return model(ids, dropout_rng=jax.random.PRNGKey(seed), train=True).logits

    np.testing.assert_array_equal(logits(0), logits(0))
    assert np.abs(logits(0) - logits(1)).max() > 1e-4
    new_style = model(ids, dropout_rng=jax.random.key(0), train=True).logits
    np.testing.assert_array_equal(new_style, logits(0))
    with pytest.raises(ValueError, match="train=True needs dropout_rng"):
        model(ids, train=True)


def test_bfloat16_computes_in_it_and_keeps_float32_params(model, ids):
    rough = kr.FlaxRoFormerForSequenceClassification(kr.RoFormerConfig(**WIDE), dtype=jnp.bfloat16)
    logits = rough(ids, params=model.params).logits
    assert logits.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(rough.params)} == {jnp.dtype("float32")}
    close(logits.astype("float32"), model(ids).logits, BFLOAT16)


def test_parameter_casts(model):
    half = model.to_bf16(model.params)
    assert {leaf.dtype for leaf in jax.tree.leaves(half)} == {jnp.dtype("bfloat16")}
    mask = jax.tree.map(lambda leaf: leaf.ndim > 1, model.params)
    some = model.to_fp16(model.params, mask)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(some)} == {"float16", "float32"}
    back = model.to_fp32(half)
    assert {leaf.dtype for leaf in jax.tree.leaves(back)} == {jnp.dtype("float32")}


def test_without_own_params(tmp_path, model, ids):
    bare = kr.FlaxRoFormerForSequenceClassification(kr.RoFormerConfig(**WIDE), _do_init=False)
    with pytest.raises(AttributeError, match="_do_init=False"):
        _ = bare.params
    close(bare(ids, params=model.params).logits, model(ids).logits)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "flax_model.msgpack").is_file()
    loaded, params = kr.FlaxRoFormerForSequenceClassification.from_pretrained(
        tmp_path, _do_init=False
    )
    np.testing.assert_array_equal(loaded(ids, params=params).logits, model(ids).logits)


def test_as_a_linen_module(model, ids):
    module = model.module
    fresh = module.init({"params": jax.random.PRNGKey(0)}, ids)["params"]
    assert jax.tree.structure(fresh) == jax.tree.structure(model.params)
    variables = {"params": model.params}
    np.testing.assert_array_equal(module.apply(variables, ids).logits, model(ids).logits)
    key = jax.random.PRNGKey(1)
    dropped = module.apply(variables, ids, deterministic=False, rngs={"dropout": key}).logits
    assert np.abs(dropped - model(ids).logits).max() > 1e-4


def test_the_linen_modules_positions(model, ids):
    mask = np.where(np.arange(7) < 5, 1, 0) * np.ones_like(ids)
    types, head_mask = ids % 2, jnp.array([[0, 1, 1, 1], [1, 1, 0, 1]])
    positions = (ids, mask, types, head_mask, True, True, True, False)
    logits, hidden_states, attentions = model.module.apply({"params": model.params}, *positions)
    wanted = model(ids, mask, types, head_mask, output_attentions=True, output_hidden_states=True)
    np.testing.assert_array_equal(logits, wanted.logits)
    assert len(hidden_states) == 3 and len(attentions) == 2
    module = type(model).module_class(model.config, dtype=jnp.bfloat16)
    assert module.apply({"params": model.params}, ids).logits.dtype == jnp.bfloat16


def test_copies_are_models_of_their_own(ids):
    model = kr.FlaxRoFormerForMaskedLM(kr.RoFormerConfig(**WIDE))
    wanted = model(ids).logits
    copies = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    _ = model.module
    copies += (pickle.loads(pickle.dumps(model)),)
    model.resize_token_embeddings(60)
    model.prune_heads({0: [1]})
    assert model(ids + 10).logits.shape[-1] == 60
    for other in copies:
        close(other(ids).logits, wanted)
    again = pickle.loads(pickle.dumps(model))
    close(again(ids).logits, model(ids).logits)


def test_dtypes_of_checkpoints(model, ids, tmp_path):
    """The dtype comes by position too, and parameters are saved in theirs."""
    model.save_pretrained(tmp_path / "single")
    loaded = type(model).from_pretrained(tmp_path / "single", jnp.bfloat16)
    assert loaded.dtype == jnp.bfloat16 and loaded(ids).logits.dtype == jnp.bfloat16
    signature = inspect.signature(type(model).from_pretrained)
    assert list(signature.parameters)[:2] == ["pretrained_model_name_or_path", "dtype"]
    half = model.to_bf16(model.params)
    for safe in (False, True):
        model.save_pretrained(tmp_path / "half", params=half, safe_serialization=safe)
        for tensor in checkpoint.read(tmp_path / "half").values():
            assert tensor.dtype == "bfloat16"
    again = type(model).from_pretrained(tmp_path / "half")
    for a, b in zip(jax.tree.leaves(again.params), jax.tree.leaves(half), strict=True):
        np.testing.assert_array_equal(a, b.astype("float32"))


def test_training_without_dropout_needs_no_key(ids):
    still = kr.FlaxRoFormerForSequenceClassification(kr.RoFormerConfig(**WIDE, **NO_DROPOUT))
    close(still(ids, train=True).logits, still(ids).logits)


def test_lists_of_numbers(model, ids):
    mask = np.where(np.arange(7) < 5, 1, 0) * np.ones_like(ids)
    found = model(ids.tolist(), attention_mask=mask.tolist()).logits
    np.testing.assert_array_equal(found, model(ids, attention_mask=mask).logits)
    with pytest.raises(ValueError, match="input_ids of Flax.* rows have different lengths; pad"):
        model([[1, 2], [3]])


def test_shapes_of_the_parameters(model):
    shapes = model.params_shape_tree
    assert jax.tree.structure(shapes) == jax.tree.structure(model.params)
    for shape, leaf in zip(jax.tree.leaves(shapes), jax.tree.leaves(model.params), strict=True):
        assert (shape.shape, shape.dtype) == (leaf.shape, leaf.dtype)
    assert ("classifier", "out_proj", "bias") in model.required_params
    assert len(model.required_params) == len(jax.tree.leaves(shapes))
    assert model.framework == "flax" and not model.can_generate()


def test_output_is_a_pytree(model, ids):
    output = jax.jit(lambda params: model(ids, params=params, output_attentions=True))(model.params)
    assert type(output).__name__ == "FlaxSequenceClassifierOutput"
    assert len(output.attentions) == 2
    assert len(jax.tree.leaves(output)) == 3
