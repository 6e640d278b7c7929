"""The fine-tuned presets in the box: their files, and their scores on own sentences and in full."""

import json
from pathlib import Path

import corpora
import numpy as np
import pytest
import tune_ner
import tune_sentiment

import keras_roformer
from keras_roformer.pipelines import pipeline
from tests.presets.preset_tools import assert_weights_are_as_described

PRESETS = Path(__file__).resolve().parents[2] / "presets"
SENTIMENT, NER = "roformer_tiny_zh_sentiment", "roformer_tiny_zh_ner"
CORPUS = pytest.mark.skipif(
    not (corpora.CORPUS / "news.jsonl").exists(),
    reason="needs the corpus: python tools/build_corpus.py",
)
ROUNDING = 0.003  # between backends and float16 or float32: a few cases of thousands


def metadata_of(name):
    return json.loads((PRESETS / name / "metadata.json").read_text("utf-8"))


@pytest.mark.framework_free
def test_size_of_all_presets():
    sizes = [path.stat().st_size for path in PRESETS.rglob("*") if path.is_file()]
    assert sum(sizes) < 30e6


@pytest.mark.framework_free
@pytest.mark.parametrize(
    "name, architecture, labels",
    [
        (SENTIMENT, "SequenceClassification", tune_sentiment.LABELS),
        (NER, "TokenClassification", tune_ner.ENTITY_LABELS),
    ],
)
class TestFiles:
    def test_config(self, name, architecture, labels):
        config = keras_roformer.RoFormerConfig.from_pretrained(name)
        assert config.architectures == [f"RoFormerFor{architecture}"]
        assert [config.id2label[i] for i in range(config.num_labels)] == labels
        assert metadata_of(name)["labels"] == labels
        assert config.vocab_size == len(keras_roformer.RoFormerTokenizer.from_pretrained(name))

    def test_weights_are_as_described(self, name, architecture, labels):
        assert_weights_are_as_described(PRESETS / name, metadata_of(name))

    def test_is_better_than_its_baseline(self, name, architecture, labels):
        scores = metadata_of(name)["scores"]
        measure = "f1" if name == NER else "accuracy"
        baseline = next(value for key, value in scores.items() if key.startswith("baseline"))
        assert scores["test"][measure] > baseline[measure]

    def test_card_states_scores_and_rights(self, name, architecture, labels):
        card = (PRESETS / name / "README.md").read_text("utf-8")
        scores = metadata_of(name)["scores"]
        numbers = [scores["test"][key] for key in ("accuracy", "f1") if key in scores["test"]]
        numbers += [scores["seeds"]["mean"], scores["test"]["standard_error"]]
        for number in numbers:
            assert f"{100 * number:.1f} %" in card
        for words in ("snownlp", "unproven", "Apache-2.0"):
            assert words in card


@pytest.fixture(scope="module")
def classify(backend):
    return pipeline("text-classification", SENTIMENT, backend=backend)


@pytest.fixture(scope="module")
def tag(backend):
    return pipeline("token-classification", NER, backend=backend, aggregation_strategy="simple")


def sentiment_accuracy(classify, texts, labels):
    found = [answer["label"] for answer in classify(texts)]
    right = [tune_sentiment.LABELS[i] == name for i, name in zip(labels, found, strict=True)]
    return np.mean(right)


def entity_f1(tag, texts, gold):
    found = [
        {(entity["start"], entity["end"], entity["entity_group"]) for entity in entities}
        for entities in tag(texts)
    ]
    return tune_ner.entity_scores(gold, found)["f1"]


def test_sentiment_of_own_sentences(classify):
    """Through the pipeline, on this backend, as the tuning script recorded it."""
    labels, texts = tune_sentiment.sample()
    recorded = metadata_of(SENTIMENT)["scores"]["sample"]
    assert recorded["cases"] == len(texts) == 2 * sum(labels) >= 40
    accuracy = sentiment_accuracy(classify, texts, labels)
    assert accuracy == pytest.approx(recorded["accuracy"], abs=1 / len(texts))
    assert accuracy > 0.75


def test_entities_of_own_sentences(tag):
    texts, gold = tune_ner.sample()
    recorded = metadata_of(NER)["scores"]["sample"]
    assert recorded["entities"] == sum(map(len, gold)) >= 40
    f1 = entity_f1(tag, texts, gold)
    assert f1 == pytest.approx(recorded["f1"], abs=1 / recorded["entities"])
    assert f1 > 0.6


@CORPUS
def test_sentiment_on_the_full_split(classify, backend):
    if backend != "torch":
        pytest.skip("minutes of work are done on one backend")
    _, test = tune_sentiment.split(corpora.read_task("reviews"), dev=False)
    texts = [corpora.normalize(review["text"]) for review in test]
    recorded = metadata_of(SENTIMENT)["scores"]["test"]
    assert recorded["cases"] == len(texts)
    accuracy = sentiment_accuracy(classify, texts, [review["label"] for review in test])
    assert accuracy == pytest.approx(recorded["accuracy"], abs=ROUNDING)


@CORPUS
def test_entities_on_the_full_split(tag, backend):
    if backend != "torch":
        pytest.skip("minutes of work are done on one backend")
    _, test = tune_ner.split(corpora.read_task("news"), dev=False)
    gold = [tune_ner.entities_of_words(*pair) for pair in test]
    recorded = metadata_of(NER)["scores"]["test"]
    assert recorded["entities"] == sum(map(len, gold))
    f1 = entity_f1(tag, ["".join(words) for words, _ in test], gold)
    assert f1 == pytest.approx(recorded["f1"], abs=ROUNDING)
