"""The table of tasks, and the names that follow from it."""

import pickle

import keras
import pytest

import keras_roformer
from keras_roformer import outputs
from keras_roformer.tasks import TASKS
from keras_roformer.weights import names

FAMILY = {"torch": "", "tensorflow": "TF", "jax": "Flax"}[keras.config.backend()]


def test_every_task_has_its_rows_of_weight_names():
    assert list(TASKS) == list(names.HEADS)


@pytest.mark.parametrize(
    "task, name",
    [
        ("model", "RoFormerModel"),
        ("masked_lm", "RoFormerForMaskedLM"),
        ("causal_lm", "RoFormerForCausalLM"),
        ("sequence_classification", "RoFormerForSequenceClassification"),
        ("multiple_choice", "RoFormerForMultipleChoice"),
        ("token_classification", "RoFormerForTokenClassification"),
        ("question_answering", "RoFormerForQuestionAnswering"),
    ],
)
def test_documented_class(task, name):
    assert names.class_name(task, FAMILY) == FAMILY + name
    cls = getattr(keras_roformer, FAMILY + name)
    assert cls.task == task and cls.__name__ == FAMILY + name
    assert pickle.loads(pickle.dumps(cls)) is cls
    output = getattr(outputs, TASKS[task].output_class_of(FAMILY))
    assert cls.output_class is output and f"`{output.__name__}`" in cls.__doc__
    auto = getattr(keras_roformer, f"{FAMILY}AutoModel{names.class_suffix(task)}")
    assert auto.target == FAMILY + name and pickle.loads(pickle.dumps(auto)) is auto


@pytest.mark.parametrize(
    "found, task",
    [
        ((), "model"),
        (("cls.predictions.bias", "cls.predictions.transform.dense.weight"), "masked_lm"),
        (("classifier.dense.weight", "classifier.out_proj.weight"), "sequence_classification"),
        (("classifier.weight", "classifier.bias"), "token_classification"),
        (("sequence_summary.summary.weight", "classifier.weight"), "multiple_choice"),
        (("qa_outputs.weight",), "question_answering"),
    ],
)
def test_task_of_a_checkpoint(found, task):
    assert names.task_of({"encoder.layer.0.output.dense.weight", *found}) == task
