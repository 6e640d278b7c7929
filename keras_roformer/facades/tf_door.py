"""The door of the TensorFlow classes; see `facades.door`."""

import contextlib
import functools

import keras
import tensorflow as tf
from keras import ops

from keras_roformer.facades.door import Door


class TFDoor(Door):
    """How TensorFlow predicts, loads, draws and differentiates."""

    prediction_device = None  # name, as TensorFlow has it

    @classmethod
    def load_for_prediction(cls, name, dtype=None, device=None, **kwargs):
        if cls.add_pooler:  # no pipeline reads it, and a checkpoint without one gives a warning
            kwargs["_add_pooler"] = False
        with _scope(device):
            dtype = f"mixed_{dtype}" if dtype else "float32"
            model = cls.from_pretrained(name, dtype=dtype, **kwargs)
        model.prepare_prediction(device)
        return model

    def prepare_prediction(self, device=None):
        if device is not None:
            self.prediction_device = device

    def to_inputs(self, arrays):
        return {name: tf.constant(array) for name, array in arrays.items()}

    def _predict(self, batch):
        # Here, as there are no values to look at in a graph.
        self.check_inputs(batch)
        with _scope(self.prediction_device):
            return self._graphs.of(self, batch)(self.to_inputs(batch))

    @functools.cached_property
    def _graphs(self):
        # Not set as an attribute: Keras and TensorFlow would track and save what it holds.
        return _Graphs()

    def inference(self):
        return _scope(self.prediction_device)

    @staticmethod
    def gradient(function, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return tape.gradient(value, x)

    @staticmethod
    def draw_seed():
        return int(tf.random.uniform((), maxval=2**62, dtype="int64"))

    @staticmethod
    def to_tensor(array, like=None):
        if like is None:
            return array
        integers = array.dtype.kind == "i" and "int" in str(like.dtype)
        dtype = keras.backend.standardize_dtype(like.dtype) if integers else None
        return ops.convert_to_tensor(array, dtype=dtype)


class _Graphs:
    """The graphs of a model's predictions, each made for tensors of any shape: it is traced once,
    and anew for other variables (resized, pruned) or another device."""

    def __init__(self):
        self.made = [], {}  # the variables that they were made for; by device and inputs

    def of(self, model, batch):
        """The graph for a batch of arrays."""
        # One look and one change: threads may share a model.
        known, graphs = self.made
        variables = model.network.variables
        if list(map(id, variables)) != list(map(id, known)):
            graphs = {}
            self.made = variables, graphs
        key = model.prediction_device, *((name, array.ndim) for name, array in batch.items())
        if key not in graphs:
            spec = {n: tf.TensorSpec([None] * a.ndim, "int32", n) for n, a in batch.items()}

            def run(batch):
                outputs = model(**batch, training=False)
                return {name: x for name, x in outputs.items() if hasattr(x, "shape")}

            graphs[key] = tf.function(run, input_signature=[spec]).get_concrete_function()
        return graphs[key]


def _scope(device):
    return contextlib.nullcontext() if device is None else tf.device(device)
