"""Callbacks for `fit`."""

import contextlib
import pathlib
import re
import shutil

import keras
import numpy as np

from keras_roformer.keras_saves import check_room
from keras_roformer.layers import kernels
from keras_roformer.saving import atomic_folder
from keras_roformer.upstream import for_keras

_EPOCH = re.compile(r"epoch-(\d+)")
_OURS = re.compile(rf"{_EPOCH.pattern}|\.{_EPOCH.pattern}\.(tmp|old)")


class BackupAndRestore(keras.callbacks.Callback):
    """`keras.callbacks.BackupAndRestore` that survives being killed while it writes the backup.

    Keras's writes into the backup itself, and the number of the epoch into a second file: a kill in
    the middle leaves a backup that cannot be read, or one of another epoch than it says. Here
    weights, optimizer and epoch are one folder that gets its name when it is whole; the one before
    goes after that. The states of random generators are in it too, which Keras leaves out: dropout
    goes on as if nothing had happened. So do LoRA's matrices, which Keras adds to the kernels and
    then sets to zero, from where they do not train. (The order of the data is the loader's: give
    `fit` shuffle=False, or a loader whose order the epoch decides.)

    Args:
        backup_dir: folder for the backup, of this training alone.
        delete_checkpoint: remove the backup once the training is finished.

    Example:

    ```python
    model.fit(data, epochs=10, callbacks=[BackupAndRestore("backup")])  # run it again after a kill
    ```
    """

    def __init__(self, backup_dir, delete_checkpoint=True):
        super().__init__()
        self.backup_dir = pathlib.Path(backup_dir)
        self.delete_checkpoint = delete_checkpoint

    def on_train_begin(self, logs=None):
        last = self._backups()[-1:]
        if not last:
            return
        [(epoch, folder)] = last
        if self.model.optimizer is not None and not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        self.model.load_weights(folder / "model.weights.h5")
        with np.load(folder / "states.npz", allow_pickle=False) as states:
            for i, state in enumerate(self._states()):
                state.assign(states[f"state_{i}"].view(state.dtype))  # NumPy forgets bfloat16
            kernels.set_random_state(states)
        for_keras.begin_at(self.model, epoch)

    def on_epoch_end(self, epoch, logs=None):
        outdated = self._backups()
        self.backup_dir.mkdir(parents=True, exist_ok=True)
        with atomic_folder(self.backup_dir / f"epoch-{epoch + 1}") as folder:
            check_room(folder, self.model)
            self.model.save_weights(folder / "model.weights.h5")
            np.savez(folder / "states.npz", **self._state_values())
        for _, folder in outdated:
            shutil.rmtree(folder, ignore_errors=True)

    def on_train_end(self, logs=None):
        if not self.delete_checkpoint or not self.backup_dir.is_dir():
            return
        for path in self.backup_dir.iterdir():
            if _OURS.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)
        # Keras removes the folder with all that is in it, be it a file of the user's.
        with contextlib.suppress(OSError):
            self.backup_dir.rmdir()

    def _states(self):
        """What a weight file does not have, or not as it is: random generators, and LoRA."""
        generators = [v for v in self.model.variables if v.path.endswith("seed_generator_state")]
        layers = for_keras.flat_layers(self.model)
        adapted = [layer for layer in layers if getattr(layer, "lora_enabled", False)]
        return [*generators, *(weight for layer in adapted for weight in layer.weights)]

    def _state_values(self):
        states = enumerate(map(keras.ops.convert_to_numpy, self._states()))
        return {**{f"state_{i}": state for i, state in states}, **kernels.random_state()}

    def _backups(self):
        """`(epoch, folder)` of every whole backup, the last epoch last."""
        if not self.backup_dir.is_dir():
            return []
        found = ((_EPOCH.fullmatch(path.name), path) for path in self.backup_dir.iterdir())
        return sorted((int(match[1]), path) for match, path in found if match)
