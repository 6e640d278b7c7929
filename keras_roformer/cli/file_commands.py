"""The commands that make and show files: train, tokenize, presets, inspect, convert."""

import json
import re

import click

from keras_roformer.cli.common import (
    backend_option,
    debug_option,
    input_option,
    json_option,
    model_option,
    options,
    print_json,
    print_table,
    quiet,
    read_texts,
)
from keras_roformer.weights import formats

DEFAULT_MODEL = "roformer_tiny_zh"
TRAINED = ("text-classification", "token-classification")  # tasks of `train`

_formats = click.Choice(formats.WRITTEN)

# The part of a model that a weight belongs to, as the beginning of the weight's name.
_PART = re.compile(r".*?encoder\.layer\.\d+|.*?embeddings(_project)?(?=\.)|.*?pooler|[^.]+")


@click.command()
@click.argument("data", type=click.Path(exists=True, dir_okay=False))
@click.option("--output", "-o", required=True, type=click.Path(file_okay=False), help="Directory.")
@click.option("--task", type=click.Choice(TRAINED), default=TRAINED[0], show_default=True)
@options(model_option(DEFAULT_MODEL))
@click.option(
    "--eval",
    "evaluation",
    type=click.Path(exists=True, dir_okay=False),
    help="File to evaluate on; by default, a tenth of the data is held out.",
)
@click.option("--text", "text_column", help='Column of the text ("text") or of words ("tokens").')
@click.option("--label", "label_column", help='Column of the label ("label") or tags ("tags").')
@click.option("--epochs", type=click.IntRange(1), default=3, show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True)
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    default=3e-4,
    show_default=True,
    help="At its highest; a model of base size wants 3e-5.",
)
@click.option("--max-length", type=click.IntRange(3), default=256, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@options(backend_option, json_option, debug_option)
def train(data, output, as_json, debug, **arguments):
    """Fine-tune a classifier or a tagger and save it as a preset.

    DATA is .csv, .tsv or .jsonl. A classifier reads the columns "text" and "label"; a tagger
    "tokens" and "tags", lists or texts with spaces between the items. After each epoch the model
    is evaluated; the best one is saved.
    """
    with quiet(debug) as terminal:
        from keras_roformer.fine_tuning import fine_tune

        # Each epoch's scores are a line at once, and the last line says what was saved.
        report = print_json if as_json else print_line
        result = fine_tune(data, output, report=report, progress=terminal, **arguments)
    if as_json:
        print_json(result)
    else:
        print_table(("what", "value"), result.items(), title=f"Saved in {output}")


def print_line(epoch):
    """The scores of an epoch as a line."""
    shown = (
        f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}"
        for name, value in epoch.items()
    )
    click.echo("  ".join(shown))


@click.command()
@click.argument("texts", nargs=-1)
@click.option("--ids", is_flag=True, help="Token ids, with the special tokens.")
@options(model_option(DEFAULT_MODEL), input_option, json_option, debug_option)
def tokenize(texts, path, ids, model, as_json, debug):
    """Cut texts into tokens, a line of tokens for each text."""
    with quiet(debug):
        from keras_roformer.tokenizers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(model)
    for text in read_texts(texts, path):
        found = tokenizer(text)["input_ids"] if ids else tokenizer.tokenize(text)
        if as_json:
            print_json(found)
        else:
            click.echo(" ".join(map(str, found)))


@click.command()
@options(json_option, debug_option)
def presets(as_json, debug):
    """List the presets in the box."""
    from keras_roformer.hub import list_presets

    found = list_presets()
    if as_json:
        print_json(found)
        return
    rows = [
        (
            name,
            f"{preset['bytes'] / 1e6:.1f} MB",
            f"{preset['parameters']:,}" if "parameters" in preset else "",
            _score(preset),
            preset.get("description", ""),
        )
        for name, preset in found.items()
    ]
    print_table(("name", "size", "parameters", "held-out", "description"), rows, title="Presets")


def _score(preset):
    """The main score on texts that were not trained on; metadata.json has all of them."""
    scores = preset.get("scores", {})
    scores = scores.get("heldout", scores.get("test", {}))
    for name in ("f1", "accuracy"):
        if name in scores:
            return f"{name} {scores[name]:.1%}"
    return ""


@click.command()
@click.argument("model", default=DEFAULT_MODEL)
@options(json_option, debug_option)
def inspect(model, as_json, debug):
    """Show a checkpoint's configuration and the size of its parts."""
    with quiet(debug):
        from keras_roformer.config import RoFormerConfig
        from keras_roformer.hub import resolve
        from keras_roformer.weights import checkpoint

        directory = resolve(model)
        config = RoFormerConfig.from_directory(directory)
        parts = _parts(checkpoint.read(directory))
    total = sum(part["parameters"] for part in parts)
    fields = json.loads(config.to_json_string())
    if as_json:
        print_json({"config": fields, "parameters": total, "parts": parts})
        return
    print_table(("field", "value"), [(k, json.dumps(v)) for k, v in fields.items()], title=model)
    rows = [(part["name"], f"{part['parameters']:,}", part["dtype"]) for part in parts]
    print_table(("part", "parameters", "dtype"), [*rows, ("total", f"{total:,}", "")])


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


@click.command()
@click.argument("source")
@click.argument("target", type=click.Path(file_okay=False))
@click.option("--to", type=_formats, default="safetensors", show_default=True)
@click.option("--from", "source_format", type=_formats, help="Of several in SOURCE.")
@options(backend_option, json_option, debug_option)
def convert(source, target, to, source_format, backend, as_json, debug):
    """Write a checkpoint in another format.

    The checkpoint SOURCE goes into the directory TARGET. Both are loaded and run on the same random
    tokens, and how much the outputs differ is reported. If they do, TARGET stays as it was.
    """
    with quiet(debug):
        from keras_roformer.convert import convert_checkpoint

        report = convert_checkpoint(source, target, to, source_format, backend)
    if as_json:
        print_json(report)
    else:
        rows = [(name, f"{x:.2g}" if isinstance(x, float) else x) for name, x in report.items()]
        print_table(("what", "value"), rows, title=f"{source} → {target}")
    if not report["equal"]:
        raise RuntimeError(
            f"the outputs of the converted weights differ from those of {source} by up to "
            f"{report['largest difference']:.2g}; {target} was left as it was"
        )


COMMANDS = (train, tokenize, presets, inspect, convert)
