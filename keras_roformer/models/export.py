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


if current_backend() == "torch":
    from keras_roformer.upstream.for_torch import RegistersVariables
else:  # only on torch is a Keras model a module
    RegistersVariables = object


def _torch_sizes(inputs, **kwargs):
    """The arguments of `export`, and which sizes are open."""
    import torch

    shapes = {
        name: {a: torch.export.Dim.DYNAMIC for a, size in enumerate(x.shape) if size is None}
        for name, x in inputs.items()
    }
    return {"dynamic_shapes": [(shapes,)], **kwargs}  # of the one argument in `*args`


def _jax_sizes(inputs, jax2tf_kwargs=None, **kwargs):
    """The arguments of `export`, and names of the open sizes, as jax2tf has them: equal names are
    equal sizes. Keras would give the inputs' lengths names of their own, as if they differed."""
    axes = {2: ("batch", "length"), 3: ("batch", "choices", "length")}
    shapes = {
        name: [
            own if size is None else size
            for own, size in zip(axes[len(x.shape)], x.shape, strict=True)
        ]
        for name, x in inputs.items()
    }
    if "mask_positions" in shapes:
        shapes["mask_positions"] = ["batch", "positions"]
    named = {name: f"({', '.join(map(str, shape))})" for name, shape in shapes.items()}
    given = {"polymorphic_shapes": [named], **(jax2tf_kwargs or {})}
    return {**kwargs, "jax2tf_kwargs": given}


# Backend and format → what tells `keras.Model.export` that sizes are open.
_OPEN_SIZES = {("torch", "torch"): _torch_sizes, ("jax", "tf_saved_model"): _jax_sizes}


class Exports(RegistersVariables):
    """Mixin, before KerasHub's class: a model that is exported for any batch and length."""

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
            kwargs = open_sizes(self.input, **kwargs)
        return super().export(filepath, format=format, **kwargs)
