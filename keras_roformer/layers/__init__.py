"""The one set of Keras layers, on every backend; their constructors take plain numbers."""

from keras_roformer.backend import choose_backend

choose_backend()  # before Keras is imported, which would ask for TensorFlow

from keras_roformer.layers.attention import RoFormerAttention
from keras_roformer.layers.block import Block
from keras_roformer.layers.embeddings import RoFormerEmbeddings
from keras_roformer.layers.encoder import RoFormerEncoder, RoFormerEncoderLayer
from keras_roformer.layers.heads import (
    RoFormerClassificationHead,
    RoFormerLMHead,
    RoFormerPooler,
    RoFormerSummaryHead,
    RoFormerTokenHead,
)
from keras_roformer.layers.roformer import RoFormer
from keras_roformer.layers.rotary import (
    RotaryEmbedding,
    apply_rotary,
    rotary_angles,
    rotary_frequencies,
)

__all__ = [
    "Block",
    "RoFormer",
    "RoFormerAttention",
    "RoFormerClassificationHead",
    "RoFormerEmbeddings",
    "RoFormerEncoder",
    "RoFormerEncoderLayer",
    "RoFormerLMHead",
    "RoFormerPooler",
    "RoFormerSummaryHead",
    "RoFormerTokenHead",
    "RotaryEmbedding",
    "apply_rotary",
    "rotary_angles",
    "rotary_frequencies",
]
