"""Quantised models: what is quantised, and that they come back from files as they were."""

import keras
import numpy as np
import pytest
from keras.quantizers import AbsMaxQuantizer, Int4QuantizationConfig, Int8QuantizationConfig
from keras_hub.models import Backbone, MaskedLM, TextClassifier

from keras_roformer.layers import RoFormer
from keras_roformer.models import RoFormerBackbone, RoFormerMaskedLM, RoFormerTextClassifier
from tests.models.common import backbone_arguments, random_inputs, randomise

# Ways to quantise, and the largest error relative to the largest output that each may make here.
WAYS = {
    "int8": ({"mode": "int8"}, 0.1),
    "int4": ({"mode": "int4"}, 0.6),
    "float8": ({"mode": "float8"}, 0.3),
    "int8, weights only": ({"config": Int8QuantizationConfig(activation_quantizer=None)}, 0.1),
    "int4, whole columns": ({"config": Int4QuantizationConfig(block_size=None)}, 0.6),
    "int4, inputs too": (
        {
            "config": Int4QuantizationConfig(
                block_size=None, activation_quantizer=AbsMaxQuantizer(axis=-1)
            )
        },
        0.6,
    ),
    "int4, blocks of 8": ({"config": Int4QuantizationConfig(block_size=8)}, 0.6),
}


def outputs(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs)["sequence_output"])


def modes(model):
    """Path → mode of the quantised layers."""
    layers = model._flatten_layers()
    return {layer.path: layer.quantization_mode for layer in layers if layer.quantization_mode}


@pytest.fixture
def backbone():
    keras.utils.set_random_seed(0)
    backbone = RoFormerBackbone(
        **backbone_arguments(num_layers=1, embedding_dim=8, dropout=0.0, attention_dropout=0.0)
    )
    randomise(backbone)
    return backbone


@pytest.mark.parametrize("way", WAYS)
def test_a_quantised_backbone_comes_back_with_equal_outputs(backbone, way, tmp_path):
    inputs = random_inputs(backbone)
    exact = outputs(backbone, inputs)
    arguments, tolerance = WAYS[way]
    backbone.quantize(**arguments)
    expected = outputs(backbone, inputs)
    error = np.abs(expected - exact).max() / np.abs(exact).max()
    assert 0 < error < tolerance
    # 6 products in the layer and the projection; both embeddings, but not in float8.
    assert len(modes(backbone)) == (7 if way == "float8" else 9)

    backbone.save_to_preset(tmp_path / "preset")
    backbone.save(tmp_path / "backbone.keras")
    loaded = {
        "concrete class": RoFormerBackbone.from_preset(str(tmp_path / "preset")),
        "base class": Backbone.from_preset(str(tmp_path / "preset")),
        ".keras": keras.models.load_model(tmp_path / "backbone.keras"),
    }
    for how, again in loaded.items():
        assert type(again) is RoFormerBackbone, how
        assert modes(again) == modes(backbone), how
        np.testing.assert_array_equal(outputs(again, inputs), expected, err_msg=how)
        assert again.get_config()["dtype"] == backbone.get_config()["dtype"], how


def test_saving_leaves_the_model_as_it_was(backbone, tmp_path):
    inputs = random_inputs(backbone)
    backbone.quantize("int8")
    expected = outputs(backbone, inputs)
    for name in ("first", "second"):
        backbone.save_to_preset(tmp_path / name)
        np.testing.assert_array_equal(outputs(backbone, inputs), expected)
        again = RoFormerBackbone.from_preset(str(tmp_path / name))
        np.testing.assert_array_equal(outputs(again, inputs), expected)


def test_a_quantised_preset_takes_another_dtype(backbone, tmp_path):
    backbone.quantize("int8")
    backbone.save_to_preset(tmp_path)
    inputs = random_inputs(backbone)
    again = RoFormerBackbone.from_preset(str(tmp_path), dtype="mixed_bfloat16")
    assert modes(again) == modes(backbone)
    assert again.roformer.encoder.compute_dtype == "bfloat16"
    error = outputs(again, inputs).astype("float32") - outputs(backbone, inputs)
    assert np.abs(error).max() < 0.1 * np.abs(outputs(backbone, inputs)).max()


def test_a_part_of_the_layers_can_be_quantised(backbone, tmp_path):
    backbone.quantize("int8", filters="dense")
    paths = modes(backbone)
    assert paths and all("dense" in path for path in paths)
    backbone.save_to_preset(tmp_path)
    inputs = random_inputs(backbone)
    again = RoFormerBackbone.from_preset(str(tmp_path))
    assert modes(again) == paths
    np.testing.assert_array_equal(outputs(again, inputs), outputs(backbone, inputs))


def test_a_quantised_layer_in_a_model_of_ones_own_comes_back(tmp_path):
    ids = keras.Input((None,), dtype="int32")
    layer = RoFormer(vocab_size=30, num_layers=1, hidden_size=16, num_heads=2, intermediate_size=24)
    model = keras.Model(ids, {"sequence_output": layer(ids)[0]})
    randomise(model)
    model.quantize(config=Int8QuantizationConfig(activation_quantizer=None))
    inputs = np.random.default_rng(0).integers(1, 30, (2, 5))
    expected = outputs(model, inputs)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert modes(again) == modes(model)
    np.testing.assert_array_equal(outputs(again, inputs), expected)


def make_classifier(backbone):
    return RoFormerTextClassifier(backbone, num_classes=3, preprocessor=None)


def make_masked_lm(backbone):
    return RoFormerMaskedLM(backbone, preprocessor=None, masked_only=False)


@pytest.mark.parametrize(
    "make, base, way",
    [
        (make_classifier, TextClassifier, "int8, weights only"),
        (make_classifier, TextClassifier, "float8"),
        (make_masked_lm, MaskedLM, "int8"),
        (make_masked_lm, MaskedLM, "int4"),
    ],
)
def test_a_quantised_task_comes_back_with_equal_outputs(backbone, make, base, way, tmp_path):
    task = make(backbone)
    randomise(task)
    task.quantize(**WAYS[way][0])
    inputs = random_inputs(backbone)
    expected = keras.ops.convert_to_numpy(task(inputs))
    assert any(path.startswith("head/") for path in modes(task))
    task.save_to_preset(tmp_path / "preset")
    task.save(tmp_path / "task.keras")
    for again in (
        base.from_preset(str(tmp_path / "preset")),
        keras.models.load_model(tmp_path / "task.keras"),
    ):
        assert type(again) is type(task)
        assert modes(again) == modes(task)
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(again(inputs)), expected)


def test_fit_of_a_quantised_backbone_trains_what_is_left(backbone):
    """Keras freezes quantised kernels; norms and biases still learn, and LoRA can be added."""
    backbone.quantize("int8")
    inputs = random_inputs(backbone)
    model = keras.Model(backbone.inputs, backbone.output["sequence_output"])
    model.compile("sgd", "mse")
    target = np.random.default_rng(1).normal(size=(3, 7, 16)).astype("float32")
    history = model.fit(inputs, target, epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]
