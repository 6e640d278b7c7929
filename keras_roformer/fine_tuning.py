"""Fine-tuning from files to a preset: a classifier or a tagger over a pretrained encoder."""

import collections
import dataclasses
import json
import pathlib
from collections.abc import Callable

import numpy as np

from keras_roformer import hub
from keras_roformer.backend import choose_backend
from keras_roformer.config import RoFormerConfig
from keras_roformer.pipelines.pipeline_base import progress_bar
from keras_roformer.records import read_records
from keras_roformer.saving import atomic_folder, make_directory
from keras_roformer.tokenizers import AutoTokenizer
from keras_roformer.weights import names


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a task of the command is made of.

    Attributes:
        network_task: the task of the network, see `keras_roformer.tasks.TASKS`.
        columns: of the text and of the label, by default.
        encode: function of a tokenizer, examples, `label2id` and a length → rows for `Batches`.
        has_tags: whether an example has a label a word.
    """

    network_task: str
    columns: tuple[str, str]
    encode: Callable
    has_tags: bool = False


@dataclasses.dataclass(frozen=True)
class Settings:
    """The numbers of a training, as the preset's metadata keep them."""

    epochs: int
    batch_size: int
    learning_rate: float
    max_length: int
    seed: int


def fine_tune(
    data,
    output,
    task="text-classification",
    model="roformer_tiny_zh",
    evaluation=None,
    text_column=None,
    label_column=None,
    epochs=3,
    batch_size=32,
    learning_rate=3e-4,
    max_length=256,
    seed=0,
    backend=None,
    report=print,
    progress=None,
):
    """Fine-tune a checkpoint and save the best epoch's weights as a preset directory.

    Args:
        data, evaluation: files, see `read_examples`; without `evaluation`, a tenth is held out,
            but never a label's only example.
        output: directory, made if absent; its files change at the end, all at once.
        task: a name in `TASKS`.
        model: preset, directory or hub id whose encoder is tuned.
        epochs, batch_size: of the training.
        learning_rate: at its highest, after a tenth of the steps; it falls to 0 along a cosine.
        max_length: tokens; longer texts are cut.
        seed: of the new head, the held-out tenth and the order of the examples.
        report: called with a dict of scores after each epoch.
        progress: stream for a progress bar, or None for none.

    Returns:
        dict of what was trained and the scores of the saved weights.

    Raises:
        ValueError: data without the columns, or with fewer than two labels; `output` is a file.
        OSError: `output` cannot be made, which is found out before the training.
    """
    choose_backend(backend)
    rng = np.random.default_rng(seed)
    settings = Settings(epochs, batch_size, learning_rate, max_length, seed)
    columns = (text_column or TASKS[task].columns[0], label_column or TASKS[task].columns[1])
    examples, held_out, labels = _read(data, evaluation, task, columns, rng)
    directory = hub.resolve(model)
    output = make_directory(output)

    config = _config(directory, labels, TASKS[task].network_task)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    encoded = [
        TASKS[task].encode(tokenizer, some, config.label2id, max_length)
        for some in (examples, held_out)
    ]
    best = _train(encoded, config, TASKS[task], settings, rng, (directory, model), report, progress)
    result = {
        "task": task,
        "labels": len(labels),
        "training examples": len(examples),
        "held-out examples": len(held_out),
        "parameters": int(sum(array.size for array in best.weights.values())),
        **best.scores,
    }
    metadata = {
        "name": output.name,
        "task": TASKS[task].network_task,
        "description": f"{model} fine-tuned for {task} on {pathlib.Path(data).name}",
        "parameters": result["parameters"],
        "training": {"examples": len(examples), **dataclasses.asdict(settings)},
        "scores": {"heldout": best.scores},
    }
    _write(output, config, tokenizer, best.weights, metadata)
    return result


def _read(data, evaluation, task, columns, rng):
    """The examples to train on, those held out, and the labels that there are."""
    examples = read_examples(data, task, *columns)
    if evaluation is not None:
        held_out = read_examples(evaluation, task, *columns)
    else:
        examples, held_out = _hold_out(examples, rng, data)
    labels = _labels(examples, data)
    _check_known(held_out, labels, evaluation, data)
    return examples, held_out, labels


def _config(directory, labels, network_task):
    return RoFormerConfig.from_directory(
        directory,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        architectures=[names.class_name(network_task)],
    )


def _train(encoded, config, recipe, settings, rng, source, report, progress):
    """Train on the first of two lists of encoded examples; gives the `KeepBest` of the second."""
    # Only now, as Keras takes seconds, and a mistake should answer at once.
    import keras

    from keras_roformer import training

    keras.utils.set_random_seed(settings.seed)
    directory, name = source
    network = training.pretrained_network(directory, config, recipe.network_task, str(name))
    classifier = training.LogitsModel(network)
    train_set, held_out = (
        training.Batches(rows, settings.batch_size, order)
        for rows, order in zip(encoded, (rng, None), strict=True)
    )
    steps = settings.epochs * len(train_set)
    training.compile_classifier(classifier, steps, settings.learning_rate)
    tags = list(config.label2id) if recipe.has_tags else None
    best = training.KeepBest(held_out, report, tags)
    with progress_bar("training", steps, progress or False) as advance:
        done = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: advance())
        classifier.fit(
            train_set,
            epochs=settings.epochs,
            validation_data=held_out,
            callbacks=[done, best],
            verbose=0,
        )
    return best


def _write(output, config, tokenizer, weights, metadata):
    """Write a preset's files, all or none."""
    from keras_roformer.weights import checkpoint

    text = json.dumps(metadata, ensure_ascii=False, indent=2)
    with atomic_folder(output, keep=True) as folder:
        config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        checkpoint.write(folder, weights)
        (folder / "metadata.json").write_text(text + "\n", "utf-8")


def read_examples(path, task, text_column, label_column):
    """`(text, label)` or `(words, tags)` of the rows of a .csv, .tsv or .jsonl file."""
    examples = []
    for number, record in enumerate(read_records(path), start=1):
        for column in (text_column, label_column):
            if not isinstance(record, dict) or record.get(column) in (None, ""):
                raise ValueError(
                    f"{path}: row {number} has no {column!r}; {task} needs the columns "
                    f"{text_column!r} and {label_column!r} (see --text and --label)"
                )
        text, label = record[text_column], record[label_column]
        where = f"{path}: row {number}"
        if TASKS[task].has_tags:
            text, label = (x.split() if isinstance(x, str) else x for x in (text, label))
            for column, values in ((text_column, text), (label_column, label)):
                if not isinstance(values, list):
                    raise ValueError(f"{where} has the {column!r} {values!r}; {task} needs a list")
            if len(text) != len(label):
                raise ValueError(f"{where} has {len(text)} words, {len(label)} tags")
            text = [_text(word, where, text_column) for word in text]
            label = [_text(tag, where, label_column) for tag in label]
        else:
            text, label = _text(text, where, text_column), _text(label, where, label_column)
        examples.append((text, label))
    if len(examples) < 2:
        raise ValueError(f"{path} has {len(examples)} examples; training needs at least two")
    return examples


def _text(value, where, column):
    if isinstance(value, (list, dict, type(None))):
        raise ValueError(f"{where} has {value!r} in {column!r}; give one text or number there")
    return str(value)


def _hold_out(examples, rng, path):
    """A random tenth for evaluation, and the rest, where every label keeps an example."""
    left = collections.Counter(name for example in examples for name in _names(example))
    held_out, rest = [], []
    for i in rng.permutation(len(examples)):
        labels = _names(examples[i])
        if len(held_out) < max(1, len(examples) // 10) and all(left[x] > 1 for x in labels):
            left.subtract(labels)
            held_out.append(examples[i])
        else:
            rest.append(examples[i])
    if not held_out:
        raise ValueError(
            f"{path}: no example can be held out, as each has a label that no other has; add "
            "examples, or give a file to evaluate on (--eval)"
        )
    return rest, held_out


def _check_known(held_out, labels, evaluation, data):
    """Refuse examples with labels that the model will not have; only a file can have them."""
    for number, example in enumerate(held_out, start=1):
        if unknown := _names(example) - set(labels):
            raise ValueError(
                f"{evaluation}: row {number} has the label {min(unknown)!r}, but {data} has only "
                f"{labels}; add examples of it there, or remove such rows here"
            )


def _names(example):
    """The labels of an example."""
    _, label = example
    return set(label) if isinstance(label, list) else {label}


def _labels(examples, path):
    """The labels that occur, in order; "O" first, as a tagger's config has it."""
    found = set().union(*map(_names, examples))
    if len(found) < 2:
        raise ValueError(f"{path} has the label(s) {sorted(found)} only; training needs two")
    return sorted(found, key=lambda label: (label != "O", label))


def encode_texts(tokenizer, examples, index_of, max_length):
    """`(ids, label, weight)` of texts."""
    texts = [text for text, _ in examples]
    rows = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
    return [(ids, index_of[label], 1.0) for ids, (_, label) in zip(rows, examples, strict=True)]


def encode_words(tokenizer, examples, index_of, max_length):
    """`(ids, labels, weights)` of words: the first piece of each word has its tag."""
    encoded = []
    before = tokenizer.get_special_tokens_mask([0]).index(0)
    room = max_length - tokenizer.num_special_tokens_to_add()
    for words, tags in examples:
        ids, labels, weights = [], [], []
        for pieces, tag in zip(
            tokenizer(words, add_special_tokens=False)["input_ids"], tags, strict=True
        ):
            ids += pieces
            labels += [index_of[tag]] * len(pieces)
            weights += [1.0] * bool(pieces) + [0.0] * (len(pieces) - 1)
        ids = tokenizer.build_inputs_with_special_tokens(ids[:room])
        after = len(ids) - before - len(labels[:room])
        labels, weights = (
            [0] * before + values[:room] + [0] * after for values in (labels, weights)
        )
        encoded.append((ids, labels, weights))
    return encoded


TASKS = {
    "text-classification": Recipe(
        "sequence_classification", columns=("text", "label"), encode=encode_texts
    ),
    "token-classification": Recipe(
        "token_classification", columns=("tokens", "tags"), encode=encode_words, has_tags=True
    ),
}
