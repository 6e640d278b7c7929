"""The outputs of `generate`, under transformers' names."""

from keras_roformer.outputs import ModelOutput


class GenerateDecoderOnlyOutput(ModelOutput):
    """Output of greedy search and sampling; `scores` and `logits`: a (rows, V) tensor per step."""

    _fields = ("sequences", "scores", "logits")


class GenerateBeamDecoderOnlyOutput(ModelOutput):
    """Output of beam search; `beam_indices` (rows, steps) tell which beam each token continued."""

    _fields = ("sequences", "sequences_scores", "scores", "logits", "beam_indices")


class TFGreedySearchDecoderOnlyOutput(ModelOutput):
    """Output of greedy search."""

    _fields = GenerateDecoderOnlyOutput._fields


class TFSampleDecoderOnlyOutput(ModelOutput):
    """Output of sampling."""

    _fields = GenerateDecoderOnlyOutput._fields


class TFBeamSearchDecoderOnlyOutput(ModelOutput):
    """Output of beam search."""

    _fields = GenerateBeamDecoderOnlyOutput._fields


class TFBeamSampleDecoderOnlyOutput(ModelOutput):
    """Output of beam search with sampling."""

    _fields = GenerateBeamDecoderOnlyOutput._fields


class FlaxGreedySearchOutput(ModelOutput):
    """Output of greedy search: (rows, max_length) sequences."""

    _fields = ("sequences",)


class FlaxSampleOutput(ModelOutput):
    """Output of sampling: (rows, max_length) sequences."""

    _fields = ("sequences",)


class FlaxBeamSearchOutput(ModelOutput):
    """Output of beam search: (rows, max_length) sequences and their scores."""

    _fields = ("sequences", "scores")


# (family, beam search, sampling) → output class
OUTPUTS = {
    ("", False, False): GenerateDecoderOnlyOutput,
    ("", False, True): GenerateDecoderOnlyOutput,
    ("", True, False): GenerateBeamDecoderOnlyOutput,
    ("", True, True): GenerateBeamDecoderOnlyOutput,
    ("TF", False, False): TFGreedySearchDecoderOnlyOutput,
    ("TF", False, True): TFSampleDecoderOnlyOutput,
    ("TF", True, False): TFBeamSearchDecoderOnlyOutput,
    ("TF", True, True): TFBeamSampleDecoderOnlyOutput,
    ("Flax", False, False): FlaxGreedySearchOutput,
    ("Flax", False, True): FlaxSampleOutput,
    ("Flax", True, False): FlaxBeamSearchOutput,
    ("Flax", True, True): FlaxBeamSearchOutput,
}
