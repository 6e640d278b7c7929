"""What the tests share: tiny models of the running backend's documented family, tensors of its
framework, comparison, and processes of their own."""

import subprocess
import sys

import keras
import numpy as np

import keras_roformer as kr
from tests.conftest import FAMILY_PREFIX
from tests.tolerances import FLOAT32

BACKEND = keras.config.backend()
PREFIX = FAMILY_PREFIX[BACKEND]
TASKS = (
    "Model",
    "ForMaskedLM",
    "ForCausalLM",
    "ForSequenceClassification",
    "ForMultipleChoice",
    "ForTokenClassification",
    "ForQuestionAnswering",
)
CONFIG = dict(
    vocab_size=40,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=24,
    embedding_size=12,
    num_labels=3,
)
# No two sizes are equal, so that no axis can stand for another.
WIDE = {
    **CONFIG,
    "vocab_size": 50,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
NO_DROPOUT = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
IDS = np.random.default_rng(0).integers(1, CONFIG["vocab_size"], (2, 6))


def cls(task, prefix=PREFIX):
    """The documented class of a task, as "ForMaskedLM", in the running family."""
    return getattr(kr, f"{prefix}RoFormer{task}")


def make(task, seed=0, dtype=None, config=CONFIG, **changes):
    """A tiny model, ready for inference; the same weights whatever the dtype."""
    keras.utils.set_random_seed(seed)
    config = kr.RoFormerConfig(**{**config, **changes})
    if BACKEND == "torch":
        model = cls(task)(config).eval()
        return model.to(_torch_dtype(dtype)) if dtype else model
    arguments = {"dtype": dtype} if dtype else {}
    if BACKEND == "jax":
        arguments["seed"] = seed
    return cls(task)(config, **arguments)


def _torch_dtype(name):
    import torch

    return getattr(torch, name)


def tensor(value):
    """An array as the family takes it: torch wants tensors, the others take arrays as well."""
    return native(value) if BACKEND == "torch" and isinstance(value, np.ndarray) else value


def native(value):
    """Arrays, in tuples and lists too, as the framework's own tensors; all else as it is."""
    if isinstance(value, (tuple, list)):
        return type(value)(native(item) for item in value)
    if not isinstance(value, np.ndarray) or BACKEND == "jax":
        return value
    if BACKEND == "torch":
        import torch

        return torch.from_numpy(value.copy())
    return keras.ops.convert_to_tensor(value)


def array(value):
    """Any tensor as an array that NumPy can compute with."""
    if not isinstance(value, (np.ndarray, np.generic, list, tuple, int, float)):
        value = keras.ops.convert_to_numpy(value)
    value = np.asarray(value)
    return value.astype("float32") if value.dtype.kind == "V" else value  # bfloat16


def close(actual, wanted, tolerance=FLOAT32, message=""):
    """Equal shapes, and numbers within one of the tolerances of tests/tolerances.py."""
    np.testing.assert_allclose(array(actual), array(wanted), **tolerance, err_msg=message)


def first(model, ids=IDS):
    """The first documented output of a call, as an array."""
    ids = ids[:, None] if "MultipleChoice" in type(model).__name__ else ids
    output = model(tensor(ids))
    names = ("start_logits", "logits", "last_hidden_state")
    return array(next(output[name] for name in names if name in output))


def python(*arguments, status=0, **options):
    """Run a Python process of its own; its status must be `status`.

    Args:
        arguments: of Python, as "-c" and the code.
        status: the exit status that is right.
        options: of `subprocess.run`; output is captured as text.

    Returns:
        The `subprocess.CompletedProcess`.
    """
    options = {"capture_output": True, "text": True, "timeout": 600, **options}
    done = subprocess.run([sys.executable, *map(str, arguments)], **options)
    assert done.returncode == status, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done
