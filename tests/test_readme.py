"""The README's Python sessions and its demo print what it says.

`python tests/test_readme.py` writes what they print into the README, with all backends installed.
"""

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

# Runs a session as a prompt would, so that every value is shown, and prints what is shown.
SHOW = """
import code, sys
shell = code.InteractiveConsole()
for block in sys.stdin.read().split("\\0"):
    for line in block.splitlines() + [""] * ("\\n" in block):
        shell.push(line)
    print("\\0", flush=True)
"""


def backend_of(session):
    """The backend that a session's own import decides; None for any."""
    return next((name for line, name in FRAMEWORKS.items() if line in session), None)


def statements(session):
    """The statements of a session as (prompt lines, code)."""
    groups = re.findall(r"((?:^>>> .*\n)(?:^\.\.\. .*\n)*)", session, re.M)
    return [(group, re.sub(r"^(>>> |\.\.\. )", "", group, flags=re.M)) for group in groups]


def replay(session, backend, folder):
    """The session with what its statements print now, run in a folder of its own."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": str(README.parent),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    codes = [code.rstrip("\n") for _, code in statements(session)]
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        input="\0".join(codes),
        env=environment,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    shown = done.stdout.split("\0\n")
    assert "Traceback" not in done.stderr, done.stderr
    return "".join(
        prompt + out for (prompt, _), out in zip(statements(session), shown, strict=False)
    )


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


@pytest.mark.parametrize("session", SESSIONS, ids=[str(i) for i in range(len(SESSIONS))])
def test_sessions(session, backend, tmp_path):
    own = backend_of(session)
    if own not in (None, backend):
        pytest.skip(f"a session on {own}")
    assert replay(session, backend, tmp_path) == session


def test_commands(backend):
    if backend != "jax":
        pytest.skip("make demo runs on JAX")
    commands = COMMAND.findall(README.read_text("utf-8"))
    assert commands
    for command, shown in commands:
        assert run_command(command) == shown


def main():
    text = README.read_text("utf-8")
    with tempfile.TemporaryDirectory() as folder:
        text = SESSION.sub(
            lambda m: f"```python\n{replay(m[1], backend_of(m[1]) or 'jax', folder)}```", text
        )
    os.environ["KERAS_BACKEND"] = "jax"
    text = COMMAND.sub(lambda m: f"```\n$ {m[1]}\n{run_command(m[1])}```", text)
    README.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
