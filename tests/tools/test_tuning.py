"""The fine-tuning tools: batches, splits for choosing settings, and that training learns."""

import json
import types

import numpy as np
import pytest
import score_preset
import tune_law
import tune_ner
import tune_sentiment
import tuning
from masked_rows import IGNORED

import keras_roformer
from keras_roformer.batches import similar_lengths
from tests.support import SPECIAL_TOKENS, close, cls
from tests.tolerances import FLOAT16

WORDS = [f"w{i}" for i in range(20)]


@pytest.mark.framework_free
class TestBatches:
    def test_similar_lengths(self):
        lengths = np.random.default_rng(1).integers(3, 120, 1000)
        batches = similar_lengths(lengths, 8, np.random.default_rng(2))
        assert sorted(np.concatenate(batches).tolist()) == list(range(1000))
        assert max(map(len, batches)) == 8
        spread = [np.ptp(lengths[batch]) for batch in batches]
        assert np.mean(spread) < 12
        other = similar_lengths(lengths, 8, np.random.default_rng(3))
        assert not np.array_equal(batches[0], other[0])

    def test_padding(self):
        inputs = tuning.padded_inputs([[2, 7, 3], [2, 8, 9, 6, 3]], pad_id=0)
        assert inputs["input_ids"].shape == (2, 16)
        assert inputs["input_ids"][0, :4].tolist() == [2, 7, 3, 0]
        assert inputs["attention_mask"].sum(axis=1).tolist() == [3, 5]
        longer = tuning.padded_inputs([[5] * 17], pad_id=0)
        assert longer["input_ids"].shape == (1, 32)
        assert "token_type_ids" not in inputs
        typed = tuning.padded_inputs([[2, 7, 3], [2, 3]], pad_id=0, types=[[1, 0, 1], [1, 1]])
        assert typed["token_type_ids"][:, :4].tolist() == [[1, 0, 1, 0], [1, 1, 0, 0]]

    def test_long_paragraphs_become_several_rows(self):
        tokenized = [(list(range(10, 17)), None), ([30], None)]
        labels = [[1, 2, 3, 4, 5, 6, 0], [4]]
        rows, answers = tune_ner.training_rows(tokenized, labels, max_length=5)
        assert rows == [[2, 10, 11, 12, 3], [2, 13, 14, 15, 3], [2, 16, 3], [2, 30, 3]]
        assert answers[0] == [-100, 1, 2, 3, -100]
        assert answers[2] == [-100, 0, -100]

    def test_token_types_say_where_words_begin(self):
        """The same in training, from the labels, as in prediction, from the words."""
        ids, firsts = [10, 11, 12, 13], [0, 1, 3]  # the second word is two tokens
        labels = [5, 6, IGNORED, 7]
        _, answers = tune_ner.training_rows([(ids, firsts)], [labels], max_length=8)
        found = tune_ner.types_of(firsts, len(ids) + 2)
        assert found == [1, 0, 0, 1, 0, 1] == tune_ner.types_of_labels(answers[0])

    def test_words_are_cut_into_their_characters(self):
        words = ["今天", "今", "天", "不好", "好", "ab"]  # 不 is missing
        tokenizer = keras_roformer.RoFormerTokenizer(
            vocab={token: i for i, token in enumerate([*SPECIAL_TOKENS, *words])}
        )
        characters = tuning.characters_of_words(tokenizer)
        assert characters == {5: [6, 7]}
        rng = np.random.default_rng(1)
        row = [2, 5, 8, 9, 10, 3]
        assert tuning.split_words(row, 0.0, characters, rng) == row
        assert tuning.split_words(row, 1.0, characters, rng) == [2, 6, 7, 8, 9, 10, 3]
        cut = tuning.split_words([5] * 1000, 0.3, characters, rng)
        assert cut.count(6) == cut.count(7) == 1000 - cut.count(5)
        assert 230 < cut.count(6) < 370

    def test_accuracy(self):
        scores = tuning.accuracy([True] * 75 + [False] * 25)
        assert scores == {"cases": 100, "accuracy": 0.75, "standard_error": 0.0435}


@pytest.mark.framework_free
class TestSplits:
    """The slice on which settings are chosen is cut from the training part."""

    def check(self, split, rows, key):
        train, test = split(rows, dev=False)
        smaller, slice_ = split(rows, dev=True)
        keys = [{key(row) for row in part} for part in (train, test, smaller, slice_)]
        assert keys[2] | keys[3] == keys[0]
        assert not keys[2] & keys[3]
        assert not keys[1] & keys[0]
        assert 0.03 < len(keys[3]) / len(keys[0]) < 0.4

    def test_reviews(self):
        from corpora import Review

        reviews = [Review("", label, line, "") for label in (0, 1) for line in range(4000)]
        rows = [
            dict(label=r.label, line=r.line, block="test" if r.block_test else "train")
            for r in reviews
        ]
        self.check(tune_sentiment.split, rows, lambda row: (row["label"], row["line"]))

    def test_laws(self):
        from corpora import Article

        articles = [Article(f"law {i}", "", "", "") for i in range(300)]
        rows = [dict(law=a.law, split="test" if a.test else "train") for a in articles]
        self.check(tune_law.split, rows, lambda row: row["law"])

    def test_news(self):
        from corpora import Paragraph

        paragraphs = [Paragraph(i, (f"词{i}",), ("n",)) for i in range(4000)]
        rows = [
            dict(index=p.index, words=p.words, tags=p.tags, split="test" if p.test else "train")
            for p in paragraphs
        ]
        self.check(tune_ner.split, rows, lambda row: row[0][0])


@pytest.mark.framework_free
class TestEntities:
    def test_adjacent_names_are_one_person(self):
        words = ["江", "泽民", "在", "北京", "上海", "说"]
        found = tune_ner.entities_of_words(words, ["nr", "nr", "p", "ns", "ns", "v"])
        assert found == {(0, 3, "PER"), (4, 6, "LOC"), (6, 8, "LOC")}

    def test_labels_and_back(self):
        offsets = [(0, 1), (1, 3), (3, 4), (4, 6), (6, 8)]
        entities = {(0, 3, "PER"), (4, 6, "LOC"), (6, 8, "LOC")}
        labels = tune_ner.labels_of_entities(entities, offsets)
        assert labels == ["B-PER", "I-PER", "O", "B-LOC", "B-LOC"]
        assert tune_ner.entities_of_labels(labels, offsets) == entities

    def test_an_entity_inside_a_token_is_lost(self):
        labels = tune_ner.labels_of_entities({(0, 1, "LOC")}, [(0, 3), (3, 4)])
        assert labels == ["O", "O"]

    def test_entities_are_joined_as_the_pipeline_does(self):
        offsets = [(i, i + 1) for i in range(6)]
        labels = ["I-PER", "I-LOC", "I-LOC", "O", "I-LOC", "B-LOC"]
        expected = {(0, 1, "PER"), (1, 3, "LOC"), (4, 5, "LOC"), (5, 6, "LOC")}
        assert tune_ner.entities_of_labels(labels, offsets) == expected

    def test_scores(self):
        gold = [{(0, 1, "PER"), (2, 3, "LOC")}, {(0, 2, "ORG")}]
        found = [{(0, 1, "PER"), (2, 3, "ORG")}, {(0, 2, "ORG")}]
        scores = tune_ner.entity_scores(gold, found)
        assert (scores["precision"], scores["recall"]) == (0.6667, 0.6667)
        assert scores["f1"] == 0.6667

    def test_longest_match(self):
        words = {"中国": 0, "中国人": 0, "民": 0}
        assert tune_ner.longest_match("中国人民们", words, 3) == ["中国人", "民", "们"]

    def test_sample_holds_what_its_marks_say(self):
        texts, gold = tune_ner.sample()
        assert texts[0] == "我在北京见到了王小明。"
        assert gold[0] == {(2, 4, "LOC"), (7, 10, "PER")}


@pytest.mark.parametrize("task", ["sequence_classification", "token_classification"])
def test_training_learns_and_the_preset_loads(task, tmp_path):
    """Two classes that one word tells apart, with R-Drop, from a checkpoint without the head."""
    import fitting
    import keras

    keras.utils.set_random_seed(1)
    base = tmp_path / "tiny_base"
    tokenizer = keras_roformer.RoFormerTokenizer(
        vocab={token: i for i, token in enumerate([*SPECIAL_TOKENS, *WORDS])}
    )
    config = keras_roformer.RoFormerConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    backbone = cls("Model")(config)
    backbone.save_pretrained(base)
    tokenizer.save_pretrained(base)

    rng = np.random.default_rng(4)
    rows = [[2, *rng.integers(6, 25, 6).tolist(), 3] for _ in range(96)]
    labels = [i % 2 for i in range(96)]
    for row, label in zip(rows, labels, strict=True):
        row[1 + rng.integers(6)] = 5 if label else 6
    if task == "token_classification":
        labels = [[int(token == 5) for token in row] for row in rows]
    arguments = types.SimpleNamespace(
        epochs=12, batch_size=16, learning_rate=2e-2, weight_decay=0.01, word_dropout=0.1,
        r_drop=0.5, split_rate=0.0, base=base, out=tmp_path / "tiny_tuned",
        backend="keras",
    )  # fmt: skip
    log = []
    model = fitting.make_model(base, task, ["no", "yes"], dropout=0.1)
    data = fitting.TaskBatches(tokenizer, rows, labels, None, arguments, seed=1)
    fitting.train(model, data, arguments, log)
    assert [row["epoch"] for row in log] == list(range(1, 13))
    assert log[-1]["loss"] < 0.6 * log[0]["loss"]
    found = [logits.argmax(axis=-1) for logits in tuning.predict(model, tokenizer, rows)]
    right = np.concatenate([np.ravel(f == a) for f, a in zip(found, labels, strict=True)])
    assert np.mean(right) > 0.9

    tuning.write_preset(arguments, model, tokenizer, log, "tool.py", task=task)
    score_preset.add_scores(arguments.out, {"test": 1})
    again = fitting.make_model(arguments.out, task, ["no", "yes"])
    for one, other in zip(
        tuning.predict(model, tokenizer, rows[:4]),
        tuning.predict(again, tokenizer, rows[:4]),
        strict=True,
    ):
        close(one, other, FLOAT16)  # of the weights
    tuned = keras_roformer.RoFormerConfig.from_pretrained(arguments.out)
    assert tuned.id2label == {0: "no", 1: "yes"}
    assert tuned.architectures == ["RoFormerFor" + task.title().replace("_", "")]
    metadata = json.loads((arguments.out / "metadata.json").read_text("utf-8"))
    assert metadata["training"]["script"] == "tools/tool.py"


def test_adapting_learns_the_texts(tmp_path, monkeypatch, capsys):
    """Masked LM on a handful of texts: the loss falls, and what is written is to be tuned."""
    import fitting

    words = ["今天", "天气", "很", "好", "我们", "去", "公园", "。", "，"]
    tokenizer = keras_roformer.RoFormerTokenizer(
        vocab={token: i for i, token in enumerate([*SPECIAL_TOKENS, *words])}
    )
    config = keras_roformer.RoFormerConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    base = tmp_path / "base"
    model = cls("ForMaskedLM")(config)
    model.save_pretrained(base)
    monkeypatch.setattr(tuning, "ROOT", tmp_path)
    arguments = types.SimpleNamespace(
        base=base, out=tmp_path / "out", batch_size=2, weight_decay=0.0, dtype="float32"
    )
    texts = ["今天天气很好，我们去公园。"] * 40
    losses = []
    for epochs in (4, 100):
        adapted = fitting.adapt(arguments, tokenizer, texts, epochs)
        losses.append(float(capsys.readouterr().out.split()[-1]))
    assert losses[1] < 0.9 * losses[0]
    from keras_roformer.weights import checkpoint, transfer

    tuned = transfer.read(
        fitting.make_model(adapted, "sequence_classification", ["no", "yes"]).network
    )
    for name, tensor in checkpoint.read(adapted).items():
        if name in tuned:
            np.testing.assert_array_equal(tuned[name], tensor)
    assert not np.array_equal(
        *(checkpoint.read(x)["roformer.embeddings.word_embeddings.weight"] for x in (base, adapted))
    )
