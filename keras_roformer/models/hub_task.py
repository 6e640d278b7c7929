"""What all tasks share: loaders in `fit`, presets by any name, exports."""

import pathlib
from contextlib import contextmanager
from types import SimpleNamespace

import keras

from keras_roformer.backend import fixes_sizes_of_loaders
from keras_roformer.keras_saves import AtomicSaves
from keras_roformer.layers.policies import (
    is_mixed,
    joined_policies,
    parts_config,
    restore_quantizers,
)
from keras_roformer.limits import CHECK_IDS, check_ids
from keras_roformer.models import data
from keras_roformer.models.backbone import RoFormerBackbone
from keras_roformer.models.export import Exports, write_transformers
from keras_roformer.models.preset_names import FromPreset
from keras_roformer.tasks import TASKS
from keras_roformer.upstream import for_keras
from keras_roformer.weights import names


class RoFormerTask(Exports, AtomicSaves, FromPreset):
    """Mixin of the tasks, before KerasHub's class for a task in their bases.

    It is no `Task` itself: Keras cannot make functional models of classes whose bases meet again.

    A task takes strings as long as it has a preprocessor, and arrays without one; both from lists,
    NumPy arrays, tf.data, grain, and also from loaders: `keras.utils.PyDataset`, torch's
    `DataLoader`, generators.
    """

    backbone_cls = RoFormerBackbone
    task = None  # whose head it has, a name in `tasks.TASKS`
    # The constructor's arguments beside backbone and preprocessor.
    argument_names = ()
    # Argument of the constructor → field of `RoFormerConfig` that says the same.
    config_fields = {}
    # Arguments that the task needs its backbone to be made with.
    backbone_arguments = {}

    def _set_up(self, backbone, preprocessor, **own):
        """Set the parts and the constructor's `own` arguments, and make the head of the task."""
        for name, value in dict(backbone=backbone, preprocessor=preprocessor, **own).items():
            setattr(self, name, value)
        config = self.roformer_config()
        config.update({"hidden_dropout_prob": own.get("dropout", backbone.dropout)})
        self.head = TASKS[self.task].head(config, dtype=backbone.dtype_policy, name="head")

    @property
    def preprocessor(self):
        """The layer that makes ids of strings, or None."""
        return getattr(self, "_preprocessor", None)

    @preprocessor.setter
    def preprocessor(self, preprocessor):
        tokenizer = getattr(preprocessor, "tokenizer", None)
        if tokenizer is not None and tokenizer.has_vocabulary:
            found, most = tokenizer.vocabulary_size(), self.backbone.vocabulary_size
            if found > most:
                raise ValueError(
                    f"the tokenizer has {found} tokens, but the backbone's vocabulary_size is "
                    f"{most}; use the tokenizer saved with it, or make the backbone larger"
                )
        self._preprocessor = preprocessor

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        sample_weight=None,
        validation_data=None,
        **kwargs,
    ):
        """Train; as `keras.Model.fit`, and on strings, which are shuffled as arrays are."""
        given = dict(
            batch_size=batch_size, sample_weight=sample_weight, validation_data=validation_data
        )
        if self.preprocessor is None:
            self._check_ids(x)
            return keras.Model.fit(self, x, y, **given, **kwargs)
        if data.kind_of(x) in data.DATASETS:
            # That is the dataset's own business, and Keras would warn.
            kwargs.setdefault("shuffle", False)
        if self._is_for_hub(x) and data.kind_of(validation_data) not in data.LOADERS:
            return super().fit(x, y, **given, **kwargs)
        # KerasHub takes strings in the order in which they come, in every epoch, and no loaders.
        validation_batch_size = kwargs.pop("validation_batch_size", None) or batch_size
        batches = data.batches_of((x, y, sample_weight), batch_size, self.preprocessor)
        if validation_data is not None:
            if not isinstance(validation_data, tuple):
                validation_data = (validation_data,)
            validation_data = data.batches_of(
                keras.utils.unpack_x_y_sample_weight(validation_data),
                validation_batch_size,
                self.preprocessor,
            )
        if isinstance(batches, data.ArrayBatches):
            split = kwargs.pop("validation_split", None)
            if split and validation_data is None:
                batches, validation_data = batches.split(split, validation_batch_size)
            if kwargs.pop("shuffle", True):
                batches.shuffle()
            kwargs["shuffle"] = False  # not the batches once more
        batches = self._opened(batches)  # before the validation's: random preprocessing is in turn
        if validation_data is not None:
            kwargs["validation_data"] = self._opened(validation_data)
        return keras.Model.fit(self, batches, **kwargs)

    def evaluate(self, x=None, y=None, batch_size=None, sample_weight=None, **kwargs):
        """Loss and metrics; as `keras.Model.evaluate`, and on strings."""
        given = dict(batch_size=batch_size, sample_weight=sample_weight)
        if self.preprocessor is None or kwargs.get("_use_cached_eval_dataset"):
            self._check_ids(x)
            return keras.Model.evaluate(self, x, y, **given, **kwargs)
        if self._is_for_hub(x):
            return super().evaluate(x, y, **given, **kwargs)
        batches = data.batches_of((x, y, sample_weight), batch_size, self.preprocessor)
        return keras.Model.evaluate(self, self._opened(batches), **kwargs)

    def predict(self, x=None, batch_size=None, **kwargs):
        """Outputs as NumPy; as `keras.Model.predict`, and on strings."""
        if self.preprocessor is None:
            self._check_ids(x)
            return keras.Model.predict(self, x, batch_size=batch_size, **kwargs)
        if self._is_for_hub(x):
            return super().predict(x, batch_size=batch_size, **kwargs)
        batches = data.batches_of((x, None, None), batch_size, self.preprocessor)
        return keras.Model.predict(self, self._opened(batches), **kwargs)

    def _check_ids(self, x):
        """Look at arrays of ids, once, before the compiled part; loaders are not read for it."""
        if not CHECK_IDS or not isinstance(x, dict):
            return
        counts = {
            "token_ids": self.backbone.vocabulary_size,
            "segment_ids": self.backbone.num_segments,
        }
        for name, count in counts.items():
            ids = keras.ops.convert_to_numpy(x[name]) if name in x else None
            if ids is not None and ids.size:
                check_ids(name, (ids.min(), ids.max()), count, type(self).__name__)

    def _opens_lengths(self):
        """Whether batches may have any lengths and Keras does not see to it."""
        return fixes_sizes_of_loaders() and self.preprocessor.sequence_length is None

    def _opened(self, batches):
        if self._opens_lengths():
            return data.with_open_lengths(batches, self.preprocessor.shapes)
        return batches

    def _is_for_hub(self, x):
        """Whether `x` is a dataset that KerasHub's own `fit` and the others take rightly."""
        kind = data.kind_of(x)
        return kind == "tf.data" or (kind == "grain" and not self._opens_lengths())

    @property
    def transformers_class(self):
        """The name of transformers' class for this task."""
        return names.class_name(self.task)

    @classmethod
    def arguments_of(cls, config):
        """Arguments of the constructor that a checkpoint's `RoFormerConfig` tells."""
        return {name: getattr(config, field) for name, field in cls.config_fields.items()}

    def network(self):
        """This model as the table of weight names sees it, see `keras_roformer.weights.names`."""
        return SimpleNamespace(
            config=self.roformer_config(),
            task=self.task,
            roformer=self.backbone.roformer,
            head=self.head,
        )

    def roformer_config(self):
        """The `RoFormerConfig` of this model."""
        own = {field: getattr(self, name) for name, field in self.config_fields.items()}
        return self.backbone.roformer_config(architectures=[self.transformers_class], **own)

    def get_config(self):
        config = super().get_config()
        own = {name: getattr(self, name) for name in self.argument_names}
        head = {"head_parts": parts_config(self.head)["parts"]} if is_mixed(self.head) else {}
        return {**config, **own, **head}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        head = config.pop("head_parts", None)
        if isinstance(config["backbone"], dict):
            config["backbone"] = keras.layers.deserialize(config["backbone"])
        if head is None:
            return super().from_config(config)
        # The head takes its policies from the backbone, whose layers have theirs already. Not by
        # the public setter: in place of a map, that adds the new policy to the map.
        backbone = config["backbone"]
        for_keras.set_policy(backbone, joined_policies(backbone.dtype_policy, head["dtype"]))
        task = super().from_config(config)
        restore_quantizers(task.head, head["quantizers"])
        return task

    def compile_from_config(self, config):
        """Compile a model from a .keras file as it was, which Keras leaves out where a class, as
        KerasHub's, has a `compile` of its own; the optimizer's state can then be loaded too."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None:  # compiled to be evaluated only
            self.optimizer.build(self.trainable_variables)

    def save_task_weights(self, filepath):
        """Save the head's weights. Not, as KerasHub, the optimizer's: a preset is no checkpoint."""
        with self._without_optimizer():
            super().save_task_weights(filepath)

    def load_task_weights(self, filepath):
        """Load the head's weights, not the state of an optimizer beside them."""
        with self._without_optimizer():
            super().load_task_weights(filepath)

    @contextmanager
    def _without_optimizer(self):
        optimizer, self.optimizer = getattr(self, "optimizer", None), None
        try:
            yield
        finally:
            self.optimizer = optimizer

    def export_to_transformers(self, path):
        """Write a directory that transformers' class for this task loads.

        Args:
            path: the directory, made if it is not there: config.json, model.safetensors and, with a
                preprocessor, the tokenizer's files.
        """
        path = pathlib.Path(path)
        write_transformers(path, self.network())
        if self.preprocessor is not None:
            self.preprocessor.tokenizer.export_to_transformers(path)
