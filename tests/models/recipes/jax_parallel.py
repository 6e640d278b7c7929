"""Train on several devices with JAX: `keras.distribution`, set before the model is made.

    KERAS_BACKEND=jax XLA_FLAGS=--xla_force_host_platform_device_count=8 \
        python -m tests.models.recipes.jax_parallel model

Here on eight virtual devices of one CPU; on real devices leave XLA_FLAGS out.
"""

import sys

import keras

from keras_roformer.models import RoFormerBackbone
from tests.models.recipes.example import make_data, make_model


def distribution(kind):
    """What `keras.distribution.set_distribution` takes, or None for one device.

    Args:
        kind: "data": every device has the whole model and a part of each batch. "model": the
            weights are cut too, here over four of the eight devices. "one": one device.
    """
    devices = keras.distribution.list_devices()
    if kind == "data":
        return keras.distribution.DataParallel(devices=devices)
    if kind == "model":
        mesh = keras.distribution.DeviceMesh((2, 4), ("batch", "model"), devices)
        layout_map = RoFormerBackbone.get_layout_map(mesh)
        return keras.distribution.ModelParallel(layout_map=layout_map, batch_dim_name="batch")
    return None


def train(kind, epochs=3):
    """The model and the losses of each epoch."""
    keras.distribution.set_distribution(distribution(kind))
    try:
        model = make_model()
        model.compile(
            keras.optimizers.SGD(0.1),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        inputs, labels = make_data()
        history = model.fit(inputs, labels, batch_size=16, epochs=epochs, shuffle=False, verbose=0)
        return model, history.history["loss"]
    finally:
        keras.distribution.set_distribution(None)


if __name__ == "__main__":
    print(*train(sys.argv[1])[1])
