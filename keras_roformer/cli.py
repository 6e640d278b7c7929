"""The command `keras-roformer`: tables in a terminal, plain text in a pipe, JSON on request.

Nothing heavy is imported before a command needs it, so that `--help` and mistakes answer at once.
"""

import contextlib
import itertools
import json
import logging
import os
import re
import sys
import warnings

import click

from keras_roformer.version import __version__

DEFAULT_MODEL = "roformer_tiny_zh"
BACKENDS = ("jax", "torch", "tensorflow")

# The part of a model that a weight belongs to, as the beginning of the weight's name.
_PART = re.compile(r".*?encoder\.layer\.\d+|.*?embeddings(_project)?(?=\.)|.*?pooler|[^.]+")


class _Commands(click.Group):
    """A group that keeps its commands in the order in which they are written."""

    def list_commands(self, context):
        return list(self.commands)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="keras-roformer")
def app():
    """RoFormer from the command line. Texts come as arguments, or one a line on standard input."""


def _options(*options):
    """Several click options as one decorator."""

    def decorate(function):
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_model = click.option(
    "--model",
    "-m",
    default=DEFAULT_MODEL,
    show_default=True,
    help="Preset in the box, directory or hub id.",
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON value a line.")
_debug = click.option(
    "--debug", is_flag=True, help="Show all log messages, and where errors arise."
)
_running = _options(
    click.option("--backend", type=click.Choice(BACKENDS), help="By default the first installed."),
    click.option("--device", help='"cpu", the number of a GPU, or a name such as "cuda:0".'),
    click.option("--dtype", help='"float32", "bfloat16" or "float16".'),
    click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True),
)
_filling = _options(
    click.option("--top-k", "-k", type=click.IntRange(1), default=5, show_default=True),
    click.option(
        "--targets", multiple=True, help="Only these tokens; comma-separated or repeated."
    ),
)


@app.command("fill-mask")
@click.argument("texts", nargs=-1)
@_options(_model, _filling, _running, _json, _debug)
def fill_mask(texts, **options):
    """Fill the [MASK] of every text with the likeliest tokens."""
    _fill_mask(texts, **options)


@app.command()
@click.option("--task", required=True, help="fill-mask")
@_options(_model, _filling, _running, _json, _debug)
def run(task, **options):
    """Run a task on the lines of standard input, like `transformers run`."""
    from keras_roformer.pipelines import TASKS

    if task not in TASKS:
        raise click.UsageError(f"unknown task {task!r}; tasks: {', '.join(TASKS)}")
    _fill_mask((), **options)


def _fill_mask(texts, model, top_k, targets, backend, device, dtype, batch_size, as_json, debug):
    texts = _texts(texts)
    if device is not None and device.lstrip("-").isdecimal():
        device = int(device)
    targets = [target for given in targets for target in given.split(",") if target] or None
    with _quiet(debug):
        from keras_roformer.pipelines import pipeline

        fill = pipeline(
            "fill-mask",
            model,
            backend=backend,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            top_k=top_k,
            targets=targets,
        )
    shown, given = itertools.tee(texts)
    results = fill(given)
    mask = fill.tokenizer.mask_token
    for number, text in enumerate(shown):
        with _quiet(debug):
            answers = next(results)
        if as_json:
            _print_json(answers)
            continue
        if number and not sys.stdout.isatty():
            click.echo()  # an empty line between the answers to two texts
        several = isinstance(answers[0], list)
        for i, one_mask in enumerate(answers if several else [answers]):
            _print_table(
                ("token", "probability", "sentence"),
                [
                    (answer["token_str"], f"{answer['score']:.4f}", _filled(text, mask, i, answer))
                    for answer in one_mask
                ],
                title=f"{text}  (mask {i + 1} of {len(answers)})" if several else text,
            )


def _filled(text, mask, number, answer):
    """The text as it was given, with one of its masks filled."""
    parts = text.split(mask)
    token = answer["token_str"].removeprefix("##")
    return mask.join(parts[: number + 1]) + token + mask.join(parts[number + 1 :])


@app.command()
@click.argument("texts", nargs=-1)
@click.option("--ids", is_flag=True, help="Token ids, with the special tokens.")
@_options(_model, _json, _debug)
def tokenize(texts, ids, model, as_json, debug):
    """Cut texts into tokens, a line of tokens for each text."""
    with _quiet(debug):
        from keras_roformer.tokenizers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(model)
    for text in _texts(texts):
        found = tokenizer(text)["input_ids"] if ids else tokenizer.tokenize(text)
        if as_json:
            _print_json(found)
        else:
            click.echo(" ".join(map(str, found)))


@app.command()
@_options(_json, _debug)
def presets(as_json, debug):
    """List the presets in the box."""
    from keras_roformer.presets import list_presets

    found = list_presets()
    if as_json:
        _print_json(found)
        return
    header = ("name", "size", "parameters", "masked accuracy", "description")
    rows = []
    for name, preset in found.items():
        # Of held-out texts; metadata.json has all the scores.
        accuracy = preset.get("scores", {}).get("heldout", {}).get("accuracy")
        rows.append(
            (
                name,
                f"{preset['bytes'] / 1e6:.1f} MB",
                f"{preset['parameters']:,}" if "parameters" in preset else "",
                f"{accuracy:.1%}" if accuracy is not None else "",
                preset.get("description", ""),
            )
        )
    _print_table(header, rows, title="Presets in the box")


@app.command()
@click.argument("model", default=DEFAULT_MODEL)
@_options(_json, _debug)
def inspect(model, as_json, debug):
    """Show the configuration of a checkpoint, and how many parameters each part of it has."""
    with _quiet(debug):
        from keras_roformer.config import RoFormerConfig
        from keras_roformer.presets import resolve
        from keras_roformer.weights import checkpoint

        directory = resolve(model)
        config = RoFormerConfig.from_pretrained(directory)
        parts = _parts(checkpoint.read(directory))
    total = sum(part["parameters"] for part in parts)
    if as_json:
        config = json.loads(config.to_json_string())
        _print_json({"config": config, "parameters": total, "parts": parts})
        return
    fields = json.loads(config.to_json_string())
    _print_table(("field", "value"), [(k, json.dumps(v)) for k, v in fields.items()], title=model)
    rows = [(part["name"], f"{part['parameters']:,}", part["dtype"]) for part in parts]
    _print_table(("part", "parameters", "dtype"), [*rows, ("total", f"{total:,}", "")])


def _parts(tensors):
    """Names, numbers of parameters and dtypes of the parts of a canonical checkpoint."""
    from keras_roformer.weights import names

    parts = {}
    for name, tensor in tensors.items():
        if name in names.TIED or names.COMPUTED.fullmatch(name):
            continue
        part = parts.setdefault(_PART.match(name)[0], {"parameters": 0, "dtypes": set()})
        part["parameters"] += tensor.size
        part["dtypes"].add(str(tensor.dtype))
    return [
        {"name": name, "parameters": part["parameters"], "dtype": ", ".join(sorted(part["dtypes"]))}
        for name, part in parts.items()
    ]


# Input and output


def _texts(texts):
    """The arguments, or the lines of standard input that are not blank."""
    if texts:
        return iter(texts)
    if sys.stdin.isatty():
        raise click.UsageError("give a text as an argument, or texts on standard input")
    lines = (line.strip() for line in sys.stdin)
    return (line for line in lines if line)


def _print_json(value):
    click.echo(json.dumps(value, ensure_ascii=False))


def _print_table(header, rows, title=None):
    """A table in a terminal; elsewhere a line a row, with tabs, for other programs."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title and Text(title), title_justify="left", title_style="bold")
    for name in header:
        is_number = name in ("probability", "parameters", "size", "masked accuracy")
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


# Noise and errors


@contextlib.contextmanager
def _quiet(debug):
    """Keep the frameworks' start-up messages off the terminal, even those written by C++ code.

    The warnings of this package itself come through, a line each.
    """
    if debug:
        logging.basicConfig(level=logging.INFO)
        yield
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "0" if sys.stderr.isatty() else "1")
    warnings.simplefilter("ignore")
    sys.stderr.flush()
    terminal = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    handler = logging.StreamHandler(os.fdopen(os.dup(terminal), "w"))
    handler.setFormatter(logging.Formatter("keras-roformer: warning: %(message)s"))
    logger = logging.getLogger("keras_roformer")
    logger.addHandler(handler)
    logger.propagate = False
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)
        logger.removeHandler(handler)
        handler.stream.close()
        logger.propagate = True


def main(arguments=None):
    """Run the command; exits with 0, with 1 after an error, with 2 after a wrong command line."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        app.main(arguments, prog_name="keras-roformer", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        context = f"; see {error.ctx.command_path} --help" if error.ctx else ""
        _fail(f"{_one_line(error.format_message())}{context}", 2)
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


if __name__ == "__main__":
    main()
