"""The command train."""

import click

from keras_roformer.cli.common import (
    backend_option,
    debug_option,
    json_option,
    model_option,
    options,
    print_json,
    print_table,
    quiet,
)

TASKS = ("text-classification", "token-classification")


@click.command()
@click.argument("data", type=click.Path(exists=True, dir_okay=False))
@click.option("--output", "-o", required=True, type=click.Path(file_okay=False), help="Directory.")
@click.option("--task", type=click.Choice(TASKS), default=TASKS[0], show_default=True)
@options(model_option("roformer_tiny_zh"))
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


COMMANDS = (train,)
