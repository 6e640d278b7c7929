"""The tasks: backbone + head → outputs and loss, written once for every backend and facade.

This is the one place that turns a `RoFormerConfig` into layers.
"""

import dataclasses
from collections.abc import Callable, Mapping

import keras
from keras import ops

from keras_roformer.config import RoFormerConfig
from keras_roformer.layers import (
    Block,
    RoFormer,
    RoFormerClassificationHead,
    RoFormerEncoderLayer,
    RoFormerLMHead,
    RoFormerSummaryHead,
    RoFormerTokenHead,
    kernels,
)
from keras_roformer.layers.block import asked_for
from keras_roformer.layers.encoder import EncoderInputs
from keras_roformer.layers.spec import FIELDS, EncoderSpec

IGNORED_LABEL = -100


# Losses. Each returns a list of terms `(values, weights)`: the loss of every element, and 1 where
# the element counts or 0 where it is ignored. `reduce_loss` makes of them what a family documents.


def cross_entropy(logits, labels, ignored=IGNORED_LABEL):
    """Cross-entropy of (..., C) logits and (...) integer labels, in float32."""
    logits = ops.cast(logits, "float32")
    counts = ops.not_equal(labels, ignored)
    classes = ops.cast(ops.where(counts, labels, 0), "int32")
    return kernels.cross_entropy(logits, classes), ops.cast(counts, "float32")


def token_loss(config, outputs, labels):
    return [cross_entropy(outputs["logits"], labels)]


def next_token_loss(config, outputs, labels):
    """The logits of each token predict the label of the next one."""
    return [cross_entropy(outputs["logits"][:, :-1], labels[:, 1:])]


def choice_loss(config, outputs, labels):
    return [cross_entropy(outputs["logits"], ops.reshape(labels, (-1,)))]


def sequence_loss(config, outputs, labels):
    """Regression, one label or several labels, as `problem_type` says (see `problem_type`)."""
    logits = ops.cast(outputs["logits"], "float32")  # (B, C)
    kind = problem_type(config, labels)
    if kind == "single_label_classification":
        return [cross_entropy(logits, ops.reshape(labels, (-1,)))]
    targets = ops.reshape(ops.cast(labels, "float32"), ops.shape(logits))
    if kind == "regression":
        values = ops.square(logits - targets)
    else:
        values = ops.binary_crossentropy(targets, logits, from_logits=True)
    values = ops.mean(values, axis=-1)
    return [(values, ops.ones_like(values))]


def problem_type(config, labels):
    """The config's `problem_type`; by default told by `num_labels` and the labels' dtype."""
    if config.problem_type is not None:
        return config.problem_type
    if config.num_labels == 1:
        return "regression"
    if "int" in keras.backend.standardize_dtype(labels.dtype):
        return "single_label_classification"
    return "multi_label_classification"


def span_loss(config, outputs, start_positions, end_positions):
    """Start and end of the answer; positions outside the sequence are ignored."""
    terms = []
    for name, positions in (("start_logits", start_positions), ("end_logits", end_positions)):
        length = ops.shape(outputs[name])[1]
        positions = ops.clip(ops.reshape(positions, (-1,)), 0, length)
        terms.append(cross_entropy(outputs[name], positions, ignored=length))
    return terms


def reduce_loss(terms, to="scalar"):
    """Reduce the terms of a loss.

    Args:
        terms: list of `(values, weights)`.
        to: "scalar", the mean over the elements that count (0 if none does); or "batch", one value
            per element, 0 where ignored.

    Returns:
        Scalar or (batch,) float32 tensor, the mean over the terms.
    """
    if to == "batch":
        parts = [values * weights for values, weights in terms]
    else:
        parts = [
            ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1.0)
            for values, weights in terms
        ]
    return sum(parts) / len(parts)


# Heads, and what they make of the last hidden states.


def _head(head_class, config, **others):
    """A head as a config describes it, with the arguments `others` instead or beside."""
    return head_class(**encoder_spec(config).arguments_of(head_class, **others))


def _lm_head(config, **kwargs):
    return _head(RoFormerLMHead, config, tied=config.tie_word_embeddings, **kwargs)


def _classification_head(config, **kwargs):
    return _head(RoFormerClassificationHead, config, num_labels=config.num_labels, **kwargs)


def _token_head(config, **kwargs):
    return _head(RoFormerTokenHead, config, num_labels=config.num_labels, **kwargs)


def _span_head(config, **kwargs):
    return _head(RoFormerTokenHead, config, num_labels=2, dropout=0.0, **kwargs)


def _summary_head(config, **kwargs):
    projection = None
    if config.summary_use_proj:
        to_labels = config.summary_proj_to_labels and config.num_labels > 0
        projection = config.num_labels if to_labels else config.hidden_size
    return _head(
        RoFormerSummaryHead,
        config,
        summary_type=config.summary_type,
        projection_size=projection,
        activation=config.summary_activation,
        first_dropout=config.summary_first_dropout,
        last_dropout=config.summary_last_dropout,
        **kwargs,
    )


def _logits(logits):
    return {"logits": logits}


def _span_logits(logits):
    return {"start_logits": logits[..., 0], "end_logits": logits[..., 1]}


# Kinds of labels: what the documented classes check of them before the loss.
TOKEN_CLASSES = "a class of each token"
CLASSES = "a class of each example"
NUMBERS = "as many numbers as logits"
POSITIONS = "a position in each example"
OF_PROBLEM_TYPE = "CLASSES or NUMBERS, as `problem_type` says"


@dataclasses.dataclass(frozen=True)
class Task:
    """What makes one task, for every family: its head, its outputs, its labels and its loss.

    The names of its weights are the task's row in `weights.names.HEADS`; the name of its classes is
    `weights.names.class_name`.

    Attributes:
        title: what its documented classes are for.
        output_class: name of the documented output, in `outputs`, without a family's prefix.
        family_output_classes: family → name, where that family documents another output.
        head: config → head layer, or None for the bare model.
        outputs: tensor of the head → dict of documented outputs.
        is_language_model: the head scores tokens: it is called with the token embeddings and with
            the positions that are wanted, and changes with the vocabulary.
        has_choices: inputs are (B, choices, L), logits (B, choices).
        generates: its classes have `generate`.
        loss: (config, outputs, *labels) → terms, see `reduce_loss`.
        loss_per_token: the loss has a value per token (else per example).
        labels: argument of the loss → the output that it is for.
        label_kind: what the labels are.
        tf_parts: name on the documented TensorFlow class → the part of the network that it shows.
        torch_block: name of the torch module that is the whole head, where there is one.
        torch_dropouts: name of a torch module → the dropout of the network that it is.
    """

    title: str
    output_class: str
    family_output_classes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    head: Callable | None = None
    outputs: Callable = _logits
    is_language_model: bool = False
    has_choices: bool = False
    generates: bool = False
    loss: Callable | None = None
    loss_per_token: bool = False
    labels: Mapping[str, str] = dataclasses.field(default_factory=lambda: {"labels": "logits"})
    label_kind: str = CLASSES
    tf_parts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    torch_block: str | None = None
    torch_dropouts: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def output_class_of(self, family):
        """The name of the output class that a family (its prefix) documents."""
        return family + self.family_output_classes.get(family, self.output_class)


_LANGUAGE_MODEL = dict(
    head=_lm_head,
    is_language_model=True,
    loss_per_token=True,
    label_kind=TOKEN_CLASSES,
    tf_parts={"mlm": "head", "cls": "head"},
)

TASKS = {
    "model": Task(
        "The bare model",
        "BaseModelOutput",
        family_output_classes={
            "": "BaseModelOutputWithPastAndCrossAttentions",
            "TF": "BaseModelOutputWithPooling",
        },
        labels={},
    ),
    "masked_lm": Task(
        "Masked language modelling", "MaskedLMOutput", loss=token_loss, **_LANGUAGE_MODEL
    ),
    "causal_lm": Task(
        "Causal language modelling, with `is_decoder=True` in the config",
        "CausalLMOutputWithCrossAttentions",
        loss=next_token_loss,
        generates=True,
        **_LANGUAGE_MODEL,
    ),
    "sequence_classification": Task(
        "Sequence classification and regression",
        "SequenceClassifierOutput",
        head=_classification_head,
        loss=sequence_loss,
        label_kind=OF_PROBLEM_TYPE,
        tf_parts={"classifier": "head"},
        torch_block="classifier",
        torch_dropouts={"classifier.dropout": "head.drop"},
    ),
    "multiple_choice": Task(
        "Multiple choice",
        "MultipleChoiceModelOutput",
        head=_summary_head,
        has_choices=True,
        loss=choice_loss,
        tf_parts={"sequence_summary": "head.summary", "classifier": "head.classifier"},
        torch_dropouts={
            "sequence_summary.first_dropout": "head.drop_first",
            "sequence_summary.last_dropout": "head.drop_last",
        },
    ),
    "token_classification": Task(
        "Token classification",
        "TokenClassifierOutput",
        head=_token_head,
        loss=token_loss,
        loss_per_token=True,
        label_kind=TOKEN_CLASSES,
        tf_parts={"classifier": "head"},
        torch_dropouts={"dropout": "head.drop"},
    ),
    "question_answering": Task(
        "Extractive question answering",
        "QuestionAnsweringModelOutput",
        head=_span_head,
        outputs=_span_logits,
        loss=span_loss,
        labels={"start_positions": "start_logits", "end_positions": "end_logits"},
        label_kind=POSITIONS,
        tf_parts={"qa_outputs": "head"},
    ),
}


# Field of `EncoderSpec` → the config's. What is not in a config is no property of a checkpoint.
CONFIG_FIELDS = {
    name: {
        "num_layers": "num_hidden_layers",
        "num_heads": "num_attention_heads",
        "dropout": "hidden_dropout_prob",
        "attention_dropout": "attention_probs_dropout_prob",
        "causal": "is_decoder",
    }.get(name, name)
    for name in FIELDS
    if name not in ("head_size", "add_pooler", "gradient_checkpointing")
}


def encoder_spec(config, **others):
    """The `EncoderSpec` that a config describes, with the fields `others` instead or beside."""
    known = {name: getattr(config, field) for name, field in CONFIG_FIELDS.items()}
    return EncoderSpec(**known | others)


def build_encoder_layer(config, **kwargs):
    """One `RoFormerEncoderLayer` as a config describes it; `kwargs` go to the layer."""
    return RoFormerEncoderLayer(spec=encoder_spec(config), **kwargs)


def build_backbone(config, add_pooler=False, **kwargs):
    """The `RoFormer` layer that a config describes; `kwargs` go to the layer."""
    heads = config.num_attention_heads
    others = dict(head_size=config.hidden_size // heads, add_pooler=add_pooler)
    if config.pruned_heads:
        others["num_heads"] = [
            heads - len(config.pruned_heads.get(i, ())) for i in range(config.num_hidden_layers)
        ]
    return RoFormer(spec=encoder_spec(config, **others), **kwargs)


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerNetwork(Block):
    """Backbone and head of one task, with the documented argument and output names.

    Args:
        config: `RoFormerConfig` (or its dict).
        task: a name in `TASKS`.
        add_pooler: have a pooler on the backbone.
        backbone: a `RoFormer` layer to share instead of making one.

    Call arguments: those of the documented classes, and `position_ids`, `cross_attn_head_mask`,
        `cache_index` (see `RoFormerEncoder`), `logits_positions` ((B, P) indices of the tokens
        whose language-model logits are wanted; by default all). `past_key_values` is a cache of the
        encoder.

    Returns:
        dict of the documented outputs that there are.
    """

    def __init__(self, config, task="model", add_pooler=False, backbone=None, **kwargs):
        config = RoFormerConfig.from_dict(config) if isinstance(config, dict) else config
        super().__init__(dict(config=config, task=task, add_pooler=add_pooler), **kwargs)
        self.roformer = backbone or build_backbone(
            config, add_pooler, dtype=self.dtype_policy, name="roformer"
        )
        make_head = TASKS[task].head
        self.head = make_head and make_head(config, dtype=self.dtype_policy, name="head")
        self.build()

    def build(self, input_shape=None):
        # The config gives every shape: nothing waits for a first call.
        if not self.roformer.built:
            self.roformer.build()
        if self.head is not None:
            self.head.build()

    def call(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        head_mask=None,
        inputs_embeds=None,
        encoder_hidden_states=None,
        encoder_attention_mask=None,
        cross_attn_head_mask=None,
        past_key_values=None,
        cache_index=None,
        logits_positions=None,
        use_cache=False,
        output_attentions=False,
        output_hidden_states=False,
        training=False,
    ):
        task = TASKS[self.task]
        if task.has_choices:
            some_input = input_ids if input_ids is not None else inputs_embeds
            choices = None if some_input is None else ops.shape(some_input)[1]
            # (B, choices, L, …) → (B * choices, L, …)
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds = (
                x if x is None else ops.reshape(x, (-1, *ops.shape(x)[2:]))
                for x in (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
            )
        # Here, and only here, documented names become those of the layers.
        inputs = EncoderInputs(
            attention_mask=attention_mask,
            position_ids=position_ids,
            head_mask=head_mask,
            context=encoder_hidden_states,
            context_mask=encoder_attention_mask,
            context_head_mask=cross_attn_head_mask,
            cache=past_key_values,
            cache_index=cache_index,
        )
        give = asked_for(use_cache, output_attentions, output_hidden_states)
        x, extras = self.run(
            self.roformer, input_ids, token_type_ids, inputs_embeds, inputs, give, training
        )  # (B, L, D)
        if "cache" in extras:
            extras["past_key_values"] = extras.pop("cache")
        if self.head is None:
            return {"last_hidden_state": x, **extras}
        logits = self._logits(x, logits_positions, training)
        if task.has_choices:
            logits = ops.reshape(logits, (-1, choices))
        return {**task.outputs(logits), **extras}

    def _logits(self, x, positions, training):
        if TASKS[self.task].is_language_model:
            embeddings = self.roformer.embeddings.word_embeddings
            return self.run(self.head, x, embeddings, positions=positions)
        return self.run(self.head, x, training=training)

    def loss(self, outputs, *labels):
        """Terms of the task's loss, see `reduce_loss`."""
        return TASKS[self.task].loss(self.config, outputs, *labels)

    def get_config(self):
        return {**super().get_config(), "config": self.config.to_dict()}
