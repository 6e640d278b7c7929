"""Models → files for other programs: Keras's exports, and directories that transformers loads."""

import keras
import numpy as np

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


class TorchModule:
    """Mixin, before KerasHub's class: a model that torch sees the weights of, and exports of it.

    KerasHub keeps torch from registering what a model sets while it is made, its parameters too:
    `parameters()` and `state_dict()` are then empty.
    """

    def _track_variables(self):
        import torch

        variables = self.variables
        parameters = torch.nn.ParameterDict({v.path: v.value for v in variables})
        torch.nn.Module.__setattr__(self, "_torch_params", parameters)
        self.__dict__["_torch_variables"] = variables  # not for Keras to track once more

    def _follow_variables(self):
        """Register anew what LoRA or quantisation, of a part too, has changed since."""
        known = self.__dict__.get("_torch_variables")
        # By the variables: an export puts other tensors into their places for a while.
        if known is not None and list(map(id, known)) != list(map(id, self.variables)):
            self._track_variables()

    if keras.config.backend() == "torch":
        # All of torch's ways to a module's tensors, also from a module around it, begin in these:
        # parameters() and zero_grad() in the first, to() in the second.

        def named_modules(self, *args, **kwargs):
            self._follow_variables()
            return super().named_modules(*args, **kwargs)

        def named_children(self):
            self._follow_variables()
            return super().named_children()

        def state_dict(self, *args, **kwargs):
            self._follow_variables()
            return super().state_dict(*args, **kwargs)

        def _load_from_state_dict(self, *args, **kwargs):
            self._follow_variables()
            return super()._load_from_state_dict(*args, **kwargs)

    def export(self, filepath, format="tf_saved_model", **kwargs):
        """Write a file that runs without Keras, for any batch and length.

        Args:
            filepath: where to.
            format: as for `keras.Model.export`; the README tells which work on which backend.
            kwargs: as for `keras.Model.export`.
        """
        if not self._called:  # Keras asks for it on torch
            self(
                {
                    name: np.zeros([size or 1 for size in x.shape], "int32")
                    for name, x in self.input.items()
                }
            )
        if kwargs.get("input_signature") is None:
            if keras.config.backend() == format == "torch":
                kwargs.setdefault("dynamic_shapes", self._dynamic_shapes())
            elif (keras.config.backend(), format) == ("jax", "tf_saved_model"):
                # Keras would give the inputs' lengths names of their own, as if they differed.
                kwargs["jax2tf_kwargs"] = {
                    "polymorphic_shapes": self._shared_sizes(),
                    **(kwargs.get("jax2tf_kwargs") or {}),
                }
        return super().export(filepath, format=format, **kwargs)

    def _dynamic_shapes(self):
        import torch

        shapes = {
            name: {a: torch.export.Dim.DYNAMIC for a, size in enumerate(x.shape) if size is None}
            for name, x in self.input.items()
        }
        return [(shapes,)]  # of the one argument in `*args`

    def _shared_sizes(self):
        """Names of the open sizes, as jax2tf has them: equal names are equal sizes."""
        axes = {2: ("batch", "length"), 3: ("batch", "choices", "length")}
        shapes = {
            name: [
                own if size is None else size
                for own, size in zip(axes[len(x.shape)], x.shape, strict=True)
            ]
            for name, x in self.input.items()
        }
        if "mask_positions" in shapes:
            shapes["mask_positions"] = ["batch", "positions"]
        return [{name: f"({', '.join(map(str, shape))})" for name, shape in shapes.items()}]
