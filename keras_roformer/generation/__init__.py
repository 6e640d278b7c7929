"""Text generation for the causal classes: greedy, beam search and sampling, on every backend.

`mixin` reads the arguments, `decoding` runs the network, `search` has the loops, `processors`
change the scores. What to do with the (rows, V) scores of the next token is decided in NumPy, the
same for all backends.
"""

from keras_roformer.generation.generation_config import GenerationConfig
from keras_roformer.generation.mixin import GenerationMixin

__all__ = ["GenerationConfig", "GenerationMixin"]
