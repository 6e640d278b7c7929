"""The commands that run pipelines."""

import itertools
import json
import pathlib
import sys
from collections.abc import Callable
from typing import NamedTuple

import click

from keras_roformer.cli.common import (
    debug_option,
    input_option,
    json_option,
    model_option,
    options,
    pair_of,
    print_json,
    print_table,
    quiet,
    read_stdin,
    read_texts,
    running_options,
)
from keras_roformer.records import utf8
from keras_roformer.saving import atomic

_top_k = click.option("--top-k", "-k", type=click.IntRange(1))
_common = options(input_option, running_options, json_option, debug_option)


@click.command("fill-mask")
@click.argument("texts", nargs=-1)
@options(model_option("roformer_tiny_zh"), _top_k)
@click.option("--targets", multiple=True, help="Only these tokens; comma-separated or repeated.")
@_common
def fill_mask(texts, path, targets, **given):
    """Fill the [MASK] of every text with the likeliest tokens."""
    targets = [target for some in targets for target in some.split(",") if target] or None
    _run("fill-mask", read_texts(texts, path), targets=targets, **given)


@click.command()
@click.argument("texts", nargs=-1)
@options(model_option("roformer_tiny_zh_sentiment"), _top_k)
@click.option("--pairs", is_flag=True, help="Each is two texts with a tab between them.")
@_common
def classify(texts, path, pairs, top_k, **given):
    """Label texts, or pairs of texts."""
    fields = _view("text-classification").fields if pairs else ("text",)
    if top_k is not None:
        given["top_k"] = top_k
    inputs = read_texts(texts, path, fields)
    _run("text-classification", map(pair_of, inputs) if pairs else inputs, **given)


@click.command()
@click.argument("texts", nargs=-1)
@options(model_option("roformer_tiny_zh_ner"))
@click.option(
    "--aggregation",
    "aggregation_strategy",
    type=click.Choice(("none", "simple", "first", "average", "max")),
    default="simple",
    show_default=True,
    help="How the tags of tokens become entities.",
)
@click.option("--stride", type=click.IntRange(0), help="Read long texts in overlapping parts.")
@_common
def tag(texts, path, **given):
    """Find the entities, or tag the tokens, of texts."""
    _run("token-classification", read_texts(texts, path), **given)


@click.command()
@click.argument("questions", nargs=-1)
@click.option("--context", "-c", help="Text that has the answer.")
@click.option(
    "--context-file", "-f", type=click.Path(exists=True, dir_okay=False), help="File of that text."
)
@options(model_option(), _top_k)
@click.option("--max-answer-len", type=click.IntRange(1), help="Tokens of an answer.")
@click.option("--no-answer", "handle_impossible_answer", is_flag=True, help="Allow none.")
@_common
def answer(questions, path, context, context_file, **given):
    """Answer questions from a context.

    The context, which may be long, is an option, a file, or standard input. Without questions as
    arguments, the input is lines of a question, a tab and its context.
    """
    if context_file:
        if context is not None:
            raise click.UsageError("give a --context or a --context-file, not both")
        with utf8(context_file):
            context = pathlib.Path(context_file).read_text("utf-8-sig")
    if questions and context is None:
        if sys.stdin.isatty():
            raise click.UsageError("give a --context, a --context-file, or text on standard input")
        context = "".join(read_stdin())
    inputs = read_texts(questions, path, _view("question-answering").fields)
    if context is not None:
        inputs = ({"question": text, "context": context} for text in inputs)
    _run("question-answering", inputs, **given)


@click.command()
@click.argument("prompts", nargs=-1)
@options(model_option())
@click.option("--max-new-tokens", type=click.IntRange(1), default=64, show_default=True)
@click.option("--greedy", is_flag=True, help="The likeliest token each time; no sampling.")
@click.option("--num-beams", type=click.IntRange(1), help="Beam search.")
@click.option("--temperature", type=click.FloatRange(0, min_open=True))
@click.option("--top-p", type=click.FloatRange(0, 1))
@options(_top_k)
@click.option("--num-return-sequences", "-n", type=click.IntRange(1))
@click.option("--seed", type=click.IntRange(0))
@click.option("--bare", is_flag=True, help="No [CLS] and [SEP] around the prompt.")
@_common
def generate(prompts, path, greedy, bare, **given):
    """Continue prompts."""
    if greedy:
        given["do_sample"] = False
    if bare:
        given["add_special_tokens"] = False
    _run("text-generation", read_texts(prompts, path), **given)


@click.command()
@click.argument("texts", nargs=-1)
@options(model_option("roformer_tiny_zh"))
@click.option("--pooling", type=click.Choice(("mean", "cls")), default="mean", show_default=True)
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="Write an array: .npy.")
@_common
def embed(texts, path, output, **given):
    """Turn texts into vectors.

    Each is a line of numbers; with -o, all are one (texts, numbers) array.
    """
    texts = read_texts(texts, path)
    if output is None:
        _run("feature-extraction", texts, **given)
        return
    given.pop("as_json")
    output = pathlib.Path(output).resolve()
    if not output.parent.is_dir():
        raise click.UsageError(f"-o {output}: there is no directory {output.parent}; make it first")
    if output.exists() and not output.is_file():
        raise click.UsageError(f"-o {output} is not a plain file; give the name of one")
    # Opened before the model is loaded: that nothing may be written there is known at once.
    with quiet(given["debug"]) as terminal, atomic(output) as part, open(part, "wb") as file:
        import numpy as np

        pipe = _pipeline("feature-extraction", **given)
        np.save(file, np.array(list(pipe(texts, progress=terminal)), "float32"))


@click.command()
@click.argument("source")
@click.argument("sentences", nargs=-1)
@options(model_option("roformer_tiny_zh"))
@click.option("--pooling", type=click.Choice(("mean", "cls")), default="mean", show_default=True)
@_common
def similar(source, sentences, path, **given):
    """Order sentences by how near they are to SOURCE."""
    sentences = list(read_texts(sentences, path))
    inputs = {"source_sentence": source, "sentences": sentences}
    _run("sentence-similarity", iter([inputs] if sentences else []), **given)


@click.command()
@click.option("--task", required=True, help="A name of keras_roformer.pipelines.TASKS.")
@options(model_option(), _top_k)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="An argument of the task; the value is JSON, or else a text.",
)
@_common
def run(task, path, settings, top_k, **given):
    """Run any task on a file or on standard input.

    An input of several parts is a JSON object, or its texts with tabs between them: a question and
    its context, a sentence and those to compare it with, a prompt and its choices.
    """
    from keras_roformer.pipelines import canonical_task

    try:
        task = canonical_task(task)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    given |= dict(map(_setting, settings))
    if top_k is not None:
        given["top_k"] = top_k
    _run(task, read_texts((), path, _view(task).fields), **given)


def _setting(text):
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--set takes NAME=VALUE, got {text!r}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


COMMANDS = (fill_mask, classify, tag, answer, generate, embed, similar, run)


def _pipeline(task, model, device, debug, **given):
    from keras_roformer.pipelines import pipeline

    if device is not None and device.lstrip("-").isdecimal():
        device = int(device)
    return pipeline(task, model, device=device, **given)


def _run(task, inputs, as_json, debug, **given):
    """Run a task and print what it finds."""
    with quiet(debug) as terminal:
        pipe = _pipeline(task, debug=debug, **given)
        inputs, again = itertools.tee(inputs)
        # A bar would break into a table's lines in the same terminal.
        results = pipe(again, progress=False if sys.stdout.isatty() else terminal)
        found = zip(inputs, results, strict=True)
        show = _show_json if as_json else _view(task).show
        show(found, pipe)


# How results are shown: (inputs and results, pipeline) → printed.


def _show_json(found, pipe):
    for _, result in found:
        print_json(result)


def _show_filled(found, pipe):
    mask = pipe.tokenizer.mask_token
    for number, (text, answers) in enumerate(found):
        if number and not sys.stdout.isatty():
            click.echo()  # an empty line between the answers to two texts
        several = isinstance(answers[0], list)
        for i, one_mask in enumerate(answers if several else [answers]):
            print_table(
                ("token", "probability", "sentence"),
                [
                    (answer["token_str"], answer["score"], _filled(text, mask, i, answer))
                    for answer in one_mask
                ],
                title=f"{text}  (mask {i + 1} of {len(answers)})" if several else text,
            )


def _filled(text, mask, number, answer):
    """The text as it was given, with one of its masks filled."""
    parts = text.split(mask)
    token = answer["token_str"].removeprefix("##")
    return mask.join(parts[: number + 1]) + token + mask.join(parts[number + 1 :])


def _show_labels(found, pipe):
    rows = (
        (label["label"], label["score"], _shown(item))
        for item, labels in found
        for label in _as_list(labels)
    )
    print_table(("label", "score", "text"), rows)


def _show_tags(found, pipe):
    rows = (
        (
            number,
            tag.get("entity_group", tag.get("entity")),
            _shown(item)[tag["start"] : tag["end"]],
            tag["score"],
            tag["start"],
            tag["end"],
        )
        for number, (item, tags) in enumerate(found, start=1)
        for tag in tags
    )
    print_table(("line", "tag", "words", "score", "start", "end"), rows)


def _show_answers(found, pipe):
    rows = (
        (answer["answer"], answer["score"], answer["start"], answer["end"], item["question"])
        for item, answers in found
        for answer in _as_list(answers)
    )
    print_table(("answer", "score", "start", "end", "question"), rows)


def _show_texts(found, pipe):
    for _, results in found:
        for result in results:
            ids = result.get("generated_token_ids", ())
            click.echo("\t".join(map(str, ids)) if ids else result["generated_text"])


def _show_vectors(found, pipe):
    import numpy as np

    for _, vectors in found:  # one a text or one a token, as lists or arrays
        for numbers in np.reshape(vectors, (-1, np.shape(vectors)[-1])):
            click.echo("\t".join(f"{number:.6g}" for number in numbers))


def _show_similar(found, pipe):
    for item, similarities in found:
        pairs = sorted(zip(similarities, item["sentences"], strict=True), key=lambda pair: -pair[0])
        print_table(("similarity", "sentence"), pairs, title=item["source_sentence"])


def _show_choices(found, pipe):
    for item, choices in found:
        rows = [(choice["choice"], choice["score"]) for choice in choices]
        print_table(("choice", "score"), rows, title=item["prompt"])


def _as_list(value):
    return value if isinstance(value, list) else [value]


def _shown(item):
    """An input as a text."""
    return item if isinstance(item, str) else " | ".join(map(str, item.values()))


class _View(NamedTuple):
    """How a task's results are shown, and the parts of one input, for `read_texts`."""

    show: Callable = _show_json
    fields: tuple[str, ...] = ("text",)


_VIEWS = {
    "fill-mask": _View(_show_filled),
    "text-classification": _View(_show_labels, ("text", "text_pair")),
    "token-classification": _View(_show_tags),
    "question-answering": _View(_show_answers, ("question", "context")),
    "text-generation": _View(_show_texts),
    "feature-extraction": _View(_show_vectors),
    "sentence-similarity": _View(_show_similar, ("source_sentence", "*sentences")),
    "multiple-choice": _View(_show_choices, ("prompt", "*choices")),
}


def _view(task):
    """The row of a task; one that has none takes a text and is shown as JSON."""
    return _VIEWS.get(task, _View())
