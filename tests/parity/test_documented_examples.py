"""Every documented code example, with only the import root changed; a family shares a process.

The checkpoint at ./junnyu/roformer_chinese_base is a small random one; what every variable of an
example holds at its end was recorded from transformers 4.57.6 (record_examples.py).
"""

import os

import numpy as np
import pytest

from tests.conftest import FAMILY_PREFIX, ROOT
from tests.oracle.cases import CHECKPOINTS
from tests.parity import run_example
from tests.support import close, python

# The checkpoint has no weights for these heads: they start at random, and what they give is random.
NEW_HEADS = ("Classification", "MultipleChoice", "QuestionAnswering")
FROM_LOGITS = ("logits", "scores", "loss", "labels", "answer", "predict", "class_id")
RANDOM_LENGTH = ("predict_answer_tokens", "predicted_class_ids")
# The text says <mask>, the vocabulary [MASK]: no label is left. The mean of no losses is nan in
# transformers and 0 in ours, which does no harm to a training run.
DEVIATIONS = {("RoFormerForMaskedLM", "outputs.loss"): np.float32(0)}
RECORDED = CHECKPOINTS.parent / "examples.npz"


def family(name):
    return next((p for p in ("TF", "Flax") if name.startswith(p)), "")


def names():
    """The examples that the running backend's family serves: each runs under one of the three."""
    prefix = FAMILY_PREFIX[os.environ["KERAS_BACKEND"]]
    return [name for name in run_example.examples() if family(name) == prefix]


def test_every_example_is_here():
    assert len(run_example.examples()) == 23


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The folder of what the examples' variables hold at the end."""
    folder = tmp_path_factory.mktemp("examples")
    checkpoint = folder / "junnyu" / "roformer_chinese_base"
    checkpoint.parent.mkdir()
    checkpoint.symlink_to(CHECKPOINTS / "roformer_chinese_base")
    # Nothing but the classes that it imports tells an example which backend to take.
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    environment |= {"PYTHONPATH": str(ROOT), "KERAS_HOME": str(folder / "keras")}
    command = (run_example.__file__, "keras_roformer", folder, *names())
    python(*command, cwd=folder, env=environment)
    return folder


@pytest.mark.parametrize("name", names())
def test_example(name, results):
    error, result = results / f"{name}.txt", results / f"{name}.npz"
    assert not error.exists(), error.read_text("utf-8")
    with np.load(result) as found, np.load(RECORDED) as recorded:
        expected = {
            key.removeprefix(f"{name}/"): recorded[key]
            for key in recorded.files
            if key.startswith(f"{name}/")
        }
        more = {"outputs.pooler_output"} if name == "TFRoFormerModel" else set()
        assert set(found.files) - more == set(expected)
        for key, value in expected.items():
            compare(found[key], value, name, key)


def compare(found, expected, name, key):
    if any(part in name for part in NEW_HEADS) and any(part in key for part in FROM_LOGITS):
        if key not in RANDOM_LENGTH:
            assert found.shape == expected.shape, key
        return
    expected = DEVIATIONS.get((name, key), expected)
    assert found.shape == expected.shape, key
    if expected.dtype.kind == "f":
        close(found, expected, message=key)
    else:
        np.testing.assert_array_equal(found, expected, err_msg=key)
