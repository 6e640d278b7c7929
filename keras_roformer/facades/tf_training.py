"""Training of the TensorFlow classes: `compile`, `fit` and `prepare_tf_dataset` as documented."""

import collections.abc
import functools

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_roformer.tasks import TASKS, reduce_loss
from keras_roformer.upstream import for_keras

# The output that each label is for.
OUTPUT_OF = {name: output for task in TASKS.values() for name, output in task.labels.items()}


class TFTraining(for_keras.FirstReplicaBuild):
    """Gives a `keras.Model` the losses and labels of the documented TensorFlow classes.

    Labels of `fit` and `evaluate` may be in the dict of inputs or in `y`, there by the name of the
    label or of its output, or in order. Without a loss in `compile` they minimise the model's own.
    """

    def compile(self, optimizer="rmsprop", loss=None, *args, **kwargs):
        """See `keras.Model.compile`.

        Without a loss, with transformers' names for none ("auto", "auto_with_warning",
        "passthrough") or with `hf_compute_loss`, it is the model's own. A list of metrics is for
        each of several outputs.
        """
        named = isinstance(loss, str) and loss in ("auto", "auto_with_warning", "passthrough")
        if named or loss == self.hf_compute_loss:
            loss = None
        for_keras.forget_compiled(self)
        outputs = [OUTPUT_OF[label] for label in TASKS[self.task].labels]
        for name in ("metrics", "weighted_metrics"):
            metrics = kwargs.get(name)
            if len(outputs) > 1 and isinstance(metrics, (list, tuple)):  # Keras wants a dict
                kwargs[name] = {output: [_another(m) for m in metrics] for output in outputs}
        super().compile(optimizer, loss, *args, **kwargs)

    def compile_from_config(self, config):
        """See `keras.Model.compile_from_config`."""
        # Keras's own does nothing where `compile` is not Keras's (a warning in Keras 3.15 says to
        # override both).
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
        if for_keras.has_compiled_loss(self):
            return super().compute_loss(x, *self._matched(x, y, y_pred), sample_weight, training)
        labels = self._labels(x, y)
        checker, logits = self._checker(), y_pred[OUTPUT_OF[next(iter(labels))]]
        checker.check_labels(labels, logits.shape)
        terms = self.network.loss(y_pred, *map(ops.convert_to_tensor, labels.values()))
        if sample_weight is not None:
            checker.check_weights(sample_weight, logits.shape)
            # As in Keras, weights change the sum and not the number that it is divided by.
            terms = [(values * _spread(sample_weight, values), counts) for values, counts in terms]
        return for_keras.whole_loss(self, reduce_loss(terms))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """See `keras.Model.compute_metrics`."""
        if for_keras.has_compiled_metrics(self):
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
