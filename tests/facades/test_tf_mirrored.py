"""The TensorFlow classes on two devices: the losses, metrics and updates of one.

    KERAS_BACKEND=tensorflow python -m tests.facades.test_tf_mirrored

A process has its logical devices from the start, so this file is also the program that is tested.
"""

import json

import keras
import numpy as np
import pytest

from tests import support
from tests.conftest import ROOT
from tests.support import NO_DROPOUT, close

if keras.config.backend() != "tensorflow":
    pytest.skip("the TF classes run on TensorFlow", allow_module_level=True)

import tensorflow as tf

import keras_roformer as kr

CONFIG = {
    **{**support.CONFIG, "embedding_size": None, "num_hidden_layers": 1},
    **NO_DROPOUT,
    "initializer_range": 0.2,
}
IDS = np.random.default_rng(0).integers(1, 40, (4, 7))
LABELS = np.array([0, 1, 2, 0])
WEIGHTS = np.array([1.0, 2.0, 0.0, 0.5])


def outcome(strategy, **compile_arguments):
    """What training by one step and evaluation say, and the parameters' sums after the step."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = kr.TFRoFormerForSequenceClassification(kr.RoFormerConfig(**CONFIG))
        model.classifier.out_proj.kernel.regularizer = keras.regularizers.L2(0.1)
        model.compile(keras.optimizers.SGD(0.1), **compile_arguments)
    inputs = {"input_ids": IDS, "labels": LABELS}
    data = tf.data.Dataset.from_tensor_slices((inputs, LABELS, WEIGHTS)).batch(4)
    found = {**model.fit(data, verbose=0).history, "evaluate": model.evaluate(data, verbose=0)}
    found["weights"] = [float(np.abs(v.numpy()).sum()) for v in model.trainable_variables]
    return found


def main():
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategies = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for arguments in ({}, dict(loss=loss, metrics=["accuracy"])):
        print("found", json.dumps([outcome(strategy, **arguments) for strategy in strategies]))


def test_two_devices_do_as_one():
    done = support.python("-m", "tests.facades.test_tf_mirrored", cwd=ROOT)
    lines = [line for line in done.stdout.splitlines() if line.startswith("found")]
    own, compiled = (json.loads(line.removeprefix("found")) for line in lines)
    for one, two in (own, compiled):
        assert one.keys() == two.keys()
        for name in one:
            close(two[name], one[name], message=name)
    # The model's own loss is the cross-entropy that the other run is compiled with.
    close(own[1]["loss"], compiled[1]["loss"])
    close(own[1]["weights"], compiled[1]["weights"])


if __name__ == "__main__":
    main()
