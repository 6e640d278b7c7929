"""Where a pipeline's model runs and how it is called: one class a backend."""

import contextlib
import logging

import numpy as np

from keras_roformer import config_fields

logger = logging.getLogger("keras_roformer")


class Runtime:
    """A device of one backend; loads models to it and calls them with numpy arrays.

    Args:
        device: as in `pipeline`. A GPU where there is none gives a warning and the CPU.
    """

    prefix = ""  # of the documented class names
    fixed_shapes = False  # every new shape is compiled: batches are padded to a few shapes

    def __init__(self, device=None):
        wants_gpu = isinstance(device, int) and device >= 0 or _kind(device) == "gpu"
        if wants_gpu and not self.has_gpu():
            logger.warning(
                "device=%r is a GPU, but there is none here: the pipeline runs on the CPU", device
            )
            device = -1
        self.device = None if device is None else self.find(device)

    def has_gpu(self):
        raise NotImplementedError

    def find(self, device):
        """The framework's own device; an error says which there are."""
        raise NotImplementedError

    def on_cpu(self):
        raise NotImplementedError

    def usable_dtype(self, dtype):
        if dtype == "float16" and self.on_cpu():
            logger.warning("float16 is for a GPU; the pipeline runs in float32 on the CPU")
            return None
        return None if dtype == "float32" else dtype

    def load(self, class_name, name, dtype, **kwargs):
        """A documented class's model from a checkpoint, on the device."""
        import keras_roformer

        cls = getattr(keras_roformer, self.prefix + class_name)
        with self.scope():
            model = self.from_pretrained(cls, name, dtype, **kwargs)
        self.place(model)
        return model

    def from_pretrained(self, cls, name, dtype, **kwargs):
        raise NotImplementedError

    def scope(self):
        return contextlib.nullcontext()

    def place(self, model):
        """Move the model to the device, ready for prediction."""

    def predict(self, model, batch):
        """Numpy arrays in, numpy arrays out, the outputs by name, in float32."""
        import keras

        with self.scope():
            outputs = self.call(model, batch)
        return {
            name: keras.ops.convert_to_numpy(keras.ops.cast(value, "float32"))
            for name, value in outputs.items()
            if hasattr(value, "shape")
        }

    def call(self, model, batch):
        raise NotImplementedError


class Torch(Runtime):
    def has_gpu(self):
        return self._accelerator() is not None

    @staticmethod
    def _accelerator():
        import torch

        kinds = {"cuda": torch.cuda, "xpu": torch.xpu, "mps": torch.backends.mps}
        return next((kind for kind, module in kinds.items() if module.is_available()), None)

    def find(self, device):
        import torch

        if isinstance(device, int):
            device = "cpu" if device < 0 else f"{self._accelerator()}:{device}"
        try:
            return torch.empty(0, device=device).device
        except (RuntimeError, AssertionError):  # unknown, absent, or torch built without it
            count = torch.cuda.device_count()
            raise _no_device(device, ["cpu", *(f"cuda:{i}" for i in range(count))]) from None

    def on_cpu(self):
        return self.device is None or self.device.type == "cpu"

    def from_pretrained(self, cls, name, dtype, **kwargs):
        return cls.from_pretrained(name, dtype=dtype, **kwargs)

    def place(self, model):
        if self.device is not None:
            model.to(self.device)
        model.eval()

    def call(self, model, batch):
        import torch

        # Attention without a mask is faster, and sorted batches are often all of one length.
        if batch["attention_mask"].all():
            batch = {name: array for name, array in batch.items() if name != "attention_mask"}
        with torch.inference_mode():
            tensors = {n: torch.as_tensor(a, device=model.device) for n, a in batch.items()}
            return model(**tensors)


class Jax(Runtime):
    prefix = "Flax"
    fixed_shapes = True

    @staticmethod
    def _devices():
        import jax

        devices = {}
        for kind in ("cpu", "gpu"):
            with contextlib.suppress(RuntimeError):
                devices |= {f"{kind}:{i}": device for i, device in enumerate(jax.devices(kind))}
        return devices

    def has_gpu(self):
        return "gpu:0" in self._devices()

    def find(self, device):
        devices = self._devices()
        if _numbered(device) not in devices:
            raise _no_device(device, devices)
        return devices[_numbered(device)]

    def on_cpu(self):
        import jax

        platform = jax.default_backend() if self.device is None else self.device.platform
        return platform == "cpu"

    def from_pretrained(self, cls, name, dtype, **kwargs):
        return cls.from_pretrained(name, dtype=dtype or "float32", **kwargs)

    def place(self, model):
        import jax

        if self.device is not None:
            model.params = jax.device_put(model.params, self.device)

    def call(self, model, batch):
        return model(**batch)


class TensorFlow(Runtime):
    prefix = "TF"

    def __init__(self, device=None):
        super().__init__(device)
        self._graphs = [], {}  # the variables that they were made for; by names of inputs

    @staticmethod
    def _gpus():
        import tensorflow as tf

        return [f"gpu:{i}" for i in range(len(tf.config.list_physical_devices("GPU")))]

    def has_gpu(self):
        return bool(self._gpus())

    def find(self, device):
        known = ["cpu:0", *self._gpus()]
        if _numbered(device) not in known:
            raise _no_device(device, known)
        return _numbered(device)

    def on_cpu(self):
        return not self.has_gpu() or str(self.device).startswith("cpu")

    def scope(self):
        import tensorflow as tf

        return contextlib.nullcontext() if self.device is None else tf.device(self.device)

    def from_pretrained(self, cls, name, dtype, **kwargs):
        if cls.add_pooler:  # no pipeline uses it, and a checkpoint without one gives a warning
            cls = type(cls.__name__, (cls,), {"add_pooler": False})
        return cls.from_pretrained(name, dtype=f"mixed_{dtype}" if dtype else "float32", **kwargs)

    def call(self, model, batch):
        """Run a graph that was made for tensors of any shape: it is traced once, and anew for other
        variables (of another model; resized, pruned)."""
        import tensorflow as tf

        # One look and one change: threads may share a pipeline.
        known, graphs = self._graphs
        variables = model.network.variables
        if list(map(id, variables)) != list(map(id, known)):
            graphs = {}
            self._graphs = variables, graphs
        key = tuple((name, array.ndim) for name, array in batch.items())
        if key not in graphs:
            spec = {n: tf.TensorSpec([None] * a.ndim, "int32", n) for n, a in batch.items()}

            def run(batch):
                outputs = model(**batch, training=False)
                return {name: x for name, x in outputs.items() if hasattr(x, "shape")}

            graphs[key] = tf.function(run, input_signature=[spec]).get_concrete_function()
        return graphs[key]({name: tf.constant(array) for name, array in batch.items()})


RUNTIMES = {"torch": Torch, "jax": Jax, "tensorflow": TensorFlow}


def runtime_of(model, task, class_name):
    """The class of the backend that a model in memory, which must be a `class_name`, runs on."""
    names = [cls.__name__ for cls in type(model).__mro__]
    for runtime in RUNTIMES.values():
        if runtime.prefix + class_name in names:
            return runtime
    raise TypeError(
        f"{task} needs a {class_name}, TF{class_name} or Flax{class_name}, "
        f"or the name of a preset or directory; got {type(model).__name__}"
    )


def implied_backend(*values):
    """The backend that one of the values, a framework's dtype or device, belongs to; or None."""
    packages = [type(value).__module__.partition(".")[0] for value in values]
    return next((package for package in packages if package in RUNTIMES), None)


def dtype_name(dtype):
    """A framework's dtype, or its name, as one of "float32", "bfloat16", "float16", None."""
    name = config_fields.dtype_name(dtype)
    if name not in (None, "float32", "bfloat16", "float16"):
        raise ValueError(f"dtype must be float32, bfloat16 or float16, got {dtype!r}")
    return name


def padded_size(size):
    """The next of the few sizes that shapes are padded to: 16, 24, 32, 48, 64, 96, 128, …"""
    power = max(16, 1 << (size - 1).bit_length())
    return 3 * power // 4 if 16 < power and size <= 3 * power // 4 else power


def padded_rows(lists, width, fill=0, dtype="int32"):
    """The (B, width) array of lists, filled up with `fill`."""
    array = np.full((len(lists), width), fill, dtype)
    for row, values in zip(array, lists, strict=True):
        row[: len(values)] = values
    return array


def mask_of_lengths(lengths, width):
    """The (B, width) attention mask of rows with these lengths."""
    return (np.arange(width) < np.asarray(lengths)[:, None]).astype("int32")


def _kind(device):
    return str(device).lower().partition(":")[0].replace("cuda", "gpu")


def _numbered(device):
    """-1, 0, "cpu", "cuda:1", "GPU:0" → "cpu:0" or "gpu:<number>"."""
    if isinstance(device, int):
        return "cpu:0" if device < 0 else f"gpu:{device}"
    number = str(device).partition(":")[2]
    return f"{_kind(device)}:{number or 0}"


def _no_device(device, known):
    known = ", ".join(map(repr, known))
    return ValueError(f"there is no device {device!r} here; there is {known}")
