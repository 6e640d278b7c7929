"""multiple-choice: the scores of the documented model, clear errors."""

import keras
import numpy as np

from tests.pipelines.pipeline_tools import (
    assert_refused,
)
from tests.support import close, cls


def test_multiple_choice(pipes, checkpoints, family_prefix):
    """The scores of the documented example: pairs, padded to the longest, one batch."""
    prompt, choices = "pizza is served in italy.", ["It is eaten with a fork.", "held"]
    choose = pipes("multiple-choice")
    results = choose(prompt=prompt, choices=choices)
    assert {result["choice"] for result in results} == set(choices)
    assert [choices[result["label"]] for result in results] == [r["choice"] for r in results]
    assert results[0]["score"] >= results[1]["score"]

    model = cls("ForMultipleChoice").from_pretrained(checkpoints("multiple-choice"))
    model = model.eval() if hasattr(model, "eval") else model
    kind = {"": "pt", "TF": "tf", "Flax": "np"}[family_prefix]
    encoded = choose.tokenizer([prompt] * 2, choices, return_tensors=kind, padding=True)
    outputs = model(**{name: value[None] for name, value in encoded.items()})
    logits = keras.ops.convert_to_numpy(outputs.logits[0])
    scores = np.exp(logits) / np.exp(logits).sum()
    for result in results:
        close(result["score"], scores[result["label"]])
    assert choose(prompt=prompt, choices=choices, top_k=1)[0] == results[0]


def test_no_choices(pipes):
    choose = pipes("multiple-choice")
    assert_refused(lambda: choose(prompt="a", choices=[]), ValueError, "list of texts")
