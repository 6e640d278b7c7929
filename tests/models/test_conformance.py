"""KerasHub's own conformance checks, on every class and on every backend.

What these checks themselves leave out: on torch, mixed precision on a CPU and quantisation
(`test_dtypes.py` and `test_quantization.py` have both).
"""

import keras
import numpy as np
import pytest
from absl.testing import parameterized

# KerasHub's TestCase is a `tf.test.TestCase`, whatever the backend.
pytest.importorskip("tensorflow", reason="KerasHub's TestCase imports TensorFlow")

from keras_hub.src.tests import test_case  # noqa: E402

from keras_roformer import models  # noqa: E402
from keras_roformer.layers import (  # noqa: E402
    RoFormerClassificationHead,
    RoFormerSummaryHead,
    RoFormerTokenHead,
)
from keras_roformer.models.layers import FoldChoices, Pooling, UnfoldChoices  # noqa: E402
from tests.models.common import (  # noqa: E402
    TEXTS,
    VOCABULARY,
    backbone_arguments,
    random_inputs,
)

LENGTH, HIDDEN = 8, 16
TWO = TEXTS[:2]
PAIRS = (TWO, TWO[::-1])
# A label per character, -100 where a row has no more.
CHARACTER_LABELS = np.array([[0, 1, 2] + [-100] * 9] * 2)
WORD_LOGITS = (2, LENGTH, len(VOCABULARY))
# Of a preprocessor: all words are hidden, so that two runs hide the same.
HIDE_ALL = dict(
    mask_selection_rate=1.0,
    mask_selection_length=LENGTH,
    mask_token_rate=1.0,
    random_token_rate=0.0,
)
# Name of a task → arguments of the task, of its preprocessor, (x, y) to train on, shape of outputs.
TASKS = {
    "MaskedLM": ({}, HIDE_ALL, (TWO,), WORD_LOGITS),
    "TextClassifier": ({"num_classes": 3}, {}, (TWO, [0, 2]), (2, 3)),
    "TokenClassifier": ({"num_classes": 3}, {}, (TWO, CHARACTER_LABELS), (2, LENGTH, 3)),
    "CausalLM": ({}, {}, (TWO,), WORD_LOGITS),
    "TextEmbedder": ({}, {}, (TWO, np.ones((2, HIDDEN), "float32")), (2, HIDDEN)),
    "QuestionAnswering": (
        {},
        {},
        (PAIRS, np.array([[0, 1], [1, 2]])),
        {"start_logits": (2, LENGTH), "end_logits": (2, LENGTH)},
    ),
    "MultipleChoice": ({}, {}, ((TWO, np.array([TWO, TWO])), [0, 1]), (2, 2)),
}
PRESET = "roformer_tiny_zh"


def named(names):
    return parameterized.named_parameters(*((name, name) for name in names))


class RoFormerConformance(test_case.TestCase):
    test_session = None  # of `tf.test.TestCase`, and no test

    def setUp(self):
        super().setUp()
        self.arguments = backbone_arguments(
            vocabulary_size=len(VOCABULARY), num_layers=1, dropout=0.0, attention_dropout=0.0
        )
        self.tokenizer = models.RoFormerHubTokenizer(VOCABULARY)

    def backbone_inputs(self, length=5):
        return random_inputs(models.RoFormerBackbone(**self.arguments), batch=2, length=length)

    def preprocessor_arguments(self, name):
        return {"tokenizer": self.tokenizer, "sequence_length": LENGTH, **TASKS[name][1]}

    def test_backbone(self):
        """Among them serialization, compiled calls, any length, precision and quantisation."""
        self.run_backbone_test(
            cls=models.RoFormerBackbone,
            init_kwargs=self.arguments,
            input_data=self.backbone_inputs(),
            expected_output_shape={"sequence_output": (2, 5, HIDDEN)},
        )

    def test_backbone_saving(self):
        self.run_model_saving_test(
            cls=models.RoFormerBackbone,
            init_kwargs={**self.arguments, "embedding_dim": 8, "add_pooler": True},
            input_data=self.backbone_inputs(),
        )

    def test_tokenizer(self):
        self.run_preprocessing_layer_test(
            cls=models.RoFormerHubTokenizer,
            init_kwargs={"vocabulary": VOCABULARY},
            input_data=TWO,
            expected_detokenize_output=TWO,
        )

    @named(TASKS)
    def test_preprocessor(self, name):
        self.init_kwargs = self.preprocessor_arguments(name)  # the check reads this name too
        x_and_labels = TASKS[name][2]
        if name == "TextClassifier":
            x_and_labels = (PAIRS, *x_and_labels[1:])
        self.run_preprocessor_test(
            cls=getattr(models, f"RoFormer{name}Preprocessor"),
            init_kwargs=self.init_kwargs,
            input_data=x_and_labels,
        )

    @named(TASKS)
    def test_task(self, name):
        arguments, _, train_data, shape = TASKS[name]
        preprocessor = getattr(models, f"RoFormer{name}Preprocessor")
        causal = {"causal": True} if name == "CausalLM" else {}
        self.run_task_test(
            cls=getattr(models, f"RoFormer{name}"),
            init_kwargs={
                "backbone": models.RoFormerBackbone(**self.arguments, **causal),
                "preprocessor": preprocessor(**self.preprocessor_arguments(name)),
                **arguments,
            },
            train_data=train_data,
            expected_output_shape=shape,
            compile_kwargs={"loss": "mse"} if name == "TextEmbedder" else None,
        )

    def test_preset_of_backbone_and_tokenizer(self):
        inputs = self.backbone_inputs()
        self.run_preset_test(
            cls=models.RoFormerBackbone,
            preset=PRESET,
            input_data=inputs,
            expected_output_shape={"sequence_output": (2, 5, 192)},
        )
        self.run_preset_test(
            cls=models.RoFormerHubTokenizer, preset=PRESET, input_data=["我们去公园"]
        )

    @named(TASKS)
    def test_preset(self, name):
        self.run_preset_test(
            cls=getattr(models, f"RoFormer{name}Preprocessor"),
            preset=PRESET,
            input_data=TASKS[name][2],
        )
        inputs = self.backbone_inputs()
        if name == "MaskedLM":
            inputs["mask_positions"] = np.array([[1], [2]])
        elif name == "CausalLM":
            del inputs["segment_ids"]
        elif name == "MultipleChoice":
            inputs = {key: value[:, None] for key, value in inputs.items()}
        self.run_preset_test(
            cls=getattr(models, f"RoFormer{name}"),
            preset=PRESET,
            init_kwargs=TASKS[name][0],
            input_data=inputs,
        )

    @parameterized.named_parameters(
        ("classification", RoFormerClassificationHead, {"num_labels": 3}, (2, 3), 4, 1),
        ("token", RoFormerTokenHead, {"num_labels": 3}, (2, 5, 3), 2, 1),
        ("summary", RoFormerSummaryHead, {"summary_type": "mean"}, (2, 1), 2, 0),
    )
    def test_head(self, cls, arguments, shape, weights, dropouts):
        states = keras.random.normal((2, 5, HIDDEN), seed=0)
        self.run_layer_test(
            cls=cls,
            init_kwargs={"hidden_size": HIDDEN, **arguments},
            input_data=states,
            expected_output_shape=shape,
            expected_num_trainable_weights=weights,
            expected_num_non_trainable_variables=dropouts,  # their random states
        )

    def test_serialization_of_small_layers(self):
        for layer in (Pooling("cls"), FoldChoices(), UnfoldChoices()):
            self.run_serialization_test(layer)
