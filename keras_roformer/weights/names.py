"""The one table of weight names: Keras layer ↔ transformers ↔ original TensorFlow (bert4keras).

A checkpoint in memory is a dict of numpy arrays under transformers' torch names, in torch's layout
(dense weights are (out, in)): the canonical form that every file reader gives and writer takes.

`import keras_roformer` reads the names of the tasks here, so this module imports no NumPy.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator

DENSE, NORM, EMBEDDING, BIAS = "dense", "norm", "embedding", "bias"


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One weight's names, after the name of its layer."""

    attribute: str  # of the Keras layer
    name: str  # canonical
    original: str  # in original TensorFlow checkpoints
    tf: str  # in checkpoints of transformers' TensorFlow classes, and of its Flax classes
    flax: str


# kind → its leaves. TensorFlow's word embedding is the one exception, see `layouts.to_tf`.
LEAVES = {
    DENSE: (
        Leaf("kernel", "weight", original="kernel", tf="kernel", flax="kernel"),
        Leaf("bias", "bias", original="bias", tf="bias", flax="bias"),
    ),
    NORM: (
        Leaf("gamma", "weight", original="gamma", tf="gamma", flax="scale"),
        Leaf("beta", "bias", original="beta", tf="beta", flax="bias"),
    ),
    EMBEDDING: (Leaf("embeddings", "weight", original="", tf="embeddings", flax="embedding"),),
    BIAS: (Leaf("bias", "bias", original="", tf="bias", flax="bias"),),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One layer's names."""

    layer: str  # attribute path from the network; `{i}` is the layer's number
    module: str  # transformers' module name
    kind: str  # key of `LEAVES`
    original: str | None = None  # in original TensorFlow checkpoints, None where they have none

    def transposes(self, leaf):
        """Whether the canonical array of a `Leaf` is the transpose of the Keras variable."""
        return self.kind == DENSE and leaf.name == "weight"

    def original_name(self, leaf):
        """The name of a `Leaf` in original TensorFlow checkpoints, or None."""
        return self.original and f"{self.original}/{leaf.original}".rstrip("/")


_EMBEDDINGS = "roformer.embeddings"
_BLOCK = "roformer.encoder.blocks.{i}"
_LAYER = "roformer.encoder.layer.{i}"
_TF = "bert/encoder/layer_{i}"

BACKBONE = (
    *(
        Row(f"{_EMBEDDINGS}.{layer}", f"{_EMBEDDINGS}.{module}", kind, f"bert/embeddings/{module}")
        for layer, module, kind in (
            ("word_embeddings", "word_embeddings", EMBEDDING),
            ("token_type_embeddings", "token_type_embeddings", EMBEDDING),
            ("norm", "LayerNorm", NORM),
        )
    ),
    Row(
        "roformer.embeddings_project",
        "roformer.embeddings_project",
        DENSE,
        "bert/encoder/embedding_hidden_mapping_in",
    ),
    *(
        Row(f"{_BLOCK}.{layer}", f"{_LAYER}.{module}", kind, original and f"{_TF}/{original}")
        for layer, module, kind, original in (
            ("attention.query", "attention.self.query", DENSE, "attention/self/query"),
            ("attention.key", "attention.self.key", DENSE, "attention/self/key"),
            ("attention.value", "attention.self.value", DENSE, "attention/self/value"),
            ("attention.output_dense", "attention.output.dense", DENSE, "attention/output/dense"),
            ("attention_norm", "attention.output.LayerNorm", NORM, "attention/output/LayerNorm"),
            ("cross_attention.query", "crossattention.self.query", DENSE, None),
            ("cross_attention.key", "crossattention.self.key", DENSE, None),
            ("cross_attention.value", "crossattention.self.value", DENSE, None),
            ("cross_attention.output_dense", "crossattention.output.dense", DENSE, None),
            ("cross_attention_norm", "crossattention.output.LayerNorm", NORM, None),
            ("intermediate_dense", "intermediate.dense", DENSE, "intermediate/dense"),
            ("output_dense", "output.dense", DENSE, "output/dense"),
            ("output_norm", "output.LayerNorm", NORM, "output/LayerNorm"),
        )
    ),
    Row("roformer.pooler.pooler_dense", "roformer.pooler.dense", DENSE, "bert/pooler/dense"),
)

_LM = (
    *(
        Row(f"head.{layer}", f"cls.predictions.{module}", kind, f"cls/predictions/{original}")
        for layer, module, kind, original in (
            ("transform", "transform.dense", DENSE, "transform/dense"),
            ("norm", "transform.LayerNorm", NORM, "transform/LayerNorm"),
        )
    ),
    Row("head", "cls.predictions", BIAS, "cls/predictions/output_bias"),
    Row("head.decoder", "cls.predictions.decoder", DENSE),
)
# Task → rows of its head. Every task there is has a row here and one in `tasks.TASKS`.
HEADS = {
    "model": (),
    "masked_lm": _LM,
    "causal_lm": _LM,
    "sequence_classification": (
        Row("head.hidden_dense", "classifier.dense", DENSE),
        Row("head.out_proj", "classifier.out_proj", DENSE),
    ),
    "multiple_choice": (
        Row("head.summary", "sequence_summary.summary", DENSE),
        Row("head.classifier", "classifier", DENSE),
    ),
    "token_classification": (Row("head.projection", "classifier", DENSE),),
    "question_answering": (Row("head.projection", "qa_outputs", DENSE),),
}


def class_suffix(task):
    """What transformers puts at the end of the names of a task's classes: `ForMaskedLM` for
    `masked_lm`, nothing for the bare model."""
    words = ("LM" if word == "lm" else word.title() for word in task.split("_"))
    return "" if task == "model" else "For" + "".join(words)


def class_name(task, family=""):
    """The name of a task's documented class: `RoFormerForMaskedLM`; of another family than torch's,
    with its prefix ("TF" or "Flax")."""
    return f"{family}RoFormer{class_suffix(task) or 'Model'}"


def task_of(tensors):
    """The task whose head is in a canonical checkpoint: the one with the most rows there, and of
    those with as many the one with the fewest rows missing."""

    def fit(task):
        modules = [row.module for row in HEADS[task]]
        found = sum(f"{m}.weight" in tensors or f"{m}.bias" in tensors for m in modules)
        return found, found - len(modules)

    return max(HEADS, key=fit)


# The backbone's weights are `roformer.…` but for a bare model's, which have no such prefix.

_PREFIX = "roformer."
_BACKBONE_PARTS = ("embeddings", "embeddings_project", "encoder", "pooler")


def is_of_backbone(name):
    """Whether a canonical name, with its prefix, is that of a part of the backbone."""
    return name.startswith(_PREFIX)


def full_name(name):
    """A canonical name, of a bare model or another one, with the prefix if it is to have one."""
    return _PREFIX + name if name.partition(".")[0] in _BACKBONE_PARTS else name


def bare_name(name):
    """A canonical name without the prefix, as a bare model has it."""
    return name.removeprefix(_PREFIX)


def with_prefix(tensors) -> dict:
    """A checkpoint, of a bare model or another one, with `full_name`s."""
    return {full_name(name): value for name, value in tensors.items()}


def without_prefix(tensors) -> dict:
    """A checkpoint with the `bare_name`s of a bare model."""
    return {bare_name(name): value for name, value in tensors.items()}


# Computed from the config, or copies of other weights: never loaded, whatever a file holds.
COMPUTED = re.compile(r"(roformer\.)?encoder\.embed_positions\.weight|.*\.position_ids")
TIED = {
    "cls.predictions.decoder.weight": "roformer.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
# Parts of a backbone that a model may lack although its checkpoint has them, or the reverse.
OPTIONAL = re.compile(r"roformer\.pooler\.|roformer\.encoder\.layer\.\d+\.crossattention\.")


@dataclasses.dataclass(frozen=True)
class Weight:
    """One weight of a network under its three names."""

    name: str  # canonical, e.g. `roformer.encoder.layer.0.output.dense.weight`
    variable: object  # the Keras variable
    initializer: object  # what the variable was made by; None where the layer does not say
    kind: str  # key of `LEAVES`
    original: str | None  # name in original TensorFlow checkpoints
    transposed: bool  # whether the canonical array is the transpose of the variable


def layers(network) -> Iterator[tuple[Row, object]]:
    """`(row, Keras layer)` of a `RoFormerNetwork`, in the table's order, with the layer's number in
    the row's names; a missing part is left out."""
    numbers = range(network.config.num_hidden_layers)
    rows = BACKBONE + HEADS[network.task]
    ordered = []
    for in_block, group in itertools.groupby(rows, key=lambda row: "{i}" in row.layer):
        group = list(group)
        ordered += [(row, i) for i in (numbers if in_block else [None]) for row in group]
    for row, i in ordered:
        layer = layer_at(network, row.layer.format(i=i))
        if layer is not None:
            original = row.original and row.original.format(i=i)
            yield dataclasses.replace(row, module=row.module.format(i=i), original=original), layer


def weights(network) -> Iterator[Weight]:
    """The weights of a `RoFormerNetwork`, in the table's order; a missing part is left out."""
    for row, layer in layers(network):
        yield from layer_weights(row, layer)


def layer_weights(row, layer) -> Iterator[Weight]:
    """The weights of one layer of a network, see `layers`."""
    for leaf in LEAVES[row.kind]:
        variable = getattr(layer, leaf.attribute)
        if variable is not None:
            yield Weight(
                f"{row.module}.{leaf.name}",
                variable,
                getattr(layer, f"{leaf.attribute}_initializer", None),
                row.kind,
                row.original_name(leaf),
                row.transposes(leaf),
            )


def layer_at(network, path):
    """The layer at a path such as `head.summary`; None where the network has none."""
    layer = network
    for part in path.split("."):
        layer = layer[int(part)] if part.isdigit() else getattr(layer, part, None)
        if layer is None:
            return None
    return layer


def kinds(network) -> dict[str, str]:
    """Canonical module name → kind, for the writers of other formats."""
    return {weight.name.rpartition(".")[0]: weight.kind for weight in weights(network)}


def from_original(tensors) -> dict:
    """Canonical form of an original TensorFlow (bert4keras) checkpoint's arrays.

    An optimizer's variables are left out; another name that is not in the table stays as it is.

    Raises:
        CheckpointError: BERT's checkpoint, which has names like these.
    """
    if "bert/embeddings/position_embeddings" in tensors:
        from keras_roformer.weights import CheckpointError  # which imports NumPy

        raise CheckpointError(
            "it has position embeddings, so it is a BERT checkpoint, not a RoFormer one; load it "
            "with the library that made it"
        )
    canonical = {}
    for name, array in tensors.items():
        number = re.search(r"layer_(\d+)/", name)
        pattern = name.replace(number[0], "layer_{i}/") if number else name
        if pattern in _FROM_ORIGINAL:
            module, leaf, transposed = _FROM_ORIGINAL[pattern]
            module = module.format(i=number and number[1])
            canonical[f"{module}.{leaf}"] = array.T if transposed else array
        elif not re.search(r"/adam_[mv]$|^global_step$|/Adam(_1)?$", name):
            canonical[name] = array
    return canonical


_FROM_ORIGINAL = {
    row.original_name(leaf): (row.module, leaf.name, row.transposes(leaf))
    for row in (*BACKBONE, *(row for rows in HEADS.values() for row in rows))
    if row.original
    for leaf in LEAVES[row.kind]
}
