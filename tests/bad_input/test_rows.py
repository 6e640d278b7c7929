"""That the tables are large, and that what they do not hold passes."""

import json

import numpy as np
import pytest

from keras_roformer.hub import list_presets, resolve
from tests.bad_input import (
    test_calls,
    test_configs,
    test_files,
    test_hub_models,
    test_installations,
    test_layers,
    test_prompts,
)
from tests.bad_input.rows import (
    DECODER,
    EMBEDS,
    IDS,
    LABELS,
    ONES,
    PAST,
    at,
    call,
    call_pruned,
    here,
)
from tests.support import BACKEND

TABLES = (
    *(test_calls, test_prompts, test_configs, test_files),
    *(test_installations, test_hub_models, test_layers),
)


def test_there_are_enough_rows():
    assert sum(len(here(table.ROWS)) for table in TABLES) >= 60


@pytest.mark.quick
def test_good_input_of_every_shape_passes():
    """What the checks must let through: masks of both ranks, rows that serve a whole batch."""
    triangle = np.tril(np.ones((2, 6, 6), "int32"))
    for arguments in (
        dict(attention_mask=ONES.astype(bool)),
        dict(attention_mask=ONES.astype("float32")),
        dict(attention_mask=triangle),
        dict(attention_mask=ONES[:1]),
        dict(token_type_ids=ONES[:1]),
        dict(position_ids=np.arange(6)),
        dict(position_ids=np.arange(6)[None]),
        dict(head_mask=np.ones((2, 2), "float32")),
    ):
        call("Model", input_ids=IDS, **arguments)(None)
    call("Model", inputs_embeds=EMBEDS)(None)
    one = np.ones((2, 1), "float32")
    call_pruned({0: [1], 1: [0]}, input_ids=IDS, head_mask=one)(None)
    call("ForCausalLM", DECODER, input_ids=IDS, past_key_values=PAST)(None)
    if BACKEND != "jax":
        call("ForTokenClassification", input_ids=IDS, labels=at(LABELS, 0, -100))(None)
        regression = dict(num_labels=1)
        call("ForSequenceClassification", regression, input_ids=IDS, labels=np.ones(2, "f"))(None)


def test_checks_of_values_can_be_switched_off(monkeypatch):
    """Shapes are checked all the same: they cost nothing."""
    from keras_roformer.facades import pretrained

    monkeypatch.setattr(pretrained, "CHECK_IDS", False)
    additive = call("Model", input_ids=IDS, attention_mask=2.0 * ONES.astype("float32"))
    additive(None)
    with pytest.raises(ValueError, match="its length is 0"):
        call("Model", input_ids=IDS[:, :0])(None)
    monkeypatch.setattr(pretrained, "CHECK_IDS", True)
    with pytest.raises(ValueError, match="holds 2"):
        additive(None)


def test_presets_named_in_errors_are_there():
    assert "roformer_tiny_zh" in list_presets()
    path = resolve("roformer_tiny_zh") / "config.json"
    assert json.loads(path.read_text())["model_type"] == "roformer"
