"""Backends and packages that are missing."""

import builtins
import importlib
import importlib.util

import pytest

import keras_roformer as kr
from keras_roformer import backend as backends
from tests.bad_input.rows import (
    model_of,
    refused,
)
from tests.support import BACKEND


def without(package, action):
    """`action` where a package is not installed."""

    def mistake(tmp_path):
        real_import, real_find = builtins.__import__, importlib.util.find_spec

        def importing(name, *args, **kwargs):
            if name.partition(".")[0] == package:
                raise ImportError(name)
            return real_import(name, *args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(builtins, "__import__", importing)
            patch.setattr(
                importlib.util,
                "find_spec",
                lambda name, *args: None if name == package else real_find(name, *args),
            )
            patch.delenv("KERAS_BACKEND", raising=False)
            patch.setattr(backends, "current_backend", lambda: None)
            action(tmp_path)

    return mistake


def reload_models_without_keras_hub(tmp_path):
    from keras_roformer import models

    without("keras_hub", lambda _: importlib.reload(models))(tmp_path)


def flax_module(tmp_path):
    return model_of("ForMaskedLM").module


def other_family(tmp_path):
    return getattr(kr, "FlaxRoFormerModel" if BACKEND != "jax" else "TFRoFormerModel")


ROWS = {
    "wrong backend": (
        other_family,
        RuntimeError,
        (f"runs Keras on {BACKEND}", "set KERAS_BACKEND=", "before Keras is first imported"),
    ),
    "unknown backend": (
        lambda tmp_path: backends.use_backend("mxnet"),
        ValueError,
        ("'mxnet'", "jax, torch, tensorflow", "use one of"),
    ),
    "backend that is not installed": (
        without("torch", lambda tmp_path: backends.use_backend("torch")),
        ImportError,
        ("torch, which is not installed", "pip install 'keras-roformer[torch]'"),
    ),
    "flax that is not installed": (
        without("flax", flax_module),
        ImportError,
        ("needs flax", "pip install 'keras-roformer[flax]'"),
        ("jax",),
    ),
    "tokenizer of words without rjieba": (
        without("rjieba", lambda _: kr.RoFormerTokenizer.from_pretrained("roformer_tiny_zh")),
        ImportError,
        ("rjieba", "use_jieba=False"),
    ),
    "KerasHub that is not installed": (
        without("keras_hub", lambda _: kr.__getattr__("RoFormerMaskedLM")),
        ImportError,
        ("RoFormerMaskedLM needs keras-hub", "pip install 'keras-roformer[hub]'"),
    ),
    "module of KerasHub's models without KerasHub": (
        reload_models_without_keras_hub,
        ImportError,
        ("keras_roformer.models needs keras-hub", "pip install 'keras-roformer[hub]'"),
    ),
}

test_refused = refused(ROWS)
