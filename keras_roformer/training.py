"""Fine-tuning by Keras `fit`: a classifier or a tagger over a pretrained encoder."""

import collections
import json
import pathlib

import numpy as np

from keras_roformer import hub
from keras_roformer.backend import choose_backend
from keras_roformer.records import read_records
from keras_roformer.saving import atomic_folder, make_directory

# Batches whose examples are sorted by length together, at most; and the pools of an epoch, at
# least: with fewer, a short and a long text would never meet in a batch.
POOL = 32
LEAST_POOLS = 8
# Widths of an epoch's batches where each is compiled, at most. A width takes about 5 s to compile.
WIDTHS = 4

# Task → (task of the network, documented class, default columns).
TASKS = {
    "text-classification": (
        "sequence_classification",
        "RoFormerForSequenceClassification",
        ("text", "label"),
    ),
    "token-classification": (
        "token_classification",
        "RoFormerForTokenClassification",
        ("tokens", "tags"),
    ),
}


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
    network_task, class_name, (text_default, label_default) = TASKS[task]
    columns = (text_column or text_default, label_column or label_default)
    examples = read_examples(data, task, *columns)
    if evaluation is not None:
        held_out = read_examples(evaluation, task, *columns)
    else:
        examples, held_out = _hold_out(examples, rng, data)
    labels = _labels(examples, data)
    _check_known(held_out, labels, evaluation, data)

    directory = hub.resolve(model)
    output = make_directory(output)

    # Only now, as Keras takes seconds, and a mistake should answer at once.
    import keras

    from keras_roformer.config import RoFormerConfig
    from keras_roformer.layers.initializers import deferred_values
    from keras_roformer.pipelines.pipeline_base import progress_bar
    from keras_roformer.tasks import RoFormerNetwork
    from keras_roformer.tokenizers import AutoTokenizer
    from keras_roformer.weights import checkpoint, transfer

    keras.utils.set_random_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    config = RoFormerConfig.from_directory(
        directory,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        architectures=[class_name],
    )
    with deferred_values():
        network = RoFormerNetwork(config, task=network_task)
    loaded = transfer.load(network, checkpoint.read(directory), source=str(model))
    transfer.draw(network, loaded.absent_keys)
    classifier = trainable(network)

    encode = encode_texts if task == "text-classification" else _encode_words
    train_set, test_set = (
        batches_of(encode(tokenizer, some, config.label2id, max_length), batch_size, shuffle)
        for some, shuffle in ((examples, rng), (held_out, None))
    )
    steps = epochs * len(train_set)
    _compile(classifier, steps, learning_rate)
    main_score = "accuracy" if task == "text-classification" else "f1"
    best, best_weights = None, None
    with progress_bar("training", steps, progress or False) as advance:
        done = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: advance())
        for epoch in range(epochs):
            history = classifier.fit(train_set, epochs=1, verbose=0, callbacks=[done]).history
            scores = _scores(classifier, test_set, task, labels)
            report({"epoch": epoch + 1, "loss": history["loss"][0], **scores})
            quality = (scores[main_score], -scores["held-out loss"])
            if best is None or quality > (best[main_score], -best["held-out loss"]):
                best, best_weights = scores, transfer.read(network)

    result = {
        "task": task,
        "labels": len(labels),
        "training examples": len(examples),
        "held-out examples": len(held_out),
        "parameters": int(sum(array.size for array in best_weights.values())),
        **best,
    }
    metadata = {
        "name": output.name,
        "task": network_task,
        "description": f"{model} fine-tuned for {task} on {pathlib.Path(data).name}",
        "parameters": result["parameters"],
        "training": dict(
            examples=len(examples),
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            max_length=max_length,
            seed=seed,
        ),
        "scores": {"heldout": best},
    }
    text = json.dumps(metadata, ensure_ascii=False, indent=2)
    with atomic_folder(output, keep=True) as folder:
        config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        checkpoint.write(folder, best_weights)
        (folder / "metadata.json").write_text(text + "\n", "utf-8")
    return result


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
        if task == "token-classification":
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
        names = _names(examples[i])
        if len(held_out) < max(1, len(examples) // 10) and all(left[name] > 1 for name in names):
            left.subtract(names)
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


def trainable(network):
    """A Keras model of ids and mask → logits."""
    import keras

    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("input_ids", "attention_mask")
    }
    return keras.Model(inputs, network(**inputs)["logits"])


def _compile(classifier, steps, learning_rate):
    """Train with AdamW; the rate rises for a tenth of the steps, then falls along a cosine."""
    import keras

    warmup = max(1, steps // 10)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warmup), warmup_target=learning_rate, warmup_steps=warmup
    )
    classifier.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=0.01, clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        # On TensorFlow, XLA would compile every width; JAX without it would compile nothing at all.
        jit_compile=keras.config.backend() == "jax",
    )


def encode_texts(tokenizer, examples, index_of, max_length):
    """`(ids, label, weight)` of texts."""
    texts = [text for text, _ in examples]
    rows = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
    return [(ids, index_of[label], 1.0) for ids, (_, label) in zip(rows, examples, strict=True)]


def _encode_words(tokenizer, examples, index_of, max_length):
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


def batches_of(encoded, batch_size, rng):
    """A `PyDataset` of padded batches of similar lengths; shuffled before each epoch with `rng`.

    Texts are sorted by length inside random pools of up to `POOL` batches, which saves most of the
    padding and leaves an epoch's batches random. On JAX they have at most `WIDTHS` widths.
    """
    import keras

    from keras_roformer.batches import mask_of_lengths, padded_rows

    lengths = np.array([len(ids) for ids, _, _ in encoded])
    widths = None
    if keras.config.backend() == "jax":
        widths = few_widths(lengths, batch_size, WIDTHS)

    class Batches(keras.utils.PyDataset):
        def __init__(self):
            super().__init__()
            self.on_epoch_end()

        def __len__(self):
            return -(-len(encoded) // batch_size)

        def __getitem__(self, index):
            chosen = self.batches[index]
            rows = [encoded[i] for i in chosen]
            width = int(lengths[chosen].max())
            if widths is not None:
                width = widths[np.searchsorted(widths, width)]
            x = {
                "input_ids": padded_rows([ids for ids, _, _ in rows], width),
                "attention_mask": mask_of_lengths(lengths[chosen], width),
            }
            labels, weights = [row[1] for row in rows], [row[2] for row in rows]
            if isinstance(labels[0], int):
                return x, np.array(labels, "int32"), np.array(weights, "float32")
            return x, padded_rows(labels, width), padded_rows(weights, width, dtype="float32")

        def on_epoch_end(self):
            order = np.arange(len(encoded)) if rng is None else rng.permutation(len(encoded))
            size = batch_size * min(POOL, max(1, len(self) // LEAST_POOLS))
            self.batches = []
            for start in range(0, len(order), size):
                pool = order[start : start + size]
                pool = pool[np.argsort(lengths[pool], kind="stable")]
                self.batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
            if rng is not None and size > batch_size:
                self.batches = [self.batches[i] for i in rng.permutation(len(self.batches))]
            # On TensorFlow, Keras leaves open only the sizes in which the first two batches differ.
            widths = [lengths[batch].max() for batch in self.batches]
            other = int(np.argmax(np.array(widths) != widths[0]))
            self.batches.insert(1, self.batches.pop(other))

    return Batches()


def few_widths(lengths, batch_size, count):
    """The widths, `count` at most, that pad batches of similar lengths the least.

    Args:
        lengths: of all examples.

    Returns:
        rising list of widths, the last one the largest length.
    """
    # The widths of batches of sorted examples; the best choice among them by dynamic programming.
    tops, counts = np.unique(np.sort(lengths)[::-1][::batch_size], return_counts=True)
    batches = np.cumsum(counts)
    tokens, chosen = tops * batches, [[int(top)] for top in tops]  # with one width
    for _ in range(count - 1):
        for last in range(len(tops) - 1, 0, -1):  # what lies before is still the last round's
            found = tokens[:last] + tops[last] * (batches[last] - batches[:last])
            best = int(found.argmin())
            if found[best] < tokens[last]:
                tokens[last] = found[best]
                chosen[last] = [*chosen[best], int(tops[last])]
    return chosen[-1]


def _scores(classifier, batches, task, labels):
    """Loss and accuracy on held-out examples, and for a tagger the F1 of its entities."""
    loss, accuracy = classifier.evaluate(batches, verbose=0)
    scores = {"held-out loss": float(loss), "accuracy": float(accuracy)}
    if task == "text-classification":
        return scores
    found, gold = set(), set()
    for number in range(len(batches)):
        x, tags, weights = batches[number]
        predicted = np.argmax(classifier.predict_on_batch(x), axis=-1)
        for row in range(len(tags)):
            kept = weights[row] > 0
            for spans, values in ((found, predicted[row][kept]), (gold, tags[row][kept])):
                names = [labels[value] for value in values]
                spans.update((number, row, *span) for span in entities(names))
    right = len(found & gold)
    precision, recall = right / max(1, len(found)), right / max(1, len(gold))
    f1 = 2 * precision * recall / max(precision + recall, 1e-12)
    return {**scores, "precision": precision, "recall": recall, "f1": f1}


def entities(tags):
    """`(type, first, last)` of the entities in a row of BIO tags; "I-X" after another tag, or a
    tag without B and I, begins one, too."""
    spans = []
    for i, tag in enumerate(tags):
        if tag == "O":
            continue
        kind = tag[2:] if tag.startswith(("B-", "I-")) else tag
        if spans and spans[-1][2] == i - 1 and spans[-1][0] == kind and not tag.startswith("B-"):
            spans[-1] = (kind, spans[-1][1], i)
        else:
            spans.append((kind, i, i))
    return spans
