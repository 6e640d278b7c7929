"""Weights to save and load: small, random, one of every kind and dtype."""

from pathlib import Path

import ml_dtypes
import numpy as np

CHECKPOINTS = Path(__file__).resolve().parents[1] / "oracle" / "checkpoints"
FLOATS = (np.float32, np.float16, ml_dtypes.bfloat16, np.float64)
NAMES = {  # canonical name → shape; dense weights are not square, so that a transpose shows
    "roformer.embeddings.word_embeddings.weight": (11, 4),
    "roformer.embeddings.token_type_embeddings.weight": (2, 4),
    "roformer.embeddings.LayerNorm.weight": (4,),
    "roformer.embeddings.LayerNorm.bias": (4,),
    "roformer.embeddings_project.weight": (6, 4),
    "roformer.embeddings_project.bias": (6,),
    "roformer.encoder.embed_positions.weight": (5, 2),
    "roformer.encoder.layer.0.attention.self.query.weight": (6, 6),
    "roformer.encoder.layer.10.intermediate.dense.weight": (9, 6),
    "roformer.encoder.layer.10.output.LayerNorm.bias": (6,),
    "roformer.pooler.dense.weight": (6, 6),
    "cls.predictions.bias": (11,),
    "cls.predictions.transform.dense.weight": (4, 6),
    "cls.predictions.transform.LayerNorm.weight": (4,),
    "classifier.out_proj.weight": (3, 6),
    "qa_outputs.bias": (2,),
    "sequence_summary.summary.weight": (1, 6),
}


def random_weights(dtype=np.float32, seed=0, names=NAMES):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in names.items()}


def assert_same(actual, expected):
    """Equal names, dtypes, shapes and bits."""
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype, name
        assert actual[name].shape == array.shape, name
        assert actual[name].tobytes() == array.tobytes(), name
