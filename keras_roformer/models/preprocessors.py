"""Strings and labels → the arrays that the tasks take.

One way of working for all: a preprocessor makes NumPy arrays of a batch in Python. Called eagerly
they become the backend's tensors, in a grain pipeline they stay as they are, and inside tf.data the
same Python runs through `tf.numpy_function`; tensorflow-text is not needed.
"""

import random

import keras
import numpy as np
from keras_hub.models import (
    CausalLMPreprocessor,
    MaskedLMPreprocessor,
    Preprocessor,
    TextClassifierPreprocessor,
    TextEmbedderPreprocessor,
)

from keras_roformer.arrays import to_numpy
from keras_roformer.masking import choose_words, hide
from keras_roformer.models import data
from keras_roformer.models.backbone import RoFormerBackbone
from keras_roformer.models.preset_names import FromPreset
from keras_roformer.models.tokenizer import RoFormerHubTokenizer
from keras_roformer.tasks import IGNORED_LABEL
from keras_roformer.tokenizers.packing import share_longest_first

_LABELS, _WEIGHTS = "y", "sample_weight"


class RoFormerPreprocessor(FromPreset, Preprocessor):
    """Base of the preprocessors: tokenize, cut to length, pack, pad.

    Args:
        tokenizer: `RoFormerHubTokenizer`.
        sequence_length: tokens in a row, special ones too; None for the longest row of each batch
            (not inside tf.data).
        truncate: what is cut off a pair that is too long: "round_robin" cuts the longer text until
            both are equally long, "waterfall" the second text first.

    Call arguments:
        x: a string, or a list, array or tensor of strings; a tuple of two of these is a pair of
            texts, also where Keras would take a tuple for inputs and labels.
        y, sample_weight: labels and weights, by default given on as they are. Where the
            preprocessor makes weights itself, these are multiplied by `sample_weight`: (B,) or
            (B, 1), or (B, L) for one a token.

    Returns:
        x, `(x, y)` or `(x, y, sample_weight)`, as there are labels; x is a dict of the (L,) or
        (B, L) `token_ids`, `segment_ids` and `padding_mask`.
    """

    backbone_cls = RoFormerBackbone
    tokenizer_cls = RoFormerHubTokenizer
    # How many texts make a row, at most.
    most_texts = 2
    # Whether `features` takes the labels.
    reads_labels = False
    # The constructor's arguments beside the tokenizer.
    argument_names = ("sequence_length", "truncate")

    def __init__(self, tokenizer, sequence_length=512, truncate="round_robin", **kwargs):
        if truncate not in ("round_robin", "waterfall"):
            raise ValueError(f'truncate must be "round_robin" or "waterfall", got {truncate!r}')
        Preprocessor.__init__(self, **kwargs)
        self.tokenizer = tokenizer
        self.sequence_length = sequence_length
        self.truncate = truncate
        self.built = True

    @property
    def sequence_length(self):
        """Tokens in a row."""
        return self._sequence_length

    @sequence_length.setter
    def sequence_length(self, value):
        if value is not None and value < 3:
            raise ValueError(f"sequence_length must be at least 3 or None, got {value}")
        self._sequence_length = value

    def build(self, input_shape=None):
        self.built = True

    def __call__(self, x, *args, **kwargs):
        # A tuple of two texts is a pair, not (x, y).
        if type(x) is tuple and len(x) == 2 and all(map(data.is_text, x)) and not args:
            kwargs.setdefault("y", None)
        return super().__call__(x, *args, **kwargs)

    def call(self, x, y=None, sample_weight=None):
        """See the class."""
        if data.in_tf_graph():
            return self._run(self._in_graph, x, y, sample_weight)
        return self._run(lambda *given: data.output(self._as_arrays(*given)), x, y, sample_weight)

    def arrays(self, x, y=None, sample_weight=None):
        """What `call` gives, as NumPy arrays: for the worker processes of loaders."""
        return self._run(self._as_arrays, x, y, sample_weight)

    def _run(self, make, x, y, sample_weight):
        if y is not None and data.is_text(y) and not isinstance(x, tuple):
            x, y = (x, y), None  # the elements of a data set of pairs
        texts = x if isinstance(x, tuple) else (x,)
        if not 1 <= len(texts) <= self.most_texts:
            raise ValueError(
                f"{type(self).__name__} takes 1 to {self.most_texts} texts a row, got a tuple of "
                f"{len(texts)}"
            )
        features = make(texts, y if self.reads_labels else None, sample_weight)
        y = features.pop(_LABELS, y)
        sample_weight = features.pop(_WEIGHTS, sample_weight)
        return keras.utils.pack_x_y_sample_weight(*self._named(features, y, sample_weight))

    # For the subclasses

    def features(self, texts, labels):
        """The arrays of a batch.

        Args:
            texts: a list with a tuple of one or two strings per row.
            labels: the labels as an array with a first axis of rows, or None.

        Returns:
            dict of NumPy arrays: the model's inputs and, where the preprocessor makes them, `y` and
            `sample_weight`.
        """
        return self.pack([[self.tokenizer.core.ids(text) for text in row] for row in texts])[0]

    def shapes(self, labels):
        """`{name: (dtype, shape of a row)}` of what `features` gives, for tf.data."""
        return self._of_tokens(token_ids="int32", segment_ids="int32", padding_mask="bool")

    def _of_tokens(self, **dtypes):
        return {name: (dtype, (self.sequence_length,)) for name, dtype in dtypes.items()}

    def _named(self, features, y, sample_weight):
        return features, y, sample_weight

    # Parts that the subclasses share

    def pack(self, rows, length=None, start=True, end=True):
        """`[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`, cut and padded.

        Args:
            rows: list of lists of one or two lists of ids.
            length: by default `sequence_length`, else that of the longest row.
            start, end: put [CLS], and the last [SEP].

        Returns:
            dict of the three inputs; and per row a list of `(start, kept)`: where each text's ids
            stand and how many of them there are.
        """
        tokenizer = self.tokenizer
        length = length or self.sequence_length
        if length is None:
            length = max(1 + sum(len(ids) + 1 for ids in row) for row in rows)
        token_ids = np.full((len(rows), length), tokenizer.pad_token_id, "int32")
        segment_ids = np.zeros((len(rows), length), "int32")
        mask = np.zeros((len(rows), length), "bool")
        places = []
        for r, row in enumerate(rows):
            room = length - start - (len(row) - 1) - end
            kept = self._shares(list(map(len, row)), room)
            packed, spans = [tokenizer.start_token_id] * start, []
            for segment, (ids, count) in enumerate(zip(row, kept, strict=True)):
                first = len(packed)
                spans.append((first, count))
                packed += ids[:count]
                if end or segment + 1 < len(row):
                    packed.append(tokenizer.end_token_id)
                segment_ids[r, first if segment else 0 : len(packed)] = segment
            token_ids[r, : len(packed)] = packed
            mask[r, : len(packed)] = True
            places.append(spans)
        inputs = {"token_ids": token_ids, "segment_ids": segment_ids, "padding_mask": mask}
        return inputs, places

    def _shares(self, lengths, room):
        """How many ids of each text stay."""
        if self.truncate == "round_robin" and len(lengths) == 2:
            return share_longest_first(*lengths, room, odd_to_first=True)
        first = min(lengths[0], room)
        return [first, *(min(length, room - first) for length in lengths[1:])]

    # Between `call` and `features`

    def _as_arrays(self, texts, labels, weights):
        columns, batched = zip(*map(data.texts_of, texts), strict=True)
        if len(set(batched)) > 1 or len(set(map(len, columns))) > 1:
            raise ValueError(
                "the texts of a pair must be two strings, or equally many strings; got "
                + " and ".join(map(str, map(len, columns)))
            )
        if labels is not None:
            labels = to_numpy(labels)
            labels = labels if batched[0] else labels[None]
            if labels.shape[:1] != (len(columns[0]),):
                raise ValueError(
                    f"y must hold a row for each of the {len(columns[0])} inputs, got the shape "
                    f"{labels.shape}"
                )
        features = self.features(list(zip(*columns, strict=True)), labels)
        if weights is not None and _WEIGHTS in features:
            weights = to_numpy(weights)
            features[_WEIGHTS] = _weigh(features, weights if batched[0] else weights[None])
        return features if batched[0] else {name: array[0] for name, array in features.items()}

    def _in_graph(self, texts, labels, weights):
        if self.sequence_length is None:
            raise ValueError("inside tf.data sequence_length must be a number, got None")
        shapes = self.shapes(labels)
        rows = np.shape(texts[-1])  # the last text: the choices of a prompt have an axis more
        given = {"labels": labels, "weights": weights if _WEIGHTS in shapes else None}
        given = {name: x for name, x in given.items() if x is not None}

        def features(*arrays):
            rest = dict(zip(given, arrays[len(texts) :], strict=True))
            return self._as_arrays(arrays[: len(texts)], rest.get("labels"), rest.get("weights"))

        outputs = {name: (dtype, (*rows, *row)) for name, (dtype, row) in shapes.items()}
        return data.apply_in_tf_graph(features, [*texts, *given.values()], outputs)

    def get_config(self):
        return {**super().get_config(), **{n: getattr(self, n) for n in self.argument_names}}


def _weigh(features, weights):
    """The weights that were made, times the user's (B,), (B, 1) or (B, L)."""
    made, tokens = features[_WEIGHTS], features["token_ids"].shape
    if weights.shape in ((len(made),), (len(made), 1)):
        weights = weights.reshape(-1, *[1] * (made.ndim - 1))
    elif weights.shape != tokens or made.ndim == 1:
        shapes = f"({len(made)},), ({len(made)}, 1)" + (f" or {tokens}" if made.ndim > 1 else "")
        raise ValueError(f"sample_weight must have the shape {shapes}, got {weights.shape}")
    elif "mask_positions" in features:
        weights = np.take_along_axis(weights, features["mask_positions"], 1)
    return (made * weights).astype("float32")


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerTextClassifierPreprocessor(RoFormerPreprocessor, TextClassifierPreprocessor):
    """Texts or pairs of texts → inputs of `RoFormerTextClassifier`.

    Arguments, calls and results: see `RoFormerPreprocessor`.
    """


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerTextEmbedderPreprocessor(RoFormerPreprocessor, TextEmbedderPreprocessor):
    """Texts → inputs of `RoFormerTextEmbedder`.

    Arguments, calls and results: see `RoFormerPreprocessor`.
    """


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerMaskedLMPreprocessor(RoFormerPreprocessor, MaskedLMPreprocessor):
    """Texts → inputs with hidden words and the words, for `RoFormerMaskedLM`.

    Every call hides other words, whole ones: the pieces of a jieba word (without jieba, of one of
    BERT's words) go together, as RoFormer was pretrained. `keras.utils.set_random_seed` repeats
    them.

    Args:
        tokenizer, sequence_length, truncate: see `RoFormerPreprocessor`.
        mask_selection_rate: share of the tokens to hide.
        mask_selection_length: P, tokens hidden in a row at most.
        mask_token_rate: share of the hidden tokens that become [MASK].
        random_token_rate: share that become random tokens; the rest stays.
        masked_only: True gives labels for the hidden tokens only, with their `mask_positions`;
            False for every token, with weight 0 for those not hidden.

    Returns:
        `(x, y, sample_weight)`: x with (B, P) `mask_positions`; y, the (B, P) ids of the hidden
        tokens; their weights, 0 in places left over. Without `masked_only` no positions, and (B, L)
        ids and weights.
    """

    argument_names = (
        *RoFormerPreprocessor.argument_names,
        "mask_selection_rate",
        "mask_selection_length",
        "mask_token_rate",
        "random_token_rate",
        "masked_only",
    )

    def __init__(
        self,
        tokenizer,
        sequence_length=512,
        truncate="round_robin",
        mask_selection_rate=0.15,
        mask_selection_length=96,
        mask_token_rate=0.8,
        random_token_rate=0.1,
        masked_only=True,
        **kwargs,
    ):
        super().__init__(tokenizer, sequence_length, truncate, **kwargs)
        for name, rate in (
            ("mask_selection_rate", mask_selection_rate),
            ("mask_token_rate", mask_token_rate),
            ("random_token_rate", random_token_rate),
            ("mask_token_rate + random_token_rate", mask_token_rate + random_token_rate),
        ):
            if not 0 <= rate <= 1:
                raise ValueError(f"{name} is a share of tokens, from 0 to 1; got {rate}")
        if mask_selection_length < 1:
            raise ValueError(
                f"mask_selection_length must be at least 1, got {mask_selection_length}"
            )
        self.mask_selection_rate = mask_selection_rate
        self.mask_selection_length = mask_selection_length
        self.mask_token_rate = mask_token_rate
        self.random_token_rate = random_token_rate
        self.masked_only = masked_only

    def features(self, texts, labels):
        encoded = [[self.tokenizer.core.words(text) for text in row] for row in texts]
        inputs, places = self.pack([[ids for ids, _ in row] for row in encoded])
        words = np.full_like(inputs["token_ids"], -1)
        for r, (row, spans) in enumerate(zip(encoded, places, strict=True)):
            number = 0
            for (_, indices), (start, kept) in zip(row, spans, strict=True):
                words[r, start : start + kept] = np.asarray(indices[:kept], "int32") + number
                number += indices[-1] + 1 if indices else 0
        ids = inputs["token_ids"]
        words[np.isin(ids, self.tokenizer.special_token_ids)] = -1

        rng = np.random.default_rng(random.getrandbits(64))
        rate, most = self.mask_selection_rate, self.mask_selection_length
        positions = np.stack([choose_words(row, rng, rate, most) for row in words])
        length = ids.shape[1]
        positions = np.sort(np.where(positions < 0, length, positions), axis=1)
        chosen = positions < length
        positions = np.where(chosen, positions, 0)
        answers = np.where(chosen, np.take_along_axis(ids, positions, axis=1), 0)
        kept = 1 - self.mask_token_rate - self.random_token_rate
        vocabulary = (0, self.tokenizer.vocabulary_size())
        shown = hide(
            answers, rng, self.tokenizer.mask_token_id, vocabulary, kept, self.random_token_rate
        )
        rows = np.broadcast_to(np.arange(len(ids))[:, None], positions.shape)[chosen]
        hidden = np.array(ids)
        hidden[rows, positions[chosen]] = shown[chosen]
        inputs["token_ids"] = hidden
        if self.masked_only:
            labels, weights = answers, chosen
            inputs["mask_positions"] = positions
        else:
            labels, weights = ids, np.zeros(ids.shape)
            weights[rows, positions[chosen]] = 1
        return {**inputs, _LABELS: labels, _WEIGHTS: weights.astype("float32")}

    def shapes(self, labels):
        shape = (self.mask_selection_length if self.masked_only else self.sequence_length,)
        positions = {"mask_positions": ("int32", shape)} if self.masked_only else {}
        made = {_LABELS: ("int32", shape), _WEIGHTS: ("float32", shape)}
        return {**super().shapes(labels), **positions, **made}


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerCausalLMPreprocessor(RoFormerPreprocessor, CausalLMPreprocessor):
    """Texts → inputs and next tokens for `RoFormerCausalLM`, and prompts for its `generate`.

    Args:
        tokenizer, sequence_length: see `RoFormerPreprocessor`.
        add_start_token, add_end_token: put [CLS] before and [SEP] after a text.

    Returns:
        `(x, y, sample_weight)`: x with `token_ids` and `padding_mask`, (B, L); y, the next token of
        each; weights, 0 for padding.
    """

    most_texts = 1
    argument_names = ("sequence_length", "add_start_token", "add_end_token")

    def __init__(
        self, tokenizer, sequence_length=512, add_start_token=True, add_end_token=True, **kwargs
    ):
        super().__init__(tokenizer, sequence_length, **kwargs)
        self.add_start_token = add_start_token
        self.add_end_token = add_end_token

    def features(self, texts, labels):
        length = self.sequence_length and self.sequence_length + 1
        ids, mask = self._pack_one(texts, length, self.add_end_token)
        inputs = {"token_ids": ids[:, :-1], "padding_mask": mask[:, :-1]}
        return {**inputs, _LABELS: ids[:, 1:], _WEIGHTS: mask[:, 1:].astype("float32")}

    def _pack_one(self, texts, length, end):
        rows = [[self.tokenizer.core.ids(text)] for (text,) in texts]
        inputs, _ = self.pack(rows, length, self.add_start_token, end)
        return inputs["token_ids"], inputs["padding_mask"]

    def shapes(self, labels):
        made = {_LABELS: "int32", _WEIGHTS: "float32"}
        return self._of_tokens(token_ids="int32", padding_mask="bool", **made)

    def generate_preprocess(self, x, sequence_length=None):
        """Prompts → `token_ids` and `padding_mask`, with room for what is generated.

        Args:
            x: a string or several.
            sequence_length: tokens of prompt and continuation; by default the preprocessor's.
        """
        length = sequence_length or self.sequence_length
        if length is None:
            raise ValueError("pass max_length: this preprocessor has no sequence_length")
        texts, batched = data.texts_of(x)
        ids, mask = self._pack_one([(text,) for text in texts], length, end=False)
        inputs = {"token_ids": ids, "padding_mask": mask}
        return data.output(inputs if batched else {name: row[0] for name, row in inputs.items()})

    def generate_postprocess(self, x):
        """Generated ids → text, without special tokens."""
        ids, mask = to_numpy(x["token_ids"]), to_numpy(x["padding_mask"]).astype("bool")
        if ids.ndim == 1:
            return self.tokenizer.detokenize(ids[mask])
        return [self.tokenizer.detokenize(row[real]) for row, real in zip(ids, mask, strict=True)]


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerTokenClassifierPreprocessor(RoFormerPreprocessor):
    """Texts and a label per character → inputs and a label per token.

    A token takes the label of its first character. Special tokens, padding, and tokens labelled
    -100 have weight 0.

    Arguments: see `RoFormerPreprocessor`; one text a row.

    Call arguments:
        x: texts.
        y: (B, characters) integers, each row filled up with -100.

    Returns:
        x, or `(x, y, sample_weight)` with (B, L) labels and weights.
    """

    most_texts = 1
    reads_labels = True

    def features(self, texts, labels):
        if labels is None:
            return super().features(texts, labels)
        pieces = [self.tokenizer.core.pieces(text) for (text,) in texts]
        inputs, places = self.pack([[piece.ids] for piece in pieces])
        y = np.full(inputs["token_ids"].shape, IGNORED_LABEL, "int32")
        for r, (piece, [(start, kept)]) in enumerate(zip(pieces, places, strict=True)):
            firsts = np.asarray([first for first, _ in piece.offsets[:kept]], "int32")
            length = len(texts[r][0])
            if labels.ndim != 2 or labels.shape[1] < length:
                raise ValueError(
                    f"y must hold a label for each of the {length} characters of "
                    f"{texts[r][0]!r:.60}, got shape {labels.shape}; fill shorter rows with "
                    f"{IGNORED_LABEL}"
                )
            y[r, start : start + kept] = labels[r][firsts]
        counts = y != IGNORED_LABEL
        y = np.where(counts, y, 0)
        return {**inputs, _LABELS: y, _WEIGHTS: counts.astype("float32")}

    def shapes(self, labels):
        shapes = super().shapes(labels)
        if labels is not None:
            shapes |= self._of_tokens(**{_LABELS: "int32", _WEIGHTS: "float32"})
        return shapes


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerQuestionAnsweringPreprocessor(RoFormerPreprocessor):
    """Questions with their contexts, and where the answers stand → inputs and token positions.

    Args:
        tokenizer, sequence_length: see `RoFormerPreprocessor`.
        truncate: by default "waterfall": contexts are cut, not questions.

    Call arguments:
        x: tuple (questions, contexts).
        y: (B, 2) integers: the answer's first character in the context and the one after its last.

    Returns:
        x, or `(x, y, sample_weight)` with two dicts of `start_logits` and `end_logits`, (B,)
        positions of the answer's first and last token, and weights: 0 where the answer was cut off.
    """

    reads_labels = True

    def __init__(self, tokenizer, sequence_length=512, truncate="waterfall", **kwargs):
        super().__init__(tokenizer, sequence_length, truncate, **kwargs)

    def features(self, texts, labels):
        if labels is None:
            return super().features(texts, labels)
        if labels.shape[1:] != (2,):
            raise ValueError(
                "y must hold two numbers for each context, the answer's first character and the "
                f"one after its last, got the shape {labels.shape}"
            )
        core = self.tokenizer.core
        contexts = [core.pieces(context) for _, context in texts]
        pairs = [[core.ids(q), piece.ids] for (q, _), piece in zip(texts, contexts, strict=True)]
        inputs, places = self.pack(pairs)
        y = np.zeros((len(texts), 2), "int32")
        weights = np.zeros(len(texts), "float32")
        for r, (piece, [_, (start, kept)]) in enumerate(zip(contexts, places, strict=True)):
            first, end = labels[r]
            inside = [i for i, (s, e) in enumerate(piece.offsets) if s < end and e > first]
            if inside and inside[-1] < kept:
                y[r] = start + inside[0], start + inside[-1]
                weights[r] = 1
        return {**inputs, _LABELS: y, _WEIGHTS: weights}

    def shapes(self, labels):
        shapes = super().shapes(labels)
        if labels is not None:
            shapes |= {_LABELS: ("int32", (2,)), _WEIGHTS: ("float32", ())}
        return shapes

    def _named(self, features, y, sample_weight):
        if y is None:
            return features, None, sample_weight
        y = {"start_logits": y[..., 0], "end_logits": y[..., 1]}
        return features, y, {name: sample_weight for name in y}


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerMultipleChoicePreprocessor(RoFormerPreprocessor):
    """Prompts and their choices → inputs of `RoFormerMultipleChoice`.

    Arguments: see `RoFormerPreprocessor`.

    Call arguments:
        x: tuple (prompts, choices): a string and C strings, or B strings and (B, C) strings.
        y: (B,) index of the right choice.

    Returns:
        x or `(x, y)`; the inputs are (C, L) or (B, C, L).
    """

    def _as_arrays(self, texts, labels, weights):
        if len(texts) != 2:
            raise ValueError("x must be a tuple (prompts, choices)")
        prompts, batched = data.texts_of(texts[0])
        choices = texts[1].numpy() if hasattr(texts[1], "numpy") else texts[1]
        choices = np.asarray(choices, "object")
        choices = choices if batched else choices[None]
        if choices.ndim != 2 or len(choices) != len(prompts):
            raise ValueError(
                f"choices must be {len(prompts)} rows of equally many strings, got an array of "
                f"shape {choices.shape}"
            )
        second = [data.texts_of(list(row))[0] for row in choices]
        rows = [(p, c) for p, row in zip(prompts, second, strict=True) for c in row]
        shape = choices.shape if batched else choices.shape[1:]
        features = self.features(rows, None)
        return {name: array.reshape(*shape, *array.shape[1:]) for name, array in features.items()}
