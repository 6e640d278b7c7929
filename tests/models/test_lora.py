"""LoRA on the backbone and its tasks: what trains, what is saved, what comes back."""

import keras
import numpy as np
import pytest

from keras_roformer.callbacks import BackupAndRestore
from keras_roformer.models import RoFormerBackbone, RoFormerTextClassifier
from tests.models.common import backbone_arguments, random_inputs, randomise
from tests.support import close


def outputs(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs)["sequence_output"])


def make_backbone(seed=0, dtype=None):
    keras.utils.set_random_seed(seed)
    arguments = backbone_arguments(dropout=0.0, attention_dropout=0.0, dtype=dtype)
    backbone = RoFormerBackbone(**arguments)
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
        close(outputs(whole, inputs), trained)


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


@pytest.mark.parametrize("dtype, mode", [("bfloat16", None), ("float32", "int8")])
def test_a_backup_has_the_matrices_as_they_are(dtype, mode, tmp_path):
    """Not added to the kernels, with zeros in their places: those would not train any more."""
    inputs = random_inputs(make_backbone())
    models = []
    for seed in (0, 1):
        backbone = make_backbone(seed, dtype=dtype)
        if mode:
            backbone.quantize(mode)
        backbone.enable_lora(rank=2, target_layer_names=["value"])
        for weight in backbone.trainable_weights:
            weight.assign(np.random.default_rng(seed).normal(size=weight.shape))
        backbone.compile("adam")
        callback = BackupAndRestore(tmp_path)
        callback.set_model(backbone)
        models.append((backbone, callback))
    (saved, callback), (other, other_callback) = models
    callback.on_epoch_end(0)
    other_callback.on_train_begin()
    np.testing.assert_array_equal(outputs(other, inputs), outputs(saved, inputs))
    for got, want in zip(other.weights, saved.weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (got, want)))


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


@pytest.mark.skipif(keras.config.backend() != "torch", reason="torch.nn.Module is torch's")
def test_torch_sees_what_lora_and_quantisation_change():
    import torch

    backbone = make_backbone()
    task = RoFormerTextClassifier(backbone, num_classes=2, preprocessor=None)
    around = torch.nn.Sequential(task)
    backbone.enable_lora(rank=2)
    adapters = [w for w in backbone.trainable_weights if "lora" in w.path]
    for module, head in ((backbone, 0), (task, 4), (around, 4)):
        trained = {id(p) for p in module.parameters() if p.requires_grad}
        assert {id(w.value) for w in adapters} <= trained and len(trained) == len(adapters) + head
        assert sum("lora_kernel" in name for name in module.state_dict()) == len(adapters)
    assert len(list(task.parameters())) == len(task.variables)

    before = [w.value.detach().clone() for w in adapters]
    target = torch.tensor(np.random.default_rng(1).normal(size=(3, 7, 16)), dtype=torch.float32)
    optimizer = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], 1.0)
    for _ in range(2):  # in the first step the second matrices are 0, and the first ones stay
        optimizer.zero_grad()
        states = backbone(random_inputs(backbone))["sequence_output"]
        (states - target).square().mean().backward()
        optimizer.step()
    for weight, old in zip(adapters, before, strict=True):
        if "query" in weight.path:  # this model's attention is saturated, almost without gradients
            continue
        assert (weight.value - old).abs().max() > 0, weight.path

    state = {name: 0 * value for name, value in around.state_dict().items()}
    around.load_state_dict(state)
    assert not any(keras.ops.convert_to_numpy(w).any() for w in adapters)
    around.to(torch.float64)
    assert {w.value.dtype for w in adapters} == {torch.float64}

    quantised = make_backbone()
    quantised.quantize("int8")
    assert {id(p) for p in quantised.parameters()} == {id(v.value) for v in quantised.variables}
