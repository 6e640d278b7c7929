"""Between a network's variables and a canonical checkpoint (see `names`)."""

import dataclasses
import logging
import re

import numpy as np
from keras import ops

from keras_roformer.layers import kernels
from keras_roformer.layers.initializers import InitialWeights
from keras_roformer.layers.rotary import BASE
from keras_roformer.limits import check_memory
from keras_roformer.weights import CheckpointError
from keras_roformer.weights.names import (
    COMPUTED,
    OPTIONAL,
    TIED,
    is_of_backbone,
    weights,
    with_prefix,
)

logger = logging.getLogger("keras_roformer")


@dataclasses.dataclass
class LoadingReport:
    """What did not match between a network and a checkpoint, by canonical names.

    Attributes:
        missing_keys: weights of the network that the checkpoint lacks; they keep their values, and
            those of a network without any (`layers.initializers.deferred_values`) want `draw`.
        unexpected_keys: arrays of the checkpoint that the network has no place for.
        mismatched_keys: `(name, shape in the checkpoint, shape in the network)` left unloaded.
    """

    missing_keys: list[str] = dataclasses.field(default_factory=list)
    unexpected_keys: list[str] = dataclasses.field(default_factory=list)
    mismatched_keys: list[tuple] = dataclasses.field(default_factory=list)

    @property
    def absent_keys(self):
        """Weights of the network that were not loaded."""
        return self.missing_keys + [name for name, *_ in self.mismatched_keys]

    def as_dict(self):
        return {**dataclasses.asdict(self), "error_msgs": []}

    def warn_of_absent(self, class_name, source):
        """Say in the log which weights were not loaded."""
        if self.absent_keys:
            logger.warning(
                "%s: %s are not in %s and keep their initial values; train the model before use",
                class_name,
                ", ".join(self.absent_keys),
                source,
            )


def load(network, tensors, source="the checkpoint", ignore_mismatched_sizes=False):
    """`assign` a canonical checkpoint to the variables of a `RoFormerNetwork`."""
    return assign(list(weights(network)), tensors, source, ignore_mismatched_sizes)


def assign(expected, tensors, source="the checkpoint", ignore_mismatched_sizes=False):
    """Assign a canonical checkpoint to variables.

    A new head, an absent pooler, new cross-attention (a decoder that starts from an encoder) and
    layers beyond the network's last (a network that keeps the first ones) are reported; anything
    else that does not match is an error, and then no variable has been changed.

    Args:
        expected: list of the `names.Weight`s of a network.
        tensors: name → array, with or without the `roformer.` prefix; not to be written to
            afterwards, as the network may keep their memory.
        source: what to call the checkpoint in errors.
        ignore_mismatched_sizes: keep the network's values where shapes differ.

    Returns:
        `LoadingReport`.

    Raises:
        CheckpointError: the backbone is incomplete, has unknown parts, or a shape differs.
    """
    tensors = with_prefix(tensors)
    _refuse_other_models(tensors, source)
    report = LoadingReport()
    assignments = []
    for weight in expected:
        if weight.name not in tensors:
            report.missing_keys.append(weight.name)
            continue
        array = tensors[weight.name]
        array = array.T if weight.transposed else array
        if tuple(array.shape) != tuple(weight.variable.shape):
            shapes = tensors[weight.name].shape, _canonical_shape(weight)
            report.mismatched_keys.append((weight.name, *map(tuple, shapes)))
            continue
        assignments.append((weight.variable, array))
    names = {weight.name for weight in expected}
    report.unexpected_keys = [
        name
        for name in tensors
        if name not in names and not COMPUTED.fullmatch(name) and name not in TIED
    ]
    _check(report, source, ignore_mismatched_sizes, names)
    for variable, array in assignments:
        kernels.fill(variable, array)
    return report


def draw(network, names):
    """Give the weights of a network that have these canonical names their initial values.

    For a network made within `layers.initializers.deferred_values`, once a checkpoint is loaded.
    """
    for weight in weights(network):
        if weight.name in names and isinstance(weight.initializer, InitialWeights):
            variable = weight.variable
            variable.assign(weight.initializer(variable.shape, variable.dtype))


def _canonical_shape(weight):
    shape = tuple(weight.variable.shape)
    return shape[::-1] if weight.transposed else shape


def _refuse_other_models(tensors, source):
    prefixes = {name.partition(".")[0] for name in tensors}
    for other in sorted(prefixes & {"bert", "roberta", "electra", "albert", "roformerv2"}):
        raise CheckpointError(
            f"{source} is a {other} checkpoint (its weights are named '{other}.…'), not a "
            "RoFormer one; load it with the library that made it"
        )
    query = "roformer.encoder.layer.0.attention.self.query"
    if f"{query}.weight" in tensors and f"{query}.bias" not in tensors:
        raise CheckpointError(
            f"{source} has no attention biases: it is a RoFormerV2 checkpoint, whose architecture "
            "differs from RoFormer's; only RoFormer (V1) checkpoints can be loaded"
        )


def is_of_layer(name):
    """Whether a canonical name is that of an encoder layer's weight."""
    return _LAYER.match(name) is not None


_LAYER = re.compile(r"roformer\.encoder\.layer\.\d+\.")


def _check(report, source, ignore_mismatched_sizes, expected):
    layers = {_LAYER.match(name)[0] for name in expected if is_of_layer(name)}

    def backbone(names):
        return [
            name
            for name in names
            if is_of_backbone(name)
            and not OPTIONAL.match(name)
            and not (is_of_layer(name) and layers and _LAYER.match(name)[0] not in layers)
        ]

    if report.mismatched_keys and not ignore_mismatched_sizes:
        name, found, wanted = report.mismatched_keys[0]
        more = len(report.mismatched_keys) - 1
        raise CheckpointError(
            f"{source}: {name} has shape {found}, the model needs {wanted}"
            + (f" (and {more} more)" if more else "")
            + "; make the config fit the checkpoint, or pass ignore_mismatched_sizes=True to "
            "leave such weights at their initial values"
        )
    for kind, names in (
        ("lacks", backbone(report.missing_keys)),
        ("has, but the model does not,", backbone(report.unexpected_keys)),
    ):
        if names:
            shown = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
            raise CheckpointError(
                f"{source} {kind} {len(names)} weights of the encoder ({shown}); its config does "
                "not describe it, or it is no RoFormer checkpoint"
            )


def read(network) -> dict[str, np.ndarray]:
    """The network's weights as a canonical checkpoint, without computed and tied ones."""
    tensors = {}
    for weight in weights(network):
        array = np.asarray(ops.convert_to_numpy(weight.variable))
        tensors[weight.name] = np.ascontiguousarray(array.T if weight.transposed else array)
    return tensors


def computed(config) -> dict[str, np.ndarray]:
    """What transformers keeps among the weights although the config says it: the table of sines
    (first half) and cosines of every documented position."""
    size = config.hidden_size // config.num_attention_heads
    check_memory(
        8 * size * config.max_position_embeddings,
        f"the table of max_position_embeddings={config.max_position_embeddings} positions that "
        "transformers keeps among the weights",
        "give the config the number that the model was trained with",
    )
    frequencies = BASE ** (-np.arange(0, size, 2) / size)
    angles = np.arange(config.max_position_embeddings)[:, None] * frequencies
    table = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    return {"roformer.encoder.embed_positions.weight": table.astype("float32")}
