"""The commands that run pipelines: what they print is what the pipelines give."""

import json

import numpy as np
import pytest

from keras_roformer.pipelines import pipeline
from tests.pipelines.pipeline_tools import assert_same
from tests.support import close

TEXT = "今天[MASK]好。"
TEXTS = ["今天天氣非常好。", "my dog is cute, jim"]


def rows(out):
    return [line.split("\t") for line in out.splitlines()]


@pytest.mark.quick
def test_plain_text_in_a_pipe(run, checkpoint):
    status, out, err = run("fill-mask", TEXT, "-m", checkpoint, "--top-k", "3")
    assert (status, err) == (0, "")
    rows = [line.split("\t") for line in out.splitlines()]
    expected = pipeline("fill-mask", checkpoint)(TEXT, top_k=3)
    assert [row[0] for row in rows] == [answer["token_str"] for answer in expected]
    assert [row[1] for row in rows] == [f"{answer['score']:.4f}" for answer in expected]
    assert [row[2] for row in rows] == [
        f"今天{answer['token_str'].removeprefix('##')}好。" for answer in expected
    ]


def test_json_lines_are_the_pipelines_results(run, checkpoint):
    texts = [TEXT, "[MASK]天[MASK]"]
    status, out, _ = run("fill-mask", *texts, "-m", checkpoint, "--json", "-k", "2")
    assert status == 0
    found = [json.loads(line) for line in out.splitlines()]
    expected = pipeline("fill-mask", checkpoint, top_k=2)(texts)
    assert [answer["token"] for answer in found[0]] == [answer["token"] for answer in expected[0]]
    assert [[a["sequence"] for a in mask] for mask in found[1]] == [
        [a["sequence"] for a in mask] for mask in expected[1]
    ]
    scores = [[answer["score"] for answer in answers[0]] for answers in (found, expected)]
    close(*scores)


def test_texts_from_standard_input(run, checkpoint):
    lines = f"{TEXT}\n\n  [MASK]天[MASK] \n"
    status, out, _ = run("fill-mask", "-m", checkpoint, "-k", "1", stdin=lines)
    assert status == 0
    first, second = out.split("\n\n")
    assert len(first.splitlines()) == 1 and len(second.splitlines()) == 2
    left, right = (line.split("\t")[2] for line in second.splitlines())
    assert left.endswith("天[MASK]") and right.startswith("[MASK]天")

    documented = ("run", "--task", "fill-mask", "--model", checkpoint, "--top-k", "1")
    assert run(*documented, stdin=lines)[1] == out


def test_targets(run, checkpoint):
    _, out, err = run(
        "fill-mask", TEXT, "-m", checkpoint, "--targets", "天,good", "--targets", "好"
    )
    assert {line.split("\t")[0] for line in out.splitlines()} == {"天", "g", "好"}
    warning = "the target 'good' is no token; its first piece 'g' stands for it"
    assert err == f"keras-roformer: warning: {warning}\n"


def test_classify(run, checkpoints, tmp_path):
    path = checkpoints("text-classification")
    expected = pipeline("text-classification", path)(TEXTS)
    status, out, err = run("classify", *TEXTS, "-m", path)
    assert (status, err) == (0, "")
    assert rows(out) == [
        [answer["label"], f"{answer['score']:.4f}", text]
        for answer, text in zip(expected, TEXTS, strict=True)
    ]
    out = run("classify", "-m", path, "--json", stdin="\n".join(TEXTS))[1]
    assert_same([json.loads(line) for line in out.splitlines()], expected)
    assert len(rows(run("classify", TEXTS[0], "-m", path, "--top-k", "2")[1])) == 2

    for name, content in (
        ("texts.txt", "\n".join(TEXTS)),
        ("texts.jsonl", "\n".join(json.dumps({"text": text}) for text in TEXTS)),
        ("texts.csv", "id,text\n" + "\n".join(f'{i},"{t}"' for i, t in enumerate(TEXTS))),
    ):
        (tmp_path / name).write_text(content, "utf-8")
        out = run("classify", "-m", path, "-i", str(tmp_path / name), "--json")[1]
        assert_same([json.loads(line) for line in out.splitlines()], expected)

    pair = {"text": TEXTS[0], "text_pair": TEXTS[1]}
    expected = pipeline("text-classification", path)(pair)
    out = run("classify", "-m", path, "--pairs", "--json", stdin="\t".join(TEXTS))[1]
    assert_same(json.loads(out), expected)
    assert run("classify", "\t".join(TEXTS), "-m", path, "--pairs", "--json")[1] == out
    for arguments, stdin in ((TEXTS, None), ((), "\t".join(TEXTS) + "\njim")):
        status, out, err = run("classify", *arguments, "-m", path, "--pairs", stdin=stdin)
        assert (status, out) == (1, "") and "--pairs takes two texts with a tab between" in err


def test_tag(run, checkpoints):
    path = checkpoints("token-classification")
    expected = pipeline("ner", path, aggregation_strategy="simple")(TEXTS)
    assert any(expected)
    out = run("tag", *TEXTS, "-m", path)[1]
    assert rows(out) == [
        [str(line), x["entity_group"], text[x["start"] : x["end"]], f"{x['score']:.4f}"]
        + [str(x["start"]), str(x["end"])]
        for line, (text, found) in enumerate(zip(TEXTS, expected, strict=True), start=1)
        for x in found
    ]
    tokens = json.loads(run("tag", TEXTS[0], "-m", path, "--aggregation", "none", "--json")[1])
    assert_same(tokens, pipeline("ner", path)(TEXTS[0]))


def test_answer(run, checkpoints, tmp_path):
    path = checkpoints("question-answering")
    context, question = "my dog is cute. jim is in new york.", "who is cute?"
    expected = pipeline("question-answering", path)(question=question, context=context, top_k=2)
    ask = ("answer", "-m", path, "-k", "2")
    out = run(*ask, question, "--context", context)[1]
    assert [row[0] for row in rows(out)] == [answer["answer"] for answer in expected]
    (tmp_path / "context.txt").write_text(context, "utf-8")
    assert run(*ask, question, "-f", str(tmp_path / "context.txt"))[1] == out
    assert run(*ask, question, stdin=context)[1] == out
    assert run(*ask, stdin=f"{question}\t{context}")[1] == out
    lines = json.dumps({"question": question, "context": context})
    task = ("run", "--task", "question-answering", "-m", path, "--set", "top_k=2")
    assert run(*task, stdin=lines)[1] == out


def test_generate(run, checkpoints):
    path = checkpoints("text-generation")
    out = run("generate", *TEXTS, "-m", path, "--greedy", "--max-new-tokens", "3", "--bare")[1]
    expected = pipeline("text-generation", path, do_sample=False, max_new_tokens=3)(
        TEXTS, add_special_tokens=False
    )
    assert out.splitlines() == [result[0]["generated_text"] for result in expected]


def test_tensors(run, checkpoints):
    """return_tensors gives arrays and token ids, in JSON and without."""
    path = checkpoints("text-generation")
    task = ("run", "--task", "text-generation", "-m", path, "--set", "do_sample=false")
    task += ("--set", "max_new_tokens=3", "--set", "temperature=0.5")
    ids = pipeline("text-generation", path)(
        TEXTS, do_sample=False, max_new_tokens=3, return_tensors=True
    )
    status, out, err = run(*task, "--set", "return_tensors=true", stdin="\n".join(TEXTS))
    assert [list(map(int, row)) for row in rows(out)] == [x[0]["generated_token_ids"] for x in ids]
    assert status == 0 and err.count("no effect without do_sample") == 1
    path = checkpoints("fill-mask")
    task = ("run", "--task", "feature-extraction", "-m", path)
    for pooling in ((), ("--set", "pooling=mean")):
        lists = run(*task, *pooling, stdin="\n".join(TEXTS))[1]
        assert (
            run(*task, *pooling, "--set", "return_tensors=true", stdin="\n".join(TEXTS))[1] == lists
        )
        found = run(*task, *pooling, "--set", "return_tensors=true", "--json", stdin=TEXTS[0])[1]
        shape = np.array(json.loads(found)).shape
        assert len(shape) == (1 if pooling else 3)


def test_embed_and_similar(run, checkpoints, tmp_path):
    path = checkpoints("fill-mask")
    expected = np.array(pipeline("feature-extraction", path)(TEXTS, pooling="mean"))
    out = run("embed", *TEXTS, "-m", path)[1]
    close(np.array(rows(out), "float64"), expected)
    file = tmp_path / "vectors.npy"
    assert run("embed", *TEXTS, "-m", path, "-o", str(file))[:2] == (0, "")
    close(np.load(file), expected)

    out = run("similar", TEXTS[0], "-m", path, stdin="\n".join(TEXTS))[1]
    assert rows(out)[0] == ["1.0000", TEXTS[0]] and rows(out)[1][1] == TEXTS[1]


def test_embed_checks_its_output_first_and_writes_it_whole(run, checkpoints, tmp_path, monkeypatch):
    path = checkpoints("fill-mask")
    for output, message in (
        (tmp_path / "missing" / "x.npy", f"no directory {tmp_path / 'missing'}"),
        ("/dev/null", "not a plain file"),
    ):
        status, _, err = run("embed", TEXTS[0], "-m", "no_model", "-o", str(output))
        assert status == 2 and message in err and err.count("\n") == 1

    file = tmp_path / "vectors.bin"  # the name stays as it is
    assert run("embed", *TEXTS, "-m", path, "-o", str(file))[:2] == (0, "")
    old = file.read_bytes()
    assert len(np.load(file)) == len(TEXTS)

    def full_disk(file, array):
        file.write(b"half")
        raise OSError("no space")

    monkeypatch.setattr(np, "save", full_disk)
    assert run("embed", *TEXTS, "-m", path, "-o", str(file))[0] == 1
    assert [*tmp_path.iterdir()] == [file] and file.read_bytes() == old


@pytest.mark.parametrize(
    "task, model, first, rest",
    [
        ("sentence-similarity", "fill-mask", "source_sentence", "sentences"),
        ("multiple-choice", "multiple-choice", "prompt", "choices"),
    ],
)
def test_run_takes_lists_with_tabs(run, checkpoints, task, model, first, rest):
    arguments = ("run", "--task", task, "-m", checkpoints(model), "--json")
    for texts in (["jim", *TEXTS], ["jim", TEXTS[0]]):
        status, out, err = run(*arguments, stdin="\t".join(texts))
        assert (status, err) == (0, "") and len(json.loads(out)) == len(texts) - 1
        assert run(*arguments, stdin=json.dumps({first: texts[0], rest: texts[1:]}))[1] == out
    status, _, err = run(*arguments, stdin="jim")
    assert status == 1 and f"{task} takes" in err


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (("classify", "x"), 1, "neither a directory nor a preset"),
        (("answer", "x", "-c", "y"), 1, "has no preset in the box; give a model"),
        (("answer", "x", "-c", "y", "-f", __file__), 2, "--context or a --context-file, not both"),
        (("generate", "x", "--seed", "-1"), 2, "-1 is not in the range x>=0"),
        (("classify", "-i", "nowhere.txt"), 2, "File 'nowhere.txt' does not exist"),
        (("run", "--task", "ner", "--set", "stride"), 2, "--set takes NAME=VALUE, got 'stride'"),
        (("tag", "x", "--aggregation", "y"), 2, "'y' is not one of"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, tuple) else None,
)
def test_errors_are_one_line(run, monkeypatch, arguments, status, message):
    monkeypatch.setattr("keras_roformer.hub.DIRECTORIES", [])
    found, out, err = run(*arguments, stdin="x")
    assert (found, out) == (status, "")
    assert err.startswith("keras-roformer: error: ") and message in err and err.count("\n") == 1
