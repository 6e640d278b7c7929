"""RoFormerBackbone: what it computes, its configuration and its layout over devices."""

import keras
import pytest

from keras_roformer.models import RoFormerBackbone
from keras_roformer.tasks import RoFormerNetwork
from tests.models.common import backbone_arguments, random_inputs, randomise
from tests.support import close


@pytest.mark.parametrize("extra", [{}, {"embedding_dim": 8, "add_pooler": True, "causal": True}])
def test_outputs_are_those_of_the_core(extra):
    backbone = RoFormerBackbone(**backbone_arguments(**extra))
    randomise(backbone)
    network = RoFormerNetwork(
        backbone.roformer_config(), "model", add_pooler=extra.get("add_pooler", False)
    )
    for target, source in zip(network.weights, backbone.weights, strict=True):
        target.assign(source)
    inputs = random_inputs(backbone)
    got = backbone(inputs)
    want = network(
        inputs["token_ids"],
        token_type_ids=inputs["segment_ids"],
        attention_mask=inputs["padding_mask"],
    )
    names = {"sequence_output": "last_hidden_state", "pooled_output": "pooler_output"}
    assert len(got) == len(want)
    for name, value in got.items():
        close(keras.ops.convert_to_numpy(value), keras.ops.convert_to_numpy(want[names[name]]))


def test_config_makes_an_equal_backbone_again():
    backbone = RoFormerBackbone(**backbone_arguments(embedding_dim=8, rotary_value=True))
    again = RoFormerBackbone.from_config(backbone.get_config())
    assert again.get_config() == backbone.get_config()
    assert [w.shape for w in again.weights] == [w.shape for w in backbone.weights]


def test_an_activation_that_is_a_function_comes_back():
    backbone = RoFormerBackbone(**backbone_arguments(activation=keras.activations.mish))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(backbone))
    assert again.activation is keras.activations.mish
    again.set_weights(backbone.get_weights())
    inputs = random_inputs(backbone)
    got, want = (model(inputs)["sequence_output"] for model in (again, backbone))
    close(*map(keras.ops.convert_to_numpy, (got, want)))


def test_impossible_values_are_named():
    with pytest.raises(ValueError, match="hidden_size.*15"):
        RoFormerBackbone(**backbone_arguments(hidden_dim=15))
