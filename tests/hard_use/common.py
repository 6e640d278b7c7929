"""What the tests of hard use share: how hard, tiny models of the running backend, the figures."""

import os
import time

import keras
import numpy as np

from tests.conftest import ROOT
from tests.support import BACKEND, CONFIG, tensor

HARD = os.environ.get("HARD") == "1"  # `make hard`: the numbers that the README quotes


def often(hard, short):
    """How many times: `hard` in `make hard`, `short` in the normal suite."""
    return hard if HARD else short


def report(figure):
    """Keep a figure for the README, and print it (shown with pytest -s)."""
    line = f"{BACKEND}: {figure}"
    print(f"\n{line}", flush=True)
    if HARD:
        file = ROOT / "build" / "hard-use.txt"
        file.parent.mkdir(exist_ok=True)
        with file.open("a") as lines:
            lines.write(f"{time.strftime('%Y-%m-%d %H:%M')} {line}\n")


def spread(model, factor):
    """Random weights `factor` times as large as at initialisation."""
    for variable in model.network.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(factor * keras.ops.convert_to_numpy(variable))
    if BACKEND == "jax":
        model._after_loading()
    return model


def outputs(model, **inputs):
    """The documented outputs of a call as float32 arrays by name."""
    given = {name: tensor(value) for name, value in inputs.items()}
    if BACKEND == "torch":
        import torch

        with torch.no_grad():
            output = model(**given)
    else:
        output = model(**given)
    return {name: np.asarray(keras.ops.convert_to_numpy(output[name]), "f4") for name in output}


def ids(batch, length, seed=0):
    return np.random.default_rng(seed).integers(1, CONFIG["vocab_size"], (batch, length))
