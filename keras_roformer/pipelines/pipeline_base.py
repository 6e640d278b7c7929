"""What all pipelines share: streams of inputs, batches of similar length, results in order."""

import contextlib
import dataclasses
import itertools
import sys
import time
import types

import numpy as np

from keras_roformer.batches import mask_of_lengths, padded_rows, padded_size
from keras_roformer.limits import shortened

# Batches are made smaller where their outputs would be more numbers than this (0.5 GB).
MOST_OUTPUTS = 2**27
# Inputs of a stream that are read before the first result, in batches: sorting so many by length
# saves most of the padding.
WINDOW = 16
_SECONDS_WITHOUT_BAR = 2.0


@dataclasses.dataclass
class Sample:
    """One input on its way through the model.

    Attributes:
        rows: what the model reads: dicts of lists of integers, `input_ids` and, if there are,
            `token_type_ids` and `logits_positions`. A long input may be several rows.
        about: what the task must remember for the result.
        outputs: what `Pipeline.select` kept of the model's outputs, one a row.
    """

    rows: list
    about: object = None
    outputs: list = dataclasses.field(default_factory=list)


class Pipeline:
    """Text in, results out. A task is a subclass that says how an input becomes rows of ids and how
    the model's outputs for these become a result.

    Args:
        model: a documented model in memory.
        tokenizer: its tokenizer.
        batch_size: most texts that the model sees at once.
        defaults: defaults of the calls' arguments.
    """

    task = None
    model_class = None  # name of the documented class, without the prefix of its family
    default_model = None
    arguments = {}  # the task's own arguments and their defaults
    least = {}  # the least values of those that are integers
    takes = "a text"  # what one input is, for errors
    parts = ()  # of an input that is a dict: they may be given by keyword

    def __init__(self, model, tokenizer, batch_size=32, **defaults):
        self.model = model
        self.tokenizer = tokenizer
        self.batch_size = at_least("batch_size", batch_size)
        self._defaults = {**self.arguments, **self._checked(defaults)}

    # What a task gives

    def check(self, given):
        """Check those of the task's arguments that are given; gives them in their usual form."""
        given = without_none(given)
        for name, least in self.least.items():
            if name in given:
                at_least(name, given[name], least)
        return given

    def read(self, item):
        """One input, checked; raises TypeError or ValueError for what the task cannot take."""
        return text_of(item, self.task, self.takes)

    def check_parts(self, item):
        """Raise a TypeError for an input that is not a dict of `parts`."""
        if not isinstance(item, dict) or set(item) != set(self.parts):
            raise TypeError(f"{self.task} takes {self.takes}, got {item!r}")

    def texts_of(self, item, part):
        """A part of an input that is a list of texts, checked."""
        texts = item[part]
        if not isinstance(texts, (list, tuple)) or not texts:
            raise ValueError(f'"{part}" must be a list of texts, got {texts!r}')
        return [text_of(text, self.task) for text in texts]

    def encode(self, items, options):
        """A `Sample` for each of the inputs."""
        raise NotImplementedError

    def tokenize(self, texts, pairs=None, types=False, **how):
        """What the tokenizer makes of texts or pairs, without the mask, which `_arrays` makes of a
        whole batch, and unless asked for without token types."""
        only = dict(return_attention_mask=False, return_token_type_ids=types)
        return self.tokenizer(texts, pairs, **{**how, **only})

    def output_size(self, row, length):
        """How many numbers the model gives for a row that is padded to `length` tokens."""
        return length

    def length(self, row):
        """How many tokens a row has."""
        return len(row["input_ids"])

    def kind(self, row, options):
        """Only rows of one kind, a sortable value, come together in a batch."""
        return ()

    def select(self, row, outputs, index, options):
        """What `postprocess` needs of a batch's outputs (numpy arrays by name) for one row."""
        return outputs["logits"][index]

    def postprocess(self, sample, options):
        """The result of one input."""
        raise NotImplementedError

    def inputs_of(self, given, parts, arguments):
        """The inputs of a call.

        Args:
            given: what was given by position, a tuple.
            parts: dict of the `parts` that were given by keyword.
            arguments: dict of the other arguments of the call.
        """
        if len(given) > 1 or not (given or self.parts):
            raise TypeError(f"{self.task} takes one argument by position, got {len(given)}")
        return given[0] if given else {name: parts.get(name) for name in self.parts}

    def result_of(self, results, inputs, arguments):
        """What a call gives: its results, which may have another form for some inputs."""
        return results

    # Calls

    def __call__(self, *inputs, batch_size=None, progress=None, **arguments):
        """Results for one input, a list of inputs, or any other iterable of inputs.

        Args:
            inputs: one input of the task; a list of them; or a generator, data set, …. Inputs of
                several parts may be given as one argument a part, see the task.
            batch_size: in the place of the pipeline's own.
            progress: show a progress bar; by default in a terminal, when it takes long.
            arguments: in the place of the pipeline's own, see the task.

        Returns:
            one result; a list of results; for any other iterable an iterator of results. The order
            is that of the inputs, and the batch size does not matter to the results.
        """
        size = at_least("batch_size", self.batch_size if batch_size is None else batch_size)
        names = ("inputs", *self.parts)
        parts = {name: arguments.pop(name) for name in names if name in arguments}
        given = (*inputs, parts.pop("inputs")) if "inputs" in parts else inputs
        inputs = self.inputs_of(given, parts, arguments)
        options = types.SimpleNamespace(**{**self._defaults, **self._checked(arguments)})
        if self.is_one(inputs):
            results = self._run([inputs], size, options, progress)[0]
        elif isinstance(inputs, (list, tuple)):
            results = self._run(inputs, size, options, progress)
        else:
            results = self._stream(self._iterate(inputs), size, options, progress, inputs)
        return self.result_of(results, inputs, arguments)

    def is_one(self, inputs):
        """Whether `inputs` is one input of the task, not several."""
        return isinstance(inputs, (dict, str, bytes) if self.parts else (str, bytes))

    def _checked(self, given):
        unknown = sorted(set(given) - set(self.arguments))
        if unknown:
            known = f"; it takes {', '.join(self.arguments)}" if self.arguments else ""
            raise TypeError(f"{self.task} has no argument {', '.join(unknown)}{known}")
        return self.check(given)

    def _iterate(self, inputs):
        if hasattr(inputs, "__iter__"):
            return iter(inputs)
        if hasattr(inputs, "__getitem__") and hasattr(inputs, "__len__"):
            return (inputs[i] for i in range(len(inputs)))  # torch's map-style data sets
        raise TypeError(
            f"{self.task} takes {self.takes}, or a list or an iterable of them, "
            f"got {type(inputs).__name__}"
        )

    def _stream(self, stream, size, options, progress, inputs):
        total = len(inputs) if hasattr(inputs, "__len__") else None
        with progress_bar(self.task, total, progress) as advance:
            while window := list(itertools.islice(stream, WINDOW * size)):
                yield from self._results(window, size, options, advance)

    def _run(self, inputs, size, options, progress):
        with progress_bar(self.task, len(inputs), progress) as advance:
            return self._results(inputs, size, options, advance)

    def _results(self, inputs, size, options, advance):
        if not inputs:
            return []
        samples = self.encode([self.read(item) for item in inputs], options)
        results = [None] * len(samples)
        todo = [len(sample.rows) for sample in samples]
        for sample in samples:
            sample.outputs = [None] * len(sample.rows)
        for batch in self._batches(samples, size, options):
            outputs = self._predict([samples[i].rows[j] for i, j in batch], options)
            for index, (i, j) in enumerate(batch):
                sample = samples[i]
                sample.outputs[j] = self.select(sample.rows[j], outputs, index, options)
                todo[i] -= 1
                if not todo[i]:
                    results[i] = self.postprocess(sample, options)
                    sample.outputs = None
                    advance()
        return results

    def _batches(self, samples, size, options):
        """Lists of (sample, row), the longest rows first, so that memory runs out soon or never."""
        order = [(i, j) for i, sample in enumerate(samples) for j in range(len(sample.rows))]
        order.sort(key=lambda ij: self._rank(samples[ij[0]].rows[ij[1]], options))
        batch, kind, width, largest = [], None, 0, 0
        for i, j in order:
            row = samples[i].rows[j]
            size_of_row = self.output_size(row, width or self._padded(self.length(row)))
            if batch and (
                len(batch) == size
                or (len(batch) + 1) * max(largest, size_of_row) > MOST_OUTPUTS
                or self.kind(row, options) != kind
            ):
                yield batch
                batch, largest = [], 0
            if not batch:
                kind, width = self.kind(row, options), self._padded(self.length(row))
                size_of_row = self.output_size(row, width)
            largest = max(largest, size_of_row)
            batch.append((i, j))
        if batch:
            yield batch

    def _rank(self, row, options):
        return -self.length(row), self.kind(row, options)

    def _padded(self, length):
        return padded_size(length) if self.model.fixed_shapes else max(length, 1)

    def _predict(self, rows, options):
        """The outputs of the model for rows of ids, as numpy arrays with a row each."""
        batch = self._arrays(rows)
        if self.model.fixed_shapes:
            more = (1 << (len(rows) - 1).bit_length()) - len(rows)
            batch = {
                name: np.pad(x, [(0, more)] + [(0, 0)] * (x.ndim - 1), "edge")
                for name, x in batch.items()
            }
        return self.model.predict_arrays(batch)

    def _arrays(self, rows):
        lengths = [len(row["input_ids"]) for row in rows]
        width = self._padded(max(lengths))
        fill = self.tokenizer.pad_token_id or 0
        batch = {
            "input_ids": padded_rows([row["input_ids"] for row in rows], width, fill),
            "attention_mask": mask_of_lengths(lengths, width),
        }
        if any("token_type_ids" in row for row in rows):
            types = [row.get("token_type_ids", ()) for row in rows]
            batch["token_type_ids"] = padded_rows(types, width)
        if "logits_positions" in rows[0]:
            positions = [row["logits_positions"] for row in rows]
            most = max(map(len, positions))
            most = 1 << (most - 1).bit_length() if self.model.fixed_shapes else most
            batch["logits_positions"] = padded_rows(positions, most)
        return batch


# For the tasks


def text_of(item, task, takes="a text"):
    """A text as a str: Python's, NumPy's, or a scalar of a tf.data data set."""
    if hasattr(item, "numpy"):
        item = item.numpy()
    if isinstance(item, bytes):
        item = item.decode("utf-8")
    if not isinstance(item, str):
        raise TypeError(f"{task} takes {takes}, got {type(item).__name__}: {shortened(repr(item))}")
    return item


def without_none(given):
    """The arguments that are not None, which means the default."""
    return {name: value for name, value in given.items() if value is not None}


def tokenizer_arguments(given):
    """A dict of arguments for the tokenizer; what concerns batches and tensors, which a pipeline
    makes itself, has no effect."""
    ours = ("padding", "pad_to_multiple_of", "padding_side", "return_tensors")
    return {name: value for name, value in (given or {}).items() if name not in ours}


def at_least(name, value, least=1):
    """Check an integer argument."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    return int(value)


def one_of(name, value, known):
    """Check an argument that is one of some strings."""
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    return value


@contextlib.contextmanager
def progress_bar(title, total=None, shown=None):
    """Gives `advance()`, to call for every one of the `total` items (if known) that is done.

    `shown`: True shows a bar on standard error, False never; None does after two seconds, if that
    is a terminal. A text stream takes standard error's place for None.
    """
    stream = shown if hasattr(shown, "write") else sys.stderr
    if shown is False or (shown is not True and not stream.isatty()):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(file=stream), transient=shown is not True)
    task = bar.add_task(title, total=total)
    start = time.monotonic() + (0 if shown is True else _SECONDS_WITHOUT_BAR)

    def advance():
        bar.advance(task)
        if not bar.live.is_started and time.monotonic() >= start:
            bar.start()

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()
