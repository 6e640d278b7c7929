"""The model and the data that the recipes train on: a small classifier and random texts."""

import numpy as np


def make_model():
    """A `RoFormerTextClassifier` without dropout, the same in every process."""
    import keras

    from keras_roformer.models import RoFormerBackbone, RoFormerTextClassifier

    keras.utils.set_random_seed(0)
    backbone = RoFormerBackbone(
        vocabulary_size=64,
        num_layers=2,
        num_heads=4,
        hidden_dim=16,
        intermediate_dim=32,
        dropout=0.0,
        attention_dropout=0.0,
        initializer_range=0.2,
    )
    return RoFormerTextClassifier(backbone, num_classes=2, preprocessor=None)


def make_data(texts=32, length=8):
    """Dict of inputs, and labels."""
    random = np.random.default_rng(0)
    lengths = random.integers(3, length + 1, (texts, 1))
    mask = (np.arange(length) < lengths).astype("int32")
    ids = random.integers(1, 64, (texts, length)).astype("int32") * mask
    inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": mask}
    return inputs, random.integers(0, 2, texts).astype("int32")
