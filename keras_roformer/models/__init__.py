"""RoFormer as KerasHub models, on every backend. Needs the extra `keras-roformer[hub]`."""

from keras_roformer.backend import choose_backend, require_hub

require_hub(__name__)
choose_backend()  # before KerasHub and Keras are imported, which would ask for TensorFlow

from keras_roformer.config import RoFormerConfig
from keras_roformer.models.backbone import RoFormerBackbone
from keras_roformer.models.loader import RoFormerPresetLoader
from keras_roformer.models.preprocessors import (
    RoFormerCausalLMPreprocessor,
    RoFormerMaskedLMPreprocessor,
    RoFormerMultipleChoicePreprocessor,
    RoFormerQuestionAnsweringPreprocessor,
    RoFormerTextClassifierPreprocessor,
    RoFormerTextEmbedderPreprocessor,
    RoFormerTokenClassifierPreprocessor,
)
from keras_roformer.models.preset_names import registered
from keras_roformer.models.task_models import (
    RoFormerCausalLM,
    RoFormerMaskedLM,
    RoFormerMultipleChoice,
    RoFormerQuestionAnswering,
    RoFormerTextClassifier,
    RoFormerTextEmbedder,
    RoFormerTokenClassifier,
)
from keras_roformer.models.tokenizer import RoFormerHubTokenizer
from keras_roformer.upstream.for_keras_hub import load_transformers_with, register_presets

__all__ = [
    "RoFormerBackbone",
    "RoFormerCausalLM",
    "RoFormerCausalLMPreprocessor",
    "RoFormerHubTokenizer",
    "RoFormerMaskedLM",
    "RoFormerMaskedLMPreprocessor",
    "RoFormerMultipleChoice",
    "RoFormerMultipleChoicePreprocessor",
    "RoFormerQuestionAnswering",
    "RoFormerQuestionAnsweringPreprocessor",
    "RoFormerTextClassifier",
    "RoFormerTextClassifierPreprocessor",
    "RoFormerTextEmbedder",
    "RoFormerTextEmbedderPreprocessor",
    "RoFormerTokenClassifier",
    "RoFormerTokenClassifierPreprocessor",
]

load_transformers_with(RoFormerPresetLoader, RoFormerConfig.model_type)
register_presets(registered(), RoFormerBackbone)
