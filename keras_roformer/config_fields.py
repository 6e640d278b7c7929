"""The table of a configuration's fields: the default of each, and which values it may have.

A new field costs a row here and, where it is a documented one, a parameter of `RoFormerConfig`.
"""

import functools
import numbers
import sys

# The names that `layers.activations.get_activation` knows: transformers' and Keras's.
ACTIVATIONS = (
    "gelu gelu_10 gelu_accurate gelu_fast gelu_new gelu_python gelu_python_tanh gelu_pytorch_tanh "
    "laplace quick_gelu relu2 "
    "celu elu exponential glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu "
    "linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus "
    "softsign sparse_plus sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold"
).split()
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
SUMMARY_TYPES = ("last", "first", "mean", "cls_index", "attn")

# Checks: each takes a field's name and value and raises a TypeError or ValueError that names them.


def check_integer(name, value, least):
    """Give an integer of at least `least` as Python's int."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}: {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def _check_number(name, value, least, most):
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}: {value!r}")
    if not least <= value <= most:
        expected = f"from {least} to {most}"
        if most == sys.float_info.max:
            expected = f"at least {least}" if value < least else "finite"
        raise ValueError(f"{name} must be {expected}, got {value}")


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def _check_flag(name, value):
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")


def _check_activation(name, value):
    if callable(value):
        return
    if not isinstance(value, str):
        raise TypeError(
            f"{name} must be the name of an activation or a function, got "
            f"{type(value).__name__}: {value!r}"
        )
    # "package>name" is a function registered with Keras; only Keras can tell whether it is there.
    if value not in ACTIVATIONS and ">" not in value:
        raise ValueError(
            f"{name} is {value!r}, which is no known activation; "
            f"use one of {', '.join(ACTIVATIONS)}"
        )


def _anything(name, value):
    """The check of a field that this library only keeps, or that others limit."""


def _or_none(check):
    return lambda name, value: None if value is None else check(name, value)


_positive = functools.partial(check_integer, least=1)
_natural = functools.partial(check_integer, least=0)
_rate = functools.partial(_check_number, least=0, most=1)
_not_negative = functools.partial(_check_number, least=0, most=sys.float_info.max)

# The documented fields; their defaults stand in the signature of `RoFormerConfig`.
DOCUMENTED_FIELDS = {
    "vocab_size": _positive,
    "hidden_size": _positive,
    "embedding_size": _positive,  # is by default hidden_size, so that is checked before
    "num_hidden_layers": _positive,
    "num_attention_heads": _positive,
    "intermediate_size": _positive,
    "hidden_act": _check_activation,
    "hidden_dropout_prob": _rate,
    "attention_probs_dropout_prob": _rate,
    "max_position_embeddings": _positive,
    "type_vocab_size": _positive,
    "initializer_range": _not_negative,
    "layer_norm_eps": _not_negative,
    "pad_token_id": _or_none(_natural),
    "rotary_value": _check_flag,
    "use_cache": _check_flag,
}

# What every transformers configuration has besides the documented RoFormer fields: default, check.
GENERIC_FIELDS = {
    "output_hidden_states": (False, _check_flag),
    "output_attentions": (False, _check_flag),
    "return_dict": (True, _check_flag),
    "torchscript": (False, _anything),
    "dtype": (None, _anything),
    "pruned_heads": ({}, _anything),
    "tie_word_embeddings": (True, _check_flag),
    "chunk_size_feed_forward": (0, _anything),
    "is_encoder_decoder": (False, _anything),
    "is_decoder": (False, _check_flag),
    "cross_attention_hidden_size": (None, _anything),
    "add_cross_attention": (False, _check_flag),
    "architectures": (None, _anything),
    "finetuning_task": (None, _anything),
    "task_specific_params": (None, _anything),
    "problem_type": (None, _or_none(functools.partial(_check_choice, choices=PROBLEM_TYPES))),
    "classifier_dropout": (None, _or_none(_rate)),
    "summary_type": ("last", functools.partial(_check_choice, choices=SUMMARY_TYPES)),
    "summary_use_proj": (False, _check_flag),
    "summary_activation": (None, _anything),
    "summary_proj_to_labels": (False, _check_flag),
    "summary_first_dropout": (0.0, _rate),
    "summary_last_dropout": (0.0, _rate),
    "tokenizer_class": (None, _anything),
    "prefix": (None, _anything),
    "bos_token_id": (None, _anything),
    "eos_token_id": (None, _anything),
    "sep_token_id": (None, _anything),
    "decoder_start_token_id": (None, _anything),
}

# A field that has its default is left out of config.json, as transformers leaves it out.
GENERIC_DEFAULTS = {name: default for name, (default, _) in GENERIC_FIELDS.items()}

CHECKS = {**DOCUMENTED_FIELDS, **{name: check for name, (_, check) in GENERIC_FIELDS.items()}}


def check_pruned_heads(pruned, num_layers, num_heads):
    """Raise a ValueError for a layer or head that there is not, or a layer that keeps no head.

    Args:
        pruned: layer → head numbers.
    """
    for layer, heads in pruned.items():
        if not 0 <= layer < num_layers:
            raise ValueError(
                f"pruned_heads: layer {layer} cannot be pruned: the model has layers 0 to "
                f"{num_layers - 1}"
            )
        for head in heads:
            if head not in range(num_heads):
                raise ValueError(
                    f"pruned_heads: head {head!r} of layer {layer} cannot be pruned: it has heads "
                    f"0 to {num_heads - 1}"
                )
        if len(set(heads)) == num_heads:
            raise ValueError(
                f"pruned_heads: all {num_heads} heads of layer {layer} would be pruned; leave one"
            )


# Conversions: what is kept of the value that a field is set to.


def dtype_name(value):
    """The name of a framework's dtype: torch.float16, jnp.float16, … → "float16"."""
    if value is None or isinstance(value, str):
        return value
    name = getattr(value, "name", None) or getattr(value, "__name__", None) or str(value)
    return str(name).removeprefix("torch.")


def _integer_key(name, key):
    """The number that a key means: in JSON every key is text."""
    try:
        return int(key)
    except (TypeError, ValueError):
        raise ValueError(
            f'{name} must have integer keys, such as {{0: "A", 1: "B"}}, got {key!r}'
        ) from None


def _labels(name, value):
    return {_integer_key(name, key): label for key, label in (value or {}).items()}


def _pruned_heads(name, value):
    return {_integer_key(name, key): list(heads) for key, heads in (value or {}).items()}


CONVERSIONS = {
    "id2label": _labels,
    "pruned_heads": _pruned_heads,
    "dtype": lambda name, value: dtype_name(value),
    "name_or_path": lambda name, value: str(value),
}


def converted(name, value):
    """A field's value as a configuration keeps it."""
    if name in CONVERSIONS:
        return CONVERSIONS[name](name, value)
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return int(value) if is_integer else value  # numpy's integers do not go into JSON
