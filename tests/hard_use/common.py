"""What the tests of hard use share: how hard, tiny models of the running backend, the figures."""

import os
import pathlib
import time

import keras
import numpy as np

import keras_roformer as kr
from tests.conftest import FAMILY_PREFIX

ROOT = pathlib.Path(__file__).resolve().parents[2]
BACKEND = keras.config.backend()
PREFIX = FAMILY_PREFIX[BACKEND]
HARD = os.environ.get("HARD") == "1"  # `make hard`: the numbers that the README quotes
CONFIG = dict(
    vocab_size=40,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=24,
    num_labels=3,
)


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


def cls(task):
    return getattr(kr, f"{PREFIX}RoFormer{task}")


def make(task, seed=0, dtype=None, **changes):
    """A tiny model of the running family, the same weights whatever the dtype."""
    keras.utils.set_random_seed(seed)
    config = kr.RoFormerConfig(**{**CONFIG, **changes})
    if BACKEND == "torch":
        model = cls(task)(config).eval()
        if dtype:
            import torch

            model.to(getattr(torch, dtype))
        return model
    if BACKEND == "jax":
        return cls(task)(config, seed=seed, **({"dtype": dtype} if dtype else {}))
    return cls(task)(config, **({"dtype": dtype} if dtype else {}))


def spread(model, factor):
    """Random weights `factor` times as large as at initialisation."""
    for variable in model.network.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(factor * keras.ops.convert_to_numpy(variable))
    if BACKEND == "jax":
        model._after_loading()
    return model


def tensor(array):
    if BACKEND != "torch":
        return array
    import torch

    return torch.as_tensor(array)


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
