"""The Auto classes of the documented examples, for the one model type there is."""

import keras_roformer
from keras_roformer.declare import declare_class
from keras_roformer.weights.names import HEADS, class_name, class_suffix


class _AutoModel:
    """`from_pretrained` and `from_config` of the documented class named `target`."""

    target = None

    def __init__(self):
        raise TypeError(f"make a {type(self).__name__} with from_pretrained or from_config")

    @classmethod
    def _class(cls):
        return getattr(keras_roformer, cls.target)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """See the documented class's `from_pretrained`."""
        return cls._class().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    @classmethod
    def from_config(cls, config, **kwargs):
        """A model with random weights."""
        return cls._class()._from_config(config, **kwargs)


# Auto class → documented class.
TARGETS = {
    f"{family}AutoModel{class_suffix(task)}": class_name(task, family)
    for family in ("", "TF", "Flax")
    for task in HEADS
}

for _name, _target in TARGETS.items():
    _doc = f"The documented entry point to {_target}."
    declare_class(__name__, _name, (_AutoModel,), _doc, target=_target)
