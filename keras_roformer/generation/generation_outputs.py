"""The outputs of `generate`, under transformers' names."""

from keras_roformer.declare import declare_class
from keras_roformer.outputs import ModelOutput

_STEPS = ("sequences", "scores", "logits")
_BEAMS = ("sequences", "sequences_scores", "scores", "logits", "beam_indices")
_LONG, _LONG_SCORED = ("sequences",), ("sequences", "scores")
# Fields → what a docstring says of them.
_DOCS = {
    _STEPS: "; `scores` and `logits`: a (rows, V) tensor per step.",
    _BEAMS: "; `beam_indices` (rows, steps) tell which beam each token continued.",
    _LONG: ": (rows, max_length) sequences.",
    _LONG_SCORED: ": (rows, max_length) sequences and their scores.",
}
_NEVER, _ALWAYS, _BOTH = (False,), (True,), (False, True)

# (family, beam search, sampling) → output class
OUTPUTS = {}
for _family, _beams, _sampling, _name, _search, _fields in (
    ("", False, _BOTH, "GenerateDecoderOnlyOutput", "greedy search and sampling", _STEPS),
    ("", True, _BOTH, "GenerateBeamDecoderOnlyOutput", "beam search", _BEAMS),
    ("TF", False, _NEVER, "TFGreedySearchDecoderOnlyOutput", "greedy search", _STEPS),
    ("TF", False, _ALWAYS, "TFSampleDecoderOnlyOutput", "sampling", _STEPS),
    ("TF", True, _NEVER, "TFBeamSearchDecoderOnlyOutput", "beam search", _BEAMS),
    ("TF", True, _ALWAYS, "TFBeamSampleDecoderOnlyOutput", "beam search with sampling", _BEAMS),
    ("Flax", False, _NEVER, "FlaxGreedySearchOutput", "greedy search", _LONG),
    ("Flax", False, _ALWAYS, "FlaxSampleOutput", "sampling", _LONG),
    ("Flax", True, _BOTH, "FlaxBeamSearchOutput", "beam search", _LONG_SCORED),
):
    _doc = f"Output of {_search}{_DOCS[_fields]}"
    _class = declare_class(__name__, _name, (ModelOutput,), _doc, _fields=_fields)
    OUTPUTS |= {(_family, _beams, sampling): _class for sampling in _sampling}
