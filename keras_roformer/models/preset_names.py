"""The names that `from_preset` knows."""

import json
import pathlib

import h5py
from keras_hub.models import Backbone, Task

from keras_roformer import hub
from keras_roformer.keras_saves import AtomicPresets
from keras_roformer.upstream import for_keras_hub

# Checkpoints on the hub, as their authors describe them.
_PUBLIC = {
    "junnyu/roformer_chinese_base": "Chinese, word-level, base size.",
    "junnyu/roformer_chinese_small": "Chinese, word-level, small.",
    "junnyu/roformer_chinese_char_base": "Chinese, character-level, base size.",
    "junnyu/roformer_chinese_char_small": "Chinese, character-level, small.",
    "junnyu/roformer_chinese_sim_char_base": "RoFormer-Sim: sentence similarity, base size.",
    "junnyu/roformer_chinese_sim_char_small": "RoFormer-Sim: sentence similarity, small.",
    "junnyu/roformer_chinese_sim_char_ft_base": "RoFormer-Sim, fine-tuned, base size.",
    "junnyu/roformer_chinese_sim_char_ft_small": "RoFormer-Sim, fine-tuned, small.",
    "junnyu/roformer_small_generator": "English ELECTRA generator; rotates values too.",
    "junnyu/roformer_small_discriminator": "English ELECTRA discriminator; rotates values too.",
}


def registered():
    """KerasHub's entries of the presets in the box and of the public checkpoints.

    Returns:
        dict of name → `{"metadata": …, "kaggle_handle": …}`. The handle, which may have any scheme
        that KerasHub reads, is here a directory or a hub id.
    """
    entries = {}
    for name, metadata in hub.list_presets().items():
        known = {"description": metadata.get("description", name), "path": "roformer"}
        if "parameters" in metadata:
            known["params"] = metadata["parameters"]
        entries[name] = {
            "metadata": known,
            "kaggle_handle": str(hub.resolve(name)),
        }
    for hub_id, description in _PUBLIC.items():
        entries[hub_id.partition("/")[2]] = {
            "metadata": {"description": description, "path": "roformer"},
            "kaggle_handle": f"hf://{hub_id}",
        }
    return entries


def preset_name(preset):
    """`preset` as KerasHub names it: paths as strings, and "owner/name" with its "hf://".

    Raises:
        ValueError: there is no such preset, or a file of it cannot be read.
        OSError: the hub cannot be reached.
    """
    name, known = str(preset), registered()
    path = pathlib.Path(name).expanduser()
    if name not in known and path.is_dir():
        _check_files(path)
        return str(path)
    if name not in known and hub.is_hub_id(name):
        name = f"hf://{name}"
    handle = known.get(name, {}).get("kaggle_handle", name)
    if handle.startswith("hf://"):
        # For its errors: KerasHub does not say what fails.
        hub.resolve(handle.removeprefix("hf://"), weights=())
    elif name not in known and "://" not in name:
        raise ValueError(hub.unknown(name, known, "Presets"))
    return name


def _check_files(directory):
    """Raise a ValueError that names a file which cannot be read, as Keras's errors do not."""
    for file in directory.glob("*.json"):
        try:
            json.loads(file.read_bytes())
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{file} is not valid JSON ({error}); download or save it again"
            ) from None
    for file in directory.glob("*.weights.h5"):
        try:
            h5py.File(file, "r").close()
        except OSError as error:
            raise ValueError(
                f"{file} is not a whole HDF5 file ({error}); download or save it again"
            ) from None


def directory_of(preset):
    """The directory with the files of a preset that KerasHub found."""
    handle = registered().get(preset, {}).get("kaggle_handle", preset)
    return hub.resolve(handle.removeprefix("hf://"))


class FromPreset(AtomicPresets):
    """Mixin: `from_preset` also takes hub ids without "hf://", and `pathlib.Path`s."""

    @classmethod
    def from_preset(cls, preset, *args, **kwargs):
        """Make one from a preset.

        Args:
            preset: the name of a preset (`cls.presets` lists them), a hub id ("owner/name" or
                "hf://owner/name"), or a directory, in KerasHub's format or in transformers'.
            args, kwargs: as for KerasHub's class; arguments of the constructor. Without `dtype`, a
                model saved with a mixed policy has that again, and others have Keras's policy.
        """
        preset = preset_name(preset)
        if issubclass(cls, (Backbone, Task)) and kwargs.get("dtype") is None:
            # KerasHub's tasks take these policies' names for dtypes, and raise.
            if policy := _mixed_policy(preset):
                kwargs["dtype"] = policy
        return super().from_preset(preset, *args, **kwargs)


def _mixed_policy(preset):
    """The name of the mixed policy that a preset was saved with, or None."""
    saved = for_keras_hub.load_json(preset).get("config", {}).get("dtype") or {}
    name = saved.get("config", {}).get("name") or ""
    return name if name.startswith("mixed_") else None
