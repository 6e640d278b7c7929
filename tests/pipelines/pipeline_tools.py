"""Tiny checkpoints for every task, and the comparison of nested results.

NumPy and safetensors only: tests/oracle/record_question_answering.py makes the same checkpoints
in another environment.
"""

import json
import pathlib
import shutil

import numpy as np
from safetensors.numpy import load_file, save_file

from tests.tolerances import FLOAT32

BASE = pathlib.Path(__file__).resolve().parents[1] / "oracle/checkpoints/roformer_chinese_base"
D = 16  # hidden size of the base
TAGS = ("I-LOC", "O", "B-LOC", "B-PER", "I-PER")
MOODS = ("bad", "good", "mixed")
MASKED = [
    "今天[MASK]非常好。",
    "[MASK]天",
    "my dog is [MASK], the capital of france is paris. today 今天天氣非常好。",
    "paris is the capital of [MASK].",
    "[MASK]",
]
TEXTS = [
    "今天天氣非常好。",
    "my dog is cute. paris is the capital of france, jim is in new york.",
    "天",
    "Jim held the puppet! Italy... 今天 tokenized pieces",
    "非常好 非常好",
    "Unknown ☃ sign",
]
PAIR = {"text": "今天天氣非常好。", "text_pair": "my dog is cute"}
PROMPTS = ["今天天氣", "my dog is", "jim held the puppet and the pizza in new york, italy"]
GREEDY = dict(do_sample=False, max_new_tokens=5)
# Task → (shapes of the head's weights, config fields).
HEADS = {
    "text-classification": (
        {
            "classifier.dense.weight": (D, D),
            "classifier.dense.bias": (D,),
            "classifier.out_proj.weight": (len(MOODS), D),
            "classifier.out_proj.bias": (len(MOODS),),
        },
        {"id2label": dict(enumerate(MOODS))},
    ),
    "token-classification": (
        {"classifier.weight": (len(TAGS), D), "classifier.bias": (len(TAGS),)},
        {"id2label": dict(enumerate(TAGS))},
    ),
    "question-answering": ({"qa_outputs.weight": (2, D), "qa_outputs.bias": (2,)}, {}),
    "multiple-choice": ({"classifier.weight": (1, D), "classifier.bias": (1,)}, {}),
    "text-generation": ({}, {"is_decoder": True, "eos_token_id": 3}),
    "fill-mask": ({}, {}),
}


def write_checkpoint(directory, task, **fields):
    """A checkpoint of `task` over the base's weights, with a random head; gives its path."""
    directory = pathlib.Path(directory) / task
    directory.mkdir(parents=True, exist_ok=True)
    shapes, own = HEADS[task]
    config = {**json.loads((BASE / "config.json").read_text()), **own, **fields}
    config.pop("architectures")
    if "id2label" in config:
        config["label2id"] = {label: index for index, label in config["id2label"].items()}
    (directory / "config.json").write_text(json.dumps(config))
    shutil.copy(BASE / "vocab.txt", directory)
    rng = np.random.default_rng(7)
    scales = {name: 0.2 if name.endswith("bias") else 1.0 for name in shapes}
    head = {
        name: rng.normal(scale=scales[name], size=shape).astype("float32")
        for name, shape in shapes.items()
    }
    save_file({**load_file(BASE / "model.safetensors"), **head}, directory / "model.safetensors")
    return str(directory)


def assert_same(results, expected, tolerance=FLOAT32, path="result"):
    """Equal structure and texts, numbers within `tolerance`.

    Spaces between Chinese words are transformers' alone.
    """
    if isinstance(expected, (list, tuple)):
        assert isinstance(results, list) and len(results) == len(expected), path
        for i, (result, other) in enumerate(zip(results, expected, strict=True)):
            assert_same(result, other, tolerance, f"{path}[{i}]")
    elif isinstance(expected, dict):
        assert list(results) == list(expected), path
        for name in expected:
            assert_same(results[name], expected[name], tolerance, f"{path}[{name!r}]")
    elif isinstance(expected, (float, np.floating)):
        assert type(results) is float, path
        np.testing.assert_allclose(results, expected, **tolerance, err_msg=path)
    elif isinstance(expected, str):
        assert results.replace(" ", "") == expected.replace(" ", ""), path
    else:
        assert results == expected, path


def assert_refused(call, error, message):
    """An error of one line that says `message`."""
    try:
        call()
    except error as raised:
        assert message in str(raised) and "\n" not in str(raised), raised
    else:
        raise AssertionError(f"no {error.__name__}")
