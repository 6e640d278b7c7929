"""Layers alone."""

import numpy as np

from keras_roformer import layers
from tests.bad_input.rows import IDS, ONES, STATES, refused


def layer(make, *arguments, **keywords):
    return lambda tmp_path: make()(*arguments, **keywords)


def backbone(**changes):
    arguments = dict(vocab_size=40, num_layers=1, hidden_size=16, num_heads=2)
    return layers.RoFormer(intermediate_size=24, **{**arguments, **changes})


ROWS = {
    "activation of a layer": (
        layer(lambda: backbone(hidden_act="gulu"), IDS),
        ValueError,
        ("'gulu'", "gelu_new"),
    ),
    "odd head size of a layer": (
        layer(layers.RotaryEmbedding, np.ones((1, 2, 1, 7), "float32")),
        ValueError,
        ("must be even", "got 7"),
    ),
    "neither input of a layer": (
        layer(backbone, attention_mask=ONES),
        ValueError,
        ("exactly one of input_ids and inputs_embeds", "got neither", "pass the token ids"),
    ),
    "context of a layer without cross-attention": (
        layer(backbone, IDS, context=STATES),
        ValueError,
        ("encoder_hidden_states", "without cross-attention", "add_cross_attention=True"),
    ),
}

test_refused = refused(ROWS)
