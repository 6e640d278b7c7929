"""Small models and random inputs for the tests of `keras_roformer.models`."""

import numpy as np

from tests.support import SPECIAL_TOKENS


def backbone_arguments(**changes):
    arguments = dict(
        vocabulary_size=50,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=24,
        max_sequence_length=32,
    )
    return {**arguments, **changes}


def randomise(model, seed=0):
    """Give every weight a random value, biases and norms too."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if "float" in weight.dtype:
            weight.assign(random.normal(0.3, 0.5, weight.shape).astype("float32"))


def random_inputs(backbone, batch=3, length=7, seed=0):
    """Random ids with random segments, rows padded on the right to different lengths."""
    random = np.random.default_rng(seed)
    lengths = random.integers(2, length + 1, batch)
    lengths[0] = length
    mask = (np.arange(length) < lengths[:, None]).astype("int32")
    ids = random.integers(1, backbone.vocabulary_size, (batch, length)).astype("int32")
    return {
        "token_ids": ids * mask,
        "segment_ids": random.integers(0, 2, (batch, length)).astype("int32") * mask,
        "padding_mask": mask,
    }


TEXTS = ["今天天气很好。", "我们去公园玩。", "味道不错，下次再来。", "太差了！"]
_WORDS = "今天 天气 我们 公园 味道 不错 下次 再来"
VOCABULARY = [
    *SPECIAL_TOKENS,
    *_WORDS.split(),
    *"今天气很好。我们去公园玩味道不错，下次再来太差了！",
]
