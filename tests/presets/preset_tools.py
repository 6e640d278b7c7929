"""What every preset in the box is checked for."""

import numpy as np
from safetensors import safe_open


def assert_weights_are_as_described(directory, metadata):
    """The file's size, its dtype and its number of parameters are those in the metadata."""
    path = directory / "model.safetensors"
    assert metadata["weights_bytes"] == path.stat().st_size
    parameters = 0
    with safe_open(path, framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118 (no mapping)
            tensor = file.get_tensor(name)
            assert tensor.dtype == metadata["weights"] == "float16"
            assert np.isfinite(tensor).all()
            parameters += tensor.size
    assert metadata["parameters"] == parameters
