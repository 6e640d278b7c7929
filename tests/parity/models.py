"""What the parity tests share: models from recorded weights, arguments, comparison."""

import collections
import functools
import json
import tempfile
from pathlib import Path

import keras
import numpy as np
from safetensors.numpy import save_file

from tests.oracle import cases
from tests.support import BACKEND, PREFIX, cls
from tests.tolerances import FLOAT32

# The recorded family whose classes bear our class's name.
RECORDED_FAMILY = {"torch": "torch", "tensorflow": "tf", "jax": "flax"}[BACKEND]
LABELS = ("labels", "start_positions", "end_positions")

# class name -> largest relative difference seen in this run; conftest.py prints it
largest_difference: dict = collections.defaultdict(float)

load_case = functools.cache(cases.load)


def write_checkpoint(folder, config, weights):
    """A directory as a user has it: config.json and model.safetensors."""
    text = json.dumps(config | {"model_type": "roformer"})
    Path(folder, "config.json").write_text(text, encoding="utf-8")
    weights = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    save_file(weights, Path(folder, "model.safetensors"), metadata={"format": "pt"})


def load_model(task, config, weights, prefix=PREFIX):
    """The documented class for `task`, loaded by from_pretrained."""
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(folder, config, weights)
        return cls(task, prefix).from_pretrained(folder)


@functools.cache
def model_of(case_name):
    """Our model of a recorded case."""
    case = load_case(case_name)
    return load_model(case.task, case.config, case.weights)


def to_numpy(value):
    """The reverse; also takes cache objects."""
    if hasattr(value, "to_legacy_cache"):
        value = value.to_legacy_cache()
    if isinstance(value, (tuple, list)):
        return tuple(to_numpy(item) for item in value)
    return value if isinstance(value, np.ndarray) else keras.ops.convert_to_numpy(value)


def assert_close(actual, expected, label, model_name):
    """Equal structure and shapes; the largest difference small against the largest value."""
    if isinstance(expected, tuple):
        assert len(actual) == len(expected), f"{label}: {len(actual)} parts, not {len(expected)}"
        for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
            assert_close(a, e, f"{label}[{i}]", model_name)
        return
    assert actual.shape == expected.shape, f"{label}: shape {actual.shape}, not {expected.shape}"
    assert np.isfinite(actual).all(), f"{label} is not finite"
    difference = relative_difference(actual, expected)
    largest_difference[model_name] = max(largest_difference[model_name], difference)
    assert difference <= FLOAT32["rtol"], f"{label}: relative difference {difference:.2e}"


def relative_difference(actual, expected):
    """Largest difference over the largest value, or over 1 if that is greater."""
    scale = max(1.0, np.abs(expected).max(initial=0))
    return float(np.abs(actual.astype("float64") - expected).max(initial=0) / scale)
