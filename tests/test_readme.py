"""The README's Python sessions and its demo print what it says.

`python tests/test_readme.py` writes what they print into the README, with all backends installed.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"
SESSION = re.compile(r"```python\n(.*?)```", re.S)
COMMAND = re.compile(r"```\n\$ (keras-roformer .*?)\n(.*?)```", re.S)
FRAMEWORKS = {"import torch": "torch", "import tensorflow": "tensorflow", "import jax": "jax"}

# Runs sessions one after another, each as a prompt of its own would, in a folder of its own: every
# value is shown, and printed. All of a backend share a process, which has imported it once.
SHOW = """
import code, json, os, sys
for folder, blocks in json.load(sys.stdin):
    os.makedirs(folder)
    os.chdir(folder)
    shell = code.InteractiveConsole()
    for block in blocks:
        for line in block.splitlines() + [""] * ("\\n" in block):
            shell.push(line)
        print("\\0", flush=True)
    print("\\1", flush=True)
"""


def backend_of(session):
    """The backend that a session's own import decides; None for any."""
    return next((name for line, name in FRAMEWORKS.items() if line in session), None)


def statements(session):
    """The statements of a session as (prompt lines, code)."""
    groups = re.findall(r"((?:^>>> .*\n)(?:^\.\.\. .*\n)*)", session, re.M)
    return [(group, re.sub(r"^(>>> |\.\.\. )", "", group, flags=re.M)) for group in groups]


def replay(sessions, backend, folder):
    """The sessions with what their statements print now, run in folders of their own."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": str(README.parent),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    codes = [
        (str(Path(folder, str(i))), [code.rstrip("\n") for _, code in statements(session)])
        for i, session in enumerate(sessions)
    ]
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        input=json.dumps(codes),
        env=environment,
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    shown = [text.split("\0\n") for text in done.stdout.split("\1\n")]
    return [
        "".join(prompt + out for (prompt, _), out in zip(statements(session), texts, strict=False))
        for session, texts in zip(sessions, shown, strict=False)
    ]


def run_command(command):
    """What a command prints; the text wrapped in quotes is one argument."""
    import shlex

    words = shlex.split(command)
    environment = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-m", "keras_roformer", *words[1:]],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


SESSIONS = SESSION.findall(README.read_text("utf-8"))


@pytest.fixture(scope="module")
def replayed(backend, tmp_path_factory):
    """Session → what it prints, of those that this backend runs."""
    own = [session for session in SESSIONS if backend_of(session) in (None, backend)]
    return dict(zip(own, replay(own, backend, tmp_path_factory.mktemp("readme")), strict=True))


@pytest.mark.parametrize("session", SESSIONS, ids=[str(i) for i in range(len(SESSIONS))])
def test_sessions(session, replayed):
    if session not in replayed:
        pytest.skip(f"a session on {backend_of(session)}")
    assert replayed[session] == session


def test_commands(backend):
    if backend != "jax":
        pytest.skip("make demo runs on JAX")
    commands = COMMAND.findall(README.read_text("utf-8"))
    assert commands
    for command, shown in commands:
        assert run_command(command) == shown


def main():
    text = README.read_text("utf-8")
    for backend in FRAMEWORKS.values():
        own = [x for x in SESSION.findall(text) if (backend_of(x) or "jax") == backend]
        with tempfile.TemporaryDirectory() as folder:
            for old, new in zip(own, replay(own, backend, folder), strict=True):
                text = text.replace(f"```python\n{old}```", f"```python\n{new}```")
    os.environ["KERAS_BACKEND"] = "jax"
    text = COMMAND.sub(lambda m: f"```\n$ {m[1]}\n{run_command(m[1])}```", text)
    README.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
