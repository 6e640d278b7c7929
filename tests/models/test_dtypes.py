"""Dtype policies: half precision, one policy for all layers or a map of them."""

import keras
import numpy as np
import pytest
from keras.dtype_policies import DTypePolicyMap
from keras_hub.models import Backbone

from keras_roformer.models import RoFormerBackbone, RoFormerTextClassifier
from tests import tolerances
from tests.models.common import backbone_arguments, random_inputs
from tests.support import close

HALF = {"float16": tolerances.FLOAT16, "bfloat16": tolerances.BFLOAT16}


def states(model, inputs):
    return model(inputs)["sequence_output"]


def numbers(x):
    return keras.ops.convert_to_numpy(keras.ops.cast(x, "float32"))


def make_backbone(dtype=None, **changes):
    backbone = RoFormerBackbone(dtype=dtype, **backbone_arguments(**changes))
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    for weight in backbone.weights:  # of a size at which half precision has something to keep
        scale = 1.0 if weight.path.endswith("gamma") else 0.2
        weight.assign(scale * random.normal(size=weight.shape).astype("float32"))
    return backbone


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16", "float16"])
def test_half_precision_is_near_float32(policy):
    exact, half = make_backbone("float32"), make_backbone(policy)
    policy = keras.dtype_policies.get(policy)
    assert {w.dtype for w in half.weights} == {policy.variable_dtype}
    inputs = random_inputs(half)
    got = states(half, inputs)
    assert keras.backend.standardize_dtype(got.dtype) == policy.compute_dtype
    want = numbers(states(exact, inputs))
    close(numbers(got) / np.abs(want).max(), want / np.abs(want).max(), HALF[policy.compute_dtype])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_padding_and_empty_rows_in_half_precision(policy):
    backbone = make_backbone(policy)
    inputs = random_inputs(backbone)
    inputs["padding_mask"][1] = 0  # a row without any token
    got = numbers(states(backbone, inputs))
    assert np.isfinite(got).all()
    length = int(inputs["padding_mask"][2].sum())
    alone = {name: x[2:3, :length] for name, x in inputs.items()}
    compute = keras.dtype_policies.get(policy).compute_dtype
    close(got[2:3, :length], numbers(states(backbone, alone)), HALF[compute])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_training_in_half_precision(policy):
    task = RoFormerTextClassifier(make_backbone(policy), num_classes=2, preprocessor=None)
    task.compile(
        keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    inputs = random_inputs(task.backbone, batch=8)
    history = task.fit(inputs, np.arange(8) % 2, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(history).all() and history[-1] < history[0]
    assert {w.dtype for w in task.trainable_weights} == {"float32"}


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_preset_has_its_mixed_policy_again(policy, tmp_path):
    task = RoFormerTextClassifier(make_backbone(policy), num_classes=2, preprocessor=None)
    task.save_to_preset(tmp_path)
    inputs = random_inputs(task.backbone)
    again = RoFormerTextClassifier.from_preset(tmp_path)
    assert again.head.dtype_policy.name == policy
    np.testing.assert_array_equal(numbers(again(inputs)), numbers(task(inputs)))
    assert RoFormerBackbone.from_preset(tmp_path, dtype=None).dtype_policy.name == policy
    other = RoFormerTextClassifier.from_preset(tmp_path, dtype="float32")
    assert other.head.dtype_policy.name == other.backbone.dtype_policy.name == "float32"


def test_a_map_gives_layers_policies_of_their_own(tmp_path):
    policies = DTypePolicyMap("float32", {})
    policies["roformer/encoder/layer_0/.*"] = "float16"
    policies["roformer/encoder/layer_1/attention"] = "mixed_bfloat16"
    backbone = make_backbone(policies)
    dtypes = {
        layer.path: (layer.compute_dtype, layer.variable_dtype)
        for layer in backbone.roformer._flatten_layers()
    }
    assert dtypes["roformer/encoder/layer_0/attention/query"] == ("float16", "float16")
    assert dtypes["roformer/encoder/layer_1/attention"] == ("bfloat16", "float32")
    assert dtypes["roformer/encoder/layer_1/attention/query"] == ("float32", "float32")

    inputs = random_inputs(backbone)
    inputs["padding_mask"][1] = 0  # float32's lowest value must not become float16's infinity
    expected = numbers(states(backbone, inputs))
    assert np.isfinite(expected).all()
    exact = numbers(states(make_backbone("float32"), inputs))
    assert 0 < np.abs(expected - exact)[[0, 2]].max() < 0.1

    backbone.save_to_preset(tmp_path / "preset")
    backbone.save(tmp_path / "backbone.keras")
    for again in (
        Backbone.from_preset(str(tmp_path / "preset")),
        keras.models.load_model(tmp_path / "backbone.keras"),
    ):
        assert dtypes == {
            layer.path: (layer.compute_dtype, layer.variable_dtype)
            for layer in again.roformer._flatten_layers()
        }
        np.testing.assert_array_equal(numbers(states(again, inputs)), expected)


def test_a_model_with_a_map_can_be_quantised(tmp_path):
    """Keras alone raises here: it has no policy "int8_from_map_float32"."""
    policies = DTypePolicyMap("float32", {})
    policies["roformer/encoder/layer_1/.*"] = "mixed_bfloat16"
    backbone = make_backbone(policies)
    backbone.quantize("int8")
    query = backbone.roformer.encoder.blocks[1].attention.query
    assert query.dtype_policy.name == "int8_from_mixed_bfloat16"
    backbone.save_to_preset(tmp_path)
    inputs = random_inputs(backbone)
    again = RoFormerBackbone.from_preset(str(tmp_path))
    np.testing.assert_array_equal(numbers(states(again, inputs)), numbers(states(backbone, inputs)))
