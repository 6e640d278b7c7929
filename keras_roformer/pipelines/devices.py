"""Devices and dtypes of pipelines: what a user may write, and what each backend has."""

import contextlib
import logging

from keras_roformer import config_fields

logger = logging.getLogger("keras_roformer")


class TorchDevices:
    """The devices of torch, as `torch.device`."""

    def has_gpu(self):
        """Whether there is an accelerator."""
        return self._accelerator() is not None

    def _accelerator(self):
        import torch

        kinds = {"cuda": torch.cuda, "xpu": torch.xpu, "mps": torch.backends.mps}
        return next((kind for kind, module in kinds.items() if module.is_available()), None)

    def find(self, device):
        """The framework's own device; an error says which there are."""
        import torch

        if isinstance(device, int):
            device = "cpu" if device < 0 else f"{self._accelerator()}:{device}"
        try:
            return torch.empty(0, device=device).device
        except (RuntimeError, AssertionError):  # unknown, absent, or torch built without it
            count = torch.cuda.device_count()
            raise _no_device(device, ["cpu", *(f"cuda:{i}" for i in range(count))]) from None

    def is_cpu(self, device):
        """Whether a found device, or None for the framework's choice, is a CPU."""
        return device is None or device.type == "cpu"


class JaxDevices:
    """The devices of JAX, as `jax.Device`."""

    def has_gpu(self):
        return "gpu:0" in self._all()

    def _all(self):
        import jax

        devices = {}
        for kind in ("cpu", "gpu"):
            with contextlib.suppress(RuntimeError):
                devices |= {f"{kind}:{i}": device for i, device in enumerate(jax.devices(kind))}
        return devices

    def find(self, device):
        devices = self._all()
        if _numbered(device) not in devices:
            raise _no_device(device, devices)
        return devices[_numbered(device)]

    def is_cpu(self, device):
        import jax

        return (jax.default_backend() if device is None else device.platform) == "cpu"


class TensorFlowDevices:
    """The devices of TensorFlow, as names for `tf.device`."""

    def has_gpu(self):
        return bool(self._gpus())

    def _gpus(self):
        import tensorflow as tf

        return [f"gpu:{i}" for i in range(len(tf.config.list_physical_devices("GPU")))]

    def find(self, device):
        known = ["cpu:0", *self._gpus()]
        if _numbered(device) not in known:
            raise _no_device(device, known)
        return _numbered(device)

    def is_cpu(self, device):
        return not self.has_gpu() or str(device).startswith("cpu")


# Backend → what it has.
DEVICES = {"torch": TorchDevices(), "jax": JaxDevices(), "tensorflow": TensorFlowDevices()}


def find_device(device, backend):
    """The backend's own device for what a user gave; None for None, the backend's choice.

    A GPU where there is none gives a warning and the CPU, another absent device a ValueError.
    """
    wants_gpu = isinstance(device, int) and device >= 0 or _kind(device) == "gpu"
    if wants_gpu and not DEVICES[backend].has_gpu():
        logger.warning(
            "device=%r is a GPU, but there is none here: the pipeline runs on the CPU", device
        )
        device = -1
    return None if device is None else DEVICES[backend].find(device)


def usable_dtype(dtype, device, backend):
    """The dtype to compute in on a device of `find_device`; None for float32."""
    if dtype == "float16" and DEVICES[backend].is_cpu(device):
        logger.warning("float16 is for a GPU; the pipeline runs in float32 on the CPU")
        return None
    return None if dtype == "float32" else dtype


def implied_backend(*values):
    """The backend that one of the values, a framework's dtype or device, belongs to; or None."""
    packages = [type(value).__module__.partition(".")[0] for value in values]
    return next((package for package in packages if package in DEVICES), None)


def dtype_name(dtype):
    """A framework's dtype, or its name, as one of "float32", "bfloat16", "float16", None."""
    name = config_fields.dtype_name(dtype)
    if name not in (None, "float32", "bfloat16", "float16"):
        raise ValueError(f"dtype must be float32, bfloat16 or float16, got {dtype!r}")
    return name


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
