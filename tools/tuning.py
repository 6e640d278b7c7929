"""What the fine-tuning scripts share: inputs, prediction, baselines, the preset's files.

Every script starts from a preset, trains `RoFormerNetwork` with Keras `fit` (see `fitting`), prints
a baseline and the model on the same split, and writes a preset. `--dev` scores on a slice of the
training part instead of the test part and writes nothing: settings are chosen with it. The TF-IDF
baselines need scikit-learn, which nothing else here does.
"""

import argparse
import csv
import importlib.metadata
import json
from pathlib import Path

import corpora
import numpy as np
import score_preset
import train_preset

from keras_roformer.batches import bucket, mask_of_lengths, padded_rows

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


def padded_inputs(rows, pad_id, types=None):
    """The inputs of a batch; few different lengths, as compiled backends compile each."""
    length = bucket(max(map(len, rows)), least=16, widest=16)
    inputs = {
        "input_ids": padded_rows(rows, length, pad_id),
        "attention_mask": mask_of_lengths(list(map(len, rows)), length),
    }
    if types is not None:
        inputs["token_type_ids"] = padded_rows(types, length)
    return inputs


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


def write_preset(arguments, model, tokenizer, log, script, **facts):
    """Write a preset's files but its card: config, tokenizer, float16 weights, metadata, log.

    Args:
        script: path of the tool.
        facts: `task` and others for the metadata.
    """
    from keras_roformer import RoFormerConfig
    from keras_roformer.weights import names

    out = arguments.out
    base = RoFormerConfig.from_pretrained(arguments.base)
    # The file has the documented dropout for whoever tunes it further.
    config = train_preset.with_dropout(
        model.network.config, base.hidden_dropout_prob, base.attention_probs_dropout_prob
    )
    config.update({"architectures": [names.class_name(facts["task"])]})
    train_preset.save_weights(model, out)
    config.save_pretrained(out)
    tokenizer.save_pretrained(out)
    with (out / train_preset.LOG).open("w", newline="") as file:
        writer = csv.DictWriter(file, log[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(log)
    metadata = {
        "name": out.name,
        "language": "zh",
        **facts,
        "parameters": sum(int(np.prod(v.shape)) for v in model.network.weights),
        "weights": "float16",
        "weights_bytes": (out / "model.safetensors").stat().st_size,
        "licence": "weights Apache-2.0; see the rights of the texts",
        "training": {
            "script": f"tools/{Path(script).name}",
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
