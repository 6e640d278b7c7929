"""Models → files for other programs: Keras's exports, and directories that transformers loads."""

import numpy as np

from keras_roformer.backend import current_backend
from keras_roformer.upstream import for_keras
from keras_roformer.weights import checkpoint, names, transfer


def write_transformers(path, network):
    """Write config.json and model.safetensors.

    Args:
        path: `pathlib.Path` of the directory, made if it is not there.
        network: what `RoFormerBackbone.network` or `RoFormerTask.network` gives.
    """
    path.mkdir(parents=True, exist_ok=True)
    network.config.save_pretrained(path)
    tensors = transfer.read(network) | transfer.computed(network.config)
    checkpoint.write(path, names.without_prefix(tensors) if network.task == "model" else tensors)


class Exports(for_keras.RegisteredWithTorch):
    """Mixin, before KerasHub's class: a model that exports take for any batch and length."""

    def export(self, filepath, format="tf_saved_model", **kwargs):
        """Write a file that runs without Keras, for any batch and length.

        Args:
            filepath: where to.
            format: as for `keras.Model.export`; the README tells which work on which backend.
            kwargs: as for `keras.Model.export`.
        """
        if not for_keras.was_called(self):  # Keras asks for it on torch
            sizes = {name: [size or 1 for size in x.shape] for name, x in self.input.items()}
            self({name: np.zeros(shape, "int32") for name, shape in sizes.items()})
        open_sizes = _OPEN_SIZES.get((current_backend(), format))
        if open_sizes is not None and kwargs.get("input_signature") is None:
            open_sizes(self.input, kwargs)
        return super().export(filepath, format=format, **kwargs)


def _open_for_torch(inputs, kwargs):
    """Leave the open sizes of a model's inputs to torch.export."""
    import torch

    shapes = {
        name: {axis: torch.export.Dim.DYNAMIC for axis, size in enumerate(x.shape) if size is None}
        for name, x in inputs.items()
    }
    kwargs.setdefault("dynamic_shapes", [(shapes,)])  # of the one argument in `*args`


def _open_for_jax2tf(inputs, kwargs):
    """Name the open sizes for jax2tf: equal names are equal sizes.

    Keras would give each input's length a name of its own, as if they differed.
    """
    axes = {2: ("batch", "length"), 3: ("batch", "choices", "length")}
    shapes = {
        name: [size or own for own, size in zip(axes[len(x.shape)], x.shape, strict=True)]
        for name, x in inputs.items()
    }
    if "mask_positions" in shapes:
        shapes["mask_positions"] = ["batch", "positions"]
    named = [{name: f"({', '.join(map(str, shape))})" for name, shape in shapes.items()}]
    given = kwargs.get("jax2tf_kwargs") or {}
    kwargs["jax2tf_kwargs"] = {"polymorphic_shapes": named, **given}


# By backend and format: where Keras's export has to be told which sizes are open.
_OPEN_SIZES = {("torch", "torch"): _open_for_torch, ("jax", "tf_saved_model"): _open_for_jax2tf}
