"""Saving a preset over another one: what is loaded afterwards is what was saved last."""

import os

import keras
import numpy as np
import pytest

pytest.importorskip("keras_hub")

from keras_roformer import models

WHOLE, SHARDS = 10, 1e-5  # max_shard_size in GB


def classifier(seed):
    keras.utils.set_random_seed(seed)
    backbone = models.RoFormerBackbone(
        vocabulary_size=60, num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=24
    )
    return models.RoFormerTextClassifier(backbone, num_classes=2)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("sizes", [(WHOLE, SHARDS), (SHARDS, WHOLE)])
def test_weights_in_one_file_and_in_shards(sizes, in_place, tmp_path, monkeypatch):
    preset = tmp_path / "preset"
    preset.mkdir()
    (preset / "notes.txt").write_text("mine")
    if in_place:  # a folder that cannot be exchanged
        monkeypatch.chdir(preset)
    for seed, size in enumerate(sizes):
        model = classifier(seed)
        model.save_to_preset(str(preset), max_shard_size=size)
        again = models.RoFormerTextClassifier.from_preset(str(preset))
        for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    names = set(os.listdir(preset))
    assert ("model.weights.h5" in names) == (sizes[-1] == WHOLE)
    assert ("model.weights.json" in names) == (sizes[-1] == SHARDS)
    assert any(name.startswith("model_0") for name in names) == (sizes[-1] == SHARDS)
    assert {"notes.txt", "task.weights.h5"} <= names
