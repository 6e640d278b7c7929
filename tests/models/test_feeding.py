"""fit, evaluate and predict on everything that users have; preprocessors; without TensorFlow."""

import os

import keras
import numpy as np
import pytest

from keras_roformer import models
from tests.conftest import ROOT
from tests.models.common import TEXTS, VOCABULARY, backbone_arguments, random_inputs
from tests.support import close, python

LABELS = [1, 0, 1, 0]
PAIRS = (TEXTS, TEXTS[::-1])


@pytest.fixture
def tokenizer():
    return models.RoFormerHubTokenizer(VOCABULARY)


@pytest.fixture
def model(tokenizer):
    return make_model(tokenizer)


@pytest.fixture(scope="module")
def trained_model():
    """A model for tests that do not mind what weights it has; compiled once for all of them."""
    return make_model(models.RoFormerHubTokenizer(VOCABULARY))


def make_model(tokenizer):
    keras.utils.set_random_seed(1)
    return models.RoFormerTextClassifier(
        models.RoFormerBackbone(
            **backbone_arguments(vocabulary_size=len(VOCABULARY), num_layers=1)
        ),
        num_classes=2,
        preprocessor=models.RoFormerTextClassifierPreprocessor(tokenizer, sequence_length=10),
    )


class Batches(keras.utils.PyDataset):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return 2

    def __getitem__(self, index):
        rows = slice(2 * index, 2 * index + 2)
        x = tuple(t[rows] for t in self.x) if isinstance(self.x, tuple) else self.x[rows]
        return x, np.array(LABELS[rows])


def torch_loader(x):
    torch = pytest.importorskip("torch", reason="torch's DataLoader needs torch")
    rows = list(zip(*x, strict=True)) if isinstance(x, tuple) else x
    return torch.utils.data.DataLoader(list(zip(rows, LABELS, strict=True)), batch_size=2)


def tf_data(x):
    tf = pytest.importorskip("tensorflow", reason="tf.data needs TensorFlow")
    return tf.data.Dataset.from_tensor_slices((x, LABELS)).batch(2)


def grain_data(x):
    grain = pytest.importorskip("grain", reason="grain is in the extra hub")
    rows = list(zip(*x, strict=True)) if isinstance(x, tuple) else x
    source = list(zip(rows, LABELS, strict=True))
    return grain.MapDataset.source(source).batch(2)


SOURCES = {"PyDataset": Batches, "DataLoader": torch_loader, "tf.data": tf_data}
SOURCES |= {"grain": grain_data}


@pytest.mark.parametrize("x", (TEXTS, PAIRS), ids=("texts", "pairs"))
@pytest.mark.parametrize("kind", (*SOURCES, "lists", "arrays"))
def test_every_source_gives_the_same(trained_model, kind, x):
    model = trained_model
    want = model.evaluate(x, np.array(LABELS), batch_size=2, verbose=0)[0]
    if kind in SOURCES:
        source = SOURCES[kind](x)
        got = model.evaluate(source, verbose=0)[0]
        history = model.fit(source, validation_data=source, epochs=2, verbose=0)
        assert model.predict(source, verbose=0).shape == (4, 2)
    else:
        if kind == "arrays":
            x = tuple(map(np.array, x)) if isinstance(x, tuple) else np.array(x)
        data = (x, np.array(LABELS))
        got = model.evaluate(*data, batch_size=2, verbose=0)[0]
        history = model.fit(*data, validation_data=data, epochs=2, verbose=0)
        assert model.predict(x, verbose=0).shape == (4, 2)
    close(got, want)
    assert len(history.history["val_loss"]) == 2


def test_loaders_and_arrays_mix(model):
    data = (TEXTS, np.array(LABELS))
    history = model.fit(Batches(TEXTS), validation_data=data, verbose=0)
    assert "val_loss" in history.history
    history = model.fit(*data, validation_data=Batches(TEXTS), batch_size=2, verbose=0)
    assert "val_loss" in history.history


def test_a_loader_and_a_dataset_mix(model):
    history = model.fit(Batches(TEXTS), validation_data=grain_data(TEXTS), verbose=0)
    assert "val_loss" in history.history
    history = model.fit(grain_data(TEXTS), validation_data=Batches(TEXTS), verbose=0)
    assert "val_loss" in history.history


def test_shuffle_can_be_given_beside_a_dataset(model):
    model.fit(grain_data(TEXTS), shuffle=False, verbose=0)


def test_generator(model):
    model.fit((Batches(TEXTS)[i] for i in (0, 1)), steps_per_epoch=2, verbose=0)


def test_arrays_need_no_preprocessor(model):
    model.preprocessor = None
    inputs = random_inputs(model.backbone, batch=4)
    model.fit(inputs, np.array(LABELS), validation_split=0.5, verbose=0)
    assert model.predict(inputs, verbose=0).shape == (4, 2)


class Seen:
    """A preprocessor's `arrays` that remembers the labels of each batch."""

    def __init__(self, model, monkeypatch):
        self.labels = []
        arrays = model.preprocessor.arrays

        def remember(x, y=None, sample_weight=None):
            self.labels.append(list(y))
            return arrays(x, y, sample_weight)

        monkeypatch.setattr(model.preprocessor, "arrays", remember)


def test_strings_are_shuffled_in_every_epoch(model, monkeypatch):
    """As Keras shuffles arrays; KerasHub takes strings in the same order every time."""
    texts, labels = TEXTS * 8, np.arange(32) % 2
    orders = []
    for shuffle in (True, False):
        seen = Seen(model, monkeypatch)
        model.fit(texts, labels, batch_size=16, epochs=2, shuffle=shuffle, verbose=0)
        batches = seen.labels[-4:]  # before them, Keras looks at some on TensorFlow
        orders.append([batches[0] + batches[1], batches[2] + batches[3]])
    assert orders[0][0] != orders[0][1] and orders[0][0] != labels.tolist()
    assert all(sum(order) == 16 for order in orders[0])
    assert orders[1] == [labels.tolist()] * 2


def test_the_last_rows_are_split_off_for_validation(model, monkeypatch):
    seen = Seen(model, monkeypatch)
    labels = np.array([0] * 12 + [1] * 4)
    history = model.fit(TEXTS * 4, labels, validation_split=0.25, batch_size=16, verbose=0)
    assert "val_loss" in history.history
    assert [0] * 12 in seen.labels and [1] * 4 in seen.labels
    with pytest.raises(ValueError, match="validation_split=0.99"):
        model.fit(TEXTS, np.array(LABELS), validation_split=0.99)
    with pytest.raises(ValueError, match=r"\[3, 4\] rows"):
        model.fit(TEXTS, np.array(LABELS)[:3])
    with pytest.raises(TypeError, match="put it into a list"):
        model.predict(TEXTS[0])


def test_a_list_of_pairs_is_refused(model):
    """Two pairs look like the list of the firsts and that of the seconds."""
    pairs = [list(pair) for pair in zip(*PAIRS, strict=True)]
    for x in (pairs[:2], [tuple(pair) for pair in pairs]):
        for call in (model.predict, lambda x: model.fit(x, np.array(LABELS[: len(x)]))):
            with pytest.raises(ValueError, match=r"\(firsts, seconds\)"):
                call(x)
    with pytest.raises(ValueError, match=r"\(firsts, seconds\)"):
        model.evaluate(batch for batch in [(pairs[:2], np.array([0, 1]))])
    columns = tuple(map(list, zip(*pairs, strict=True)))
    np.testing.assert_array_equal(
        model.predict(columns, verbose=0), model.predict(PAIRS, verbose=0)
    )


def test_strings_for_labels_are_refused(model):
    for labels in (["正", "负"], np.array(["正", "负"])):
        for call in (model.fit, model.evaluate):
            with pytest.raises(ValueError, match="labels are strings: .*'正'"):
                call(["好", "坏"], labels)


def test_validation_has_its_own_batch_size(model, monkeypatch):
    data = (TEXTS, np.array(LABELS))
    for given, want in (({"validation_batch_size": 3}, {3, 1}), ({}, {4})):
        seen = Seen(model, monkeypatch)
        model.fit(*data, validation_data=data, batch_size=4, verbose=0, **given)
        assert set(map(len, seen.labels)) == want | {4}


def test_strings_for_labels_of_the_validation_are_refused(model):
    data = (TEXTS, np.array(LABELS))
    with pytest.raises(ValueError, match="labels are strings: '正'"):
        model.fit(*data, validation_data=(["好", "坏"], ["正", "负"]), verbose=0)


@pytest.mark.parametrize("kind", ("lists", "generator", "DataLoader", "grain"))
def test_batches_may_be_of_any_lengths(model, kind):
    """On TensorFlow, Keras goes by the sizes of the first two batches, here equal ones."""
    texts, labels = [*[TEXTS[3]] * 4, TEXTS[0], TEXTS[2]], np.array([0, 1] * 3)
    want = model.predict(texts, verbose=0)
    model.preprocessor.sequence_length = None
    batches = [(texts[i : i + 2], labels[i : i + 2]) for i in (0, 2, 4)]
    if kind == "lists":
        history = model.fit(
            texts, labels, batch_size=2, epochs=3, validation_data=(texts, labels), verbose=0
        ).history
        assert len(history["val_loss"]) == 3
        model.compile(metrics=[])  # forget what fit has compiled
        got = model.predict(texts, batch_size=1, verbose=0)
        assert got.shape == want.shape
        close(got[:4], got[:1].repeat(4, 0))
    elif kind == "generator":
        got = model.predict((x for x, _ in batches), verbose=0)
        close(got, want)
        model.fit((batch for batch in batches), steps_per_epoch=3, verbose=0)
    elif kind == "grain":
        grain = pytest.importorskip("grain", reason="grain is in the extra hub")
        data = grain.MapDataset.source(list(zip(texts, labels, strict=True))).batch(2)
        got = model.predict(grain.MapDataset.source(texts).batch(2).to_iter_dataset(), verbose=0)
        close(got, want)
        history = model.fit(data, epochs=2, validation_data=data, verbose=0).history
        loss = model.evaluate(data.to_iter_dataset(), verbose=0)[0]
        close(loss, history["val_loss"][-1])
        model.fit(texts, labels, validation_data=data, batch_size=2, verbose=0)
        model.fit(data.repeat(), steps_per_epoch=2, verbose=0)
    else:
        torch = pytest.importorskip("torch", reason="torch's DataLoader needs torch")
        rows = list(zip(texts, labels, strict=True))
        model.fit(torch.utils.data.DataLoader(rows, batch_size=2), epochs=2, verbose=0)


def test_labels_of_any_lengths(tokenizer):
    model = models.RoFormerMaskedLM(
        models.RoFormerBackbone(
            **backbone_arguments(vocabulary_size=len(VOCABULARY), num_layers=1)
        ),
        masked_only=False,
        preprocessor=models.RoFormerMaskedLMPreprocessor(
            tokenizer, sequence_length=None, masked_only=False
        ),
    )
    texts = [*[TEXTS[3]] * 2, TEXTS[0], TEXTS[2]]
    assert np.isfinite(model.fit(texts, batch_size=1, shuffle=False, verbose=0).history["loss"])


@pytest.mark.quick
def test_progress_is_that_of_keras(model, capsys):
    model.fit(TEXTS, np.array(LABELS), batch_size=2, verbose=2)
    assert "loss" in capsys.readouterr().out


def test_learning_what_can_be_learnt(model):
    model.compile(optimizer=keras.optimizers.Adam(1e-2), metrics=["accuracy"])
    first = model.evaluate(TEXTS, np.array(LABELS), verbose=0)[0]
    model.fit(TEXTS, np.array(LABELS), epochs=30, verbose=0)
    assert model.evaluate(TEXTS, np.array(LABELS), verbose=0)[0] < first / 2


# Preprocessors


def numpy_of(x):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, x)


def test_a_vocabulary_in_a_file(tokenizer, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    for path in (tmp_path / "vocab.txt", str(tmp_path / "vocab.txt")):
        assert models.RoFormerHubTokenizer(path)(TEXTS) == tokenizer(TEXTS)


def test_a_tuple_of_texts_is_a_pair(tokenizer):
    preprocessor = models.RoFormerTextClassifierPreprocessor(tokenizer, sequence_length=20)
    pair = numpy_of(preprocessor((TEXTS[:1], TEXTS[1:2])))
    documented = tokenizer.tokenizer(
        TEXTS[0], TEXTS[1], padding="max_length", max_length=20, return_tensors="np"
    )
    np.testing.assert_array_equal(pair["token_ids"], documented["input_ids"])
    np.testing.assert_array_equal(pair["segment_ids"], documented["token_type_ids"])
    np.testing.assert_array_equal(pair["padding_mask"], documented["attention_mask"])
    x, y = preprocessor((TEXTS[:2], [0, 1]))
    assert keras.ops.shape(x["token_ids"]) == (2, 20)
    assert list(y) == [0, 1]


@pytest.mark.parametrize("truncate", ("round_robin", "waterfall"))
def test_long_pairs_are_cut(tokenizer, truncate):
    preprocessor = models.RoFormerTextClassifierPreprocessor(tokenizer, 10, truncate)
    x = numpy_of(preprocessor((TEXTS[2], TEXTS[0])))
    first, second = (numpy_of(tokenizer.tokenize(text)).tolist() for text in (TEXTS[2], TEXTS[0]))
    kept = (4, 3) if truncate == "round_robin" else (7, 0)
    kept = (min(kept[0], len(first)), 7 - min(kept[0], len(first)))
    want = [2, *first[: kept[0]], 3, *second[: kept[1]], 3]
    assert x["token_ids"].tolist() == want


@pytest.mark.parametrize("start", (True, False))
@pytest.mark.parametrize("end", (True, False))
def test_next_tokens_fill_the_row(tokenizer, start, end):
    preprocessor = models.RoFormerCausalLMPreprocessor(
        tokenizer, sequence_length=5, add_start_token=start, add_end_token=end
    )
    short, long = "太差了！", "味道不错，下次再来。"
    for text in (short, long):
        ids = tokenizer.tokenizer(text, add_special_tokens=False)["input_ids"]
        want = [2] * start + ids[: 6 - start - end] + [3] * end  # one more, to be the last label
        x, y, weights = numpy_of(preprocessor(text))
        filled = [*want, *[0] * (6 - len(want))]
        assert x["token_ids"].tolist() == filled[:-1] and y.tolist() == filled[1:]
        assert weights.tolist() == [int(i < len(want)) for i in range(1, 6)]
        prompt = numpy_of(preprocessor.generate_preprocess(text))
        want = ([2] * start + ids)[:5]
        assert prompt["token_ids"][prompt["padding_mask"]].tolist() == want


def test_whole_words_are_hidden(tokenizer):
    preprocessor = models.RoFormerMaskedLMPreprocessor(
        tokenizer,
        sequence_length=16,
        mask_selection_rate=0.4,
        mask_selection_length=6,
        mask_token_rate=1.0,
        random_token_rate=0.0,
    )
    text = "好玩的天气，好玩的公园。"  # 好玩 is no word of the vocabulary: two pieces
    ids, words = tokenizer.tokenizer.encode_words(text)
    words = np.array(words)
    seen = set()
    for seed in range(12):
        keras.utils.set_random_seed(seed)
        x, y, weights = numpy_of(preprocessor(text))
        hidden = np.flatnonzero(x["token_ids"] == tokenizer.mask_token_id)
        assert hidden.tolist() == x["mask_positions"][weights > 0].tolist()
        assert y[weights > 0].tolist() == [ids[i - 1] for i in hidden]
        chosen = set(words[hidden - 1].tolist())
        assert all(np.isin(np.flatnonzero(words == word) + 1, hidden).all() for word in chosen)
        seen.add(tuple(hidden))
    assert len(seen) > 3
    keras.utils.set_random_seed(3)
    again = numpy_of(preprocessor(text))
    keras.utils.set_random_seed(3)
    keras.tree.map_structure(np.testing.assert_array_equal, again, numpy_of(preprocessor(text)))


def test_token_labels_are_those_of_first_characters(tokenizer):
    preprocessor = models.RoFormerTokenClassifierPreprocessor(tokenizer, sequence_length=8)
    text = "我们去公园玩。"
    assert tokenizer.tokenizer.tokenize(text) == ["我们", "去", "公园", "玩", "。"]
    x, y, weights = numpy_of(preprocessor([text], np.array([[1, 2, 3, 4, 5, -100, 7, 9]])))
    assert y.tolist() == [[0, 1, 3, 4, 0, 7, 0, 0]]
    assert weights.tolist() == [[0, 1, 1, 1, 0, 1, 0, 0]]


def test_answers_become_token_positions(tokenizer):
    question, context = "太差了！", "我们去公园玩。"
    words = len(tokenizer.tokenizer.tokenize(question))
    # [CLS] question [SEP] 我们 去 公园 玩 [SEP]: the last token of the context is cut off.
    preprocessor = models.RoFormerQuestionAnsweringPreprocessor(tokenizer, words + 7)
    answer = np.array([[3, 5], [6, 7]])
    x, y, weights = numpy_of(preprocessor(([question] * 2, [context] * 2), answer))
    start = y["start_logits"][0]
    assert tokenizer.id_to_token(x["token_ids"][0, start]) == "公园"
    assert y["end_logits"][0] == start
    assert weights["start_logits"].tolist() == weights["end_logits"].tolist() == [1, 0]


def test_choices_stand_beside_their_prompts(tokenizer):
    preprocessor = models.RoFormerMultipleChoicePreprocessor(tokenizer, sequence_length=16)
    x = numpy_of(preprocessor((TEXTS[:2], [TEXTS[:3], TEXTS[1:]])))
    assert x["token_ids"].shape == (2, 3, 16)
    pair = models.RoFormerTextClassifierPreprocessor(tokenizer, 16)((TEXTS[1], TEXTS[3]))
    np.testing.assert_array_equal(x["token_ids"][1, 2], numpy_of(pair)["token_ids"])


MAKERS_OF_WEIGHTS = {
    "token": (models.RoFormerTokenClassifierPreprocessor, TEXTS[:2], np.ones((2, 16), int)),
    "answer": (
        models.RoFormerQuestionAnsweringPreprocessor,
        (TEXTS[:2], TEXTS[2:]),
        np.array([[0, 2], [0, 3]]),
    ),
    "masked": (models.RoFormerMaskedLMPreprocessor, TEXTS[:2], None),
    "causal": (models.RoFormerCausalLMPreprocessor, TEXTS[:2], None),
}


@pytest.mark.parametrize("kind", MAKERS_OF_WEIGHTS)
def test_weights_of_the_user_and_of_the_preprocessor_are_multiplied(tokenizer, kind):
    cls, x, y = MAKERS_OF_WEIGHTS[kind]
    preprocessor = cls(tokenizer, sequence_length=16)

    def run(weights, call=preprocessor):
        keras.utils.set_random_seed(1)
        return keras.tree.map_structure(keras.ops.convert_to_numpy, call(x, y, weights))

    inputs, _, made = run(None)
    own = np.array([2.0, 0.5], "float32")
    per_row = keras.tree.map_structure(lambda m: m * own.reshape(-1, *[1] * (m.ndim - 1)), made)
    per_token = np.arange(32, dtype="float32").reshape(2, 16)
    assert all(m.sum() for m in keras.tree.flatten(made))
    for call in (preprocessor, preprocessor.arrays):
        for weights in (own, own[:, None], own.tolist(), keras.ops.convert_to_tensor(own)):
            keras.tree.map_structure(np.testing.assert_array_equal, run(weights, call)[2], per_row)
        if kind == "answer":
            with pytest.raises(ValueError, match=r"shape \(2,\), \(2, 1\), got \(2, 16\)"):
                run(per_token, call)
            continue
        at = np.arange(16)[None].repeat(2, 0) if kind != "masked" else inputs["mask_positions"]
        want = made * np.take_along_axis(per_token, at, 1)
        np.testing.assert_array_equal(run(per_token, call)[2], want)
        with pytest.raises(ValueError, match=r"or \(2, 16\), got \(3,\)"):
            run(np.ones(3), call)
    if isinstance(x, list):
        one = None if y is None else y[0]
        alone = preprocessor(x[0], one, 2.0)[2]
        assert set(keras.ops.convert_to_numpy(alone).ravel().tolist()) <= {0.0, 2.0}


@pytest.mark.parametrize("kind", MAKERS_OF_WEIGHTS)
def test_weights_go_through_tf_data(tokenizer, kind):
    tf = pytest.importorskip("tensorflow", reason="tf.data needs TensorFlow")
    cls, x, y = MAKERS_OF_WEIGHTS[kind]
    preprocessor = cls(tokenizer, sequence_length=16)
    own = np.array([2.0, 0.0], "float32")
    labels = np.zeros(2, int) if y is None else y
    data = tf.data.Dataset.from_tensor_slices((x, labels, own)).batch(2).map(preprocessor)
    for weights in keras.tree.flatten(next(iter(data))[2]):
        assert set(np.unique(weights[0])) <= {0, 2} and np.max(weights[0]) == 2
        assert not np.any(weights[1])


def test_weights_reach_the_loss(tokenizer):
    keras.utils.set_random_seed(1)
    arguments = backbone_arguments(vocabulary_size=len(VOCABULARY), num_layers=1)
    model = models.RoFormerTokenClassifier(
        models.RoFormerBackbone(**arguments),
        num_classes=3,
        preprocessor=models.RoFormerTokenClassifierPreprocessor(tokenizer, sequence_length=16),
    )
    model.compile(weighted_metrics=[])
    labels = np.ones((4, 16), int)
    loss = model.evaluate(TEXTS, labels, verbose=0)
    for weight in (2.0, 0.0):
        got = model.evaluate(TEXTS, labels, sample_weight=np.full(4, weight), verbose=0)
        close(got, weight * loss)
    history = model.fit(TEXTS, labels, sample_weight=np.zeros(4), verbose=0)
    assert history.history["loss"] == [0.0]


def test_wrong_inputs_are_named(tokenizer):
    preprocessor = models.RoFormerTextClassifierPreprocessor(tokenizer, sequence_length=8)
    with pytest.raises(TypeError, match="expected a string"):
        preprocessor([1, 2])
    with pytest.raises(ValueError, match="equally many"):
        preprocessor((TEXTS[:1], TEXTS[:2]))
    with pytest.raises(ValueError, match="at least 3"):
        preprocessor.sequence_length = 2
    with pytest.raises(ValueError, match="round_robin"):
        models.RoFormerTextClassifierPreprocessor(tokenizer, truncate="left")
    labels = models.RoFormerTokenClassifierPreprocessor(tokenizer, sequence_length=8)
    with pytest.raises(ValueError, match="each of the 7 characters"):
        labels([TEXTS[0]], np.zeros((1, 3), int))
    with pytest.raises(ValueError, match=r"each of the 2 inputs, got the shape \(1, 9\)"):
        labels(TEXTS[:2], np.zeros((1, 9), int))
    answers = models.RoFormerQuestionAnsweringPreprocessor(tokenizer, sequence_length=8)
    with pytest.raises(ValueError, match=r"two numbers for each context.*shape \(2,\)"):
        answers((PAIRS[0][:2], PAIRS[1][:2]), np.array([0, 1]))


@pytest.mark.parametrize(
    "arguments, message",
    (
        (dict(mask_selection_rate=15), "mask_selection_rate is a share .* got 15"),
        (dict(mask_token_rate=-0.1), "mask_token_rate is a share .* got -0.1"),
        (dict(mask_token_rate=1.0), r"mask_token_rate \+ random_token_rate .* got 1.1"),
        (dict(mask_selection_length=0), "at least 1, got 0"),
    ),
)
def test_rates_that_cannot_be_are_named(tokenizer, arguments, message):
    with pytest.raises(ValueError, match=message):
        models.RoFormerMaskedLMPreprocessor(tokenizer, **arguments)


# Imports

_WITHOUT = """
import sys
for name in {blocked}:
    sys.modules[name] = None
sys.path.insert(0, {root!r})
import keras_roformer
import keras_hub
import numpy as np
model = keras_hub.models.TextClassifier.from_preset("roformer_tiny_zh", num_classes=2)
model.preprocessor.sequence_length = 8
texts, labels = ["很好吃。", "太差了。"], np.array([1, 0])
model.fit(texts, labels, verbose=0)
model.fit((texts, texts), labels, verbose=0)
assert model.predict(texts, verbose=0).shape == (2, 2)
assert model.preprocessor.tokenizer.detokenize(model.preprocessor.tokenizer(texts)) == texts
assert not any(sys.modules.get(name) for name in {blocked})
print("fine")
"""


@pytest.mark.parametrize("blocked", (["tensorflow", "tensorflow_text"], ["tensorflow_text"]))
def test_without_tensorflow_and_its_text(blocked, backend):
    if backend == "tensorflow" and "tensorflow" in blocked:
        pytest.skip("the backend is TensorFlow")
    code = _WITHOUT.format(blocked=blocked, root=str(ROOT))
    result = python("-c", code, env={**os.environ, "KERAS_BACKEND": backend})
    assert result.stdout.strip().endswith("fine")


def test_importing_the_package_imports_no_keras():
    code = "import sys, keras_roformer; print([m for m in sys.modules if m.startswith('keras')])"
    result = python("-c", code, cwd=ROOT)
    assert "'keras'" not in result.stdout and "keras_hub" not in result.stdout
