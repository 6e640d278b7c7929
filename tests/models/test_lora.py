"""LoRA on the backbone and its tasks: what trains, what is saved, what comes back."""

import keras
import numpy as np
import pytest

from keras_roformer.models import RoFormerBackbone
from tests import tolerances
from tests.models.common import backbone_arguments, random_inputs, randomise


def outputs(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs)["sequence_output"])


def make_backbone(seed=0):
    keras.utils.set_random_seed(seed)
    backbone = RoFormerBackbone(**backbone_arguments(dropout=0.0, attention_dropout=0.0))
    randomise(backbone, seed)
    return backbone


def train(backbone, epochs=3):
    """Losses of a few epochs towards random states."""
    model = keras.Model(backbone.inputs, backbone.output["sequence_output"])
    model.compile(keras.optimizers.Adam(0.03), "mse")
    target = np.random.default_rng(1).normal(size=(3, 7, 16)).astype("float32")
    inputs = random_inputs(backbone)
    return model.fit(inputs, target, epochs=epochs, verbose=0).history["loss"]


def test_lora_starts_from_the_model_and_trains_only_its_own_weights(tmp_path):
    backbone = make_backbone()
    inputs = random_inputs(backbone)
    before = outputs(backbone, inputs)
    frozen = {w.path: keras.ops.convert_to_numpy(w) for w in backbone.weights}
    backbone.enable_lora(rank=2)
    np.testing.assert_array_equal(outputs(backbone, inputs), before)
    # Two matrices for the queries and two for the values of each of 2 layers.
    assert sorted({w.path.split("/")[-2] for w in backbone.trainable_weights}) == ["query", "value"]
    assert len(backbone.trainable_weights) == 8

    losses = train(backbone)
    assert losses[-1] < losses[0]
    weights = {w.path: w for w in backbone.weights}
    for path, value in frozen.items():
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weights[path]), value)
    trained = outputs(backbone, inputs)
    assert np.abs(trained - before).max() > 1e-3

    path = tmp_path / "small.lora.h5"
    backbone.save_lora_weights(path)
    other = make_backbone()
    other.load_lora_weights(path)
    np.testing.assert_array_equal(outputs(other, inputs), trained)

    # Whole models are saved with the product of the two matrices added to the kernels.
    backbone.save(tmp_path / "whole.keras")
    backbone.save_to_preset(tmp_path / "preset")
    for whole in (
        keras.models.load_model(tmp_path / "whole.keras"),
        RoFormerBackbone.from_preset(str(tmp_path / "preset")),
    ):
        assert not [w for w in whole.weights if "lora" in w.path]
        np.testing.assert_allclose(outputs(whole, inputs), trained, **tolerances.FLOAT32)


def test_other_layers_can_be_named():
    backbone = make_backbone()
    backbone.enable_lora(rank=2, target_layer_names=["query", "key", "intermediate_dense"])
    names = {w.path.split("/")[-2] for w in backbone.trainable_weights}
    assert names == {"query", "key", "intermediate_dense"}
    losses = train(backbone)
    assert losses[-1] < losses[0]


def test_embeddings_can_be_named():
    backbone = make_backbone()
    backbone.enable_lora(rank=2, target_layer_names=["word_embeddings"])
    assert {w.path.split("/")[-2] for w in backbone.trainable_weights} == {"word_embeddings"}


def test_a_file_of_another_rank_is_refused(tmp_path):
    backbone = make_backbone()
    backbone.enable_lora(rank=2)
    backbone.save_lora_weights(tmp_path / "two.lora.h5")
    other = make_backbone()
    other.enable_lora(rank=3)
    with pytest.raises(ValueError, match="rank=2"):
        other.load_lora_weights(tmp_path / "two.lora.h5")


def test_lora_on_a_quantised_backbone(tmp_path):
    """Four bits for the model, float32 for what is learnt (QLoRA)."""
    backbone = make_backbone()
    backbone.quantize("int4")
    inputs = random_inputs(backbone)
    before = outputs(backbone, inputs)
    backbone.enable_lora(rank=2)
    np.testing.assert_array_equal(outputs(backbone, inputs), before)
    losses = train(backbone)
    assert losses[-1] < losses[0]
    trained = outputs(backbone, inputs)

    backbone.save_lora_weights(tmp_path / "small.lora.h5")
    other = make_backbone()
    other.quantize("int4")
    other.load_lora_weights(tmp_path / "small.lora.h5")
    np.testing.assert_array_equal(outputs(other, inputs), trained)
