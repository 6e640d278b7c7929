"""The command run in this process, and checkpoints for it."""

import functools
import io
import sys

import pytest

from keras_roformer import cli
from tests.pipelines.pipeline_tools import BASE, write_checkpoint

CHECKPOINT = str(BASE)


@pytest.fixture
def checkpoint():
    """A masked LM as a user has it."""
    return CHECKPOINT


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """The path of a checkpoint of a task."""
    directory = tmp_path_factory.mktemp("checkpoints")
    return functools.cache(lambda task: write_checkpoint(directory, task))


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
