"""What the fine-tuning scripts share: batches, `fit`, prediction, baselines, the preset's files.

Every script starts from a preset, trains `RoFormerNetwork` with Keras `fit`, prints a baseline and
the model on the same split, and writes a preset. `--dev` scores on a slice of the training part
instead of the test part and writes nothing: settings are chosen with it. The TF-IDF baselines need
scikit-learn, which nothing else here does.
"""

import argparse
import csv
import importlib.metadata
import json
import time
from pathlib import Path

import corpora
import masked_rows
import numpy as np
import score_preset
import train_preset
from masked_rows import IGNORED

from keras_roformer.batches import mask_of_lengths, padded_rows

ROOT = Path(__file__).resolve().parents[1]
BASE = ROOT / "presets" / "roformer_tiny_zh"


def parser(description, out, **defaults):
    """The arguments that all the scripts take; `defaults` replace those given here."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--base", type=Path, default=BASE, help="preset to start from")
    parser.add_argument("--out", type=Path, default=ROOT / "presets" / out if out else None)
    parser.add_argument("--corpus", type=Path, default=ROOT / "data" / "corpus")
    parser.add_argument("--backend", default="torch", choices=["torch", "jax", "tensorflow"])
    parser.add_argument("--dtype", default="mixed_bfloat16", help=train_preset.DTYPE_HELP)
    parser.add_argument("--threads", type=int, default=2, help="of torch; 0: its own choice")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="the first is shipped")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--word-dropout", type=float, default=0.1, help="tokens shown as [MASK]")
    parser.add_argument("--r-drop", type=float, default=0.0, help="weight of R-Drop; 0: none")
    parser.add_argument("--attention-dropout", type=float, help="default: as --dropout")
    parser.add_argument("--split-rate", type=float, default=0.0, help="words cut into characters")
    parser.add_argument("--max-length", type=int, default=128, help="tokens, in training")
    parser.add_argument("--dev", action="store_true", help="score on a slice of the training part")
    parser.set_defaults(**defaults)
    return parser


def set_up(arguments):
    """Choose the backend; to be called before anything imports Keras."""
    train_preset.set_up_backend(arguments.backend, arguments.threads)


def make_model(base, task, labels, dropout=None, dtype="float32", attention_dropout=None):
    """A `keras.Model` of token ids → logits with the base's weights and a new head.

    Args:
        base: preset or directory of a checkpoint.
        labels: names of the classes, which go into the config.
        dropout: of the training; None keeps the config's.
        attention_dropout: on the attention probabilities; None: as `dropout`.
    """
    import keras

    from keras_roformer import RoFormerConfig
    from keras_roformer.tasks import RoFormerNetwork
    from keras_roformer.weights import checkpoint, transfer

    keras.config.set_dtype_policy(dtype)
    settings = RoFormerConfig.from_pretrained(base).to_dict()
    settings |= dict(
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    if dropout is not None:
        attention_dropout = dropout if attention_dropout is None else attention_dropout
        settings |= dict(
            hidden_dropout_prob=dropout, attention_probs_dropout_prob=attention_dropout
        )
    config = RoFormerConfig.from_dict(settings)

    class Classifier(keras.Model):
        def __init__(self):
            super().__init__()
            self.network = RoFormerNetwork(config, task=task, dtype=self.dtype_policy)
            # Only chooses how attention is computed, see train_preset.
            self.every_head = np.ones(config.num_attention_heads, "float32")

        def call(self, inputs, training=False):
            return self.network(
                inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                token_type_ids=inputs.get("token_type_ids"),
                head_mask=self.every_head,
                training=training,
            )["logits"]

    model = Classifier()
    tensors = checkpoint.read(base)
    names = transfer.read(model.network)
    transfer.load(model.network, {name: tensors.get(name, value) for name, value in names.items()})
    return model


def padded_inputs(rows, pad_id, types=None):
    """The inputs of a batch; few different lengths, as compiled backends compile each."""
    length = -(-max(map(len, rows)) // 16) * 16
    inputs = {
        "input_ids": padded_rows(rows, length, pad_id),
        "attention_mask": mask_of_lengths(list(map(len, rows)), length),
    }
    if types is not None:
        inputs["token_type_ids"] = padded_rows(types, length)
    return inputs


def similar_lengths(lengths, batch_size, rng):
    """Random batches of indices of rows of similar lengths: sorted inside pools of 32 batches."""
    order = rng.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), 32 * batch_size):
        pool = order[start : start + 32 * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def characters_of_words(tokenizer):
    """Token id → the ids of its Han characters, for the vocabulary's words of several of them."""
    vocabulary = tokenizer.get_vocab()
    found = {
        i: [vocabulary.get(character) for character in word]
        for word, i in vocabulary.items()
        if len(word) > 1 and corpora.han_count(word) == len(word)
    }
    return {i: ids for i, ids in found.items() if None not in ids}


def split_words(row, rate, characters, rng):
    """Cut a share of a row's words into characters, as rare words are; a list of token ids."""
    cut = rng.random(len(row)) < rate
    return [
        piece
        for i, cuts in zip(row, cut, strict=True)
        for piece in (characters.get(i, (i,)) if cuts else (i,))
    ]


def train(model, tokenizer, rows, labels, arguments, seed, log, types=None):
    """Fit the model.

    Args:
        rows: token ids with special tokens, a list a text.
        labels: a class a text, or a list of classes a text (`IGNORED` where there is none).
        log: list that gets a dict an epoch.
        types: token types, a list a text.
    """
    import keras
    from keras import ops

    from keras_roformer.tasks import cross_entropy, reduce_loss

    copies = 2 if arguments.r_drop else 1
    lengths = np.array([len(row) for row in rows])
    per_token = not np.isscalar(labels[0])
    special = list(tokenizer.all_special_ids)
    split_rate = arguments.split_rate
    characters = characters_of_words(tokenizer) if split_rate else {}
    if per_token and split_rate:
        raise ValueError("--split-rate changes the number of tokens: it needs a label a text.")

    class Batches(keras.utils.PyDataset):
        def __init__(self):
            super().__init__()
            self.rng = np.random.default_rng(seed)
            self.on_epoch_end()

        def __len__(self):
            return -(-len(rows) // arguments.batch_size)

        def on_epoch_end(self):
            self.batches = similar_lengths(lengths, arguments.batch_size, self.rng)

        def __getitem__(self, index):
            chosen = np.tile(self.batches[index], copies)
            texts = [rows[i] for i in chosen]
            rng = np.random.default_rng((seed, sum(map(sum, texts)), index))
            if split_rate:
                texts = [split_words(text, split_rate, characters, rng) for text in texts]
            inputs = padded_inputs(
                texts, tokenizer.pad_token_id, types and [types[i] for i in chosen]
            )
            ids = inputs["input_ids"]
            hidden = (rng.random(ids.shape) < arguments.word_dropout) & ~np.isin(ids, special)
            inputs["input_ids"] = np.where(hidden, tokenizer.mask_token_id, ids)
            if per_token:
                return inputs, padded_rows([labels[i] for i in chosen], ids.shape[1], IGNORED)
            return inputs, np.array([labels[i] for i in chosen], "int32")

    def loss(answers, logits):
        values, counts = cross_entropy(logits, answers)
        value = reduce_loss([(values, counts)])
        if copies == 2:
            # R-Drop (Liang et al. 2021): two passes with other dropout shall agree.
            first, second = ops.split(ops.log_softmax(ops.cast(logits, "float32")), 2)
            distance = ops.sum((ops.exp(first) - ops.exp(second)) * (first - second), axis=-1)
            value += arguments.r_drop / 2 * reduce_loss([(distance, ops.split(counts, 2)[0])])
        return value

    data = Batches()
    steps = len(data) * arguments.epochs
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        steps - steps // 10,
        warmup_target=arguments.learning_rate,
        warmup_steps=steps // 10,
    )
    model.compile(
        optimizer=train_preset.make_optimizer(schedule, arguments.weight_decay), loss=loss
    )

    class Log(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.started = time.monotonic()

        def on_epoch_end(self, epoch, logs=None):
            seconds = round(time.monotonic() - self.started)
            row = dict(seed=seed, epoch=epoch + 1, seconds=seconds, loss=round(logs["loss"], 4))
            log.append(row)
            print(" ", row, flush=True)

    model.fit(data, epochs=arguments.epochs, shuffle=False, callbacks=[Log()], verbose=0)


def adapt(arguments, tokenizer, texts, epochs, length=2 * masked_rows.LENGTH):
    """Pretrain on with the task's own training texts, unlabelled (Gururangan et al. 2020).

    Args:
        length: tokens of a row; twice that of the pretraining, whose models have not seen words
            further apart than that.

    Returns:
        Path of a checkpoint to tune, which lies in data/.
    """
    import keras

    from keras_roformer import RoFormerConfig
    from keras_roformer.weights import checkpoint, transfer

    pieces = masked_rows.tokenize(tokenizer, [("task", text) for text in texts], ["task"], length)
    rows = masked_rows.Rows(pieces, length)
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(arguments.dtype)
    MaskedLM, Batches, loss, Schedule = train_preset.make_keras_classes()
    config = RoFormerConfig.from_pretrained(arguments.base)
    no_dropout = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model = MaskedLM(RoFormerConfig.from_dict(config.to_dict() | no_dropout))
    transfer.load(model.network, checkpoint.read(arguments.base))
    batch_size = arguments.batch_size * masked_rows.LENGTH // length  # tokens a batch as there
    steps = len(rows) // batch_size * epochs
    data = Batches(rows, batch_size, len(tokenizer), seed=1, length=steps)
    warmup = max(1, steps // 10)
    schedule = Schedule(steps=steps, decay_steps=steps - warmup, warmup_steps=warmup, peak=1e-3)
    model.compile(
        optimizer=train_preset.make_optimizer(schedule, arguments.weight_decay), loss=loss
    )
    last = model.fit(data, shuffle=False, verbose=0).history["loss"][0]
    print(f"adapted: {steps} steps, mean masked loss {last:.4f}", flush=True)
    out = ROOT / "data" / f"adapted_{Path(arguments.out).name}"
    config.save_pretrained(out)
    train_preset.save_weights(model, out)
    return out


def predict(model, tokenizer, rows, types=None, batch_size=32):
    """The logits of every row, in its order: (C,) or (L, C) arrays."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found = [None] * len(rows)
    for start in range(0, len(rows), batch_size):
        chosen = order[start : start + batch_size]
        inputs = padded_inputs(
            [rows[i] for i in chosen], tokenizer.pad_token_id, types and [types[i] for i in chosen]
        )
        logits = np.asarray(model.predict_on_batch(inputs), "float32")
        for i, values in zip(chosen, logits, strict=True):
            found[i] = values[: len(rows[i])] if values.ndim == 2 else values
    return found


def tune_classifier(arguments, base, names, tokenizer, rows, labels, test_rows, answers):
    """Fit a classifier of texts with every seed and print its accuracy on the test part.

    Returns:
        `(model of the first seed, dicts of the epochs, accuracies of the seeds)`.
    """
    import keras

    log, scores, first = [], [], None
    for seed in arguments.seeds:
        keras.utils.set_random_seed(seed)
        model = make_model(
            base,
            "sequence_classification",
            names,
            arguments.dropout,
            arguments.dtype,
            arguments.attention_dropout,
        )
        train(model, tokenizer, rows, labels, arguments, seed, log)
        logits = np.array(predict(model, tokenizer, test_rows))
        scores.append(accuracy(logits.argmax(axis=-1) == answers))
        print(f"seed {seed}:", scores[-1], flush=True)
        first = first or model
    return first, log, scores


def accuracy(right):
    """Accuracy with its standard error, of one boolean a case."""
    right = np.asarray(right, "float64")
    error = np.std(right, ddof=1) / np.sqrt(len(right))
    return {
        "cases": len(right),
        "accuracy": round(float(right.mean()), 4),
        "standard_error": round(float(error), 4),
    }


def tfidf_baseline(train_texts, train_labels, test_texts, ngrams):
    """Classes from TF-IDF of character n-grams and logistic regression, for the test texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=ngrams, min_df=2, sublinear_tf=True),
        LogisticRegression(C=10, max_iter=1000),
    )
    return pipeline.fit(train_texts, train_labels).predict(test_texts)


def of_seeds(scores, name):
    """Mean and spread over the seeds of one number of every seed's scores."""
    values = [score[name] for score in scores]
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {
        "seeds": len(values),
        "mean": round(float(np.mean(values)), 4),
        "standard_deviation": spread and round(spread, 4),
        "values": values,
    }


def write_preset(arguments, model, tokenizer, architecture, log, **facts):
    """Write a preset's files but its card: config, tokenizer, float16 weights, metadata, log."""
    from keras_roformer import RoFormerConfig

    out = arguments.out
    base = RoFormerConfig.from_pretrained(arguments.base)
    settings = model.network.config.to_dict() | dict(
        architectures=[architecture],
        # The file has the documented dropout for whoever tunes it further.
        hidden_dropout_prob=base.hidden_dropout_prob,
        attention_probs_dropout_prob=base.attention_probs_dropout_prob,
    )
    train_preset.save_weights(model, out)
    RoFormerConfig.from_dict(settings).save_pretrained(out)
    tokenizer.save_pretrained(out)
    with (out / "train_log.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, log[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(log)
    script = Path(__import__("__main__").__file__).name
    metadata = {
        "name": out.name,
        "language": "zh",
        **facts,
        "parameters": sum(int(np.prod(v.shape)) for v in model.network.weights),
        "weights": "float16",
        "weights_bytes": (out / "model.safetensors").stat().st_size,
        "licence": "weights Apache-2.0; see the rights of the texts",
        "training": {
            "script": f"tools/{script}",
            "base": arguments.base.name,
            "base_steps": steps_of(arguments.base),
            "arguments": {
                name: value.name if isinstance(value, Path) else value
                for name, value in vars(arguments).items()
                if name not in ("corpus", "base", "out", "dev")
            },
            "versions": {
                name: importlib.metadata.version(name) for name in ("keras", arguments.backend)
            },
        },
    }
    score_preset.write_metadata(out, metadata)


def steps_of(preset):
    """How many steps a preset was pretrained, as its metadata says; None where it does not."""
    path = Path(preset) / "metadata.json"
    if not path.is_file():
        return None
    return train_preset.total_steps(json.loads(path.read_text("utf-8"))["training"])
