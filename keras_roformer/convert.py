"""Convert a checkpoint to another weight format, with the proof that it is the same."""

import contextlib
import pathlib
import shutil

import numpy as np

from keras_roformer import hub
from keras_roformer.backend import FAMILIES, choose_backend
from keras_roformer.config import CONFIG_NAME, RoFormerConfig
from keras_roformer.saving import atomic_folder
from keras_roformer.weights import checkpoint, formats, names

_SHAPE = (2, 16)  # batch and tokens of the comparison
_TOLERANCE = 1e-5


def convert_checkpoint(source, target, to="safetensors", source_format=None, backend=None):
    """Write a checkpoint in another format, and compare the two.

    Args:
        source: preset, directory or hub id.
        target: directory, made if absent; config, vocabulary and tokenizer files are copied there.
            It changes at the end, all at once, and only if the new weights prove equal. It may be
            the source, which then has both formats.
        to: one of `formats.WRITTEN`.
        source_format: a name in `formats.TABLE`: which to read where `source` has several; by
            default the first.
        backend: where both are run; by default the first installed.

    Returns:
        dict of what was found: formats, numbers of tensors and parameters, the class that was run,
        the largest weight and output differences, and `equal`.

    Raises:
        ValueError: the source is no checkpoint, or the target is a file or holds other weights,
            which would be read with the new config and vocabulary.
    """
    backend = choose_backend(backend)
    directory = hub.resolve(source)
    target = pathlib.Path(target)
    _check_target(target, directory, to)
    found = checkpoint.find(directory, source_format)
    tensors = checkpoint.read(directory, source_format)
    config = RoFormerConfig.from_directory(directory)
    model_class = _model_class(config, tensors, FAMILIES[backend])
    model = _load(model_class, directory, found.format)
    report = {
        "from": found.format,
        "to": to,
        "tensors": len(tensors),
        "parameters": model.num_parameters(),
        "class": model_class.__name__,
        "backend": backend,
    }
    with contextlib.suppress(_Unequal), atomic_folder(target, keep=True) as folder:
        checkpoint.write(folder, tensors, to, kinds=names.kinds(model.network))
        if not (directory / CONFIG_NAME).is_file():  # the original code names it otherwise
            config.save_pretrained(folder)
        for file in directory.iterdir():
            if file.suffix in (".json", ".txt") and not file.name.endswith(".index.json"):
                shutil.copy(file, folder)
        weights = _weight_difference(tensors, checkpoint.read(folder, to))
        outputs = _difference(model, _load(model_class, folder, to), config)
        report |= {
            "largest weight difference": weights,
            "largest difference": outputs,
            "equal": weights == 0 and outputs <= _TOLERANCE,
        }
        if not report["equal"]:
            raise _Unequal
    return report


class _Unequal(Exception):
    """Leaves the target as it was."""


def _check_target(target, source, to):
    """Refuse a directory of weights that the conversion would not replace."""
    if target.is_file():
        raise ValueError(f"{target} is a file; give a directory to write the checkpoint in")
    if target.is_dir() and target.samefile(source):
        return
    stale = [
        path
        for row in formats.TABLE.values()
        for path in (*row.whole_files(target), target / row.index_file)
        if path.exists() and path.name != formats.TABLE[to].file  # which is written anew
    ]
    if stale:
        raise ValueError(
            f"{stale[0]} is there already, of another conversion or model: beside the new weights "
            "it would be read with a config that is not its own; remove it, or give another "
            "directory"
        )


def _weight_difference(tensors, again):
    tensors, again = map(names.with_prefix, (tensors, again))
    return max(
        float(np.max(np.abs(_wide(tensors[name]) - _wide(again[name])), initial=0.0))
        if name in again
        else np.inf
        for name in tensors
        if name not in names.TIED and not names.COMPUTED.fullmatch(name)
    )


def _wide(array):
    return np.asarray(array, "float64")


def _model_class(config, tensors, prefix):
    """The documented class of a checkpoint, by its config or by the head among its weights."""
    import keras_roformer

    named = (config.architectures or [""])[0].removeprefix("Flax").removeprefix("TF")
    name = named if named.startswith("RoFormer") else names.class_name(names.task_of(tensors))
    return getattr(keras_roformer, prefix + name)


def _load(cls, directory, format):
    return cls.from_pretrained(directory, **formats.TABLE[format].request)


def _difference(first, second, config):
    """Largest difference of two models' outputs for random tokens, over the largest output."""
    from keras_roformer.tasks import TASKS

    rng = np.random.default_rng(0)
    shape = (_SHAPE[0], 2, _SHAPE[1]) if TASKS[first.task].has_choices else _SHAPE
    batch = {
        "input_ids": rng.integers(0, config.vocab_size, shape).astype("int32"),
        "attention_mask": np.ones(shape, "int32"),
    }
    outputs = []
    for model in (first, second):
        model.prepare_prediction()
        outputs.append(model.predict_arrays(batch))
    return max(
        float(np.max(np.abs(outputs[0][name] - outputs[1][name])) / np.max(np.abs(value)))
        for name, value in outputs[0].items()
    )
