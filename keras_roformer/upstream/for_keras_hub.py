"""Private API of KerasHub that this package uses (written for KerasHub 0.32)."""

from keras_hub.src.utils.preset_utils import PresetLoader, load_json, register_presets
from keras_hub.src.utils.transformers import preset_loader

__all__ = ["PresetLoader", "load_json", "load_transformers_with", "register_presets"]

# Presets. `PresetLoader`, `load_json` (the config of a preset, wherever it lies) and
# `register_presets` have no public names; they can be imported from elsewhere when they have.


def load_transformers_with(loader, model_type):
    """Have `from_preset` read checkpoints in transformers' format of one model type by a class.

    KerasHub has no registry of converters: its `TransformersPresetLoader` is a chain of `if`s over
    the model types, to which each is added by hand (as in keras-hub#2998), and it raises for
    others. `from_preset` looks the name of that class up at each call. This can go when there is a
    registry.

    Args:
        loader: subclass of `PresetLoader`.
        model_type: the `model_type` in config.json.
    """
    known = preset_loader.TransformersPresetLoader

    def choose(preset, config):
        return (loader if config.get("model_type") == model_type else known)(preset, config)

    preset_loader.TransformersPresetLoader = choose
