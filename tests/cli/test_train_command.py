"""train: what it learns, writes and refuses."""

import errno
import json
import pathlib

import pytest

from keras_roformer.pipelines import pipeline
from tests.support import python

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
def test_train_a_classifier(run, checkpoint, tmp_path, suffix):
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


def test_train_a_tagger(run, checkpoint, tmp_path):
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
def test_bad_data(run, checkpoint, tmp_path, rows, message):
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    status, _, err = run("train", str(data), "-o", str(tmp_path / "out"), "-m", checkpoint)
    assert status == 1 and message in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_labels_to_evaluate_that_training_has_not(run, checkpoint, tmp_path):
    data, evaluation = tmp_path / "data.jsonl", tmp_path / "eval.jsonl"
    data.write_text("\n".join(map(json.dumps, REVIEWS)), "utf-8")
    rows = [*REVIEWS[:2], {"text": "a", "label": "odd"}]
    evaluation.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    arguments = ("-o", str(tmp_path / "out"), "-m", checkpoint, "--eval", str(evaluation))
    status, _, err = run("train", str(data), *arguments)
    assert status == 1 and f"{evaluation}: row 3 has the label 'odd', but {data} has only" in err


def test_train_writes_all_or_nothing(run, checkpoint, tmp_path, monkeypatch):
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


@pytest.mark.framework_free
def test_mistakes_are_found_before_keras_is_imported(tmp_path):
    """Which takes seconds."""
    (tmp_path / "data.csv").write_text("text,label\na,good\nb,bad\nc,bad\n", "utf-8")
    code = (
        "import sys; from keras_roformer import cli\n"
        "try: cli.main(['train', 'data.csv', '-o', 'out', '-m', 'none'])\n"
        "except SystemExit as stop: print(stop.code, 'keras' in sys.modules)"
    )
    done = python("-c", code, cwd=tmp_path)
    assert "'none' is neither" in done.stderr and done.stdout == "1 False\n"
    assert [file.name for file in tmp_path.iterdir()] == ["data.csv"]
