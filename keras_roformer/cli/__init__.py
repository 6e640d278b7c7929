"""The command `keras-roformer`: tables in a terminal, plain text in a pipe, JSON on request.

Nothing heavy is imported before a command needs it, so that `--help` and mistakes answer at once.
pipeline_commands.py has the commands that run pipelines, file_commands.py those that make and show
files; common.py has what they share.
"""

import os
import sys

import click

from keras_roformer.cli import file_commands, pipeline_commands
from keras_roformer.version import __version__


class _Commands(click.Group):
    """A group that keeps its commands in the order in which they are added."""

    def list_commands(self, context):
        return list(self.commands)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="keras-roformer")
def app():
    """RoFormer from the command line. Texts come as arguments, from files (-i), or one a line on
    standard input."""


for command in (*pipeline_commands.COMMANDS, *file_commands.COMMANDS):
    app.add_command(command)


def main(arguments=None):
    """Run the command; exits with 0, with 1 after an error, with 2 after a wrong command line."""
    arguments = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    try:
        app.main(arguments, prog_name="keras-roformer", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        context = f"; see {error.ctx.command_path} --help" if error.ctx else ""
        _fail(f"{_one_line(error.format_message()).rstrip('.')}{context}", 2)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except BrokenPipeError:
        # The reader of the pipe has gone, which is its right; Python must not write there again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(141)
    except Exception as error:
        if "--debug" in arguments:
            raise
        expected = isinstance(error, (ValueError, TypeError, OSError, ImportError, RuntimeError))
        name = "" if expected else f"{type(error).__name__}: "
        more = "" if expected else " (a fault in this program; --debug shows where)"
        _fail(f"{name}{_one_line(error)}{more}", 1)


def _one_line(message):
    return " ".join(str(message).split())


def _fail(message, status):
    click.echo(f"keras-roformer: error: {message}", err=True)
    sys.exit(status)
