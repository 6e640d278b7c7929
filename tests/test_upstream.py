"""The private API of other packages that this one uses: fails when upstream changes it."""

import inspect

import keras
import numpy as np
import pytest

from keras_roformer.upstream import for_keras

BACKEND = keras.config.backend()
on_torch = pytest.mark.skipif(BACKEND != "torch", reason="of the torch backend")
on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="of the TensorFlow backend")


def dense_model(**kwargs):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, **kwargs)])
    model.compile(loss="mse", metrics=["mae"])
    return model


def test_flat_layers():
    inner = keras.layers.Dense(1)
    outer = keras.layers.TimeDistributed(inner)
    assert for_keras.flat_layers(outer) == [outer, inner]
    assert for_keras.flat_layers(outer, include_self=False) == [inner]


def test_keras_keeps_what_an_earlier_compile_was_given():
    model = dense_model()
    model.compile()
    assert for_keras.has_compiled_loss(model) and for_keras.has_compiled_metrics(model)
    for_keras.forget_compiled(model)
    model.compile()
    assert not for_keras.has_compiled_loss(model) and not for_keras.has_compiled_metrics(model)


def test_whole_loss_is_that_of_keras():
    model = dense_model(kernel_regularizer="l2", activity_regularizer="l2")
    x, y = np.ones((3, 2), "float32"), np.zeros((3, 1), "float32")  # so that found - y is found
    found = model(x)
    wanted = model.compute_loss(x, y, found)
    assert len(model.losses) == 2
    own = for_keras.whole_loss(model, keras.ops.mean(keras.ops.square(found)))
    np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (own, wanted)), rtol=1e-6)


@on_tensorflow
def test_keras_builds_on_the_mean_of_the_replicas():
    method = keras.Model._maybe_symbolic_build
    assert list(inspect.signature(method).parameters) == ["self", "iterator", "data_batch"]
    assert '"MEAN"' in inspect.getsource(method)
    assert dense_model()._distribute_strategy is None


@on_tensorflow
def test_keras_saves_the_default_signature(tmp_path):
    import tensorflow as tf

    class Twice(for_keras.ServingSignature, keras.Model):
        @property
        def serving(self):
            return tf.function(lambda x: {"y": 2 * x}, [tf.TensorSpec((), tf.float32)])

    tf.saved_model.save(Twice(), str(tmp_path))
    serving = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    assert serving(tf.constant(3.0))["y"] == 6


@on_torch
def test_torch_device():
    with keras.device("cpu"):
        assert for_keras.torch_device() == "cpu"
    with keras.device("meta"):
        assert for_keras.torch_device() == "meta"


@on_torch
def test_variables_take_the_dtype_of_their_values():
    dense = keras.layers.Dense(1)
    dense.build((2, 2))
    dense.dtype_policy = "float16"
    assert dense.kernel.dtype == "float32"  # else `set_dtype` has no more to do
    for_keras.set_dtype(dense, "float16")
    assert dense.kernel.dtype == dense.bias.dtype == dense.compute_dtype == "float16"


@on_torch
def test_torch_tells_a_watched_module():
    import torch

    from keras_roformer.upstream import for_torch

    told = []

    class Watched(for_torch.WatchedModule, torch.nn.Linear):
        def before_load(self, state_dict, prefix):
            told.append((sorted(state_dict), prefix))

        def after_conversion(self):
            told.append(self.weight.dtype)

        def check_replication(self):
            told.append("copied")

    model = torch.nn.Sequential(Watched(1, 1))
    model.half()
    model.load_state_dict(model.state_dict())
    model[0]._replicate_for_data_parallel()  # which torch.nn.DataParallel calls
    assert told == [torch.float16, (["0.bias", "0.weight"], "0."), "copied"]
