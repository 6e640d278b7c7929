"""The tasks: a backbone, one of the package's heads and KerasHub's way of working."""

import keras
from keras import ops
from keras_hub.models import CausalLM, MaskedLM, Task, TextClassifier, TextEmbedder

from keras_roformer.models.hub_task import RoFormerTask
from keras_roformer.models.layers import FoldChoices, Pooling, UnfoldChoices
from keras_roformer.models.preprocessors import (
    RoFormerCausalLMPreprocessor,
    RoFormerMaskedLMPreprocessor,
    RoFormerMultipleChoicePreprocessor,
    RoFormerQuestionAnsweringPreprocessor,
    RoFormerTextClassifierPreprocessor,
    RoFormerTextEmbedderPreprocessor,
    RoFormerTokenClassifierPreprocessor,
)
from keras_roformer.tasks import TASKS

_register = keras.saving.register_keras_serializable(package="keras_roformer")


@_register
class RoFormerMaskedLM(RoFormerTask, MaskedLM):
    """Masked language model: what stands at the hidden tokens.

    Inputs: those of `RoFormerBackbone` and (B, P) `mask_positions`. Outputs: (B, P, V) logits.

    Args:
        backbone: `RoFormerBackbone`.
        preprocessor: `RoFormerMaskedLMPreprocessor`, or None to be given arrays.
        masked_only: False drops the input `mask_positions` and gives (B, L, V) logits; the
            preprocessor must have been made with the same.
        tie_weights: multiply with the token embeddings; False has a matrix of its own.

    Example:

    ```python
    from keras_roformer.models import RoFormerMaskedLM

    model = RoFormerMaskedLM.from_preset("roformer_tiny_zh")
    model.fit(["今天天气很好。", "我们去公园玩。"], batch_size=2)
    ```
    """

    preprocessor_cls = RoFormerMaskedLMPreprocessor
    task = "masked_lm"
    argument_names = ("masked_only", "tie_weights")
    config_fields = {"tie_weights": "tie_word_embeddings"}

    def __init__(self, backbone, preprocessor=None, masked_only=True, tie_weights=True, **kwargs):
        if preprocessor is not None and preprocessor.masked_only != masked_only:
            raise ValueError(
                f"the model has masked_only={masked_only}, its preprocessor "
                f"masked_only={preprocessor.masked_only}; make both with the same"
            )
        self._set_up(backbone, preprocessor, masked_only=masked_only, tie_weights=tie_weights)
        inputs = dict(backbone.input)
        if masked_only:
            inputs["mask_positions"] = keras.Input((None,), dtype="int32", name="mask_positions")
        states = backbone(backbone.input)["sequence_output"]
        logits = self.head(
            states, word_embeddings=backbone.token_embedding, positions=inputs.get("mask_positions")
        )
        super().__init__(inputs=inputs, outputs=logits, **kwargs)


@_register
class RoFormerTextClassifier(RoFormerTask, TextClassifier):
    """Classes of texts or of pairs of texts. Outputs: (B, C) logits.

    Args:
        backbone: `RoFormerBackbone`.
        num_classes: C.
        preprocessor: `RoFormerTextClassifierPreprocessor`, or None to be given arrays.
        activation: of the outputs: None for logits, "softmax" for probabilities.
        dropout: rate in the head; by default the backbone's.

    Example:

    ```python
    from keras_roformer.models import RoFormerTextClassifier

    model = RoFormerTextClassifier.from_preset("roformer_tiny_zh", num_classes=2)
    model.fit(["很好吃。", "太差了。"], [1, 0])
    model.predict(["味道不错。"])
    ```
    """

    preprocessor_cls = RoFormerTextClassifierPreprocessor
    task = "sequence_classification"
    argument_names = ("num_classes", "activation", "dropout")
    config_fields = {"num_classes": "num_labels"}

    def __init__(
        self, backbone, num_classes, preprocessor=None, activation=None, dropout=None, **kwargs
    ):
        dropout = backbone.dropout if dropout is None else dropout
        self._set_up(backbone, preprocessor, num_classes=num_classes, dropout=dropout)
        outputs = self.head(backbone(backbone.input)["sequence_output"])
        function = keras.activations.get(activation)
        self.activation = keras.activations.serialize(function)
        if activation is not None:
            probabilities = keras.layers.Activation(
                function, dtype=outputs.dtype, name="probabilities"
            )
            outputs = probabilities(outputs)
        super().__init__(inputs=backbone.input, outputs=outputs, **kwargs)


class _Compiled(RoFormerTask, Task):
    """Defaults of `compile` for the tasks that KerasHub has no class for."""

    def compile(
        self, optimizer="auto", loss="auto", *, metrics=None, weighted_metrics="auto", **kwargs
    ):
        """Configure training; what is "auto" has a default.

        Args:
            optimizer: by default Adam at 5e-5.
            loss: by default cross-entropy of the logits.
            metrics, weighted_metrics: by default the accuracy, weighted.
            kwargs: as for `keras.Model.compile`.
        """
        super().compile(
            keras.optimizers.Adam(5e-5) if optimizer == "auto" else optimizer,
            self.default_loss() if loss == "auto" else loss,
            metrics=metrics,
            weighted_metrics=(
                self.default_metrics() if weighted_metrics == "auto" else weighted_metrics
            ),
            **kwargs,
        )

    def default_loss(self):
        return self._for_outputs(
            lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )

    def default_metrics(self):
        return self._for_outputs(lambda: [keras.metrics.SparseCategoricalAccuracy()])

    def _for_outputs(self, make):
        """What `compile` takes for one output, and by name for several."""
        outputs = TASKS[self.task].labels.values()
        return make() if len(outputs) == 1 else {name: make() for name in outputs}


@_register
class RoFormerTokenClassifier(_Compiled):
    """A class for every token (names in a text, its cuts, …). Outputs: (B, L, C) logits.

    Args:
        backbone: `RoFormerBackbone`.
        num_classes: C.
        preprocessor: `RoFormerTokenClassifierPreprocessor`, or None to be given arrays.
        dropout: rate in the head; by default the backbone's.
    """

    preprocessor_cls = RoFormerTokenClassifierPreprocessor
    task = "token_classification"
    argument_names = ("num_classes", "dropout")
    config_fields = {"num_classes": "num_labels"}

    def __init__(self, backbone, num_classes, preprocessor=None, dropout=None, **kwargs):
        dropout = backbone.dropout if dropout is None else dropout
        self._set_up(backbone, preprocessor, num_classes=num_classes, dropout=dropout)
        outputs = self.head(backbone(backbone.input)["sequence_output"])
        super().__init__(inputs=backbone.input, outputs=outputs, **kwargs)


@_register
class RoFormerQuestionAnswering(_Compiled):
    """Where in a context the answer to a question stands.

    Outputs: dict of (B, L) `start_logits` and `end_logits` of the answer's first and last token.

    Args:
        backbone: `RoFormerBackbone`.
        preprocessor: `RoFormerQuestionAnsweringPreprocessor`, or None to be given arrays.
    """

    preprocessor_cls = RoFormerQuestionAnsweringPreprocessor
    task = "question_answering"

    def __init__(self, backbone, preprocessor=None, **kwargs):
        self._set_up(backbone, preprocessor)
        logits = self.head(backbone(backbone.input)["sequence_output"])
        outputs = TASKS[self.task].outputs(logits)
        super().__init__(inputs=backbone.input, outputs=outputs, **kwargs)


@_register
class RoFormerMultipleChoice(_Compiled):
    """Which of C choices continues a prompt. Inputs: (B, C, L). Outputs: (B, C) logits.

    Args:
        backbone: `RoFormerBackbone`.
        preprocessor: `RoFormerMultipleChoicePreprocessor`, or None to be given arrays.
        summary_type: the states that are scored: "last" (transformers' default: the last position,
            padding or not), "first" or "mean".
    """

    preprocessor_cls = RoFormerMultipleChoicePreprocessor
    task = "multiple_choice"
    argument_names = ("summary_type",)
    config_fields = {"summary_type": "summary_type"}

    def __init__(self, backbone, preprocessor=None, summary_type="last", **kwargs):
        self._set_up(backbone, preprocessor, summary_type=summary_type)
        inputs = {
            name: keras.Input((None, None), dtype="int32", name=name) for name in backbone.input
        }
        rows = {name: FoldChoices(name=f"fold_{name}")(x) for name, x in inputs.items()}
        scores = self.head(backbone(rows)["sequence_output"])
        unfold = UnfoldChoices(dtype=backbone.dtype_policy, name="unfold")
        super().__init__(inputs=inputs, outputs=unfold(scores, inputs["token_ids"]), **kwargs)


@_register
class RoFormerTextEmbedder(RoFormerTask, TextEmbedder):
    """Vectors of texts, to compare them. Outputs: (B, D).

    Args:
        backbone: `RoFormerBackbone`.
        preprocessor: `RoFormerTextEmbedderPreprocessor`, or None to be given arrays.
        pooling_mode: "mean" of the tokens' states, "cls" for the first token's, or "pooler" for the
            backbone's pooler (RoFormer-Sim).
        normalize: scale the vectors to length 1.

    Example:

    ```python
    from keras_roformer.models import RoFormerTextEmbedder

    model = RoFormerTextEmbedder.from_preset("roformer_tiny_zh")
    vectors = model.encode_text(["今天天气很好。", "我们去公园玩。"])
    model.similarity(vectors, vectors)
    ```
    """

    preprocessor_cls = RoFormerTextEmbedderPreprocessor
    task = "model"
    argument_names = ("pooling_mode", "normalize")
    head = None

    def __init__(self, backbone, preprocessor=None, pooling_mode="mean", normalize=True, **kwargs):
        if pooling_mode == "pooler" and not backbone.add_pooler:
            raise ValueError('pooling_mode="pooler" needs a backbone made with add_pooler=True')
        self.backbone = backbone
        self.preprocessor = preprocessor
        self.pooling_mode = pooling_mode
        self.normalize = normalize
        outputs, policy = backbone(backbone.input), backbone.dtype_policy
        if pooling_mode == "pooler":
            vectors = outputs["pooled_output"]
        else:
            pooling = Pooling(pooling_mode, dtype=policy, name="pooling")
            vectors = pooling(outputs["sequence_output"], backbone.input["padding_mask"])
        if normalize:
            vectors = keras.layers.UnitNormalization(dtype=policy, name="normalize")(vectors)
        super().__init__(inputs=backbone.input, outputs=vectors, **kwargs)

    def similarity(self, queries, documents):
        """Dot products of vectors: cosines, as long as `normalize` is on.

        Args:
            queries, documents: (Q, D) and (N, D).

        Returns:
            (Q, N) tensor.
        """
        queries, documents = map(ops.convert_to_tensor, (queries, documents))
        return ops.matmul(queries, ops.transpose(documents))


@_register
class RoFormerCausalLM(RoFormerTask, CausalLM):
    """Language model that continues texts, with KerasHub's samplers and a cache of fixed size.

    Inputs: (B, L) `token_ids` and `padding_mask`. Outputs: (B, L, V) logits of the next tokens.

    Args:
        backbone: `RoFormerBackbone` made with `causal=True` (`RoFormerCausalLM.from_preset` sees to
            it).
        preprocessor: `RoFormerCausalLMPreprocessor`, or None to be given arrays.
        tie_weights: multiply with the token embeddings; False has a matrix of its own.

    Raises:
        ValueError: the backbone is not causal.

    Example:

    ```python
    from keras_roformer.models import RoFormerCausalLM

    model = RoFormerCausalLM.from_preset("roformer_tiny_zh")
    model.compile(sampler="greedy")
    model.generate("今天天气", max_length=12)
    ```
    """

    preprocessor_cls = RoFormerCausalLMPreprocessor
    task = "causal_lm"
    argument_names = ("tie_weights",)
    config_fields = {"tie_weights": "tie_word_embeddings"}
    backbone_arguments = {"causal": True}

    def __init__(self, backbone, preprocessor=None, tie_weights=True, **kwargs):
        if not backbone.causal:
            raise ValueError(
                "RoFormerCausalLM needs a backbone that hides later tokens; make it with "
                "RoFormerBackbone(…, causal=True) or RoFormerBackbone.from_preset(…, causal=True)"
            )
        self._set_up(backbone, preprocessor, tie_weights=tie_weights)
        inputs = {name: backbone.input[name] for name in ("token_ids", "padding_mask")}
        segments = ops.zeros_like(inputs["token_ids"])
        states = backbone({**inputs, "segment_ids": segments})["sequence_output"]
        logits = self.head(states, word_embeddings=backbone.token_embedding)
        super().__init__(inputs=inputs, outputs=logits, **kwargs)

    # Generation

    def call_with_cache(self, token_ids, cache, cache_update_index):
        """One pass that reads and writes a cache of keys and values.

        Args:
            token_ids: (B, L) ids that stand at `cache_update_index` and after.
            cache: (B, layers, 2, S, N, H) keys and values of S positions.
            cache_update_index: integer, the position of the first id.

        Returns:
            `(logits, hidden_states, cache)`: (B, L, V), (B, L, D), and the cache with the new keys
            and values in it.
        """
        cache = ops.copy(cache)  # on torch the layers write into it, and samplers keep theirs
        past = [
            {"cache": (cache[:, i, 0], cache[:, i, 1])} for i in range(self.backbone.num_layers)
        ]
        states, extras = self.backbone.roformer(
            token_ids, cache=past, cache_index=cache_update_index, return_cache=True
        )
        logits = self.head(states, word_embeddings=self.backbone.token_embedding)
        layers = [ops.stack(layer["cache"], axis=1) for layer in extras["cache"]]
        return logits, states, ops.stack(layers, axis=1)

    def generate_step(self, inputs, stop_token_ids=None):
        """Continue one batch; what `generate` compiles.

        Args:
            inputs: dict of (B, S) `token_ids` and `padding_mask`: the prompts, and room.
            stop_token_ids: ids that end a text, or None.

        Returns:
            dict of the same with the texts filled in.
        """
        token_ids, padding_mask = inputs["token_ids"], ops.cast(inputs["padding_mask"], "bool")
        backbone = self.backbone
        heads, size = backbone.num_heads, backbone.hidden_dim // backbone.num_heads
        batch, length = ops.shape(token_ids)
        shape = (batch, backbone.num_layers, 2, length, heads, size)
        cache = ops.zeros(shape, dtype=self.compute_dtype)
        _, states, cache = self.call_with_cache(token_ids, cache, 0)

        def next_token(prompt, cache, index):
            # What stands before `index` gives the token at `index`.
            last = ops.slice(prompt, [0, index - 1], [ops.shape(prompt)[0], 1])
            logits, states, cache = self.call_with_cache(last, cache, index - 1)
            return ops.squeeze(logits, axis=1), ops.squeeze(states, axis=1), cache

        lengths = ops.sum(ops.cast(padding_mask, "int32"), axis=-1)
        token_ids = self.sampler(
            next=next_token,
            prompt=token_ids,
            cache=cache,
            index=ops.min(lengths),
            mask=padding_mask,
            stop_token_ids=stop_token_ids,
            hidden_states=states,
            model=self,
        )
        if stop_token_ids is None:
            return {"token_ids": token_ids, "padding_mask": ops.ones_like(token_ids, dtype="bool")}
        ends = ops.zeros_like(padding_mask)
        for stop in stop_token_ids:
            ends = ops.logical_or(ends, ops.equal(token_ids, stop))
        ends = ops.cast(ops.logical_and(ends, ops.logical_not(padding_mask)), "int32")
        # After the first end that is not the prompt's, nothing counts.
        before = ops.cumsum(ends, axis=-1) - ends
        return {"token_ids": token_ids, "padding_mask": ops.equal(before, 0)}
