"""What the fine-tuning scripts need of Keras: models, batches, losses, `fit`.

To be imported when Keras's backend is chosen, see `tuning.set_up`.
"""

import time
from pathlib import Path

import keras
import masked_lm
import masked_rows
import numpy as np
import train_preset
import tuning
from keras import ops

from keras_roformer import RoFormerConfig
from keras_roformer.batches import padded_rows, similar_lengths
from keras_roformer.tasks import RoFormerNetwork, cross_entropy, reduce_loss
from keras_roformer.training import LogitsModel, warm_up_and_cosine
from keras_roformer.weights import checkpoint, transfer


def make_model(base, task, labels, dropout=None, dtype="float32", attention_dropout=None):
    """A `LogitsModel` with the base's weights and a new head.

    Args:
        base: preset or directory of a checkpoint.
        labels: names of the classes, which go into the config.
        dropout: of the training; None keeps the config's.
        attention_dropout: on the attention probabilities; None: as `dropout`.
    """
    keras.config.set_dtype_policy(dtype)
    settings = RoFormerConfig.from_pretrained(base).to_dict()
    settings |= dict(
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    config = RoFormerConfig.from_dict(settings)
    if dropout is not None:
        config = train_preset.with_dropout(config, dropout, attention_dropout)
    network = RoFormerNetwork(config, task=task, dtype=keras.config.dtype_policy())
    tensors, drawn = checkpoint.read(base), transfer.read(network)
    transfer.load(network, {name: tensors.get(name, value) for name, value in drawn.items()})
    return LogitsModel(network, **masked_lm.PLAIN_ATTENTION)


class TaskBatches(keras.utils.PyDataset):
    """Batches of similar lengths of a task, in another order each epoch; some tokens are [MASK].

    Args:
        tokenizer: of the rows.
        rows: token ids with special tokens, a list a text.
        labels: a class a text, or a list of classes a text (`IGNORED` where there is none).
        types: token types, a list a text, or None.
        arguments: of the command line.
        seed: of the orders and of what is hidden.
    """

    def __init__(self, tokenizer, rows, labels, types, arguments, seed):
        super().__init__()
        self.tokenizer, self.rows, self.labels, self.types = tokenizer, rows, labels, types
        self.arguments, self.seed, self.rng = arguments, seed, np.random.default_rng(seed)
        self.copies = 2 if arguments.r_drop else 1
        self.lengths = np.array([len(row) for row in rows])
        self.per_token = not np.isscalar(labels[0])
        self.characters = {}
        if arguments.split_rate:
            if self.per_token:
                raise ValueError(
                    "--split-rate changes the number of tokens: it needs a label a text."
                )
            self.characters = tuning.characters_of_words(tokenizer)
        self.on_epoch_end()

    def __len__(self):
        return -(-len(self.rows) // self.arguments.batch_size)

    def on_epoch_end(self):
        self.batches = similar_lengths(self.lengths, self.arguments.batch_size, self.rng)

    def __getitem__(self, index):
        chosen = np.tile(self.batches[index], self.copies)
        texts = [self.rows[i] for i in chosen]
        rng = np.random.default_rng((self.seed, sum(map(sum, texts)), index))
        if rate := self.arguments.split_rate:
            texts = [tuning.split_words(text, rate, self.characters, rng) for text in texts]
        types = self.types and [self.types[i] for i in chosen]
        inputs = tuning.padded_inputs(texts, self.tokenizer.pad_token_id, types)
        ids = inputs["input_ids"]
        special = np.isin(ids, list(self.tokenizer.all_special_ids))
        hidden = (rng.random(ids.shape) < self.arguments.word_dropout) & ~special
        inputs["input_ids"] = np.where(hidden, self.tokenizer.mask_token_id, ids)
        labels = [self.labels[i] for i in chosen]
        if self.per_token:
            return inputs, padded_rows(labels, ids.shape[1], masked_rows.IGNORED)
        return inputs, np.array(labels, "int32")


def make_loss(r_drop):
    """Cross-entropy, with R-Drop of a weight (Liang et al. 2021): the halves of a batch, two passes
    of the same texts with other dropout, shall agree."""

    def loss(answers, logits):
        values, counts = cross_entropy(logits, answers)
        value = reduce_loss([(values, counts)])
        if r_drop:
            first, second = ops.split(ops.log_softmax(ops.cast(logits, "float32")), 2)
            distance = ops.sum((ops.exp(first) - ops.exp(second)) * (first - second), axis=-1)
            value += r_drop / 2 * reduce_loss([(distance, ops.split(counts, 2)[0])])
        return value

    return loss


class EpochLog(keras.callbacks.Callback):
    """Print each epoch's loss and time, and append them to a list."""

    def __init__(self, log, seed):
        super().__init__()
        self.log, self.seed = log, seed

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        seconds = round(time.monotonic() - self.started)
        row = dict(seed=self.seed, epoch=epoch + 1, seconds=seconds, loss=round(logs["loss"], 4))
        self.log.append(row)
        print(" ", row, flush=True)


def train(model, data, arguments, log):
    """Fit a model.

    Args:
        data: `TaskBatches`.
        log: list that gets a dict an epoch.
    """
    schedule = warm_up_and_cosine(len(data) * arguments.epochs, arguments.learning_rate)
    model.compile(
        optimizer=masked_lm.make_optimizer(schedule, arguments.weight_decay),
        loss=make_loss(arguments.r_drop),
    )
    callbacks = [EpochLog(log, data.seed)]
    model.fit(data, epochs=arguments.epochs, shuffle=False, callbacks=callbacks, verbose=0)


def tuned(arguments, base, task, names, seed, log, tokenizer, rows, labels, types=None):
    """A model of a task, tuned with a seed; the arguments are those of the functions above."""
    keras.utils.set_random_seed(seed)
    model = make_model(
        base, task, names, arguments.dropout, arguments.dtype, arguments.attention_dropout
    )
    train(model, TaskBatches(tokenizer, rows, labels, types, arguments, seed), arguments, log)
    return model


def adapt(arguments, tokenizer, texts, epochs, length=2 * masked_rows.LENGTH):
    """Pretrain on with the task's own training texts, unlabelled (Gururangan et al. 2020).

    Args:
        length: tokens of a row; twice that of the pretraining, whose models have not seen words
            further apart than that.

    Returns:
        Path of a checkpoint to tune, which lies in data/.
    """
    pieces = masked_rows.tokenize(tokenizer, [("task", text) for text in texts], ["task"], length)
    rows = masked_rows.Rows(pieces, length)
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(arguments.dtype)
    config = RoFormerConfig.from_pretrained(arguments.base)
    model = masked_lm.MaskedLM(train_preset.with_dropout(config, 0.0))
    transfer.load(model.network, checkpoint.read(arguments.base))
    batch_size = arguments.batch_size * masked_rows.LENGTH // length  # tokens a batch as there
    steps = len(rows) // batch_size * epochs
    data = masked_lm.MaskedBatches(rows, batch_size, len(tokenizer), seed=1, length=steps)
    warmup = max(1, steps // 10)
    schedule = masked_lm.WarmUpAndDecay(steps, steps - warmup, warmup, peak=1e-3)
    optimizer = masked_lm.make_optimizer(schedule, arguments.weight_decay)
    model.compile(optimizer=optimizer, loss=masked_lm.masked_loss)
    last = model.fit(data, shuffle=False, verbose=0).history["loss"][0]
    print(f"adapted: {steps} steps, mean masked loss {last:.4f}", flush=True)
    out = tuning.ROOT / "data" / f"adapted_{Path(arguments.out).name}"
    config.save_pretrained(out)
    train_preset.save_weights(model, out)
    return out


def tune_classifier(arguments, base, names, tokenizer, rows, labels, test_rows, answers):
    """Fit a classifier of texts with every seed and print its accuracy on the test part.

    Returns:
        `(model of the first seed, dicts of the epochs, accuracies of the seeds)`.
    """
    log, scores, first = [], [], None
    task = "sequence_classification"
    for seed in arguments.seeds:
        model = tuned(arguments, base, task, names, seed, log, tokenizer, rows, labels)
        logits = np.array(tuning.predict(model, tokenizer, test_rows))
        scores.append(tuning.accuracy(logits.argmax(axis=-1) == answers))
        print(f"seed {seed}:", scores[-1], flush=True)
        first = first or model
    return first, log, scores
