"""Which Keras backend runs. Keras runs one a process, chosen when `keras` is first imported."""

import importlib.util
import json
import os
import pathlib
import sys

# By the names of their packages, in the order of preference when all are free.
BACKENDS = ("jax", "torch", "tensorflow")
# Backend → the family of documented classes that runs on it: what their names begin with.
FAMILIES = {"torch": "", "tensorflow": "TF", "jax": "Flax"}


def current_backend():
    """The backend that is decided already: Keras's own once it is imported, else KERAS_BACKEND."""
    if "keras" in sys.modules:
        return sys.modules["keras"].config.backend()
    return os.environ.get("KERAS_BACKEND") or None


def use_backend(backend, wanted_by=None):
    """Make `backend` Keras's, or say why it cannot be.

    Args:
        backend: "jax", "torch" or "tensorflow".
        wanted_by: what needs it, for the error.

    Raises:
        ValueError: no such backend.
        ImportError: its package is not installed.
        RuntimeError: another backend is decided already.
    """
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; use one of {', '.join(BACKENDS)}")
    wanted_by = wanted_by or "keras_roformer"
    decided = current_backend()
    if decided is not None and decided != backend:
        raise RuntimeError(
            f"{wanted_by} runs on Keras's {backend} backend, but this process runs Keras on "
            f"{decided}; set KERAS_BACKEND={backend} before Keras is first imported, or use the "
            f"classes of {decided}"
        )
    if importlib.util.find_spec(backend) is None:
        raise ImportError(
            f"{wanted_by} needs {backend}, which is not installed; "
            f"install it with: pip install 'keras-roformer[{backend}]'"
        )
    os.environ["KERAS_BACKEND"] = backend


def choose_backend(backend=None):
    """The backend to run: the one asked for, else the decided one, else the one in the user's
    `keras.json`, else the first installed.

    Raises:
        ImportError: no backend is installed.
        ValueError, RuntimeError: see `use_backend`.
    """
    backend = backend or current_backend() or _configured_backend()
    if backend is None:
        backend = next(filter(importlib.util.find_spec, BACKENDS), None)
    if backend is None:
        raise ImportError(
            "none of jax, torch and tensorflow is installed; install one with: "
            "pip install 'keras-roformer[jax]'"
        )
    use_backend(backend)
    return backend


def _configured_backend():
    """What the user wrote into Keras's `keras.json`; None for "tensorflow", which Keras writes."""
    folder = os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras"
    try:
        backend = json.loads((pathlib.Path(folder) / "keras.json").read_text("utf-8"))["backend"]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return None  # no home, no such file, or one that Keras itself leaves aside
    return None if backend == "tensorflow" else backend


def require_hub(wanted_by):
    """Say what to install where KerasHub is missing.

    Raises:
        ImportError: it is not installed.
    """
    if importlib.util.find_spec("keras_hub") is None:
        raise ImportError(
            f"{wanted_by} needs keras-hub, which is not installed; "
            "install it with: pip install 'keras-roformer[hub]'"
        )


def compiles_each_shape():
    """Whether a new shape of a batch is a new program for the backend: on JAX.

    There few shapes are better than little padding. TensorFlow's graphs take any shape, and torch
    compiles nothing.
    """
    return current_backend() == "jax"


def fixes_sizes_of_loaders():
    """Whether Keras expects all batches of a loader to have the sizes of the first two: on
    TensorFlow, see `upstream.for_keras.with_signature`."""
    return current_backend() == "tensorflow"
