"""The documented TensorFlow classes: `keras.Model`s over the Keras layers."""

import collections.abc
import functools
import inspect

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from keras.src.losses.loss import scale_loss_for_distribution

from keras_roformer import outputs
from keras_roformer.config import RoFormerConfig
from keras_roformer.facades.call_checks import as_arrays
from keras_roformer.facades.pretrained import FLAGS, INPUTS, PreTrained, floating_dtype, log_report
from keras_roformer.facades.tf_door import TFDoor
from keras_roformer.generation import GenerationMixin
from keras_roformer.layers.rotary import rotation_from_table
from keras_roformer.saving import AtomicSaves, make_directory
from keras_roformer.tasks import TASKS, build_encoder_layer, reduce_loss
from keras_roformer.weights import checkpoint

outputs.register_keras()

# Keras's policies of computing in these dtypes with float32 weights.
MIXED = ("mixed_bfloat16", "mixed_float16")

# The output that each label is for.
OUTPUT_OF = {"labels": "logits", "start_positions": "start_logits", "end_positions": "end_logits"}


class TFRoFormerPreTrainedModel(AtomicSaves, TFDoor, PreTrained, keras.Model):
    """Base of the TensorFlow classes: a Keras model that takes its inputs in three formats.

    Inputs may come by keyword, or all in the first argument: one tensor (the token ids), a list or
    tuple in the documented order, or a dict by name. Labels of `fit` and `evaluate` may be in the
    dict or in `y`, there by the name of the label or of its output, or in order. Without a loss in
    `compile` they minimise the model's own.

    The parts of a model are Keras layers under transformers' names: `roformer`, and `mlm` (or
    `cls`), `classifier`, `sequence_summary` or `qa_outputs`; `trainable = False` freezes one.
    """

    family = "TF"
    framework = "tf"
    save_format = "tensorflow"
    call_name = "call"
    output_class_names = {
        "model": "TFBaseModelOutputWithPooling",
        "causal_lm": "TFCausalLMOutputWithCrossAttentions",
    }

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

    # fit and evaluate

    def compile(self, optimizer="rmsprop", loss=None, *args, **kwargs):
        """See `keras.Model.compile`.

        Without a loss, with transformers' names for none ("auto", "auto_with_warning",
        "passthrough") or with `hf_compute_loss`, it is the model's own. A list of metrics is for
        each of several outputs.
        """
        named = isinstance(loss, str) and loss in ("auto", "auto_with_warning", "passthrough")
        if named or loss == self.hf_compute_loss:
            loss = None
        self._compile_loss = self._compile_metrics = None  # Keras would keep those of before
        outputs = [OUTPUT_OF[label] for label in TASKS[self.task].labels]
        for name in ("metrics", "weighted_metrics"):
            metrics = kwargs.get(name)
            if len(outputs) > 1 and isinstance(metrics, (list, tuple)):  # Keras wants a dict
                kwargs[name] = {output: [_another(m) for m in metrics] for output in outputs}
        super().compile(optimizer, loss, *args, **kwargs)

    def compile_from_config(self, config):
        """See `keras.Model.compile_from_config`."""
        # Keras's own does nothing where `compile` is not Keras's.
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, y=None, *args, **kwargs):
        """See `keras.Model.fit`."""
        self._check_class_weight(x, y, kwargs.get("class_weight"))
        return super().fit(x, y, *args, **kwargs)

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, **kwargs):
        """See `keras.Model.train_on_batch`."""
        self._check_class_weight(x, y, class_weight)
        return super().train_on_batch(x, y, sample_weight, class_weight, **kwargs)

    def _check_class_weight(self, x, y, class_weight):
        # Keras would take labels per token for one-hot ones, and fails on a y that is not there.
        if class_weight is not None and TASKS[self.task].loss_per_token:
            raise ValueError(
                f"class_weight needs one label for each example, but {type(self).__name__} has one "
                "for each token; give sample_weight of the shape (batch, length)"
            )
        if class_weight is not None and y is None and isinstance(x, collections.abc.Mapping):
            raise ValueError(
                f"class_weight needs the labels as y, but {type(self).__name__} got them in the "
                "input dict; give y, or sample_weight"
            )

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """See `keras.Model.compute_loss`; without a loss in `compile`, the model's own.

        `sample_weight` has the shape (batch,) or, where the loss has a value per token, also
        (batch, length).
        """
        if self._compile_loss is not None:
            return super().compute_loss(x, *self._matched(x, y, y_pred), sample_weight, training)
        labels = self._labels(x, y)
        checker, logits = self._checker(), y_pred[OUTPUT_OF[next(iter(labels))]]
        checker.check_labels(labels, logits.shape)
        terms = self.network.loss(y_pred, *map(ops.convert_to_tensor, labels.values()))
        if sample_weight is not None:
            checker.check_weights(sample_weight, logits.shape)
            # As in Keras, weights change the sum and not the number that it is divided by.
            terms = [(values * _spread(sample_weight, values), counts) for values, counts in terms]
        # Keras adds up what the replicas of a distribution strategy give.
        loss = scale_loss_for_distribution(reduce_loss(terms))
        return sum(map(self._aggregate_additional_loss, self.losses), loss)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """See `keras.Model.compute_metrics`."""
        if self._compile_metrics is not None:
            y, y_pred = self._matched(x, y, y_pred)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _labels(self, x, y):
        """The labels of a batch by their documented names: those in y, or else in the inputs."""
        wanted = TASKS[self.task].labels
        if y is None:
            given = self._unpack((x,), {})
        elif isinstance(y, collections.abc.Mapping):
            given = y
        else:
            given = dict(zip(wanted, y if isinstance(y, (list, tuple)) else [y], strict=False))
        labels = {name: given.get(name, given.get(OUTPUT_OF[name])) for name in wanted}
        if all(label is None for label in labels.values()):
            remedy = f"put {', '.join(wanted)} in the input dict, give y, or " if wanted else ""
            raise ValueError(
                f"{type(self).__name__} got no labels to fit: {remedy}compile with a loss"
            )
        return labels

    def _matched(self, x, y, y_pred):
        """Labels and the outputs that they are for, as dicts or, if it is one, bare."""
        found = [name for name in y_pred if name != "loss"]
        if y is None:
            y = self._labels(x, None)
        elif not isinstance(y, collections.abc.Mapping):
            y = dict(zip(found, y if isinstance(y, (list, tuple)) else [y], strict=False))
        y = {OUTPUT_OF.get(name, name): label for name, label in y.items() if label is not None}
        if unknown := [name for name in y if name not in found]:
            raise ValueError(
                f"y of {type(self).__name__} names {', '.join(unknown)}, which is not one of its "
                f"outputs; use {', '.join(found)}"
            )
        y_pred = {name: y_pred[name] for name in y}
        return (*y.values(), *y_pred.values()) if len(y) == 1 else (y, y_pred)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Keras makes a batch by averaging those of the replicas: ids and labels of floats. Here it
        # is that of the first.
        strategy = self._distribute_strategy
        if strategy is not None and iterator is not None:
            data_batch = keras.tree.map_structure(
                lambda x: strategy.experimental_local_results(x)[0],
                next(next(batches for _, _, batches in iterator)),
            )
        super()._maybe_symbolic_build(data_batch=data_batch)

    def hf_compute_loss(self, labels, logits):
        """The model's own loss in its documented shape, by the name that it has in transformers.

        Args:
            labels: the labels; for question answering, a pair or a dict of start_position(s) and
                end_position(s).
            logits: the logits; for question answering, a pair. Those of a causal model must already
                stand beside the labels that they predict: `logits[:, :-1]`, `labels[:, 1:]`.
        """
        task = TASKS["masked_lm" if self.task == "causal_lm" else self.task]
        if task.loss is None:
            raise NotImplementedError(f"{type(self).__name__} has no loss of its own")
        if len(task.labels) == 1:
            labels, logits = [labels], [logits]
        elif isinstance(labels, collections.abc.Mapping):
            labels = [labels.get(name, labels.get(name[:-1])) for name in task.labels]
        found = dict(zip(map(OUTPUT_OF.get, task.labels), logits, strict=True))
        return self._reduce(task.loss(self.config, found, *map(tf.convert_to_tensor, labels)), task)

    def prepare_tf_dataset(
        self,
        dataset,
        batch_size=8,
        shuffle=True,
        tokenizer=None,
        collate_fn=None,
        collate_fn_args=None,
        drop_remainder=None,
        prefetch=True,
    ):
        """Batches for `fit`, `evaluate` and `predict` from a `datasets.Dataset`.

        Columns that the model does not take are left out; `label` and `label_ids` are its labels.

        Args:
            dataset: `datasets.Dataset` of tokens.
            batch_size: examples of a batch.
            shuffle: whether to give them in random order.
            tokenizer: pads the examples of a batch; not needed where all have one length.
            collate_fn: list of examples → batch of arrays by name, in place of the tokenizer.
            collate_fn_args: dict of further arguments of `collate_fn`.
            drop_remainder: whether to leave out a last, smaller batch; by default as `shuffle`.
            prefetch: whether to make the next batch meanwhile.

        Returns:
            `tf.data.Dataset` of inputs, or of inputs and labels.
        """
        known = (*self.argument_names, "label", "label_ids")
        dataset = dataset.select_columns([name for name in dataset.column_names if name in known])
        collate_fn = collate_fn or functools.partial(_collate, tokenizer=tokenizer)
        names = list(collate_fn([dataset[0]], **(collate_fn_args or {})))
        labels = [name for name in names if name in TASKS[self.task].labels]
        inputs = [name for name in names if name in known and name not in labels]
        return dataset.to_tf_dataset(  # which takes one name for a tensor, several for a dict
            columns=inputs[0] if len(inputs) == 1 else inputs,
            label_cols=labels[0] if len(labels) == 1 else labels,
            batch_size=batch_size,
            shuffle=shuffle,
            drop_remainder=shuffle if drop_remainder is None else drop_remainder,
            collate_fn=collate_fn,
            collate_fn_args=collate_fn_args,
            prefetch=prefetch,
        )

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
        if not hasattr(self.network.head, "tied"):
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
    def _default_save_signature(self):
        @tf.function(input_signature=[self.input_signature])
        def serving_default(inputs):
            found = self(inputs, use_cache=False, return_dict=True)
            return {k: tf.stack(x) if isinstance(x, tuple) else x for k, x in found.items()}

        return serving_default

    @property
    def serving(self):
        """The function that a SavedModel has by default, to pass as `signatures`."""
        return self._default_save_signature

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


def _collate(examples, tokenizer=None):
    """A batch of arrays from a list of examples, padded if there is a tokenizer."""
    batch = {name: [example[name] for example in examples] for name in examples[0]}
    if tokenizer is not None:
        batch = dict(tokenizer.pad(batch, return_tensors="np"))
    for name in ("label", "label_ids"):
        if name in batch:
            batch["labels"] = batch.pop(name)
    return {name: np.asarray(values) for name, values in batch.items()}


def _another(metric):
    """A metric like another, with a state of its own."""
    return type(metric).from_config(metric.get_config()) if hasattr(metric, "variables") else metric


def _spread(weights, values):
    """Weights of examples, (B,) or (B, 1), or of tokens, (B, L), as factors of a loss's values,
    (B,) or (B, L) or, where the first token has no loss, (B, L - 1)."""
    weights = ops.cast(weights, values.dtype)
    if len(values.shape) == 1:
        return ops.reshape(weights, (-1,))
    weights = ops.expand_dims(weights, -1) if len(weights.shape) == 1 else weights
    return weights if weights.shape[1] == 1 else weights[:, -ops.shape(values)[1] :]


# Names that the heads have in transformers. Keras saves a model by the names of its parts in their
# alphabetical order.
_head = property(lambda self: self.network.head, doc="The head, a Keras layer.")


_registered = keras.saving.register_keras_serializable(package="keras_roformer")


@_registered
class TFRoFormerModel(TFRoFormerPreTrainedModel, task="model"):
    """The bare model with the documented pooler, TensorFlow."""

    add_pooler = True


@_registered
class TFRoFormerForMaskedLM(TFRoFormerPreTrainedModel, task="masked_lm"):
    """Masked language modelling, TensorFlow."""

    mlm = cls = _head


@_registered
class TFRoFormerForCausalLM(GenerationMixin, TFRoFormerPreTrainedModel, task="causal_lm"):
    """Causal language modelling, TensorFlow; set `is_decoder=True` in its config."""

    mlm = cls = _head


@_registered
class TFRoFormerForSequenceClassification(
    TFRoFormerPreTrainedModel, task="sequence_classification"
):
    """Sequence classification and regression, TensorFlow."""

    classifier = _head


@_registered
class TFRoFormerForMultipleChoice(TFRoFormerPreTrainedModel, task="multiple_choice"):
    """Multiple choice, TensorFlow."""

    sequence_summary = property(
        lambda self: getattr(self.network.head, "summary", None),
        doc="The dense layer of the summary, or None.",
    )
    classifier = property(lambda self: self.network.head.classifier, doc="The last dense layer.")


@_registered
class TFRoFormerForTokenClassification(TFRoFormerPreTrainedModel, task="token_classification"):
    """Token classification, TensorFlow."""

    classifier = _head


@_registered
class TFRoFormerForQuestionAnswering(TFRoFormerPreTrainedModel, task="question_answering"):
    """Extractive question answering, TensorFlow."""

    qa_outputs = _head


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
