"""What all commands share: input, exit codes, one-line errors, terminal, pipe."""

import io
import logging
import os
import pty
import subprocess
import sys
import warnings

import pytest

from keras_roformer import backend as backends
from keras_roformer import cli, hub
from keras_roformer.cli.pipeline_commands import _view
from tests.cli.conftest import CHECKPOINT
from tests.support import python

TEXT = "今天[MASK]好。"


def test_the_process_is_left_as_it_was(run, checkpoint, monkeypatch):
    logger = logging.getLogger("keras_roformer")
    monkeypatch.setattr(logger, "propagate", False)
    before = [*warnings.filters], [*logger.handlers]
    assert run("tokenize", TEXT, "-m", checkpoint)[0] == 0
    assert ([*warnings.filters], [*logger.handlers]) == before and not logger.propagate


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
    python("-c", code)


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


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.jsonl", '{"text": "jim"}\n\n{"text": jim}\n', "a.jsonl: line 3 is not valid JSON"),
        ("a.jsonl", '\n{"text": jim}', "not valid JSON: Expecting value at character 10"),
        ("a.jsonl", '{"text": "jim"}\n{"txt": "jim"}', "a.jsonl: row 2 has no text, but txt"),
        ("a.jsonl", "[1, 2]", "a.jsonl: line 1 is neither a JSON object nor a text"),
        ("a.csv", "body\njim,james", "a.csv: row 1 has no text, but body"),
    ],
)
def test_broken_files(run, checkpoints, tmp_path, name, content, message):
    (tmp_path / name).write_text(content, "utf-8")
    path = checkpoints("text-classification")
    status, out, err = run("classify", "-m", path, "-i", str(tmp_path / name))
    assert (status, out) == (1, "") and message in err and err.count("\n") == 1


def test_a_long_text_in_a_table(run, checkpoints, tmp_path):
    text = "jim " * 40_000  # longer than the csv module reads by default
    (tmp_path / "a.csv").write_text(f"text\n{text}\n", "utf-8")
    out = run("tokenize", "-m", checkpoints("fill-mask"), "-i", str(tmp_path / "a.csv"))[1]
    assert out.split() == text.split()
