"""Pictures of a model at work, drawn with matplotlib: `pip install 'keras-roformer[viz]'`.

Every function draws into the `ax` that it is given, or makes a figure of a fitting size, and
returns the `matplotlib.axes.Axes`. Chinese tokens are drawn with a font that has them: see
`cjk_font`. The models are those of the documented classes, on any backend.
"""

import importlib.util
import math
import numbers
import pathlib
import re

import numpy as np

from keras_roformer.arrays import to_numpy

# Families with Chinese glyphs, simplified forms first; what the usual systems come with.
CJK_FAMILIES = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "SimHei",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "LXGW WenKai",
    "Arial Unicode MS",
    "Noto Sans CJK JP",  # the name that matplotlib reads from the Noto collection: all CJK glyphs
    "Noto Sans CJK TC",
    "Droid Sans Fallback",
)
# The extra's font: Noto Sans SC, under the SIL Open Font License.
FONT_PACKAGE, FONT_FILE = "pylopdf_fonts_zh_cn", "NotoSansSC-Regular.otf"
PROBE = "的语龙，"  # a font with these four is one for simplified Chinese
CJK = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")


def cjk_font():
    """The name of a font family with Chinese glyphs, ready for matplotlib.

    An installed font is taken first, then the one that comes with the extra `viz`. The functions
    here use it by themselves; for Chinese titles of your own, put it behind your usual fonts:

    ```python
    plt.rcParams["font.family"] = [*plt.rcParams["font.family"], keras_roformer.viz.cjk_font()]
    ```

    Raises:
        ImportError: matplotlib is not installed.
        RuntimeError: there is no such font.
    """
    _pyplot()
    from matplotlib import font_manager

    paths = {font.name: font.fname for font in font_manager.fontManager.ttflist}
    for family in CJK_FAMILIES:
        if family in paths and _has_glyphs(paths[family]):
            return family
    package = importlib.util.find_spec(FONT_PACKAGE)
    if package is not None:
        path = pathlib.Path(package.origin).parent / FONT_FILE
        if path.is_file() and _has_glyphs(path):
            font_manager.fontManager.addfont(path)
            return font_manager.get_font(path).family_name
    raise RuntimeError(
        "matplotlib finds no font with Chinese characters, and would draw boxes; install one with: "
        "pip install 'keras-roformer[viz]', or any Chinese font of your system "
        f"(known: {', '.join(CJK_FAMILIES[:4])}, …)"
    )


def attention_heatmap(model, tokenizer, text, layer=-1, head=None, ax=None):
    """Draw which tokens each token of a text attends to.

    Args:
        model: model of a documented class.
        tokenizer: its tokenizer.
        text: the text, one string.
        layer: index of the layer, from 0; negative ones count from the last.
        head: index of the head; by default the mean over the heads.
        ax: axes to draw into.

    Returns:
        Axes with a row per query and a column per key: each row holds probabilities, sum 1.

    Raises:
        IndexError: no such layer or head.
    """
    tokens, inputs = _encode(tokenizer, text)
    with model.evaluation():
        layers = model(**model.to_inputs(inputs), output_attentions=True).attentions
    weights = _floats(_pick(layers, layer, "layer"))[0]  # (N, L, L)
    heads = "mean of the heads" if head is None else f"head {head % len(weights)}"
    weights = weights.mean(axis=0) if head is None else _pick(weights, head, "head")
    size = 2 + 0.32 * len(tokens)
    ax = ax or _figure(size + 1, size)
    image = ax.imshow(weights, cmap="Blues", vmin=0)
    ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03, label="attention")
    places = range(len(tokens))
    ax.set_xticks(places, _labels(tokens), rotation=90, **_font(tokens))
    ax.set_yticks(places, _labels(tokens), **_font(tokens))
    ax.set_xlabel("attended token")
    ax.set_ylabel("token")
    ax.set_title(f"layer {layer % len(layers)}, {heads}")
    return ax


def saliency(model, tokenizer, text, target=None):
    """How much each token speaks for one of the model's answers: gradient × input.

    The score of a token is the dot product of its embedding and the gradient of the answer's logit
    with respect to that embedding: to first order, what the logit would lose without the embedding
    (Shrikumar et al., 2016, https://arxiv.org/abs/1605.01713).

    Args:
        model: model of a documented class with logits.
        tokenizer: its tokenizer.
        text: the text, one string.
        target: whose logit: the class (a number, or its name in the config's `label2id`), and with
            logits for every token `(position, class)`. By default the class with the largest logit,
            at the first [MASK] where logits are per token.

    Returns:
        list of L tokens and (L,) float32 array of their scores.

    Raises:
        TypeError: the model has no logits.
        ValueError: no such target, or none given for a model with logits per token.
    """
    tokens, inputs = _encode(tokenizer, text)
    with model.evaluation():
        inputs = model.to_inputs(inputs)
        output = model(**inputs)
        if "logits" not in output:
            raise TypeError(
                f"{type(model).__name__} has no single tensor of logits to explain; use a model of "
                "masked, sequence or token classification, e.g. RoFormerForSequenceClassification"
            )
        target = _find_target(target, _floats(output.logits)[0], tokens, tokenizer, model.config)
        ids = inputs.pop("input_ids")
        embeddings = model.network.roformer.embeddings.word_embeddings(ids)  # (1, L, E)
        gradient = model.gradient(
            lambda x: model(inputs_embeds=x, **inputs).logits[(0, *target)], embeddings
        )
    return tokens, (_floats(embeddings) * _floats(gradient))[0].sum(axis=-1)


def token_saliency(model, tokenizer, text, target=None, ax=None):
    """Draw how much each token speaks for (right) or against (left) one of the model's answers.

    Args:
        model, tokenizer, text, target: see `saliency`, which gives the numbers.
        ax: axes to draw into.

    Returns:
        Axes with a bar for each token, from the first at the top.
    """
    tokens, scores = saliency(model, tokenizer, text, target)
    ax = ax or _figure(5.5, 1.2 + 0.27 * len(tokens))
    places = range(len(tokens))
    ax.barh(places, scores, color=np.where(scores < 0, "tab:red", "tab:blue"))
    ax.axvline(0, color=ax.spines["left"].get_edgecolor(), linewidth=0.8)
    ax.set_yticks(places, _labels(tokens), **_font(tokens))
    ax.set_ylim(len(tokens) - 0.4, -0.6)  # the first at the top
    ax.set_xlabel("gradient × input (logit)")
    return ax


def rope_decay(head_size=64, max_distance=256, ax=None):
    """Draw how rotary embeddings weaken the attention between distant tokens.

    Two curves of the distance m of query and key, each relative to its value at distance 0; θ_j is
    the angle by which pair j of the head turns per position:

    - what bounds the score in section 3.4.3 of Su et al. (2021, https://arxiv.org/abs/2104.09864):
      the mean over j of |Σ_{i≤j} exp(i·m·θ_i)|;
    - the score of a query and an equal key, in the mean over all directions: Σ_j cos(m·θ_j).

    Args:
        head_size: H, even.
        max_distance: the largest m, in tokens.
        ax: axes to draw into.

    Returns:
        Axes with the two lines.

    Raises:
        ValueError: an odd head size, or no distance.
    """
    from keras_roformer.layers.rotary import rotary_frequencies

    if head_size < 2 or head_size % 2:
        raise ValueError(f"head_size must be a positive even number, got {head_size}")
    if max_distance < 1:
        raise ValueError(f"max_distance must be 1 or more tokens, got {max_distance}")
    angles = 2 * math.pi * np.sum(rotary_frequencies(head_size), axis=0)  # (H/2,) per position
    distances = np.arange(max_distance + 1)
    turned = np.exp(1j * distances[:, None] * angles)  # (distances, H/2)
    bound = np.abs(np.cumsum(turned, axis=1)).mean(axis=1)
    ax = ax or _figure(6, 3.6)
    ax.plot(distances, bound / bound[0], label="bound of the score (section 3.4.3)")
    ax.plot(distances, turned.real.mean(axis=1), label="score of equal query and key")
    ax.set_xlabel("distance (tokens)")
    ax.set_ylabel("relative to distance 0")
    ax.set_title(f"rotary embeddings, head size {head_size}")
    ax.grid(alpha=0.3)
    ax.legend()
    return ax


def training_curves(history, metric="loss", ax=None):
    """Draw a metric over the epochs, in training and validation.

    Args:
        history: what Keras's `fit` returned, or a dict of lists such as its `.history`.
        metric: name of the metric; its `val_…` is drawn where there is one.
        ax: axes to draw into.

    Returns:
        Axes with one or two lines.

    Raises:
        ValueError: the history has no such metric.
    """
    values = getattr(history, "history", history)
    if metric not in values:
        raise ValueError(f"no metric {metric!r} in the history; it has {', '.join(values)}")
    ax = ax or _figure(5, 3.4)
    for name, label in ((metric, "training"), (f"val_{metric}", "validation")):
        if name in values:
            epochs = range(1, len(values[name]) + 1)
            ax.plot(epochs, values[name], marker="o", markersize=4, label=label)
    ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    ax.set_xlabel("epoch")
    ax.set_ylabel(metric)
    ax.grid(alpha=0.3)
    ax.legend()
    return ax


def _pyplot():
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError(
            "keras_roformer.viz draws with matplotlib, which is not installed; "
            "install it with: pip install 'keras-roformer[viz]'"
        ) from None
    return pyplot


def _figure(width, height):
    """The axes of a new figure of a size in inches."""
    return _pyplot().subplots(figsize=(width, height), layout="constrained")[1]


def _has_glyphs(path):
    from matplotlib import font_manager

    font = font_manager.get_font(path)
    return all(font.get_char_index(ord(char)) for char in PROBE)


def _font(tokens):
    """Text properties that draw these tokens."""
    if not any(map(CJK.search, tokens)):
        return {}
    return {"family": [*_pyplot().rcParams["font.family"], cjk_font()]}


def _labels(tokens):
    """The tokens as labels that mean themselves: a `$` opens no formula."""
    return [token.replace("$", r"\$") for token in tokens]


def _encode(tokenizer, text):
    """The tokens of a text, and the model's inputs for it as arrays."""
    if not isinstance(text, str):
        raise TypeError(f"text must be one string, got {type(text).__name__}")
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])
    return tokens, dict(tokenizer(text, return_tensors="np"))


def _floats(tensor):
    return to_numpy(tensor).astype("float32")


def _pick(items, index, kind):
    if not -len(items) <= index < len(items):
        raise IndexError(f"there is no {kind} {index}: the model has {len(items)}, from 0")
    return items[index]


def _find_target(target, logits, tokens, tokenizer, config):
    """The index of a logit among the (C,) or (L, C) `logits` of one text."""
    if target is None and logits.ndim == 1:
        return (int(logits.argmax()),)
    if target is None:
        masks = [i for i, token in enumerate(tokens) if token == tokenizer.mask_token]
        if not masks:
            raise ValueError(
                f"the model has logits for each of the {len(logits)} tokens, and the text no "
                f"{tokenizer.mask_token}: give target=(position, class)"
            )
        return masks[0], int(logits[masks[0]].argmax())
    *position, label = target if isinstance(target, tuple) else (target,)
    if isinstance(label, str) and label not in config.label2id:
        raise ValueError(f"no class {label!r}; the config has {', '.join(config.label2id)}")
    index = (*position, config.label2id[label] if isinstance(label, str) else label)
    if len(index) != logits.ndim or not all(
        isinstance(i, numbers.Integral) and 0 <= i < size
        for i, size in zip(index, logits.shape, strict=True)
    ):
        shape = "class" if logits.ndim == 1 else "(position, class)"
        raise ValueError(
            f"target is {target!r}, but must be a {shape} below {logits.shape} for this text"
        )
    return index
