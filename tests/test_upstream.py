"""The private API of other packages that this one uses: fails when upstream changes it."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

from keras_roformer.upstream import for_keras
from tests.tolerances import FLOAT32

BACKEND = keras.config.backend()
on_torch = pytest.mark.skipif(BACKEND != "torch", reason="of torch")


class TestKeras:
    def dense(self):
        layer = keras.layers.Dense(3)
        layer.build((None, 2))
        return layer

    def test_autocast(self):
        layer = keras.layers.Dense(3, dtype="mixed_bfloat16")
        layer.build((None, 2))
        assert keras.backend.standardize_dtype(layer.kernel.value.dtype) == "float32"
        with for_keras.autocast("bfloat16"):
            assert keras.backend.standardize_dtype(layer.kernel.value.dtype) == "bfloat16"

    def test_stateless_scope(self):
        assert not for_keras.in_stateless_scope()
        with keras.StatelessScope():
            assert for_keras.in_stateless_scope()

    def test_mask(self):
        ids = np.array([[1, 0]])
        masked = keras.layers.Embedding(2, 3, mask_zero=True)(ids)
        np.testing.assert_array_equal(ops.convert_to_numpy(for_keras.mask_of(masked)), ids > 0)
        assert for_keras.mask_of(ops.ones((1, 2))) is None

    def test_flat_layers(self):
        inner = self.dense()
        outer = keras.Sequential([keras.Sequential([inner])])
        assert inner in for_keras.flat_layers(outer) and outer in for_keras.flat_layers(outer)
        assert outer not in for_keras.flat_layers(outer, include_self=False)

    def test_policy(self):
        layer = self.dense()
        policy = keras.dtype_policies.DTypePolicyMap("float32")
        for_keras.set_policy(layer, policy)
        assert layer.dtype_policy is policy

    def test_after_build(self):
        class Layer(for_keras.AfterBuild, keras.layers.Layer):
            def after_build(self):
                self.seen = self.built

        layer = Layer()
        layer.build((2, 3))
        assert layer.seen

    def test_untracked(self):
        layer, other = keras.Sequential(), self.dense()
        for_keras.set_untracked(layer, "other", other)
        assert layer.other is other and other not in for_keras.flat_layers(layer)

    def test_replaced_variable(self):
        layer = self.dense()
        layer.kernel.trainable = False
        for_keras.replace_variable(layer, "_kernel", np.ones((2, 5), "float32"))
        assert layer.kernel.shape == (2, 5) and not layer.kernel.trainable
        assert len(layer.variables) == 2 and any(v is layer.kernel for v in layer.variables)

    def test_own_variables(self):
        layer = self.dense()
        model = keras.Sequential([layer])
        assert len(for_keras.own_trainable_variables(layer)) == 2
        assert not for_keras.own_trainable_variables(model)

    @on_torch
    def test_linked_variable(self):
        import torch

        class Source:
            parameter = torch.nn.Parameter(torch.ones(3, 2))
            value = property(lambda self: self.parameter.T)

            def set_data(self, tensor):
                self.parameter.data = tensor.T

        layer, source = self.dense(), Source()
        assert len(list(layer.parameters())) == 2
        for_keras.forget_parameters(layer)
        for_keras.link_variable(layer.kernel, source)
        np.testing.assert_allclose(ops.convert_to_numpy(layer(np.ones((1, 2)))), 2, **FLOAT32)
        layer.kernel.set_data(torch.zeros(2, 3))
        layer.kernel.trainable = False
        assert not source.parameter.any() and not source.parameter.requires_grad


@on_torch
class TestTorch:
    def test_onednn_product(self):
        import torch

        from keras_roformer.upstream import for_torch

        if not torch.backends.mkldnn.is_available():
            pytest.skip("a torch without oneDNN")
        assert for_torch.has_onednn_product()
        x, weight, bias = torch.randn(3, 4), torch.randn(5, 4), torch.randn(5)
        scripted = torch.jit.script(for_torch.onednn_product_to_script)
        for product in (for_torch.onednn_product, scripted):
            torch.testing.assert_close(product(x, weight, bias), x @ weight.T + bias)

    def test_what_runs(self):
        import torch
        from torch._subclasses.fake_tensor import FakeTensorMode

        from keras_roformer.upstream import for_torch

        assert not for_torch.is_transformed() and not for_torch.is_dispatched()
        seen = []
        torch.vmap(lambda x: seen.append(for_torch.is_transformed()) or x)(torch.ones(2))
        with FakeTensorMode():
            seen.append(for_torch.is_dispatched())
        assert seen == [True, True]

    def test_children(self):
        import torch

        from keras_roformer.upstream import for_torch

        module = torch.nn.Module()
        for_torch.children(module)["a"] = dense = torch.nn.Linear(2, 2)
        assert module.a is dense and dict(module.named_children()) == {"a": dense}

    def test_hooks(self):
        import torch

        from keras_roformer.upstream import for_torch

        every = torch.nn.modules.module
        for register in (
            lambda dense: dense.register_forward_hook(print),
            lambda dense: dense.register_forward_pre_hook(print),
            lambda dense: dense.register_full_backward_hook(print),
            lambda dense: dense.register_full_backward_pre_hook(print),
            lambda dense: every.register_module_forward_hook(print),
            lambda dense: every.register_module_forward_pre_hook(print),
            lambda dense: every.register_module_full_backward_hook(print),
            lambda dense: every.register_module_full_backward_pre_hook(print),
        ):
            dense = torch.nn.Linear(2, 2)
            assert not for_torch.has_hooks(dense)
            handle = register(dense)
            assert for_torch.has_hooks(dense)
            handle.remove()
            assert not for_torch.has_hooks(dense)
        dense.forward = print
        assert for_torch.has_hooks(dense)
        dense = torch.nn.Linear(2, 2)
        dense.compile()
        assert for_torch.has_hooks(dense)


on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="of the TensorFlow backend")


def dense_model(**kwargs):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, **kwargs)])
    model.compile(loss="mse", metrics=["mae"])
    return model


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


def test_keras_hub_reads_transformers_checkpoints_with_the_class_of_that_name(
    monkeypatch, tmp_path
):
    pytest.importorskip("keras_hub")
    from keras_hub.src.utils.preset_utils import get_preset_loader
    from keras_hub.src.utils.transformers import preset_loader

    from keras_roformer.upstream import for_keras_hub

    class Loader(for_keras_hub.PresetLoader):
        pass

    monkeypatch.setattr(preset_loader, "TransformersPresetLoader", lambda preset, config: "theirs")
    for_keras_hub.load_transformers_with(Loader, "mine")
    (tmp_path / "config.json").write_text('{"model_type": "mine"}')
    assert isinstance(get_preset_loader(str(tmp_path)), Loader)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert get_preset_loader(str(tmp_path)) == "theirs"


def test_keras_tells_whether_a_model_was_called():
    layer = keras.layers.Dense(1)
    layer.build((2, 2))
    assert not for_keras.was_called(layer)
    layer(np.ones((2, 2)))
    assert for_keras.was_called(layer)


def test_a_callback_says_where_fit_begins():
    seen = []

    class Begin(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            for_keras.begin_at(self.model, 2)

        def on_epoch_begin(self, epoch, logs=None):
            seen.append(epoch)

    dense_model().fit(np.ones((2, 2)), np.ones(2), epochs=4, verbose=0, callbacks=[Begin()])
    assert seen == [2, 3]


def test_grain_pipelines_are_known():
    grain = pytest.importorskip("grain", reason="grain is in the extra hub")
    seen = []
    list(grain.MapDataset.source([1]).map(lambda x: seen.append(for_keras.in_grain_pipeline())))
    assert seen == [True] and not for_keras.in_grain_pipeline()


class BatchesOfWidths(keras.utils.PyDataset):
    def __init__(self, *widths):
        super().__init__()
        self.widths = widths

    def __len__(self):
        return len(self.widths)

    def __getitem__(self, index):
        return np.ones((2, self.widths[index], 2), "float32"), np.ones((2, 1, 1), "float32")


@on_tensorflow
def test_keras_fixes_the_sizes_in_which_two_batches_agree():
    import tensorflow as tf

    data = BatchesOfWidths(3, 3, 4)
    model = keras.Sequential([keras.Input((None, 2)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    with pytest.raises(Exception, match="shape"):  # else `with_signature` can go
        model.fit(data, shuffle=False, verbose=0)
    signature = (tf.TensorSpec((None, None, 2)), tf.TensorSpec((None, 1, 1)))
    source = for_keras.with_signature(lambda: map(data.__getitem__, range(3)), 3, signature)
    assert len(source) == 3
    model.fit(source, epochs=2, verbose=0)


@on_torch
def test_torch_sees_the_variables_of_a_model_of_keras_hub():
    models = pytest.importorskip("keras_roformer.models")
    from keras_hub.models import Backbone

    assert "_track_variables" in dir(Backbone)
    model = models.RoFormerBackbone(
        vocabulary_size=9, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=8
    )
    assert len(list(model.parameters())) == len(model.state_dict()) == len(model.variables)
    model.enable_lora(2)
    assert len(list(model.parameters())) == len(model.variables)


def test_keras_hub_reads_the_config_of_a_preset(tmp_path):
    pytest.importorskip("keras_hub")
    from keras_roformer.upstream import for_keras_hub

    (tmp_path / "config.json").write_text('{"config": {"dtype": null}}')
    assert for_keras_hub.load_json(str(tmp_path)) == {"config": {"dtype": None}}
