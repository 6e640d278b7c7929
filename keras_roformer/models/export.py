"""Models → directories that transformers loads."""

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
