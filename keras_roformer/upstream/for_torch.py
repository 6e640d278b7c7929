"""Private API of torch that this package uses (written for torch 2.13, used with 2.5 and later)."""

import torch

# Kernels. torch's own `linear` takes MKL's product on x86, which is slower than oneDNN's for many
# sizes (see `layers.kernels.torch_kernels.onednn_is_faster`). The operation that its compiler
# inserts has no public name. It can go when `torch.nn.functional.linear` chooses oneDNN itself.


def has_onednn_product():
    """Whether this build of torch has `onednn_product`."""
    return hasattr(torch.ops.mkldnn, "_linear_pointwise")


def onednn_product(x, weight, bias=None):
    """oneDNN's product with an (out, in) weight, the bias added within it."""
    return torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")


def onednn_product_to_script(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None):
    """`onednn_product` in the words of TorchScript, for `torch.jit.script`."""
    scalars: list[number | None] = []  # noqa: F821, TorchScript's name
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", scalars, "")


# What runs. torch.compiler and torch.jit tell publicly that they trace; torch.func and the dispatch
# modes (fake tensors, make_fx) do not. They can go when torch has public questions for them.


def is_transformed():
    """Whether a transform of torch.func (`vmap`, `grad`, `jvp`) is around what runs."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def is_dispatched():
    """Whether a dispatch mode is around what runs."""
    return torch._C._len_torch_dispatch_stack() > 0


# Modules.


def children(module):
    """The modules directly in a module by name, as the live dict that torch reads in every call.

    `named_children` leaves out a module's second name, and `add_module` refuses names that a class
    has a property of; this can go when neither matters.
    """
    return module._modules


def has_hooks(module):
    """Whether a call of `module` is more than its class's `forward`: hooks of its own or of every
    module, a compiled call, or a `forward` of its own. torch 2.13 asks the same attributes in
    `Module._call_impl`; it can go when a public question does."""
    every = torch.nn.modules.module
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or module._compiled_call_impl
        or "forward" in module.__dict__
        or every._global_forward_hooks
        or every._global_forward_pre_hooks
        or every._global_backward_hooks
        or every._global_backward_pre_hooks
    )


# Modules.


class WatchedModule(torch.nn.Module):
    """A module that is told what torch does with its tensors.

    torch 2.13 has no public hook for `to`, `half` and the like or for the copies that
    `torch.nn.DataParallel` makes, and torch 2.5 none for loading: torch's own modules override the
    same methods. This can go when it has.
    """

    def before_load(self, state_dict, prefix):
        """Called before the tensors of a state dict that begin with `prefix` are taken from it."""

    def after_conversion(self):
        """Called after device or dtype of the tensors may have changed."""

    def check_replication(self):
        """Called before a copy for `torch.nn.DataParallel` is made."""

    def _load_from_state_dict(self, state_dict, prefix, *args):
        self.before_load(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        self.after_conversion()
        return self

    def _replicate_for_data_parallel(self):
        self.check_replication()
        return super()._replicate_for_data_parallel()


class RegistersVariables:
    """Mixin, before KerasHub's class for a model: torch sees the model's weights.

    KerasHub 0.32 keeps torch from registering what a model sets while it is made, the parameters
    too: `parameters()` and `state_dict()` would be empty. Keras registers variables in
    `_track_variables`, once; LoRA and quantisation change them later. All of torch's ways to a
    module's tensors, also from a module around it, begin in the four methods below: parameters()
    and zero_grad() in the first, to() in the second. This can go when KerasHub registers them.
    """

    def _track_variables(self):
        variables = self.variables
        parameters = torch.nn.ParameterDict({v.path: v.value for v in variables})
        torch.nn.Module.__setattr__(self, "_torch_params", parameters)
        self.__dict__["_torch_variables"] = variables  # not for Keras to track once more

    def _follow_variables(self):
        """Register anew what has changed since, of a part too."""
        known = self.__dict__.get("_torch_variables")
        # By the variables: an export puts other tensors into their places for a while.
        if known is not None and list(map(id, known)) != list(map(id, self.variables)):
            self._track_variables()

    def named_modules(self, *args, **kwargs):
        self._follow_variables()
        return super().named_modules(*args, **kwargs)

    def named_children(self):
        self._follow_variables()
        return super().named_children()

    def state_dict(self, *args, **kwargs):
        self._follow_variables()
        return super().state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *args, **kwargs):
        self._follow_variables()
        return super()._load_from_state_dict(*args, **kwargs)
