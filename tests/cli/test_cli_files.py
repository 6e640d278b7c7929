"""convert and train: what they write is what the other commands and classes read."""

import errno
import itertools
import json
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_roformer.pipelines import pipeline
from keras_roformer.training import (
    WIDTHS,
    _hold_out,
    _labels,
    batches_of,
    entities,
    few_widths,
    read_examples,
)
from tests.cli.test_cli import run  # noqa: F401 (a fixture)

CHECKPOINT = "tests/oracle/checkpoints/roformer_chinese_base"


@pytest.fixture
def checkpoint(request):
    return str(request.config.rootpath / CHECKPOINT)


@pytest.mark.parametrize("to", ["tensorflow", "flax", "pytorch", "safetensors"])
def test_convert(run, checkpoint, tmp_path, to):  # noqa: F811
    target = tmp_path / "target"
    status, out, err = run("convert", checkpoint, str(target), "--to", to, "--json")
    report = json.loads(out)
    assert (status, err) == (0, "")
    assert report["equal"] and report["largest weight difference"] == 0
    assert (report["from"], report["to"]) == ("safetensors", to)
    names = {file.name for file in target.iterdir()}
    assert {"config.json", "vocab.txt"} < names and len(names) == 3


def test_a_conversion_that_is_not_the_same_changes_nothing(run, checkpoint, tmp_path, monkeypatch):  # noqa: F811
    from keras_roformer import convert

    write = convert.checkpoint.write

    def spoil(directory, tensors, *args, **kwargs):
        name = "roformer.encoder.layer.0.output.dense.weight"
        return write(directory, {**tensors, name: tensors[name] + 0.1}, *args, **kwargs)

    target = tmp_path / "target"
    monkeypatch.setattr(convert.checkpoint, "write", spoil)
    status, out, err = run("convert", checkpoint, str(target), "--json")
    assert status == 1 and json.loads(out)["equal"] is False
    assert "left as it was" in err and err.count("\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["model.safetensors", "pytorch_model.bin.index.json", "roformer.ckpt.index"]
)
def test_convert_refuses_a_directory_with_other_weights(run, checkpoint, tmp_path, name):  # noqa: F811
    (tmp_path / name).write_text("old")
    status, _, err = run("convert", checkpoint, str(tmp_path), "--to", "pytorch")
    assert status == 1 and str(tmp_path / name) in err and "remove it" in err
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(name, "old")]


def test_convert_again_and_beside(run, checkpoint, tmp_path):  # noqa: F811
    """Over an older conversion to the same format, and into the source itself."""
    target = tmp_path / "target"
    target.mkdir()
    for name in ("pytorch_model.bin", "config.json", "notes.md"):
        (target / name).write_text("old")
    assert run("convert", checkpoint, str(target), "--to", "pytorch")[0] == 0
    assert run("convert", str(target), str(target), "--to", "flax")[0] == 0
    assert {file.name for file in target.iterdir()} == {
        "config.json", "flax_model.msgpack", "notes.md", "pytorch_model.bin", "vocab.txt",
    }  # fmt: skip
    assert (target / "notes.md").read_text() == "old"
    assert json.loads((target / "config.json").read_text())["model_type"] == "roformer"


REVIEWS = [
    {"text": f"{word} {place}", "label": label}
    for word, label in (("今天非常好", "good"), ("pizza is eaten", "bad"))
    for place in ("in italy", "in france", "in new york", "in paris", "天", "my dog", "jim", "a")
]
NEWS = [
    {"tokens": ["jim", "is", "in", place], "tags": ["B-PER", "O", "O", "B-LOC"]}
    for place in ("italy", "france", "paris", "york") * 3
]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_train_a_classifier(run, checkpoint, tmp_path, suffix):  # noqa: F811
    data, output = tmp_path / f"reviews{suffix}", tmp_path / "reviews_model"
    if suffix == ".csv":
        lines = ["text,label", *(f"{review['text']},{review['label']}" for review in REVIEWS)]
    else:
        lines = map(json.dumps, REVIEWS)
    data.write_text("\n".join(lines), "utf-8")
    options = ("--epochs", "8", "--batch-size", "4", "--learning-rate", "0.01")
    status, out, err = run(
        "train", str(data), "-o", str(output), "-m", checkpoint, *options, "--json",
        "--eval", str(data),
    )  # fmt: skip
    assert (status, err) == (0, "")
    *epochs, result = map(json.loads, out.splitlines())
    assert [epoch["epoch"] for epoch in epochs] == list(range(1, 9))
    assert epochs[-1]["loss"] < epochs[0]["loss"]
    assert result["accuracy"] == max(epoch["accuracy"] for epoch in epochs) > 0.9

    # The preset directory serves the other commands, and scores what training said.
    classify = pipeline("text-classification", str(output))
    found = classify([review["text"] for review in REVIEWS])
    right = sum(a["label"] == b["label"] for a, b in zip(found, REVIEWS, strict=True))
    assert right / len(REVIEWS) == pytest.approx(result["accuracy"])
    metadata = json.loads(pathlib.Path(output / "metadata.json").read_text("utf-8"))
    assert metadata["scores"]["heldout"]["accuracy"] == result["accuracy"]


def test_train_a_tagger(run, checkpoint, tmp_path):  # noqa: F811
    data, output = tmp_path / "news.jsonl", tmp_path / "news_model"
    data.write_text("\n".join(map(json.dumps, NEWS)), "utf-8")
    options = ("--epochs", "20", "--batch-size", "3", "--learning-rate", "0.01")
    task = ("--task", "token-classification", "--eval", str(data))
    status, out, err = run("train", str(data), "-o", str(output), "-m", checkpoint, *task, *options)
    assert (status, err) == (0, "")
    assert out.count("epoch ") == 20
    saved = dict(line.split("\t") for line in out.splitlines() if "\t" in line)
    assert saved["labels"] == "3" and float(saved["f1"]) > 0.9
    found = pipeline("ner", str(output), aggregation_strategy="first")("jim is in paris")
    assert [(x["entity_group"], x["word"]) for x in found] == [("PER", "jim"), ("LOC", "paris")]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_few_widths_are_the_best_ones(count):
    """Against every choice of that many widths."""
    rng = np.random.default_rng(count)
    lengths = rng.integers(5, 60, 40)
    widths = few_widths(lengths, 4, count)
    batches = np.sort(lengths)[::-1].reshape(-1, 4).max(axis=1)

    def tokens(widths):
        return sum(min(width for width in widths if width >= batch) for batch in batches)

    others = itertools.combinations(set(map(int, batches)) - {max(batches)}, count - 1)
    assert tokens(widths) == min(tokens([*some, max(batches)]) for some in others)
    assert widths == sorted(set(widths)) and widths[-1] == max(lengths) and len(widths) <= count


def test_batches_hold_every_example_once_an_epoch():
    rng = np.random.default_rng(1)
    rows = [rng.integers(1, 50, size).tolist() for size in rng.integers(3, 90, 130)]
    data = batches_of([(row, i, 1.0) for i, row in enumerate(rows)], 4, rng)
    widths = set()
    for _ in range(2):
        found = {}
        for x, labels, _ in map(data.__getitem__, range(len(data))):
            widths.add(x["input_ids"].shape[1])
            for ids, mask, label in zip(*x.values(), labels, strict=True):
                assert not ids[mask == 0].any()
                found[int(label)] = ids[mask == 1].tolist()
        assert [found[i] for i in range(len(rows))] == rows
        data.on_epoch_end()
    if keras.backend.backend() == "jax":  # compiles every width
        assert len(widths) <= WIDTHS


@pytest.mark.parametrize(
    "rows, message",
    [
        ([{"text": "a"}] * 3, "row 1 has no 'label'"),
        ([{"text": "a", "label": "x"}] * 3, "has the label(s) ['x'] only"),
        ([{"text": "a", "label": "x"}], "has 1 examples"),
        ([{"text": "a", "label": x} for x in "xy"], "no example can be held out"),
        ([{"text": "a", "label": ["x", "y"]}] * 3, "row 1 has ['x', 'y'] in 'label'"),
        ([{"text": ["a"], "label": "x"}] * 3, "row 1 has ['a'] in 'text'"),
    ],
)
def test_bad_data(run, checkpoint, tmp_path, rows, message):  # noqa: F811
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    status, _, err = run("train", str(data), "-o", str(tmp_path / "out"), "-m", checkpoint)
    assert status == 1 and message in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "row, message",
    [
        ({"tokens": ["a"], "tags": [["O"]]}, "row 1 has ['O'] in 'tags'"),
        ({"tokens": "a", "tags": 1}, "row 1 has the 'tags' 1; token-classification needs a list"),
        ({"tokens": "a b", "tags": "O"}, "row 1 has 2 words, 1 tags"),
    ],
)
def test_bad_tags(tmp_path, row, message):
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps(row), "utf-8")
    with pytest.raises(ValueError, match=re.escape(message)):
        read_examples(str(data), "token-classification", "tokens", "tags")


def test_labels_to_evaluate_that_training_has_not(run, checkpoint, tmp_path):  # noqa: F811
    data, evaluation = tmp_path / "data.jsonl", tmp_path / "eval.jsonl"
    data.write_text("\n".join(map(json.dumps, REVIEWS)), "utf-8")
    rows = [*REVIEWS[:2], {"text": "a", "label": "odd"}]
    evaluation.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    arguments = ("-o", str(tmp_path / "out"), "-m", checkpoint, "--eval", str(evaluation))
    status, _, err = run("train", str(data), *arguments)
    assert status == 1 and f"{evaluation}: row 3 has the label 'odd', but {data} has only" in err


def test_a_rare_label_stays_in_training():
    examples = [("a", "x")] * 17 + [("b", "rare"), ("c", "y"), ("d", "y")]
    tagged = [(["a"], ["O"])] * 18 + [(["b", "c"], ["O", "B-X"]), (["d"], ["B-X"])]
    for seed, some in itertools.product(range(30), (examples, tagged)):
        rest, held_out = _hold_out(some, np.random.default_rng(seed), "data")
        assert len(held_out) == 2 and sorted(rest + held_out) == sorted(some)
        assert len(_labels(rest, "data")) == len(_labels(some, "data"))


def test_train_writes_all_or_nothing(run, checkpoint, tmp_path, monkeypatch):  # noqa: F811
    from keras_roformer.weights import checkpoint as weight_files

    data, output = tmp_path / "data.jsonl", tmp_path / "out"
    data.write_text("\n".join(map(json.dumps, REVIEWS)), "utf-8")
    arguments = ("train", str(data), "-m", checkpoint, "--epochs", "1", "-o")
    status, _, err = run(*arguments, str(data / "out"))  # found out before the training
    assert status == 1 and str(data) in err and err.count("\n") == 1

    output.mkdir()
    (output / "config.json").write_text("old", "utf-8")

    def full_disk(directory, tensors):
        raise OSError(errno.ENOSPC, "No space left on device", str(directory))

    monkeypatch.setattr(weight_files, "write", full_disk)
    status, _, err = run(*arguments, str(output))
    assert status == 1 and "No space left" in err
    assert [(file.name, file.read_text("utf-8")) for file in output.iterdir()] == [
        ("config.json", "old")
    ]


def test_entities_of_tags():
    tags = ["B-X", "I-X", "B-X", "I-Y", "O", "I-Y", "Z", "Z"]
    spans = [("X", 0, 1), ("X", 2, 2), ("Y", 3, 3), ("Y", 5, 5), ("Z", 6, 7)]
    assert entities(tags) == spans


@pytest.mark.framework_free
def test_mistakes_are_found_before_keras_is_imported(tmp_path):
    """Which takes seconds."""
    (tmp_path / "data.csv").write_text("text,label\na,good\nb,bad\nc,bad\n", "utf-8")
    code = (
        "import sys; from keras_roformer import cli\n"
        "try: cli.main(['train', 'data.csv', '-o', 'out', '-m', 'none'])\n"
        "except SystemExit as stop: print(stop.code, 'keras' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert "'none' is neither" in done.stderr and done.stdout == "1 False\n"
    assert [file.name for file in tmp_path.iterdir()] == ["data.csv"]
