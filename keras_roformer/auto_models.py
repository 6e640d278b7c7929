"""The Auto classes of the documented examples, for the one model type there is."""

import keras_roformer

FAMILIES = ("", "TF", "Flax")


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


for _family in FAMILIES:
    for _head in ("", *keras_roformer._TASKS[1:-1]):
        _name = f"{_family}AutoModel{_head}"
        globals()[_name] = type(
            _name,
            (_AutoModel,),
            {
                "target": f"{_family}RoFormer{_head or 'Model'}",
                "__doc__": f"The documented entry point to {_family}RoFormer{_head or 'Model'}.",
                "__module__": __name__,
            },
        )
