"""The documented TensorFlow classes: `keras.Model`s over the Keras layers."""

import collections.abc
import inspect

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_roformer import outputs
from keras_roformer.config import RoFormerConfig
from keras_roformer.facades.call_checks import as_arrays
from keras_roformer.facades.checkpoints import floating_dtype, log_report
from keras_roformer.facades.documented import declare_classes
from keras_roformer.facades.pretrained import FLAGS, INPUTS, PreTrained
from keras_roformer.facades.tf_door import TFDoor
from keras_roformer.facades.tf_training import TFTraining
from keras_roformer.keras_saves import AtomicSaves
from keras_roformer.layers.rotary import rotation_from_table
from keras_roformer.saving import make_directory
from keras_roformer.tasks import TASKS, build_encoder_layer, reduce_loss
from keras_roformer.upstream import for_keras
from keras_roformer.weights import checkpoint, names

outputs.register_keras()

# Keras's policies of computing in these dtypes with float32 weights.
MIXED = ("mixed_bfloat16", "mixed_float16")


class TFRoFormerPreTrainedModel(
    AtomicSaves, TFTraining, for_keras.ServingSignature, TFDoor, PreTrained, keras.Model
):
    """Base of the TensorFlow classes: a Keras model that takes its inputs in three formats.

    Inputs may come by keyword, or all in the first argument: one tensor (the token ids), a list or
    tuple in the documented order, or a dict by name. `fit` and `evaluate` are in
    `facades.tf_training`.

    The parts of a model are Keras layers under transformers' names: `roformer`, and `mlm` (or
    `cls`), `classifier`, `sequence_summary` or `qa_outputs`; `trainable = False` freezes one.
    """

    family = "TF"
    framework = "tf"
    save_format = "tensorflow"
    call_name = "call"

    def __init_subclass__(cls, task=None, **kwargs):
        super().__init_subclass__(task=task, **kwargs)
        if task is not None:
            cls.add_pooler = task == "model"  # the documented `pooler_output`
            # Keras saves a model by the names of its parts in their alphabetical order.
            for name, path in TASKS[task].tf_parts.items():
                setattr(cls, name, _part(path))

    @staticmethod
    def arguments(task):
        return (*INPUTS, *FLAGS, *TASKS[task].labels, "training")

    def __init__(self, config, *inputs, _add_pooler=True, **kwargs):
        self._refuse(inputs, {})
        super().__init__(**kwargs)
        if not _add_pooler:
            self.add_pooler = False
        self.config = self._check_config(config)
        self.num_labels = self.config.num_labels
        self.network = self._make_network(dtype=self.dtype_policy)
        self.built = True

    def __call__(self, *args, **kwargs):
        return super().__call__(**as_arrays(self._unpack(args, kwargs), type(self).__name__))

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
        own = {name: kwargs.pop(name) for name in ("_add_pooler",) if name in kwargs}
        if not kwargs.get("dtype"):
            return own
        dtype = kwargs.pop("dtype")
        is_mixed = isinstance(dtype, str) and dtype in MIXED
        return {**own, "dtype": dtype if is_mixed else floating_dtype(dtype)}

    # Parts

    @property
    def roformer(self):
        """The encoder with its embeddings, a Keras layer."""
        return self.network.roformer

    @property
    def layers(self):
        """The encoder and the head."""
        return [layer for layer in (self.network.roformer, self.network.head) if layer is not None]

    def set_input_embeddings(self, value):
        """Take a (V, E) table for the tokens, changing the vocabulary's size to its."""
        self.resize_token_embeddings(len(value))
        self.get_input_embeddings().embeddings.assign(value)

    def get_output_embeddings(self):
        """The layer whose weights make logits of tokens: that of the input embeddings, or a dense
        one if the config does not tie them; None without a language-model head."""
        if not TASKS[self.task].is_language_model:
            return None
        return self.get_input_embeddings() if self.network.head.tied else self.network.head.decoder

    def set_output_embeddings(self, value):
        """Take a (V, E) table to make logits of tokens with, changing the vocabulary's size to its;
        it becomes that of the input embeddings too, unless the config does not tie them."""
        self._require_output_embeddings()
        if self.network.head.tied:
            self.set_input_embeddings(value)
        else:
            self.resize_token_embeddings(len(value))
            self.network.head.decoder.kernel.assign(ops.transpose(value))

    def _change_network(self, change, *args):
        super()._change_network(change, *args)
        # The compiled functions have the variables of before.
        self.train_function = self.test_function = self.predict_function = None

    # SavedModel

    @property
    def input_signature(self):
        """What an exported model takes by default: `tf.TensorSpec`s of int32, by name."""
        shape = (None,) * (3 if TASKS[self.task].has_choices else 2)
        names = ("input_ids", "attention_mask", "token_type_ids")
        return {name: tf.TensorSpec(shape, tf.int32, name=name) for name in names}

    @property
    def serving(self):
        """The function that a SavedModel has by default, to pass as `signatures`."""

        @tf.function(input_signature=[self.input_signature])
        def serving_default(inputs):
            found = self(inputs, use_cache=False, return_dict=True)
            return {k: tf.stack(x) if isinstance(x, tuple) else x for k, x in found.items()}

        return serving_default

    def export(self, filepath, format="tf_saved_model", input_signature=None, **kwargs):
        """See `keras.Model.export`; `input_signature` is by default the model's own.

        Args:
            filepath: where to.
            format: "tf_saved_model", or another that Keras has.
            input_signature: list of one structure of `tf.TensorSpec`s in an input format.
            kwargs: as for `keras.Model.export`.
        """
        signature = [self.input_signature] if input_signature is None else input_signature
        super().export(filepath, format=format, input_signature=signature, **kwargs)

    def save_pretrained(
        self, save_directory, saved_model=False, version=1, signatures=None, **kwargs
    ):
        """See `PreTrained.save_pretrained`.

        Args:
            save_directory: made if it is not there.
            saved_model: also write a SavedModel, to saved_model/`version`.
            version: number of the SavedModel.
            signatures: of the SavedModel, as for `tf.saved_model.save`; by default one,
                `serving_default`, of the model's `input_signature`.
            kwargs: for `PreTrained.save_pretrained`.
        """
        own = {id(variable) for variable in self.network.variables}
        if added := [variable.path for variable in self.weights if id(variable) not in own]:
            raise ValueError(
                f"{type(self).__name__} has weights that a checkpoint has no place for: "
                f"{', '.join(added)}; save all of them with save_weights('….weights.h5')"
            )
        if saved_model:  # first, so that push_to_hub uploads it
            folder = f"saved_model/{version}"
            path = make_directory(save_directory) / folder
            tf.saved_model.save(self, str(path), signatures=signatures)
            kwargs["_written"] = [f"{folder}/*"]
        super().save_pretrained(save_directory, **kwargs)

    # Keras serialisation

    def load_weights(self, filepath, skip_mismatch=False, **kwargs):
        """See `keras.Model.load_weights`; takes transformers' and Keras 2's tf_model.h5, too."""
        name = str(filepath)
        if not name.endswith(".h5") or name.endswith(".weights.h5"):
            return super().load_weights(filepath, skip_mismatch=skip_mismatch, **kwargs)
        tensors = checkpoint.read(filepath, "tensorflow")
        report = self._load(tensors, source=name, ignore_mismatched_sizes=skip_mismatch)
        log_report(report, type(self).__name__, name)

    def get_config(self):
        without = {} if self.add_pooler == type(self).add_pooler else {"_add_pooler": False}
        own = {"config": self.config.to_dict(), **without}
        return {**own, "name": self.name, "dtype": self.dtype_policy.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        return cls(RoFormerConfig.from_dict(config.pop("config")), **config)

    @property
    def dummy_inputs(self):
        """A small batch of token ids."""
        return {"input_ids": tf.constant([[7, 6, 0, 0, 1], [1, 2, 3, 0, 0]], dtype=tf.int32)}


def _part(path):
    """A property: the layer of the network at a path such as `head.summary`, or None."""
    return property(lambda model: names.layer_at(model.network, path), doc=f"The layer {path}.")


_registered = keras.saving.register_keras_serializable(package="keras_roformer")

declare_classes(TFRoFormerPreTrainedModel, "TensorFlow", _registered)


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

    def __call__(self, *args, **kwargs):
        # By name: Keras takes nothing but tensors by position.
        return super().__call__(**inspect.signature(self.call).bind(*args, **kwargs).arguments)

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
