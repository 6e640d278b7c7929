"""The command line: terminal, pipe and JSON output; input; exit codes; one-line errors."""

import io
import json
import logging
import os
import pty
import subprocess
import sys
import warnings

import numpy as np
import pytest

from keras_roformer import backend as backends
from keras_roformer import cli, hub
from keras_roformer.cli.pipeline_commands import _view
from keras_roformer.pipelines import pipeline
from tests.tolerances import FLOAT32

CHECKPOINT = "tests/oracle/checkpoints/roformer_chinese_base"
TEXT = "今天[MASK]好。"


@pytest.fixture(scope="module")
def checkpoint(request):
    return str(request.config.rootpath / CHECKPOINT)


@pytest.fixture
def run(capfd, monkeypatch):
    """Run the command in this process; gives status, standard output and standard error."""

    def run(*arguments, stdin=None):
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        status = 0
        try:
            cli.main(arguments)
        except SystemExit as stop:
            status = stop.code
        return status, *capfd.readouterr()

    return run


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


def test_the_process_is_left_as_it_was(run, checkpoint, monkeypatch):
    logger = logging.getLogger("keras_roformer")
    monkeypatch.setattr(logger, "propagate", False)
    before = [*warnings.filters], [*logger.handlers]
    assert run("tokenize", TEXT, "-m", checkpoint)[0] == 0
    assert ([*warnings.filters], [*logger.handlers]) == before and not logger.propagate


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
    np.testing.assert_allclose(*scores, **FLOAT32)


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


def test_tokenize(run, checkpoint):
    text = "今天天氣非常好。"
    assert run("tokenize", text, "-m", checkpoint)[1] == "今 天 天 氣 非常 好 。\n"
    assert run("tokenize", "-m", checkpoint, "--ids", stdin=text)[1] == "2 5 6 6 7 8 9 10 3\n"
    assert json.loads(run("tokenize", text, "-m", checkpoint, "--json")[1])[4] == "非常"


def test_presets(run, checkpoint, tmp_path, monkeypatch):
    preset = tmp_path / "some_preset"
    preset.mkdir()
    (preset / "config.json").write_text("{}")
    metadata = {"description": "for a test", "parameters": 1234}
    metadata["scores"] = {"heldout": {"accuracy": 0.3456}}
    (preset / "metadata.json").write_text(json.dumps(metadata))
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text("{}")
    monkeypatch.setattr(hub, "DIRECTORIES", [tmp_path])
    assert run("presets")[1] == (
        "bare\t0.0 MB\t\t\t\nsome_preset\t0.0 MB\t1,234\taccuracy 34.6%\tfor a test\n"
    )
    listed = json.loads(run("presets", "--json")[1])
    assert listed["some_preset"]["description"] == "for a test"


def test_inspect(run, checkpoint):
    status, out, _ = run("inspect", checkpoint)
    rows = dict(line.split("\t")[:2] for line in out.splitlines())
    assert status == 0 and rows["hidden_size"] == "16" and rows["hidden_act"] == '"gelu"'
    found = json.loads(run("inspect", checkpoint, "--json")[1])
    model = pipeline("fill-mask", checkpoint).model
    assert found["parameters"] == model.num_parameters()
    assert rows["total"] == f"{model.num_parameters():,}"
    assert [part["name"] for part in found["parts"]] == [
        "cls", "roformer.embeddings", "roformer.encoder.layer.0", "roformer.encoder.layer.1",
    ]  # fmt: skip
    assert sum(part["parameters"] for part in found["parts"]) == found["parameters"]
    assert found["config"]["vocab_size"] == 115


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (("fill-mask", "你好", "-m", "CHECKPOINT"), 1, "needs [MASK] in the text, got '你好'"),
        (("fill-mask", TEXT, "-m", "roformer_none"), 1, "neither a directory nor a preset"),
        (
            ("fill-mask", TEXT, "-m", "CHECKPOINT", "--device", "abacus"),
            1,
            "no device 'abacus' here",
        ),
        (("fill-mask", TEXT, "-m", "CHECKPOINT", "--dtype", "int8"), 1, "got 'int8'"),
        (("fill-mask", TEXT, "-m", "CHECKPOINT", "-k", "0"), 2, "0 is not in the range x>=1"),
        (("fill-mask", TEXT, "--backend", "mxnet"), 2, "'mxnet' is not one of"),
        (("fil-mask", TEXT), 2, "fil-mask"),
        (("run", "--task", "sing"), 2, "unknown task 'sing'. Tasks: fill-mask"),
        (("run",), 2, "Missing option '--task'"),
        (("inspect", "nowhere"), 1, "neither a directory nor a preset"),
        (("tokenize", "x", "-m", "nowhere"), 1, "neither a directory nor a preset"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, tuple) else None,
)
def test_errors_are_one_line(run, checkpoint, arguments, status, message):
    arguments = [checkpoint if argument == "CHECKPOINT" else argument for argument in arguments]
    found, out, err = run(*arguments)
    assert (found, out) == (status, "")
    assert err.startswith("keras-roformer: error: ") and message in err
    assert err.count("\n") == 1 and err.endswith("\n")


def test_no_text_in_a_terminal(run, checkpoint, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    status, _, err = run("fill-mask", "-m", checkpoint)
    assert status == 2 and "give a text as an argument, or texts on standard input" in err


def test_a_missing_backend_is_one_line(run, checkpoint, monkeypatch):
    monkeypatch.setattr(backends, "current_backend", lambda: None)
    monkeypatch.setattr("keras_roformer.pipelines.current_backend", lambda: None)
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: None)
    status, _, err = run("fill-mask", TEXT, "-m", checkpoint, "--backend", "torch")
    assert status == 1 and "pip install 'keras-roformer[torch]'" in err and err.count("\n") == 1
    status, _, err = run("fill-mask", TEXT, "-m", checkpoint)
    assert status == 1 and "none of jax, torch and tensorflow is installed" in err


def test_debug_shows_where(run, checkpoint):
    with pytest.raises(ValueError, match="neither a directory"):
        cli.main(["inspect", "nowhere", "--debug"])


def test_a_fault_says_so(run, monkeypatch):
    def fail():
        raise KeyError("name")

    monkeypatch.setattr(hub, "list_presets", fail)
    status, _, err = run("presets")
    assert status == 1
    assert err == (
        "keras-roformer: error: KeyError: 'name' (a fault in this program; --debug shows where)\n"
    )


def test_names_of_presets_are_whole_in_a_terminal(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = run("presets")[1]
    assert len(shown.splitlines()[0]) == 80  # the title, which is as wide as the table
    assert all(name in shown for name in hub.list_presets())


def test_help_and_version(run):
    status, out, err = run("--help")
    assert (status, err) == (0, "") and "..." not in out.partition("Commands:")[2]  # nothing cut
    assert run() == (0, out, "")
    assert status == 0
    for command in ("fill-mask", "run", "tokenize", "presets", "inspect"):
        assert command in out and run(command, "--help")[0] == 0
    from keras_roformer import __version__

    assert run("--version")[1] == f"keras-roformer, version {__version__}\n"


@pytest.mark.parametrize("name", ["standard input", "texts.txt", "texts.csv"])
def test_texts_in_another_encoding(run, checkpoint, tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.write_bytes("text\n今天天氣非常好。\n".encode("gbk"))
    arguments = ["tokenize", "-m", checkpoint]
    if name == "standard input":  # as Python opens it in the C locale
        stream = open(path, encoding="ascii", errors="surrogateescape")
        monkeypatch.setattr(sys, "stdin", stream)
    else:
        arguments += ["-i", str(path)]
        name = str(path)
    status, _, err = run(*arguments)
    assert status == 1 and err.count("\n") == 1
    assert f"{name} is not UTF-8, which has no byte 0xbd" in err and "iconv -f gbk -t utf-8" in err


def command(*arguments):
    return [sys.executable, "-m", "keras_roformer", *arguments]


@pytest.mark.framework_free
def test_import_is_light():
    heavy = {"keras", "jax", "torch", "tensorflow", "numpy", "rich", "huggingface_hub"}
    code = f"import sys, keras_roformer.cli; found = {heavy} & set(sys.modules); assert not found"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


@pytest.mark.framework_free
def test_a_reader_that_leaves_is_no_error(request):
    texts = "好天\n" * 100_000
    line = f"{subprocess.list2cmdline(command('tokenize', '-m', CHECKPOINT))} | head -n 1"
    result = subprocess.run(
        ["bash", "-c", line],
        cwd=request.config.rootpath,
        input=texts,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.stderr == "" and len(result.stdout.splitlines()) == 1


def test_a_table_and_nothing_else_in_a_terminal(request, checkpoint, backend):
    """In a fresh process, whose start-up messages of the framework must not be seen."""
    output, terminal = pty.openpty()
    process = subprocess.Popen(
        command("fill-mask", TEXT, "-m", checkpoint, "--backend", backend),
        cwd=request.config.rootpath,
        env={k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
        | {"COLUMNS": "80"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            shown += os.read(output, 4096)
        except OSError:  # how Linux says that the terminal was closed
            break
    os.close(output)
    assert process.wait(timeout=600) == 0
    lines = shown.decode().splitlines()
    assert TEXT in lines[0] and "token" in lines[2] and "probability" in lines[2]
    assert len([line for line in lines if "好。" in line]) == 1 + 5
    assert set(lines[-1]) <= set("└┴─┘\x1b[0m")


def test_a_task_without_a_view_takes_texts_and_shows_json(capsys):
    view = _view("a-new-task")
    view.show([("text", {"answer": 1})], None)
    assert view.fields == ("text",) and capsys.readouterr().out == '{"answer": 1}\n'
