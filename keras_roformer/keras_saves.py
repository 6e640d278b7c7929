"""Saving Keras models and KerasHub presets by the primitives of `saving`."""

import errno
import math
import pathlib
import re
import shutil

from keras_roformer.saving import atomic, atomic_folder


class AtomicSaves:
    """Mixin that lets a Keras model's `save` and `save_weights` write beside and rename.

    Keras writes into the file itself, so that a process killed while it saves a checkpoint leaves
    neither the old one nor the new one.
    """

    def save(self, filepath, overwrite=True, **kwargs):
        """See `keras.Model.save`; a save that is killed leaves the old file."""
        _save_beside(self, super().save, filepath, overwrite, **kwargs)

    def save_weights(self, filepath, overwrite=True, **kwargs):
        """See `keras.Model.save_weights`; a save that is killed leaves the old file."""
        _save_beside(self, super().save_weights, filepath, overwrite, **kwargs)


class AtomicPresets:
    """Mixin that lets KerasHub's `save_to_preset` exchange the whole preset at once.

    A preset is several files (configs, weights, vocabulary), which KerasHub writes one by one.
    """

    def save_to_preset(self, preset_dir, **kwargs):
        """See KerasHub's; a save that is killed leaves the old preset."""
        # Weights in one file and in shards stand for each other, and KerasHub reads the one first.
        weights = ("model.weights.h5", "model.weights.json", "model_*.weights.h5")
        if hasattr(self, "backbone"):
            weights += ("task.weights.h5",)
        has_weights = hasattr(self, "save_weights")  # tokenizers and preprocessors have none
        with atomic_folder(preset_dir, True, weights if has_weights else ()) as folder:
            if has_weights:
                check_room(folder, self)
            super().save_to_preset(str(folder), **kwargs)


def _save_beside(model, save, filepath, overwrite=True, **kwargs):
    path = pathlib.Path(filepath)
    in_shards = kwargs.get("max_shard_size") is not None
    remote = "://" in str(filepath)
    if not overwrite or in_shards or remote or path.is_dir() or not path.parent.is_dir():
        save(filepath, overwrite=overwrite, **kwargs)
        return
    check_room(path.parent, model)
    with atomic(path) as temporary:
        save(temporary, **kwargs)


def check_room(directory: pathlib.Path, model) -> None:
    """Raise an OSError if the disk of `directory` has no room for a Keras model's weights.

    HDF5, in which Keras saves, may crash the process where a disk is full.
    """
    variables = [*model.variables, *getattr(getattr(model, "optimizer", None), "variables", ())]
    size = sum(math.prod(v.shape) * _bits(v.dtype) // 8 for v in variables)
    free = shutil.disk_usage(directory).free
    if size > free:
        raise OSError(
            errno.ENOSPC,
            f"{type(model).__name__} has {size:,} bytes of weights, but the disk has {free:,} free "
            "bytes (the old file stays until the new one is whole); make room or save elsewhere",
            str(directory),
        )


def _bits(dtype):
    digits = re.search(r"\d+", dtype)
    return int(digits[0]) if digits else 8  # bool
