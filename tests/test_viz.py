"""keras_roformer.viz: the numbers that are drawn, the font, and the errors."""

import warnings

import keras
import numpy as np
import pytest

from keras_roformer import RoFormerConfig, RoFormerTokenizer, viz
from tests.support import close, cls, python
from tests.tolerances import FINITE_DIFFERENCE

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

TEXT = "我们去公园[MASK]，花了$5和$6。"


@pytest.fixture(scope="module")
def tokenizer():
    return RoFormerTokenizer.from_pretrained("roformer_tiny_zh")


@pytest.fixture(scope="module")
def make_model(tokenizer):
    """Class-name ending → a tiny model with random weights; each is made once."""
    models = {}

    def make(task):
        if task not in models:
            keras.utils.set_random_seed(7)
            config = RoFormerConfig(
                vocab_size=len(tokenizer),
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=32,
                initializer_range=0.4,
                id2label={0: "bad", 1: "good", 2: "neither"},
            )
            models[task] = cls(task)(config)
        return models[task]

    return make


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    matplotlib.pyplot.close("all")


def call(model, **inputs):
    """A model's logits for one text, as numpy."""
    if hasattr(model, "eval"):
        model.eval()
    tensors = {name: keras.ops.convert_to_tensor(value) for name, value in inputs.items()}
    return keras.ops.convert_to_numpy(model(**tensors).logits)[0]


def tick_labels(axis):
    return [label.get_text().replace(r"\$", "$") for label in axis.get_ticklabels()]


def drawn(ax, path):
    """Render the figure; a character without a glyph would be a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax.figure.savefig(path, dpi=50)
    assert path.stat().st_size > 1000


def test_attention_heatmap(make_model, tokenizer, tmp_path):
    model = make_model("ForMaskedLM")
    ax = viz.attention_heatmap(model, tokenizer, TEXT, layer=0, head=1)
    weights = np.asarray(ax.images[0].get_array())
    close(weights.sum(axis=-1), 1.0)
    assert tick_labels(ax.yaxis) == tick_labels(ax.xaxis)
    tokens = tick_labels(ax.yaxis)
    assert tokens == ["[CLS]", *tokenizer.tokenize(TEXT), "[SEP]"]
    assert weights.shape == (len(tokens), len(tokens))
    drawn(ax, tmp_path / "attention.png")

    heads = [viz.attention_heatmap(model, tokenizer, TEXT, head=i) for i in range(2)]
    mean = np.mean([ax.images[0].get_array() for ax in heads], axis=0)
    last = viz.attention_heatmap(model, tokenizer, TEXT, layer=1).images[0].get_array()
    close(last, mean)
    assert not np.allclose(last, weights)
    assert viz.attention_heatmap(model, tokenizer, TEXT, head=-1).get_title() == "layer 1, head 1"


@pytest.mark.parametrize(
    "task, target", [("ForSequenceClassification", (1,)), ("ForMaskedLM", (5, 77))]
)
def test_saliency_is_the_derivative(make_model, tokenizer, task, target):
    """The score of a token is what the logit gains per growth of its embedding."""
    model = make_model(task)
    tokens, scores = viz.saliency(model, tokenizer, TEXT, target if len(target) > 1 else target[0])
    assert tokens == ["[CLS]", *tokenizer.tokenize(TEXT), "[SEP]"]
    ids = np.array([tokenizer(TEXT)["input_ids"]])
    layer = model.network.roformer.embeddings.word_embeddings
    embeddings = keras.ops.convert_to_numpy(layer(keras.ops.convert_to_tensor(ids)))
    step = 1e-2
    for place in range(len(tokens)):
        factors = np.ones((1, len(tokens), 1), "float32")
        factors[0, place] = 1 + step
        more = call(model, inputs_embeds=embeddings * factors)[target]
        factors[0, place] = 1 - step
        less = call(model, inputs_embeds=embeddings * factors)[target]
        close(scores[place], (more - less) / (2 * step), FINITE_DIFFERENCE)
    assert np.abs(scores).max() > 0.1


def test_saliency_targets(make_model, tokenizer):
    classifier, tagger = (
        make_model("ForSequenceClassification"),
        make_model("ForTokenClassification"),
    )
    logits = call(classifier, input_ids=np.array([tokenizer("不好")["input_ids"]]))
    best = viz.saliency(classifier, tokenizer, "不好")[1]
    np.testing.assert_array_equal(
        best, viz.saliency(classifier, tokenizer, "不好", int(logits.argmax()))[1]
    )
    named = viz.saliency(classifier, tokenizer, "不好", "good")[1]
    np.testing.assert_array_equal(named, viz.saliency(classifier, tokenizer, "不好", 1)[1])
    assert viz.saliency(tagger, tokenizer, "不好", (1, "bad"))[1].shape == (3,)
    for model, target, problem in [
        (classifier, "fine", "no class 'fine'; the config has bad, good, neither"),
        (classifier, 3, r"target is 3, but must be a class below \(3,\)"),
        (classifier, 1.5, r"target is 1.5, but must be a class"),
        (classifier, (1, 1), r"target is \(1, 1\), but must be a class"),
        (tagger, 1, r"must be a \(position, class\) below \(3, 3\)"),
        (tagger, (3, 1), r"target is \(3, 1\)"),
        (tagger, None, r"give target=\(position, class\)"),
    ]:
        with pytest.raises(ValueError, match=problem):
            viz.saliency(model, tokenizer, "不好", target)
    with pytest.raises(TypeError, match="has no single tensor of logits"):
        viz.saliency(make_model("Model"), tokenizer, "不好")


def test_token_saliency(make_model, tokenizer, tmp_path):
    model = make_model("ForMaskedLM")
    ax = viz.token_saliency(model, tokenizer, TEXT)  # the best token at the [MASK]
    tokens, scores = viz.saliency(model, tokenizer, TEXT)
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], scores)
    assert tick_labels(ax.yaxis) == tokens
    assert ax.yaxis_inverted()
    drawn(ax, tmp_path / "saliency.png")
    with matplotlib.pyplot.style.context("dark_background"):
        ax = viz.token_saliency(model, tokenizer, TEXT)
    zero = ax.lines[0].get_color()
    assert matplotlib.colors.same_color(zero, "white")  # black on black cannot be seen


def test_dropout_is_off_and_the_mode_is_kept(make_model, tokenizer, backend):
    if backend != "torch":
        pytest.skip("only torch's models have a mode")
    model = make_model("ForSequenceClassification").train()
    scores = [viz.saliency(model, tokenizer, "很好", 0)[1] for _ in range(2)]
    np.testing.assert_array_equal(*scores)
    assert model.training
    model.eval()


def test_bad_arguments(make_model, tokenizer):
    model = make_model("ForMaskedLM")
    with pytest.raises(IndexError, match="no layer 2: the model has 2"):
        viz.attention_heatmap(model, tokenizer, "好", layer=2)
    with pytest.raises(IndexError, match="no head -3: the model has 2"):
        viz.attention_heatmap(model, tokenizer, "好", head=-3)
    with pytest.raises(TypeError, match="text must be one string, got list"):
        viz.attention_heatmap(model, tokenizer, ["好"])


def test_rope_decay(tmp_path):
    """The curve of equal queries and keys is what the layer itself gives."""
    from keras_roformer.layers import RotaryEmbedding

    ax = viz.rope_decay(head_size=8, max_distance=40)
    bound, equal = (line.get_ydata() for line in ax.lines)
    ones = keras.ops.ones((1, 41, 1, 8))
    rotated = keras.ops.convert_to_numpy(RotaryEmbedding()(ones))[0, :, 0]
    close(equal, rotated @ rotated[0] / 8)
    # |Σ_{i≤j} exp(i·m·θ_i)| at m = 3, spelled out.
    angles = 10000.0 ** (-np.arange(0, 8, 2) / 8)
    sums = [abs(sum(np.exp(3j * a) for a in angles[: j + 1])) for j in range(4)]
    close(bound[3], np.mean(sums) / 2.5)
    assert bound[0] == 1
    drawn(ax, tmp_path / "decay.png")
    for arguments, problem in [((7,), "even number, got 7"), ((8, 0), "1 or more tokens, got 0")]:
        with pytest.raises(ValueError, match=problem):
            viz.rope_decay(*arguments)


def test_training_curves(tmp_path):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 3)), rng.normal(size=(16, 1))
    history = model.fit(x, y, validation_data=(x, y), epochs=3, verbose=0)
    ax = viz.training_curves(history)
    training, validation = ax.lines
    assert list(training.get_xdata()) == [1, 2, 3]
    assert list(training.get_ydata()) == history.history["loss"]
    assert list(validation.get_ydata()) == history.history["val_loss"]
    drawn(ax, tmp_path / "curves.png")
    assert viz.training_curves({"mae": [1.0, 0.5]}, "mae", ax=ax) is ax
    with pytest.raises(ValueError, match="no metric 'f1' in the history; it has .*loss"):
        viz.training_curves(history, "f1")
    ax = viz.training_curves({"loss": [0.5]})
    drawn(ax, tmp_path / "one.png")
    low, high = ax.get_xlim()
    assert [x for x in ax.get_xticks() if low <= x <= high] == [1]  # no half epochs


def test_given_axes_are_used(make_model, tokenizer):
    figure, axes = matplotlib.pyplot.subplots(2)
    model = make_model("ForMaskedLM")
    assert viz.attention_heatmap(model, tokenizer, "你好", ax=axes[0]) is axes[0]
    assert viz.token_saliency(model, tokenizer, "你[MASK]", ax=axes[1]) is axes[1]
    assert matplotlib.pyplot.get_fignums() == [figure.number]


@pytest.mark.framework_free
def test_font():
    """The family has the glyphs, be it of the system or of the extra."""
    from matplotlib import font_manager

    path = font_manager.findfont(viz.cjk_font(), fallback_to_default=False)
    font = font_manager.get_font(path)
    assert all(font.get_char_index(ord(char)) for char in "春眠不觉晓，处处闻啼鸟。！？「」")


@pytest.mark.framework_free
def test_no_font(monkeypatch):
    monkeypatch.setattr(viz, "CJK_FAMILIES", ())
    monkeypatch.setattr(viz, "FONT_PACKAGE", "no_such_package")
    with pytest.raises(RuntimeError, match="no font with Chinese characters.*pip install"):
        viz.cjk_font()
    assert viz._font(["[CLS]", "word"]) == {}  # which needs no such font


@pytest.mark.framework_free
def test_matplotlib_is_asked_for_late():
    """Importing viz imports neither matplotlib nor keras; without matplotlib the error says so."""
    code = """
import sys
from keras_roformer import viz
assert not {"matplotlib", "keras"} & set(sys.modules)
sys.modules["matplotlib"] = None
try:
    viz.training_curves({"loss": [1.0]})
except ImportError as error:
    print(error)
"""
    done = python("-c", code)
    assert "pip install 'keras-roformer[viz]'" in done.stdout, done.stderr
