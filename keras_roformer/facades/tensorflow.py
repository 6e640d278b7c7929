"""The documented TensorFlow classes: `keras.Model`s over the Keras layers."""

import collections.abc

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_roformer import outputs
from keras_roformer.config import RoFormerConfig
from keras_roformer.facades.base import FLAGS, INPUTS, PreTrained, floating_dtype
from keras_roformer.generation import GenerationMixin
from keras_roformer.layers.rotary import rotation_from_table
from keras_roformer.saving import AtomicSaves
from keras_roformer.tasks import TASKS, build_encoder_layer, reduce_loss

outputs.register_keras()


class TFRoFormerPreTrainedModel(AtomicSaves, PreTrained, keras.Model):
    """Base of the TensorFlow classes: a Keras model that takes its inputs in three formats.

    Inputs may come by keyword, or all in the first argument: one tensor (the token ids), a list or
    tuple in the documented order, or a dict by name. Without a loss in `compile`, `fit` minimises
    the model's own, with labels in the dict or as `y`.
    """

    family = "TF"
    save_format = "tensorflow"
    call_name = "call"
    output_class_names = {
        "model": "TFBaseModelOutputWithPooling",
        "causal_lm": "TFCausalLMOutputWithCrossAttentions",
    }

    @staticmethod
    def arguments(task):
        return (*INPUTS, *FLAGS, *TASKS[task].labels, "training")

    def __init__(self, config, *inputs, **kwargs):
        super().__init__(**kwargs)
        self.config = self._check_config(config)
        self.network = self._make_network(dtype=self.dtype_policy)
        self.built = True

    def __call__(self, *args, **kwargs):
        return super().__call__(**self._unpack(args, kwargs))

    def _unpack(self, args, kwargs):
        """The three input formats → keyword arguments."""
        first = args[0] if args else kwargs.get("input_ids")
        if isinstance(first, collections.abc.Mapping):
            inputs = dict(first)
        elif isinstance(first, (list, tuple)) and first and hasattr(first[0], "shape"):
            inputs = dict(zip(self.argument_names, first, strict=False))
        else:
            return self._named_arguments(args, kwargs)
        kwargs = {name: value for name, value in kwargs.items() if name != "input_ids"}
        rest = dict(zip(self.argument_names[1:], args[1:], strict=False))
        return self._named_arguments((), {**rest, **inputs, **kwargs})

    def call(self, *args, **kwargs):
        """See the documented class for the arguments; gives its output class or a tuple."""
        arguments = self._named_arguments(args, kwargs)
        training = bool(arguments.pop("training", False))
        return self._run(arguments, self.network, training=training)

    @staticmethod
    def _extremes(values):
        is_traced = not isinstance(values, (np.ndarray, list)) and not hasattr(values, "numpy")
        if is_traced or not np.size(values):
            return None
        return [np.min(values).item(), np.max(values).item()]

    def _reduce(self, terms, task):
        """The documented shapes: (1,) for losses per token, else (batch,)."""
        if task.loss_per_token:
            return ops.reshape(reduce_loss(terms), (1,))
        return reduce_loss(terms, to="batch")

    @classmethod
    def _pop_model_kwargs(cls, kwargs):
        return {"dtype": floating_dtype(kwargs.pop("dtype"))} if kwargs.get("dtype") else {}

    # fit and evaluate

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if self._compile_loss is not None:
            return super().compute_loss(x, y, _for_keras(y_pred), sample_weight, training)
        if y is not None:
            return reduce_loss(self.network.loss(dict(y_pred), *self._labels_from(y)))
        if "loss" not in y_pred:
            wanted = ", ".join(TASKS[self.task].labels)
            raise ValueError(
                f"{type(self).__name__} got no labels to fit: put {wanted} in the input dict, "
                "give y, or compile with a loss"
            )
        return ops.mean(y_pred["loss"])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, y, _for_keras(y_pred), sample_weight)

    def _labels_from(self, y):
        wanted = TASKS[self.task].labels
        if isinstance(y, collections.abc.Mapping):
            return [y[name] for name in wanted]
        return list(y) if len(wanted) > 1 else [y]

    # Keras serialisation

    def get_config(self):
        return {"config": self.config.to_dict(), "name": self.name, "dtype": self.dtype_policy.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        return cls(RoFormerConfig.from_dict(config.pop("config")), **config)

    @property
    def dummy_inputs(self):
        """A small batch of token ids."""
        return {"input_ids": tf.constant([[7, 6, 0, 0, 1], [1, 2, 3, 0, 0]], dtype=tf.int32)}


def _for_keras(y_pred):
    """What a Keras loss or metric compares with y: the logits, or a dict of them."""
    logits = {name: value for name, value in y_pred.items() if name.endswith("logits")}
    return logits["logits"] if list(logits) == ["logits"] else logits


def _registered(cls):
    return keras.saving.register_keras_serializable(package="keras_roformer")(cls)


@_registered
class TFRoFormerModel(TFRoFormerPreTrainedModel, task="model"):
    """The bare model with the documented pooler, TensorFlow."""

    add_pooler = True


@_registered
class TFRoFormerForMaskedLM(TFRoFormerPreTrainedModel, task="masked_lm"):
    """Masked language modelling, TensorFlow."""


@_registered
class TFRoFormerForCausalLM(GenerationMixin, TFRoFormerPreTrainedModel, task="causal_lm"):
    """Causal language modelling, TensorFlow; set `is_decoder=True` in its config."""


@_registered
class TFRoFormerForSequenceClassification(
    TFRoFormerPreTrainedModel, task="sequence_classification"
):
    """Sequence classification and regression, TensorFlow."""


@_registered
class TFRoFormerForMultipleChoice(TFRoFormerPreTrainedModel, task="multiple_choice"):
    """Multiple choice, TensorFlow."""


@_registered
class TFRoFormerForTokenClassification(TFRoFormerPreTrainedModel, task="token_classification"):
    """Token classification, TensorFlow."""


@_registered
class TFRoFormerForQuestionAnswering(TFRoFormerPreTrainedModel, task="question_answering"):
    """Extractive question answering, TensorFlow."""


@_registered
class TFRoFormerLayer(keras.layers.Layer):
    """One encoder layer as a Keras layer (documented class: TFRoFormerLayer).

    Args:
        config: `RoFormerConfig`.

    Call arguments:
        hidden_states: (B, L, D) tensor.
        attention_mask: additive (B, 1, 1, L) or (B, 1, L, L) mask, or None.
        sinusoidal_pos: (1, 1, L, H) table, the sines of the H / 2 frequencies and then the cosines,
            or None for no rotation.
        head_mask: factors of the heads' probabilities, (N,) or broadcastable to the scores.
        output_attentions: give the probabilities too.

    Returns:
        tuple of the (B, L, D) output and, if asked for, the (B, N, L, L) probabilities.
    """

    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.config = RoFormerConfig.from_dict(config) if isinstance(config, dict) else config
        self.layer = build_encoder_layer(self.config, dtype=self.dtype_policy, name="layer")
        self.layer.build()
        self.built = True

    def call(
        self,
        hidden_states,
        attention_mask=None,
        sinusoidal_pos=None,
        head_mask=None,
        output_attentions=False,
        training=False,
    ):
        rotation = None if sinusoidal_pos is None else rotation_from_table(sinusoidal_pos[0, 0])
        y = self.layer(
            hidden_states,
            bias=attention_mask,
            rotation=rotation,
            head_mask=head_mask,
            return_attention_scores=output_attentions,
            training=training,
        )
        return (y[0], y[1]["attentions"]) if output_attentions else (y,)

    def get_config(self):
        return {**super().get_config(), "config": self.config.to_dict()}
