"""The output classes: mapping, tuple and attributes in one, and trees for the frameworks."""

import copy
import inspect
import pickle
import re

import numpy as np
import pytest

from keras_roformer import outputs
from keras_roformer.outputs import FlaxMaskedLMOutput, MaskedLMOutput, ModelOutput
from tests.support import close, python

pytestmark = pytest.mark.framework_free  # each test names the framework that it needs

# Every output class that the documented API names.
DOCUMENTED = """
BaseModelOutputWithPastAndCrossAttentions CausalLMOutputWithCrossAttentions MaskedLMOutput
SequenceClassifierOutput MultipleChoiceModelOutput TokenClassifierOutput
QuestionAnsweringModelOutput
TFBaseModelOutputWithPooling TFMaskedLMOutput TFCausalLMOutput TFSequenceClassifierOutput
TFMultipleChoiceModelOutput TFTokenClassifierOutput TFQuestionAnsweringModelOutput
FlaxBaseModelOutput FlaxMaskedLMOutput FlaxSequenceClassifierOutput FlaxMultipleChoiceModelOutput
FlaxTokenClassifierOutput FlaxQuestionAnsweringModelOutput
""".split()

CLASSES = [
    cls
    for _, cls in inspect.getmembers(outputs, inspect.isclass)
    if issubclass(cls, ModelOutput) and cls is not ModelOutput
]


def random_array(seed=0, shape=(2, 3)):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.fixture
def output():
    attentions = tuple(random_array(seed) for seed in (1, 2))
    return MaskedLMOutput(logits=random_array(0), attentions=attentions)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_class_is_there(name):
    assert issubclass(getattr(outputs, name), ModelOutput)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_fields_equal_the_reference(cls):
    transformers = pytest.importorskip("transformers.modeling_outputs")
    # transformers 5 has no TF or Flax classes; theirs differ from torch's in these ways only.
    family = re.match("TF|Flax|", cls.__name__).group()
    reference = getattr(transformers, cls.__name__.removeprefix(family))
    expected = list(reference.__dataclass_fields__)
    if family == "Flax":
        expected = [name for name in expected if name != "loss"]
    if cls is outputs.TFBaseModelOutputWithPoolingAndCrossAttentions:
        expected[2:4] = reversed(expected[2:4])
    assert list(cls.field_names()) == expected


def test_attribute_key_index_and_slice(output):
    assert output.logits is output["logits"] is output[0] is output[-2]
    assert output.attentions is output[1] is output[1:][0]
    assert output.to_tuple() == (output.logits, output.attentions)
    assert output[:1] == (output.logits,)
    assert list(output) == list(output.keys()) == ["logits", "attentions"]
    assert [value for value in output.values()] == [*output.to_tuple()]


def test_a_field_without_value_is_absent(output):
    assert output.loss is None and output.hidden_states is None
    assert "loss" not in output and len(output) == 2
    with pytest.raises(KeyError):
        output["loss"]
    with pytest.raises(IndexError):
        output[2]
    with pytest.raises(AttributeError, match="no attribute 'pooler_output'"):
        output.pooler_output  # noqa: B018


def test_assigned_fields_keep_the_documented_order(output):
    output.loss = random_array(3)
    assert list(output) == ["loss", "logits", "attentions"] and output[0] is output.loss
    output["hidden_states"] = (random_array(4),)
    assert list(output) == ["loss", "logits", "hidden_states", "attentions"]
    output.loss = None
    assert list(output) == ["logits", "hidden_states", "attentions"]
    with pytest.raises(KeyError, match="no field 'logit'.*logits"):
        output.replace(logit=1)


def test_added_keys_come_last(output):
    """transformers' pipelines add the input_ids to what a model gives."""
    output["input_ids"] = random_array(5)
    output.loss = random_array(6)
    assert list(output) == ["loss", "logits", "attentions", "input_ids"]
    assert output.input_ids is output["input_ids"] is output[-1]
    for twin in (copy.copy(output), pickle.loads(pickle.dumps(output)), output.replace(loss=1)):
        assert list(twin) == list(output)


def test_construction():
    loss, logits = random_array(0), random_array(1)
    by_position = MaskedLMOutput(loss, logits)
    for other in (
        MaskedLMOutput(logits=logits, loss=loss),
        MaskedLMOutput({"loss": loss, "logits": logits}),
        MaskedLMOutput(iter([("logits", logits), ("loss", loss)])),
    ):
        assert list(other) == list(by_position) == ["loss", "logits"]
        assert all(other[name] is by_position[name] for name in other)
    assert MaskedLMOutput((loss, logits)).loss[1] is logits  # a tuple is one value
    with pytest.raises(TypeError, match="at most 4 positional values, got 5"):
        MaskedLMOutput(1, 2, 3, 4, 5)
    with pytest.raises(TypeError, match="got loss twice"):
        MaskedLMOutput({"loss": loss}, loss=logits)
    with pytest.raises(KeyError, match="no field 'lOSS'"):
        MaskedLMOutput(lOSS=loss)
    assert list(ModelOutput(b=1, a=2)) == ["b", "a"]


@pytest.mark.parametrize(
    "remove",
    [
        lambda output: output.pop("logits"),
        lambda output: output.update(logits=1),
        lambda output: output.setdefault("loss", 1),
        lambda output: output.clear(),
        lambda output: output.popitem(),
        lambda output: output.__delitem__("logits"),
    ],
)
def test_fields_cannot_be_removed(output, remove):
    with pytest.raises(TypeError, match="use replace"):
        remove(output)
    assert list(output) == ["logits", "attentions"]


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, dict, "pickle", "replace"])
def test_copies(output, duplicate):
    if duplicate == "pickle":
        copied = pickle.loads(pickle.dumps(output))
    elif duplicate == "replace":
        copied = output.replace(attentions=None)
        assert list(copied) == ["logits"]
        copied = copied.replace(attentions=output.attentions)
    else:
        copied = duplicate(output)
    assert duplicate is dict or type(copied) is MaskedLMOutput
    assert list(copied) == list(output) and copied is not output
    np.testing.assert_array_equal(copied["logits"], output.logits)
    np.testing.assert_array_equal(copied["attentions"][1], output.attentions[1])


def test_repr_names_class_and_fields():
    assert repr(MaskedLMOutput(loss=0.5)) == "MaskedLMOutput(loss=0.5)"


def test_import_needs_no_framework():
    python(
        "-c",
        "import sys, keras_roformer.outputs\n"
        "found = {'keras', 'jax', 'torch', 'tensorflow'} & set(sys.modules)\n"
        "assert not found, found",
    )


def test_jax_tree():
    jax = pytest.importorskip("jax")
    outputs.register_jax()
    outputs.register_jax()  # twice is no error

    @jax.jit
    def step(output):
        return output.replace(logits=output.logits * 2, attentions=None)

    given = FlaxMaskedLMOutput(logits=random_array(), attentions=(random_array(1),))
    result = step(given)
    assert type(result) is FlaxMaskedLMOutput and list(result) == ["logits"]
    np.testing.assert_allclose(result.logits, 2 * given.logits)

    paths, _ = jax.tree_util.tree_flatten_with_path(given)
    assert [jax.tree_util.keystr(path) for path, _ in paths] == ["['logits']", "['attentions'][0]"]
    gradient = jax.grad(lambda output: (output.logits**2).sum() + output.attentions[0].sum())(given)
    np.testing.assert_allclose(gradient.logits, 2 * given.logits)
    # A tree function may put None in the place of a leaf: the structure stays.
    leaves, structure = jax.tree_util.tree_flatten(given)
    emptied = jax.tree_util.tree_unflatten(structure, [None] * len(leaves))
    assert list(emptied) == list(given) and emptied["logits"] is None

    class LaterOutput(ModelOutput):
        _fields = ("score",)

    assert jax.tree_util.tree_leaves(LaterOutput(score=3.0)) == [3.0]


def test_torch_tree():
    torch = pytest.importorskip("torch")
    from torch.utils import _pytree

    outputs.register_torch()
    outputs.register_torch()
    given = MaskedLMOutput(
        logits=torch.tensor(random_array()), attentions=(torch.tensor(random_array(1)),)
    )
    leaves, spec = _pytree.tree_flatten(given)
    assert len(leaves) == 2 and leaves[0] is given.logits
    result = _pytree.tree_unflatten([leaf + 1 for leaf in leaves], spec)
    assert type(result) is MaskedLMOutput and list(result) == list(given)
    torch.testing.assert_close(result.logits, given.logits + 1)
    keys = [_pytree.keystr(path) for path, _ in _pytree.tree_flatten_with_path(given)[0]]
    assert keys == ["['logits']", "['attentions'][0]"]


def test_inside_tf_function():
    tf = pytest.importorskip("tensorflow")

    @tf.function
    def step(output):
        return outputs.TFMaskedLMOutput(loss=tf.reduce_sum(output.logits), logits=output.logits * 2)

    given = outputs.TFMaskedLMOutput(logits=tf.constant(random_array()))
    result = step(given)
    assert type(result) is outputs.TFMaskedLMOutput and list(result) == ["loss", "logits"]
    np.testing.assert_allclose(result.logits, 2 * given.logits.numpy())
    close(result[0], given.logits.numpy().sum())
    mapped = tf.nest.map_structure(lambda tensor: tensor + 1, result)
    assert type(mapped) is outputs.TFMaskedLMOutput and list(mapped) == ["loss", "logits"]
    np.testing.assert_allclose(mapped.logits, result.logits + 1)
