"""What the notebooks share: short runs for the tests, and cells on another backend."""

import os
import subprocess
import sys

# `make notebooks` sets it: the same code on little data, in a minute.
SHORT = os.environ.get("KERAS_ROFORMER_NOTEBOOKS") == "short"


def run_on(backend, code):
    """Run code in a process of its own, as Keras has one backend a process, and print its output.

    Raises:
        RuntimeError: the code failed; with what it wrote to standard error.
    """
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    print(done.stdout, end="")


def register_magic():
    """Make `%%on jax` at the top of a cell run the cell on that backend."""
    from IPython.core.magic import register_cell_magic

    register_cell_magic("on")(lambda line, cell: run_on(line.strip(), cell))
