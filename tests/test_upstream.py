"""The private API of other packages is still there, and does what `upstream` says."""

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
