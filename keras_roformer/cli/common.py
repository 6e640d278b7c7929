"""What the commands share: options, reading texts, printing, and keeping frameworks quiet."""

import contextlib
import json
import logging
import os
import sys
import warnings

import click

from keras_roformer.backend import BACKENDS
from keras_roformer.records import parse_lines, read_records, utf8

# Columns that are flush right in a terminal's tables.
_NUMBERS = {"probability", "score", "similarity", "start", "end", "line", "parameters", "size"}


def options(*decorators):
    """Several click options as one decorator."""

    def decorate(function):
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def model_option(default=None):
    return click.option(
        "--model",
        "-m",
        default=default,
        show_default=True,
        help="Preset in the box, directory or hub id.",
    )


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON value a line.")
debug_option = click.option(
    "--debug", is_flag=True, help="Show all log messages, and where errors arise."
)
input_option = click.option(
    "--input",
    "-i",
    "path",
    type=click.Path(exists=True, dir_okay=False),
    help="File of texts: one a line, .jsonl, .csv or .tsv.",
)
backend_option = click.option(
    "--backend", type=click.Choice(BACKENDS), help="By default the first installed."
)
running_options = options(
    backend_option,
    click.option("--device", help='"cpu", the number of a GPU, or a name such as "cuda:0".'),
    click.option("--dtype", help='"float32", "bfloat16" or "float16".'),
    click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True),
)


# Input


def read_texts(texts, path=None, fields=("text",)):
    """The texts of the arguments, of a file, or of standard input's lines that are not blank.

    Args:
        texts: arguments.
        path: file, or None.
        fields: names of the parts of an input. One that has all of them, in the columns of a table,
            in a JSON object, or in a line with a tab between each two, is given as a dict. A "*"
            before the last name says that it is a list: all the texts after the other parts.
    """
    if texts:
        return iter(texts)
    if path is None and sys.stdin.isatty():
        raise click.UsageError("give a text as an argument, or texts on standard input")
    records = parse_lines(read_stdin()) if path is None else read_records(path)
    where = "standard input" if path is None else path
    return (_input(row, fields, f"{where}: row {i}") for i, row in enumerate(records, start=1))


def read_stdin():
    """The lines of standard input."""
    if hasattr(sys.stdin, "reconfigure"):
        # In the C locale, Python would let bytes that are no UTF-8 through, as surrogates.
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict")
    with utf8("standard input"):
        yield from sys.stdin


def pair_of(item):
    """An input of two texts as a dict: one that is, or a text with a tab between them."""
    pair = _input(item, ("text", "text_pair"), "--pairs") if isinstance(item, str) else item
    if isinstance(pair, str) or len(pair) < 2:
        raise ValueError(f"--pairs takes two texts with a tab between them, got {item!r}")
    return pair


def _input(record, fields, where):
    """A text, or a dict of the `fields`, as the pipelines take them; errors say `where` it is."""
    *first, last = fields
    names = (*first, last.removeprefix("*"))
    if isinstance(record, str):
        parts = record.split("\t") if first else [record]
        if last.startswith("*") and len(parts) > len(first):
            parts = [*parts[: len(first)], parts[len(first) :]]
        whole = len(parts) == len(names) > 1
        return dict(zip(names, parts, strict=True)) if whole else record
    found = {name: record[name] for name in names if record.get(name) is not None}
    if not found:
        raise ValueError(f"{where} has no {' or '.join(names)}, but {', '.join(map(str, record))}")
    return found["text"] if list(found) == ["text"] else found


# Output


def print_json(value):
    click.echo(json.dumps(value, ensure_ascii=False, default=lambda array: array.tolist()))


def print_table(header, rows, title=None):
    """A table in a terminal; elsewhere a line a row, with tabs, for other programs.

    `rows` may be an iterator: without a terminal each is printed as it comes.
    """
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(map(_field, row)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title and Text(title), title_justify="left", title_style="bold")
    for name in header:
        justify = "right" if name in _NUMBERS else "left"
        # A name is there to be copied, in one piece.
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name == "name")
    for row in rows:
        table.add_row(*(Text(_field(value)) for value in row))
    Console().print(table)


def _field(value):
    """A value of a table: scores with four digits, texts in one line."""
    return f"{value:.4f}" if isinstance(value, float) else " ".join(str(value).split())


# Noise


@contextlib.contextmanager
def quiet(debug):
    """Keep the frameworks' messages off the terminal, even those written by C++ code.

    The warnings of this package itself come through, a line each. Gives a stream to the terminal.
    """
    if debug:
        logging.basicConfig(level=logging.INFO)
        yield sys.stderr
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "0" if sys.stderr.isatty() else "1")
    sys.stderr.flush()
    terminal = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    handler = logging.StreamHandler(os.fdopen(os.dup(terminal), "w"))
    handler.setFormatter(logging.Formatter("keras-roformer: warning: %(message)s"))
    logger = logging.getLogger("keras_roformer")
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    os.dup2(nowhere, 2)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield handler.stream
    finally:
        sys.stderr.flush()
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)
        logger.removeHandler(handler)
        handler.stream.close()
        logger.propagate = propagates
