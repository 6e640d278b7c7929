"""What the documented classes of all three families share: declaration, construction and call.

A family adds its tensors' ways; loading and saving are in `facades.checkpoints`.
"""

import inspect
import math

from keras import ops

from keras_roformer import outputs, resizing
from keras_roformer.config import RoFormerConfig, has_no_effect
from keras_roformer.facades import cache
from keras_roformer.facades.call_checks import CallChecker
from keras_roformer.facades.checkpoints import Checkpoints
from keras_roformer.limits import CHECK_IDS
from keras_roformer.tasks import TASKS, RoFormerNetwork, reduce_loss
from keras_roformer.weights import names

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "head_mask", "inputs_embeds")
CONTEXT = ("encoder_hidden_states", "encoder_attention_mask")
FLAGS = ("output_attentions", "output_hidden_states", "return_dict")
# Arguments that every class takes by keyword, whether its documented signature has them or not.
ALWAYS = (
    *INPUTS,
    *CONTEXT,
    *FLAGS,
    "position_ids",
    "cross_attn_head_mask",
    "past_key_values",
    "use_cache",
    "logits_positions",  # (B, P) tokens whose language-model logits are wanted
)


class PreTrained(Checkpoints):
    """Config, network and call of one documented class.

    A class is declared by its task: `class X(Family, task="masked_lm")` (`facades.documented`). A
    family gives `family` (the prefix of its classes and outputs), `arguments(task)` (the documented
    positional order of its call) and `call_name` (the name of the documented call).
    """

    config_class = RoFormerConfig
    base_model_prefix = "roformer"
    main_input_name = "input_ids"
    task = None
    family = ""
    call_name = "__call__"
    add_pooler = False

    def __init_subclass__(cls, task=None, **kwargs):
        super().__init_subclass__(**kwargs)
        if task is None:
            return
        cls.task = task
        cls.argument_names = cls.arguments(task)
        cls.output_class = getattr(outputs, TASKS[task].output_class_of(cls.family))
        setattr(cls, cls.call_name, _documented_call(cls))

    # Construction

    @classmethod
    def _check_config(cls, config, validate=True):
        """The `RoFormerConfig` of a model to be made, from that or transformers' object of that
        name; to `validate` its fields, which may have been assigned since it was made."""
        if getattr(config, "model_type", None) == RoFormerConfig.model_type and not isinstance(
            config, RoFormerConfig
        ):
            config = RoFormerConfig.from_dict(config.to_dict(), validate=False)  # transformers'
        if not isinstance(config, RoFormerConfig):
            raise TypeError(
                f"{cls.__name__} takes a RoFormerConfig, got {type(config).__name__}; to load a "
                f"checkpoint, call {cls.__name__}.from_pretrained(…)"
            )
        if cls.task is None:
            raise TypeError(
                f"{cls.__name__} is a base class; use one of its subclasses, e.g. "
                f"{cls.family}RoFormerForMaskedLM"
            )
        if validate:
            config.validate()
        return config

    @classmethod
    def _refuse(cls, inputs, kwargs):
        """Raise for arguments of a constructor that are left over."""
        if inputs or kwargs:
            more = ", ".join([*map(repr, inputs), *sorted(kwargs)])
            raise TypeError(f"{cls.__name__} got the unknown argument(s) {more}")

    @classmethod
    def _from_config(cls, config, **kwargs):
        """A model with new weights; what only says how transformers makes one has no effect."""
        return cls(config, **{k: v for k, v in kwargs.items() if not has_no_effect(k, v)})

    def _make_network(self, dtype=None, backbone=None):
        return RoFormerNetwork(
            self.config,
            task=self.task,
            add_pooler=self.add_pooler,
            backbone=backbone,
            dtype=dtype,
            name=f"{self.family.lower()}roformer_{self.task}",
        )

    @property
    def name_or_path(self):
        """What `from_pretrained` was given; "" without."""
        return self.config.name_or_path

    # Calls

    def _named_arguments(self, args, kwargs):
        """Positional and keyword arguments of a call by name, as Python would bind them."""
        known = self.argument_names
        if len(args) > len(known):
            raise TypeError(
                f"{type(self).__name__} takes at most {len(known)} positional arguments "
                f"({', '.join(known)}), got {len(args)}"
            )
        # Of one length: torch.compile of older torch (2.9) takes no other zip.
        arguments = dict(zip(known[: len(args)], args, strict=True))
        for name in kwargs:
            if name in arguments:
                raise TypeError(f"{type(self).__name__} got {name} twice, by position and by name")
            if name not in known and name not in ALWAYS:
                raise TypeError(
                    f"{type(self).__name__} has no argument {name!r}; it takes {', '.join(known)}"
                )
        return {**arguments, **kwargs}

    def _run(self, arguments, run_network, training=False):
        """Named arguments → documented output.

        Args:
            arguments: dict of the documented call's arguments (`None` means not given).
            run_network: function that calls the network with keyword arguments.
            training: whether dropout is on.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        config = self.config
        return_dict = given.pop("return_dict", config.use_return_dict)
        given.setdefault("output_attentions", config.output_attentions)
        given.setdefault("output_hidden_states", config.output_hidden_states)
        # A cache is only of use to a decoder, as in the reference.
        given["use_cache"] = config.is_decoder and given.get("use_cache", config.use_cache)
        if not config.is_decoder:
            for name in (*CONTEXT, "past_key_values", "cross_attn_head_mask"):
                given.pop(name, None)
        task = TASKS[self.task]
        labels = {name: given.pop(name, None) for name in task.labels}
        has_labels = any(value is not None for value in labels.values())
        past = given.pop("past_key_values", None)
        if past is not None and (past_cache := cache.from_documented(past)):
            given["past_key_values"] = past_cache
        checker = self._checker()
        if checker is not None:
            checker.check_inputs(given)

        result = run_network(training=training, **given)

        if "past_key_values" in result:
            result["past_key_values"] = cache.to_documented(result["past_key_values"], past)
        if task.loss is not None and has_labels:
            if checker is not None:
                some_logits = next(x for name, x in result.items() if name.endswith("logits"))
                checker.check_labels(labels, some_logits.shape)
            tensors = [ops.convert_to_tensor(label) for label in labels.values()]
            terms = task.loss(config, result, *tensors)
            result["loss"] = self._reduce(terms, task)
        output = self.output_class(
            **{f: result[f] for f in self.output_class.field_names() if f in result}
        )
        return output if return_dict else output.to_tuple()

    def _checker(self):
        """The checks of a call's arguments; None where a compiler could not read them."""
        return CallChecker(type(self).__name__, self.config, self.task, self._extremes, CHECK_IDS)

    @staticmethod
    def _extremes(values):
        """Least and greatest of concrete values; None for values that are traced, and for none."""
        raise NotImplementedError

    def _reduce(self, terms, task):
        return reduce_loss(terms)

    def _named_weights(self):
        """`(name, weight)` of the network's weights, named as transformers names this class's."""
        for weight in names.weights(self.network):
            bare = self.task == "model"
            yield names.bare_name(weight.name) if bare else weight.name, weight

    # Changes of size

    def resize_token_embeddings(
        self, new_num_tokens=None, pad_to_multiple_of=None, mean_resizing=False
    ):
        """Change the number of tokens; gives the input embeddings.

        Args:
            new_num_tokens: new vocabulary size, by default as it is.
            pad_to_multiple_of: round the size up to a multiple of this.
            mean_resizing: accepted, without effect: new rows are drawn as at initialisation.
        """
        size = self.config.vocab_size if new_num_tokens is None else new_num_tokens
        if pad_to_multiple_of:
            size = -(-size // pad_to_multiple_of) * pad_to_multiple_of
        if size != self.config.vocab_size:
            self._change_network(resizing.resize_vocabulary, size)
        return self.get_input_embeddings()

    def prune_heads(self, heads_to_prune):
        """Remove attention heads: `{layer: [heads]}`, counted as before any pruning."""
        self._change_network(resizing.prune_heads, heads_to_prune)

    def _change_network(self, change, *args):
        change(self.network, *args)

    def get_input_embeddings(self):
        """The token embedding layer."""
        return self.network.roformer.embeddings.word_embeddings

    def _require_output_embeddings(self):
        if self.get_output_embeddings() is None:
            raise ValueError(
                f"{type(self).__name__} has no output embeddings; a masked or causal language "
                "model has"
            )

    def can_generate(self):
        """Whether the model has `generate`."""
        return False

    def tie_weights(self):
        """The output embeddings are the input embeddings (`tie_word_embeddings`): nothing to do."""

    def num_parameters(self, only_trainable=False, exclude_embeddings=False):
        """Number of parameters; `exclude_embeddings` leaves the embedding tables out."""
        total = 0
        for weight in names.weights(self.network):
            if exclude_embeddings and weight.kind == names.EMBEDDING:
                continue
            if not only_trainable or weight.variable.trainable:
                total += math.prod(weight.variable.shape)
        return total


def _documented_call(cls):
    """The class's call, with the documented signature for `help` and for trainers that read it."""
    inherited = getattr(cls, cls.call_name)

    def call(self, *args, **kwargs):
        return inherited(self, *args, **kwargs)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter("self", kind)]
    parameters += [inspect.Parameter(name, kind, default=None) for name in cls.argument_names]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
        for name in ALWAYS
        if name not in cls.argument_names
    ]
    call.__signature__ = inspect.Signature(parameters)
    call.__name__ = cls.call_name
    call.__qualname__ = f"{cls.__qualname__}.{cls.call_name}"
    call.__doc__ = inherited.__doc__
    return call
