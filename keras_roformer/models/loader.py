"""Checkpoint directories in transformers' format → KerasHub's `from_preset`."""

import contextlib

from keras_roformer.config import RoFormerConfig
from keras_roformer.layers.initializers import deferred_values
from keras_roformer.models.backbone import RoFormerBackbone
from keras_roformer.models.preset_names import directory_of
from keras_roformer.tokenizers import AutoTokenizer
from keras_roformer.upstream.for_keras_hub import PresetLoader
from keras_roformer.weights import checkpoint, names, transfer


class RoFormerPresetLoader(PresetLoader):
    """KerasHub's loader of checkpoints in transformers' format, for RoFormer's.

    Reads every format of weights, and the heads.
    """

    def check_backbone_class(self):
        return RoFormerBackbone

    def load_backbone(self, cls, load_weights, **kwargs):
        tensors = self._tensors() if load_weights else {}
        backbone = self._backbone(cls, tensors, kwargs)
        if load_weights:
            report = transfer.load(backbone.network(), tensors, source=self.preset)
            transfer.draw(backbone.network(), report.absent_keys)
        return backbone

    def load_tokenizer(self, cls, config_file=None, **kwargs):
        tokenizer = AutoTokenizer.from_pretrained(directory_of(self.preset), use_fast=False)
        return cls(tokenizer=tokenizer, **kwargs)

    def load_task(self, cls, load_weights, load_task_weights, **kwargs):
        own = cls.arguments_of(self._config())
        kwargs = {**own, **kwargs}
        tensors = self._tensors() if load_weights else {}
        if made_here := "backbone" not in kwargs:
            backbone_kwargs, kwargs = self.get_backbone_kwargs(**kwargs)
            backbone_kwargs |= cls.backbone_arguments
            kwargs["backbone"] = self._backbone(cls.backbone_cls, tensors, backbone_kwargs)
        if "preprocessor" not in kwargs:
            kwargs["preprocessor"] = self.load_preprocessor(cls.preprocessor_cls)
        task = cls(**kwargs)
        if not load_weights:
            return task
        network = task.network()
        if not load_task_weights:
            network.head, network.task = None, "model"
        if not made_here:
            network.roformer = None
            tensors = names.with_prefix(tensors)
            tensors = {n: a for n, a in tensors.items() if not names.is_of_backbone(n)}
        report = transfer.load(network, tensors, source=self.preset)
        transfer.draw(network, report.absent_keys)
        report.warn_of_absent(cls.__name__, self.preset)
        return task

    def _config(self):
        return RoFormerConfig.from_dict(self.config)

    def _tensors(self):
        return checkpoint.read(directory_of(self.preset))

    def _backbone(self, cls, tensors, kwargs):
        config = self._config()
        if config.pruned_heads or config.add_cross_attention:
            raise ValueError(
                f"{self.preset} has pruned heads or cross-attention, which RoFormerBackbone has "
                "not; load it with the documented classes, e.g. RoFormerModel.from_pretrained"
            )
        pooler = any(names.bare_name(name).startswith("pooler.") for name in tensors)
        with deferred_values() if tensors else contextlib.nullcontext():
            return cls(**{**cls.arguments_of(config), "add_pooler": pooler, **kwargs})
