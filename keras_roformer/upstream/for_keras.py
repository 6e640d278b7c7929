"""Private API of Keras that this package uses (written for Keras 3.15)."""

import keras
from keras.src.backend import AutocastScope, get_keras_mask
from keras.src.backend.common import stateless_scope

# Scopes and masks. Keras has no public names for them; each can go when it has one.


def autocast(dtype):
    """A scope in which variables are read in `dtype`, as around the `call` of a layer of it."""
    return AutocastScope(dtype)


def in_stateless_scope():
    """Whether a `keras.StatelessScope` is around what runs."""
    return stateless_scope.in_stateless_scope()


def mask_of(x):
    """The mask that a layer before (`mask_zero`) gave a tensor, or None."""
    return get_keras_mask(x)


# Layers.


def flat_layers(layer, include_self=True):
    """A layer and all layers inside, in Keras's order. Public are only a model's direct layers."""
    return list(layer._flatten_layers(include_self=include_self))


def set_policy(layer, policy):
    """Give a built layer another dtype policy; the public setter takes no policy of a quantised
    layer, and none that is in a `DTypePolicyMap`."""
    layer._dtype_policy = policy


class AfterBuild:
    """Mixin of layers with something to do when they are built: Keras has no public hook for it."""

    def after_build(self):
        """Called after `build`, before Keras registers the variables."""

    def _post_build(self):
        self.after_build()
        super()._post_build()


def set_untracked(layer, name, value):
    """Set an attribute of a layer past Keras's tracking (and torch's), which would take a layer or
    a module that is none of the layer's own parts for one."""
    layer.__dict__[name] = value


def replace_variable(layer, attribute, array):
    """Put a variable with the values of `array` in the place of a built layer's variable.

    Keras has no public way to change the shape of a variable or to add one to a built layer.
    """
    old = getattr(layer, attribute)
    layer._untrack_variable(old)
    layer._tracker.unlock()
    new = layer.add_weight(
        shape=array.shape,
        initializer="zeros",
        dtype=old.dtype,
        trainable=old.trainable,
        name=old.name,
    )
    new.assign(array)
    setattr(layer, attribute, new)
    layer._tracker.lock()


# Variables whose values lie elsewhere: in torch's parameters, see `facades.torch_tree`. Keras's
# variables own their values; this can go when a variable can be made around a torch parameter.


class LinkedVariable(keras.Variable):
    """A variable that reads the parameter that its `source` has at the moment.

    A source has `value` (a tensor in the variable's layout), `parameter` and `set_data`.
    """

    @property
    def parameter(self):
        """The `torch.nn.Parameter` that has the value, or its transpose."""
        return self.source.parameter

    @property
    def _value(self):
        return self.source.value

    @property
    def trainable(self):
        return self.parameter.requires_grad

    @trainable.setter
    def trainable(self, value):
        self.parameter.requires_grad = value

    def set_data(self, tensor):
        """Take a tensor's memory, in the layout of the variable, for the parameter."""
        self.source.set_data(tensor)


def link_variable(variable, source):
    """Have a built layer's variable read a `source` (see `LinkedVariable`) from now on."""
    if not isinstance(variable, LinkedVariable):
        del variable._value
        variable.__class__ = LinkedVariable
    variable.source = source


def own_trainable_variables(layer):
    """The trainable variables of a layer, without those of the layers inside."""
    return layer._trainable_variables


def forget_parameters(layer):
    """Take back what a built layer, which on torch is a module, has registered as parameters."""
    layer._modules.pop("_torch_params", None)
