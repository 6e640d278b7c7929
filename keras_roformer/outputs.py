"""The documented output classes. Nothing here imports a framework.

An output is reached by attribute, key, index or slice. A field without a value is None as an
attribute and absent everywhere else; other keys may be added, and come last:

    >>> output = MaskedLMOutput(logits=logits, attentions=attentions)
    >>> output.logits is output["logits"] is output[0]
    True
    >>> output.loss is None
    True
    >>> list(output)
    ['logits', 'attentions']
"""

import collections
import collections.abc

from keras_roformer.declare import declare_class

_classes = []
_registrations = {}  # framework → function that registers one class with it


class ModelOutput(collections.OrderedDict):
    """An ordered mapping with named fields; its subclasses are the documented outputs.

    Args:
        args: values of the fields in their order, or one mapping or iterable of (name, value).
        kwargs: values of the fields by name.
    """

    _fields = None  # None: any name is a field

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        _classes.append(cls)
        for register in _registrations.values():
            register(cls)

    def __init__(self, *args, **kwargs):
        super().__init__()
        for name, value in (*self._named(args), *kwargs.items()):
            if name in self:
                raise TypeError(f"{type(self).__name__} got {name} twice")
            self[name] = value
        self._check_names(kwargs)

    @classmethod
    def _check_names(cls, names):
        for name in names if cls._fields is not None else ():
            if name not in cls._fields:
                raise KeyError(
                    f"{cls.__name__} has no field {name!r}; it has {', '.join(cls._fields)}"
                )

    @classmethod
    def _named(cls, args):
        if len(args) == 1:
            pairs = _as_pairs(args[0])
            if pairs is not None:
                return pairs
        names = cls._fields or ()
        if len(args) > len(names):
            raise TypeError(
                f"{cls.__name__} takes at most {len(names)} positional values, got {len(args)}"
            )
        return list(zip(names[: len(args)], args, strict=True))  # see `PreTrained._named_arguments`

    @classmethod
    def field_names(cls):
        """Names of all fields, in their order."""
        return cls._fields or ()

    def to_tuple(self):
        """The values of the fields that have one, in their order."""
        return tuple(self.values())

    def replace(self, **changes):
        """A copy with other values for some fields."""
        self._check_names(changes)
        return type(self)({**self, **changes})

    def __getitem__(self, key):
        if isinstance(key, str):
            return super().__getitem__(key)
        return self.to_tuple()[key]

    def __setitem__(self, name, value):
        if value is None:
            if name in self:
                super().__delitem__(name)
            return
        is_new = name not in self
        super().__setitem__(name, value)
        if is_new and self._fields is not None:
            more = [key for key in self if key not in self._fields]  # that a user has added
            for field in (*self._fields, *more):
                if field in self:
                    self.move_to_end(field)

    def __getattr__(self, name):
        # Only called where there is no ordinary attribute of that name.
        if name in self:
            return self[name]
        if self._fields is not None and name in self._fields:
            return None
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name, value):
        if name in (self._fields or self):
            self[name] = value
        else:
            super().__setattr__(name, value)

    def _refuse(self, *args, **kwargs):
        raise TypeError(
            f"the fields of a {type(self).__name__} cannot be removed or updated; "
            "assign to one, or use replace"
        )

    __delitem__ = pop = popitem = clear = update = setdefault = _refuse

    def __reduce__(self):
        return type(self), (dict(self),)

    def __copy__(self):
        return type(self)(dict(self))

    copy = __copy__

    def __repr__(self):
        fields = ", ".join(f"{name}={value!r}" for name, value in self.items())
        return f"{type(self).__name__}({fields})"


def _as_pairs(value):
    """(name, value) pairs of a mapping or of an iterable of pairs; None for any other value."""
    if isinstance(value, collections.abc.Mapping):
        return list(value.items())
    if not isinstance(value, (list, tuple, collections.abc.Iterator)):
        return None
    value = list(value)
    if value and all(
        isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in value
    ):
        return value
    return None


# Registration with the frameworks' tree functions. TensorFlow's need none: to tf.nest an output is
# a mapping.


def register_jax():
    """Make the outputs pytrees of JAX, for jit, grad and tree_map."""
    import jax

    def register(cls):
        jax.tree_util.register_pytree_with_keys(
            cls,
            lambda output: (
                [(jax.tree_util.DictKey(name), value) for name, value in output.items()],
                tuple(output),
            ),
            lambda names, values: _from_tree(cls, names, values),
            lambda output: (tuple(output.values()), tuple(output)),
        )

    _register(register, "jax")


def register_torch():
    """Make the outputs trees of torch, for DistributedDataParallel and torch.export."""
    import torch
    from torch.utils import _pytree

    torch.jit.unused(ModelOutput)  # `torch.jit.trace` takes it for a dict and not for a class

    def register(cls):
        _pytree.register_pytree_node(
            cls,
            lambda output: (list(output.values()), list(output)),
            lambda values, names: _from_tree(cls, names, values),
            serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
            flatten_with_keys_fn=lambda output: (
                [(_pytree.MappingKey(name), value) for name, value in output.items()],
                list(output),
            ),
        )

    _register(register, "torch")


def register_keras():
    """Make the outputs trees of Keras on TensorFlow and JAX, for fit, predict and the like."""
    import optree

    def register(cls):
        optree.register_pytree_node(
            cls,
            lambda output: (tuple(output.values()), tuple(output), tuple(output)),
            lambda names, values: _from_tree(cls, names, values),
            namespace="keras",
        )

    _register(register, "keras")


def _register(register, framework):
    if framework not in _registrations:
        for cls in (ModelOutput, *_classes):
            register(cls)
        _registrations[framework] = register


def _from_tree(cls, names, values):
    """An output with these very values: a tree function may put anything in the place of a leaf."""
    output = cls()
    for name, value in zip(names, values, strict=True):
        collections.OrderedDict.__setitem__(output, name, value)
    return output


# The documented classes: those of torch have these names, those of TensorFlow and JAX the same ones
# after "TF" and "Flax".

_STATES = ("hidden_states", "attentions")
_CACHE_AND_STATES = ("past_key_values", *_STATES, "cross_attentions")
_LOGITS = ("loss", "logits", *_STATES)
_POOLED = ("last_hidden_state", "pooler_output")

# Name → (docstring, fields). Flax's classes have no loss.
_OUTPUTS = {
    "BaseModelOutput": ("Output of a bare model.", ("last_hidden_state", *_STATES)),
    "BaseModelOutputWithPooling": ("Output of a bare model with a pooler.", (*_POOLED, *_STATES)),
    "BaseModelOutputWithPastAndCrossAttentions": (
        "Output of a bare model that can decode.",
        ("last_hidden_state", *_CACHE_AND_STATES),
    ),
    "BaseModelOutputWithPoolingAndCrossAttentions": (
        "Output of a bare model with a pooler that can decode.",
        (*_POOLED, "hidden_states", "past_key_values", "attentions", "cross_attentions"),
    ),
    "CausalLMOutput": ("Output of a causal language model.", _LOGITS),
    "CausalLMOutputWithCrossAttentions": (
        "Output of a causal language model with a cache.",
        ("loss", "logits", *_CACHE_AND_STATES),
    ),
    "MaskedLMOutput": ("Output of a masked language model.", _LOGITS),
    "SequenceClassifierOutput": ("Output of a sequence classifier.", _LOGITS),
    "MultipleChoiceModelOutput": ("Output of a multiple-choice model.", _LOGITS),
    "TokenClassifierOutput": ("Output of a token classifier.", _LOGITS),
    "QuestionAnsweringModelOutput": (
        "Output of an extractive question answering model.",
        ("loss", "start_logits", "end_logits", *_STATES),
    ),
}
# Fields that one family documents in another order.
_OTHER_FIELDS = {"TFBaseModelOutputWithPoolingAndCrossAttentions": (*_POOLED, *_CACHE_AND_STATES)}

for _name, (_doc, _fields) in _OUTPUTS.items():
    _without_loss = tuple(field for field in _fields if field != "loss")
    for _family, _its in (("", _fields), ("TF", _fields), ("Flax", _without_loss)):
        _its = _OTHER_FIELDS.get(_family + _name, _its)
        declare_class(__name__, _family + _name, (ModelOutput,), _doc, _fields=_its)
