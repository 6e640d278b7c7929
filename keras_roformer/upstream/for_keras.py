"""Private API of Keras that this package uses (written for Keras 3.15)."""

import keras
import numpy as np
from keras.src.backend import AutocastScope, get_keras_mask
from keras.src.backend.common import stateless_scope
from keras.src.losses.loss import scale_loss_for_distribution
from keras.src.utils.backend_utils import in_grain_data_pipeline

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


def set_dtype(layer, dtype):
    """Have a built layer of torch's parameters compute in the dtype that these now have.

    Keras's setter of `dtype_policy` leaves the variables as they were made, and a variable has no
    public way to another dtype. This can go when a variable tells the dtype of its value.
    """
    layer.dtype_policy = dtype
    for variable in own_trainable_variables(layer):
        variable._dtype = dtype


def torch_device():
    """The device on which Keras makes torch's tensors: that of the `keras.device` around, or its
    default. `keras.device` can only be entered, not asked (Keras 3.15)."""
    return keras.src.backend.torch.core.get_device()


# Training of a `keras.Model` that has a loss of its own.


def forget_compiled(model):
    """Forget the loss and the metrics of an earlier `compile`.

    Where the next `compile` gives none, Keras 3.15 keeps those of before. This can go when it does
    not.
    """
    model._compile_loss = model._compile_metrics = None


def has_compiled_loss(model):
    """Whether `compile` was given a loss. `model.loss` does not tell: Keras 3.15 keeps it from one
    `compile` to the next."""
    return model._compile_loss is not None


def has_compiled_metrics(model):
    """Whether `compile` was given metrics; before a first batch Keras has no public answer."""
    return model._compile_metrics is not None


def whole_loss(model, loss):
    """A loss, and those of the model's layers, as `keras.Model.compute_loss` would give their sum.

    Keras adds up what the replicas of a `tf.distribute` strategy give (keras-team/keras#19969), so
    each gives its share. `compute_loss` does both only for a loss given to `compile`.
    """
    loss = scale_loss_for_distribution(loss)
    return sum(map(model._aggregate_additional_loss, model.losses), loss)


class FirstReplicaBuild:
    """Mixin of a `keras.Model` on TensorFlow that is built on the batch of the first replica.

    Under a `tf.distribute` strategy Keras 3.15 builds on the mean of the replicas' batches
    (`TensorFlowTrainer._maybe_symbolic_build`): ids and labels become floats, and strings
    have no mean (see keras-team/keras#21172). This can go when Keras takes a batch as it is.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        strategy = self._distribute_strategy
        if strategy is not None and iterator is not None:
            data_batch = keras.tree.map_structure(
                lambda x: strategy.experimental_local_results(x)[0],
                next(next(batches for _, _, batches in iterator)),
            )
        super()._maybe_symbolic_build(data_batch=data_batch)


class ServingSignature:
    """Mixin of a `keras.Model` whose SavedModel has the function `serving` by default.

    Keras 3.15 makes that function of a Functional model's inputs, which a subclass has not, and
    has no public name for it.
    """

    @property
    def _default_save_signature(self):
        return self.serving


# Data.


def in_grain_pipeline():
    """Whether this runs in a grain pipeline, where Keras's preprocessing layers give NumPy arrays
    (Keras 3.15). This can go when Keras has a public name for it."""
    return in_grain_data_pipeline()


def with_signature(epoch, size, signature):
    """A source of batches as a tf.data.Dataset of known signature, for `fit` on TensorFlow.

    Of a loader or a grain dataset, Keras 3.15 leaves open only the sizes in which the first two
    batches differ, and fails when a later one differs in another (keras-team/keras#19748). This can
    go when Keras lets a loader tell its shapes.

    Args:
        epoch: function that gives an iterator of an epoch's batches.
        size: batches in an epoch, or None where that is not known.
        signature: the `tf.TensorSpec`s of a batch.
    """
    import tensorflow as tf

    def batches():
        for batch in epoch():
            yield keras.tree.map_structure(np.asarray, batch)

    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    if size is not None:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(size))
    return dataset.prefetch(tf.data.AUTOTUNE)


# Callbacks.


def begin_at(model, epoch):
    """Have the `fit` that runs begin at an epoch, as `keras.callbacks.BackupAndRestore` does."""
    model._initial_epoch = epoch


# Exports.


def was_called(model):
    """Whether a model has been called, which `keras.Model.export` asks for on torch (Keras 3.15).
    Keras has no public name for it."""
    return model._called
