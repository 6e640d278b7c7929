"""What the arguments of a call must be, so that a mistake is an error that names it.

Without these checks most mistakes are silent: JAX and TensorFlow take another token's embedding
for an id that there is none of, a mask of another length may broadcast, an additive mask inverts
itself. Shapes and dtypes are always looked at, and cost nothing where a call is compiled. Values
are looked at once, outside: inside a function that is being traced there are none yet.
`KERAS_ROFORMER_CHECK_IDS=0` in the environment switches the look at values off, and the error
where cross-attention gets no states, which transformers leaves out without a word.
"""

import math
import numbers

import keras
import numpy as np
from keras import ops

from keras_roformer.limits import check_ids
from keras_roformer.tasks import (
    CLASSES,
    IGNORED_LABEL,
    NUMBERS,
    OF_PROBLEM_TYPE,
    POSITIONS,
    TASKS,
    TOKEN_CLASSES,
    problem_type,
)

INTEGERS = ("input_ids", "token_type_ids", "position_ids")


class CallChecker:
    """Checks the arguments of one documented class.

    Args:
        name: the class, for errors.
        config: `RoFormerConfig`.
        task: name of its task.
        extremes: function that gives the least and the greatest value of a tensor, or None where
            there are none to see (a traced tensor, an empty one).
        strict: look at values, and refuse cross-attention without states.
    """

    def __init__(self, name, config, task, extremes, strict=True):
        self.name, self.config, self.task, self.strict = name, config, TASKS[task], strict
        self.extremes = extremes if strict else lambda values: None

    def check_inputs(self, inputs):
        """Check the inputs of the network: a dict of what was given, by documented names.

        Raises:
            TypeError: a wrong dtype.
            ValueError: a wrong shape, or values that mean nothing.
            IndexError: ids that no embedding has.
        """
        for name in INTEGERS:
            if name in inputs:
                self._check_integers(name, inputs[name])
        shape = self._check_lead(inputs)
        if shape is None:  # neither or both: the layer says so
            return
        batch, length = shape[0], shape[-1]
        if "token_type_ids" in inputs:
            self._check_shape("token_type_ids", inputs["token_type_ids"], shape)
        if "position_ids" in inputs:
            self._check_shape("position_ids", inputs["position_ids"], shape, (length,))
        past = inputs.get("past_key_values")
        past_length = self._check_past(past, batch) if past is not None else 0
        keys = length + past_length if isinstance(length, int) else None
        if "attention_mask" in inputs:
            allowed = ((*shape[:-1], keys), (*shape[:-1], length, keys))
            self._check_mask("attention_mask", inputs["attention_mask"], *allowed)
        for name in ("head_mask", "cross_attn_head_mask"):
            if name in inputs:
                self._check_head_mask(name, inputs[name])
        self._check_context(inputs, batch, length)
        self._check_range("input_ids", inputs, self.config.vocab_size)
        self._check_range("token_type_ids", inputs, self.config.type_vocab_size)

    def _check_lead(self, inputs):
        """The shape of the token ids, (B, L) or (B, choices, L), from what stands for them."""
        ids, embeds = inputs.get("input_ids"), inputs.get("inputs_embeds")
        if (ids is None) == (embeds is None):
            return None
        given = "input_ids" if embeds is None else "inputs_embeds"
        value = ids if embeds is None else embeds
        axes = ("batch", "choices", "length") if self.task.has_choices else ("batch", "length")
        axes += () if embeds is None else ("embedding_size",)
        shape = _shape(value)
        if len(shape) != len(axes):
            remedy = (
                "give every example its choices, e.g. tokenizer([[q, a] for a in answers]) as "
                "one example of len(answers) choices"
                if self.task.has_choices
                else "for one example, put it in a batch of one: ids[None]"
            )
            raise ValueError(
                f"{self.name} needs {given} of shape ({', '.join(axes)}), got the shape {shape}; "
                f"{remedy}"
            )
        for axis, size in zip(axes, shape, strict=True):
            if size == 0:
                raise ValueError(
                    f"{given} of {self.name} has the shape {shape}: its {axis} is 0, and must be "
                    "at least 1; leave out empty batches, texts without tokens and empty choices"
                )
        if embeds is None:
            return shape
        size = self.config.embedding_size
        if _differ(shape[-1], size):
            raise ValueError(
                f"inputs_embeds of {self.name} has the shape {shape}, but the embeddings have the "
                f"size {size} (embedding_size of the config); give vectors of that size"
            )
        for extreme in self.extremes(embeds) or ():
            if not math.isfinite(extreme):
                raise ValueError(
                    f"inputs_embeds of {self.name} holds {extreme}, must be finite; look for the "
                    "step before that made it, e.g. a division by zero or a diverged training"
                )
        return shape[:-1]

    def _check_integers(self, name, value):
        dtype = keras.backend.standardize_dtype(_array(value).dtype)
        if "int" not in dtype:
            raise TypeError(
                f"{name} of {self.name} must be integers, got {dtype}; cast them, e.g. to int32"
            )

    def _check_shape(self, name, value, *allowed, batched=True):
        """The shape must be one of `allowed`, where None is any size; a batch of 1, the first of
        several axes, serves all."""
        shape = _shape(value)
        batched = batched and len(shape) > 1
        for wanted in allowed:
            if len(shape) == len(wanted) and not any(
                _differ(size, want) and not (batched and axis == 0 and size == 1)
                for axis, (size, want) in enumerate(zip(shape, wanted, strict=True))
            ):
                return
        shown = " or ".join(str(tuple(wanted)) for wanted in allowed)
        raise ValueError(
            f"{name} of {self.name} must have the shape {shown} here, got {shape}; make it from "
            "the same batch as the tokens"
        )

    def _check_mask(self, name, value, *allowed):
        self._check_shape(name, value, *allowed)
        for extreme in self.extremes(value) or ():
            if not 0 <= extreme <= 1:
                raise ValueError(
                    f"{name} of {self.name} holds {extreme}, must be 1 for tokens to attend to and "
                    "0 for others; an additive mask becomes one by (mask == 0)"
                )

    def _check_head_mask(self, name, value):
        layers, heads = self.config.num_hidden_layers, self.config.num_attention_heads
        if self.config.pruned_heads and name == "head_mask":
            counts = [heads - len(self.config.pruned_heads.get(i, ())) for i in range(layers)]
            if len(set(counts)) > 1:
                raise ValueError(
                    f"{self.name} has layers of {', '.join(map(str, counts))} heads since heads "
                    "were pruned, and a head_mask has one number for all; prune the other heads "
                    "too, instead of masking them"
                )
            heads = counts[0]
        self._check_shape(name, value, (heads,), (layers, heads), batched=False)

    def _check_past(self, past, batch):
        """The number of tokens in the encoder's cache."""
        layers = self.config.num_hidden_layers
        if len(past) != layers:
            raise ValueError(
                f"past_key_values has {len(past)} layers, but {self.name} has {layers}; pass what "
                "this model returned in the call before"
            )
        shape = _shape(past[0]["cache"][0])  # (B, S, N, H)
        if _differ(shape[0], batch):
            raise ValueError(
                f"past_key_values is of a batch of {shape[0]}, but the tokens are of a batch of "
                f"{batch}; pass what the model returned for the same rows"
            )
        return shape[1] if isinstance(shape[1], int) else None

    def _check_context(self, inputs, batch, length):
        states = inputs.get("encoder_hidden_states")
        if states is None:
            if self.strict and self.config.is_decoder and self.config.add_cross_attention:
                raise ValueError(
                    f"{self.name} has cross-attention, but encoder_hidden_states is None; pass the "
                    "encoder's last_hidden_state in every call (with past_key_values too), or set "
                    "add_cross_attention=False in the config"
                )
            if "encoder_attention_mask" in inputs:
                raise ValueError(
                    f"{self.name} got encoder_attention_mask, but encoder_hidden_states is None; "
                    "pass the states that it masks"
                )
            return
        self._check_shape("encoder_hidden_states", states, (batch, None, self.config.hidden_size))
        if "encoder_attention_mask" in inputs:
            keys = _shape(states)[1]
            allowed = ((batch, keys), (batch, length, keys))
            self._check_mask("encoder_attention_mask", inputs["encoder_attention_mask"], *allowed)

    def _check_range(self, name, inputs, count):
        extremes = self.extremes(inputs[name]) if name in inputs else None
        if extremes is None:
            return
        grow = name == "input_ids" and extremes[0] >= 0
        remedy = f"resize_token_embeddings({extremes[1] + 1})" if grow else "mend the ids"
        check_ids(name, extremes, count, self.name, remedy)

    def check_labels(self, labels, logits_shape):
        """Check the labels of the task's loss.

        Args:
            labels: dict of the documented labels by name; None for those not given.
            logits_shape: (B, …, classes) of the task's first logits.

        Raises:
            TypeError, ValueError, IndexError: as for inputs.
        """
        missing = [name for name, value in labels.items() if value is None]
        if missing:
            given = ", ".join(name for name in labels if name not in missing)
            raise ValueError(
                f"{self.name} got {given} but not {', '.join(missing)}; its loss needs both"
            )
        for name, value in labels.items():
            self._check_label(name, value, tuple(logits_shape))

    def check_weights(self, weights, logits_shape):
        """Check the weights of the terms of the task's loss.

        Args:
            weights: (B,) or (B, 1) or, for a loss per token, (B, L).
            logits_shape: (B, …, classes) of the task's first logits.

        Raises:
            ValueError: another shape, or weights for each output.
        """
        batch = logits_shape[0]
        allowed = [(batch,), (batch, 1)]
        if self.task.loss_per_token:
            allowed.append((batch, logits_shape[1]))
        if not hasattr(weights, "shape"):
            raise ValueError(
                f"sample_weight of {self.name} is a {type(weights).__name__}, but its own loss "
                f"takes one tensor of the shape {' or '.join(map(str, allowed))}; give that, or "
                "compile with a loss"
            )
        self._check_shape("sample_weight", weights, *allowed)

    def _check_label(self, name, value, logits):
        kind = self.task.label_kind
        if kind == OF_PROBLEM_TYPE:
            problem = problem_type(self.config, _array(value))
            kind = CLASSES if problem == "single_label_classification" else NUMBERS
        if kind == NUMBERS:
            self._check_count(name, value, logits)
            return
        self._check_integers(name, value)
        if kind == TOKEN_CLASSES:
            self._check_shape(name, value, logits[:-1])
        else:
            self._check_count(name, value, logits[:1])
        if kind != POSITIONS:
            self._check_classes(name, value, logits[-1])

    def _check_count(self, name, value, wanted):
        """As many numbers as `wanted` has, in whatever shape."""
        shape = _shape(value)
        if all(isinstance(size, int) for size in (*shape, *wanted)):
            if math.prod(shape) != math.prod(wanted):
                raise ValueError(
                    f"{name} of {self.name} must have the shape {tuple(wanted)} here, got {shape}; "
                    "give as many labels as the batch has examples (and, for several labels or a "
                    "regression, num_labels numbers for each)"
                )

    def _check_classes(self, name, value, count):
        extremes = self.extremes(value) if isinstance(count, int) else None
        if extremes and extremes[0] == IGNORED_LABEL:
            ignored = ops.equal(value, IGNORED_LABEL)
            extremes = self.extremes(ops.where(ignored, ops.zeros_like(value), value))
        for found in extremes or ():
            if not 0 <= found < count:
                is_fixed = self.task.has_choices or self.task.is_language_model
                remedy = "" if is_fixed else "or set num_labels"
                raise IndexError(
                    f"{name} has the label {found}, but {self.name} knows the labels 0 to "
                    f"{count - 1}, and {IGNORED_LABEL} for ignored; mend the data {remedy}".strip()
                )


def as_arrays(arguments, name):
    """The arguments of a call, with arrays in the place of lists of numbers.

    Args:
        arguments: dict of a call's arguments by name.
        name: the class, for errors.

    Raises:
        ValueError: a list whose rows have different lengths.
    """
    return {
        key: _from_list(key, value, name) if isinstance(value, (list, tuple)) else value
        for key, value in arguments.items()
    }


def _from_list(key, value, name):
    first = value
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    if not isinstance(first, numbers.Number):  # tensors, a cache
        return value
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(
            f"{key} of {name} is a list whose rows have different lengths; pad them to one, e.g. "
            "tokenizer(texts, padding=True)"
        ) from None


def _array(value):
    return value if hasattr(value, "dtype") else np.asarray(value)


def _shape(value):
    return tuple(_array(value).shape)


def _differ(size, wanted):
    """Whether two sizes are known and not the same."""
    return isinstance(size, int) and isinstance(wanted, int) and size != wanted
