"""Models → files for other programs: Keras's exports, and directories that transformers loads."""

import keras

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

        parameters = torch.nn.ParameterDict({v.path: v.value for v in self.variables})
        torch.nn.Module.__setattr__(self, "_torch_params", parameters)

    def export(self, filepath, format="tf_saved_model", **kwargs):
        """Write a file that runs without Keras, for any batch and length.

        Args:
            filepath: where to.
            format: as for `keras.Model.export`; the README tells which work on which backend.
            kwargs: as for `keras.Model.export`.
        """
        if keras.config.backend() == format == "torch" and kwargs.get("input_signature") is None:
            kwargs.setdefault("dynamic_shapes", self._dynamic_shapes())
        return super().export(filepath, format=format, **kwargs)

    def _dynamic_shapes(self):
        import torch

        shapes = {
            name: {a: torch.export.Dim.DYNAMIC for a, size in enumerate(x.shape) if size is None}
            for name, x in self.input.items()
        }
        return [(shapes,)]  # of the one argument in `*args`
