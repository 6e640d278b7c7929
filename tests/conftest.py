"""Settings that every test file shares.

The suite runs once per backend: ``KERAS_BACKEND=jax|tensorflow|torch pytest tests``.
"""

import contextlib
import gc
import os
import sys
from pathlib import Path

# Before anything imports a framework. Tests never reach for the network, and XLA gets the eight
# virtual CPU devices that the sharding tests need.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ["HF_HUB_OFFLINE"] = "1"
# Two runs share two cores (tests/run_all.py): more threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
# Tiny models spend their time in XLA's compiler: half of it with the optimisations off. What it has
# compiled is kept, small as it is: for the processes that tests start, and for the next run.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / "build/jax-cache")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")

import pytest

# TensorFlow 2.21 and after it triton, which torch's CUDA builds bring and transformers imports,
# crash a process; in the other order they do not.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]
# `from tests.tolerances import FLOAT32` and `import tuning` work however pytest is started.
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

# Class-name prefix of the documented family that runs on each Keras backend.
FAMILY_PREFIX = {"torch": "", "tensorflow": "TF", "jax": "Flax"}


@pytest.fixture(scope="session")
def backend() -> str:
    """The Keras backend of this run."""
    return os.environ["KERAS_BACKEND"]


@pytest.fixture(scope="session")
def family_prefix(backend) -> str:
    """What stands before `RoFormer…` in this backend's class names: nothing, TF or Flax."""
    return FAMILY_PREFIX[backend]


# These folders need no Keras backend; tests elsewhere that need none are marked one by one.
FRAMEWORK_FREE = (ROOT / "tests" / "tokenizers", ROOT / "tests" / "weights")


@pytest.fixture(scope="module", autouse=True)
def frozen_heap():
    """What is there before a file's tests is not looked at by the garbage collector.

    Keras 3.15 calls `gc.collect` whenever a layer loses a variable, so nine times in `quantize`;
    with all the tests and frameworks on the heap each call takes half a second.
    """
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in FRAMEWORK_FREE):
            item.add_marker("framework_free")
        if item.get_closest_marker("framework_free") and not item.get_closest_marker("slow"):
            item.add_marker("quick")
