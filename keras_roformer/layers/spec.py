"""`EncoderSpec`: the hyperparameters of the encoder, each with its name, default and meaning once.

The layers that have many of them take a spec or, as everywhere in Keras, its fields as arguments:
`takes_spec` reads both. The layers with few name those in their constructors.
"""

import dataclasses
import functools
import inspect


@dataclasses.dataclass(frozen=True)
class EncoderSpec:
    """The hyperparameters of `RoFormer` and of the layers in it.

    Their order is that of positional arguments: a new field goes to the end, with a default.

    Args:
        vocab_size: number of tokens, V.
        num_layers: number of encoder layers.
        hidden_size: D.
        num_heads: N, or a list with one N per layer (after heads were pruned).
        intermediate_size: F.
        embedding_size: E, by default D; another size adds a projection after the embeddings.
        head_size: H, by default D / N (another value only after heads were pruned).
        type_vocab_size: number of token types.
        pad_token_id: the token whose vector gets no gradient from the look-up, or None.
        hidden_act: activation of the feed-forward part, see `get_activation`.
        dropout: rate on the embeddings and on the outputs of each part.
        attention_dropout: rate on the attention probabilities.
        rotary_value: rotate the values of self-attention too, not just queries and keys.
        add_cross_attention: have a cross-attention part in each layer.
        causal: hide the keys after each query (a decoder).
        add_pooler: have a `RoFormerPooler`.
        gradient_checkpointing: in training, recompute each layer in the backward pass.
        layer_norm_eps: epsilon of the normalisations.
        initializer_range: standard deviation of the initial kernels.
    """

    vocab_size: int | None
    num_layers: int | None
    hidden_size: int
    num_heads: int | list[int]
    intermediate_size: int
    embedding_size: int | None = None
    head_size: int | None = None
    type_vocab_size: int = 2
    pad_token_id: int | None = 0
    hidden_act: object = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.1
    rotary_value: bool = False
    add_cross_attention: bool = False
    causal: bool = False
    add_pooler: bool = False
    gradient_checkpointing: bool = False
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02

    def __post_init__(self):
        if not self.embedding_size:
            object.__setattr__(self, "embedding_size", self.hidden_size)  # as it is frozen

    @property
    def heads_of_layers(self):
        """The number of heads of every layer; of one layer if there is no `num_layers`."""
        if isinstance(self.num_heads, (list, tuple)):
            return self.num_heads
        return [self.num_heads] * (1 if self.num_layers is None else self.num_layers)

    @property
    def size_of_heads(self):
        """H, whether `head_size` says it or not."""
        return self.head_size or self.hidden_size // max(self.heads_of_layers, default=1)

    def arguments_of(self, layer_class, **others):
        """The fields that the constructor of a layer class names, and `others` instead or beside.

        Example:
            >>> RoFormerPooler(**spec.arguments_of(RoFormerPooler, name="pooler"))
        """
        names = inspect.signature(layer_class.__init__).parameters
        return {name: getattr(self, name) for name in FIELDS if name in names} | others


FIELDS = tuple(field.name for field in dataclasses.fields(EncoderSpec))

# The fields that concern `RoFormer` alone, and those of a stack of layers.
OF_MODEL = ("vocab_size", "embedding_size", "type_vocab_size", "pad_token_id", "add_pooler")
OF_STACK = ("num_layers", "causal", "gradient_checkpointing")


def takes_spec(but=(), first=(), names=None):
    """Decorate a constructor `(self, spec, …, **kwargs)` so that it takes `spec`, by that name, or
    in its stead the fields of one as arguments, by position or name, before its others.

    Args:
        but: fields that do not concern the class.
        first: fields that come before the others, which keep their order.
        names: field → name of the argument, where it is another.
    """
    names = names or {}
    fields = {field.name: field.default for field in dataclasses.fields(EncoderSpec)}
    order = dict.fromkeys([*first, *fields])
    taken = {names.get(name, name): name for name in order if name not in but}
    absent = {name: None for name in ("vocab_size", "num_layers") if name in but}

    def decorate(init):
        me, _, *more = inspect.signature(init).parameters.values()
        parameters = [
            inspect.Parameter(
                argument,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=me.empty if fields[name] is dataclasses.MISSING else fields[name],
            )
            for argument, name in taken.items()
        ]
        signature = inspect.Signature([me, *parameters, *more])

        @functools.wraps(init)
        def construct(self, *args, spec=None, **kwargs):
            if spec is None:
                try:
                    given = signature.bind(self, *args, **kwargs).arguments
                except TypeError as error:
                    raise TypeError(f"{init.__qualname__}() {error}") from None
                del given["self"]
                kwargs = {n: v for n, v in given.items() if n not in taken and n != "kwargs"}
                kwargs |= given.get("kwargs", {})
                known = {taken[name]: value for name, value in given.items() if name in taken}
                spec = EncoderSpec(**absent, **known)
            init(self, spec, **kwargs)

        construct.__signature__ = signature  # for help, for Keras and for `arguments_of`
        return construct

    return decorate
