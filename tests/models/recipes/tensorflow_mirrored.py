"""Train on several devices with TensorFlow: `MirroredStrategy`, and `fit` as always.

    KERAS_BACKEND=tensorflow python -m tests.models.recipes.tensorflow_mirrored 2

Here on two logical devices of one CPU; on GPUs `tf.distribute.MirroredStrategy()` takes them all.
"""

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import tensorflow as tf

from tests.models.recipes.example import make_data, make_model


def main(devices, epochs=3):
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * devices
    tf.config.set_logical_device_configuration(cpu, logical)
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(devices)])
    with strategy.scope():
        model = make_model()
        model.compile(
            keras.optimizers.SGD(0.1),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
    inputs, labels = make_data()
    data = tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(32)
    history = model.fit(data, epochs=epochs, verbose=0)
    print("replicas", strategy.num_replicas_in_sync)
    print("losses", *history.history["loss"], flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
