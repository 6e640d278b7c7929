"""`pipeline(task, …)`: text in, answers out, with transformers' result formats.

A task is one subclass of `Pipeline` in `TASKS`; it says how a text is encoded and how the model's
outputs for it become a result. Batching, order, backends, devices and dtypes are the base class's.
"""

import contextlib
import difflib
import itertools
import logging
import os

import numpy as np

from keras_roformer.backend import choose_backend, current_backend
from keras_roformer.presets import HUB_ARGUMENTS

logger = logging.getLogger("keras_roformer")

# Batches are made smaller where the logits of all tokens would be more numbers than this (0.5 GB).
_MOST_LOGITS = 2**27


def pipeline(
    task,
    model=None,
    tokenizer=None,
    *,
    device=None,
    dtype=None,
    torch_dtype=None,
    batch_size=32,
    backend=None,
    **kwargs,
):
    """Make the pipeline of a task.

    Args:
        task: "fill-mask".
        model: name of a preset in the box, directory, hub id, or a model in memory; by default a
            small preset.
        tokenizer: where to load it from, or a tokenizer; by default the model's.
        device: -1 or "cpu", the number of a GPU, or a name such as "cuda:0"; by default the one
            that the backend chooses.
        dtype: "float32", "bfloat16", "float16" or a framework's own; float16 on a CPU gives a
            warning and float32.
        torch_dtype: older name of `dtype`.
        batch_size: most texts that the model sees at once.
        backend: "jax", "torch" or "tensorflow"; by default the one that runs already, else the
            one that `dtype` or `device` belongs to (torch.float16: torch), else the first that is
            installed.
        kwargs: `cache_dir`, `force_download`, `local_files_only`, `token`, `revision`, `subfolder`
            for the hub; others are defaults for the pipeline's calls, e.g. `top_k`.

    Raises:
        ValueError: unknown task, preset, device or dtype.
        ImportError: the backend is not installed.

    Example:
        >>> fill = pipeline("fill-mask", model="roformer_tiny_zh")
        >>> fill("今天天气很好，我们去公园[MASK]吧。")[0]["token_str"]
    """
    if task not in TASKS:
        near = difflib.get_close_matches(str(task), TASKS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown task {task!r}{hint} Tasks: {', '.join(TASKS)}")
    cls = TASKS[task]
    model = cls.default_model if model is None else model
    hub = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
    backend = backend or current_backend() or _implied_backend(dtype, torch_dtype, device)
    dtype = _dtype_name(dtype if dtype is not None else torch_dtype)
    if isinstance(model, (str, os.PathLike)):
        runtime = _RUNTIMES[choose_backend(backend)](device)
        name = os.fspath(model)
        model = runtime.load(cls.model_class, name, runtime.usable_dtype(dtype), hub)
    else:
        runtime = _runtime_of(model, cls)(device)
        if dtype is not None:
            raise ValueError("dtype is for a model that is loaded; this one is in memory already")
        runtime.place(model)
        name = model.config.name_or_path
    if tokenizer is None:
        if not name:
            raise ValueError("the model in memory does not say where its tokenizer is; pass one")
        tokenizer = name
    if isinstance(tokenizer, (str, os.PathLike)):
        from keras_roformer.tokenizers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(tokenizer, **hub)
    return cls(model, tokenizer, runtime, batch_size=batch_size, **kwargs)


class Pipeline:
    """What all tasks share: lists and streams of inputs in batches of similar length.

    Attributes:
        model, tokenizer: those that it runs.
        batch_size: most texts that the model sees at once.
    """

    task = None
    model_class = None  # name of the documented class, without the prefix of its family
    default_model = None

    def __init__(self, model, tokenizer, runtime, batch_size=32, **defaults):
        self.model = model
        self.tokenizer = tokenizer
        self.batch_size = _at_least_one("batch_size", batch_size)
        self._runtime = runtime
        self._defaults = self.parameters(**defaults)

    def parameters(self, **given):
        """Check the task's own arguments; give those of `postprocess`."""
        if given:
            raise TypeError(f"{self.task} has no argument {', '.join(sorted(given))}")
        return {}

    def encode(self, text):
        """Token ids and the like of one input, without padding."""
        raise NotImplementedError

    def select(self, encoding, outputs, row):
        """What `postprocess` needs of a batch's outputs (numpy arrays by name), for one row."""
        raise NotImplementedError

    def postprocess(self, encoding, selected, **parameters):
        """The result of one input."""
        raise NotImplementedError

    def __call__(self, inputs, *, batch_size=None, **parameters):
        """Results for one text, a list of texts, or an iterable of texts.

        Args:
            inputs: str, list of str, or any iterable of str.
            batch_size: in the place of the pipeline's own.
            parameters: in the place of the pipeline's own, see the task.

        Returns:
            one result; a list of results; for any other iterable an iterator of results. The order
            is that of the inputs, and the batch size does not matter to the results.
        """
        size = _at_least_one("batch_size", batch_size or self.batch_size)
        parameters = {**self._defaults, **self.parameters(**parameters)}
        if isinstance(inputs, str):
            return self._run([inputs], size, parameters)[0]
        if isinstance(inputs, (list, tuple)):
            return self._run(list(inputs), size, parameters)
        if not hasattr(inputs, "__iter__"):
            raise TypeError(
                f"{self.task} takes a text, a list of texts or an iterable of texts, "
                f"got {type(inputs).__name__}"
            )
        return self._stream(iter(inputs), size, parameters)

    def _stream(self, inputs, size, parameters):
        # So many at once that sorting them by length saves most of the padding.
        while window := list(itertools.islice(inputs, 16 * size)):
            yield from self._run(window, size, parameters)

    def _run(self, inputs, size, parameters):
        encodings = [self._encode(text) for text in inputs]
        results = [None] * len(inputs)
        for batch in self._batches(encodings, size):
            outputs = self._predict([encodings[index] for index in batch])
            for row, index in enumerate(batch):
                selected = self.select(encodings[index], outputs, row)
                results[index] = self.postprocess(encodings[index], selected, **parameters)
        return results

    def _encode(self, text):
        if not isinstance(text, str):
            raise TypeError(f"{self.task} takes texts, got {type(text).__name__}: {text!r}")
        encoding = self.encode(text)
        largest = max(encoding["input_ids"], default=0)
        if largest >= self.model.config.vocab_size:
            raise ValueError(
                f"the tokenizer gives the id {largest}, but the model knows only ids below "
                f"vocab_size={self.model.config.vocab_size}; use the tokenizer of the model"
            )
        return encoding

    def _batches(self, encodings, size):
        """Lists of indices, the longest texts first, so that memory runs out at once or never."""
        order = sorted(range(len(encodings)), key=lambda i: -len(encodings[i]["input_ids"]))
        start = 0
        while start < len(order):
            tokens = self._padded(len(encodings[order[start]]["input_ids"]))
            most = max(1, _MOST_LOGITS // (tokens * self.model.config.vocab_size))
            yield order[start : start + min(size, most)]
            start += min(size, most)

    def _padded(self, length):
        multiple = self._runtime.length_multiple
        return -(-length // multiple) * multiple

    def _predict(self, encodings):
        length = self._padded(max(len(encoding["input_ids"]) for encoding in encodings))
        pad_ids = {"input_ids": self.tokenizer.pad_token_id or 0}
        batch = {}
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            batch[name] = np.full((len(encodings), length), pad_ids.get(name, 0), "int32")
            for row, encoding in zip(batch[name], encodings, strict=True):
                row[: len(encoding[name])] = encoding[name]
        return self._runtime.predict(self.model, batch)


class FillMaskPipeline(Pipeline):
    """Which tokens fit the [MASK]s of a text.

    Call arguments:
        top_k: number of answers for every mask.
        targets: token or list of tokens: only these are considered. A word that is no token is
            represented by its first piece, with a warning.

    Returns:
        for a text with one mask a list of dicts, the likeliest first, with `score` (probability
        among all tokens), `token` (id), `token_str` and `sequence` (the filled text); with several
        masks a list of such lists, each filling its mask alone. A list of one text gives what the
        text gives, as in transformers.
    """

    task = "fill-mask"
    model_class = "RoFormerForMaskedLM"
    default_model = "roformer_tiny_zh"

    def parameters(self, top_k=None, targets=None, **unknown):
        super().parameters(**unknown)
        given = {}
        if top_k is not None:
            given["top_k"] = _at_least_one("top_k", top_k)
        if targets is not None:
            given["targets"] = self._target_ids([targets] if isinstance(targets, str) else targets)
        return given

    def __call__(self, inputs, **parameters):
        results = super().__call__(inputs, **parameters)
        return results[0] if isinstance(inputs, list) and len(inputs) == 1 else results

    __call__.__doc__ = Pipeline.__call__.__doc__

    def _target_ids(self, targets):
        vocab = self.tokenizer.get_vocab()
        ids = []
        for target in targets:
            index = vocab.get(target)
            if index is None:
                pieces = self.tokenizer(target, add_special_tokens=False)["input_ids"]
                if not pieces:
                    logger.warning("the target %r has no token; it is left out", target)
                    continue
                index = pieces[0]
                logger.warning(
                    "the target %r is no token; its first piece %r stands for it",
                    target,
                    self.tokenizer.convert_ids_to_tokens(index),
                )
            if index not in ids:
                ids.append(index)
        if not ids:
            raise ValueError(f"targets must name at least one token, got {list(targets)!r}")
        return np.array(ids)

    def encode(self, text):
        encoding = self.tokenizer(text, return_token_type_ids=True, return_attention_mask=True)
        encoding = {name: list(encoding[name]) for name in encoding}
        encoding["masks"] = [
            position
            for position, index in enumerate(encoding["input_ids"])
            if index == self.tokenizer.mask_token_id
        ]
        if not encoding["masks"]:
            raise ValueError(
                f"fill-mask needs {self.tokenizer.mask_token} in the text, got {_shortened(text)!r}"
            )
        return encoding

    def select(self, encoding, outputs, row):
        return outputs["logits"][row, encoding["masks"]]

    def postprocess(self, encoding, selected, top_k=5, targets=None):
        one_mask = len(encoding["masks"]) == 1
        results = []
        for position, logits in zip(encoding["masks"], selected, strict=True):
            scores = _softmax(logits)
            answers = []
            for index in _likeliest(scores, top_k, targets):
                ids = list(encoding["input_ids"])
                ids[position] = index
                answers.append(
                    {
                        "score": float(scores[index]),
                        "token": index,
                        "token_str": self.tokenizer.decode([index]),
                        # With several masks the others must stay visible.
                        "sequence": self.tokenizer.decode(ids, skip_special_tokens=one_mask),
                    }
                )
            results.append(answers)
        return results[0] if one_mask else results


TASKS = {cls.task: cls for cls in (FillMaskPipeline,)}


def _at_least_one(name, value):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
    return int(value)


def _shortened(text):
    return text if len(text) <= 40 else text[:39] + "…"


def _softmax(logits):
    exponentials = np.exp(logits - logits.max())
    return exponentials / exponentials.sum()


def _likeliest(scores, count, candidates=None):
    """The ids (of `candidates`, if given) with the highest scores, the highest first."""
    candidates = np.arange(len(scores)) if candidates is None else candidates
    count = min(count, len(candidates))
    best = candidates[np.argpartition(-scores[candidates], count - 1)[:count]]
    return best[np.lexsort((best, -scores[best]))].tolist()


def _implied_backend(*values):
    """The backend that one of the values, a framework's dtype or device, belongs to; or None."""
    packages = [type(value).__module__.partition(".")[0] for value in values]
    return next((package for package in packages if package in _RUNTIMES), None)


def _dtype_name(dtype):
    from keras_roformer.config import RoFormerConfig

    name = RoFormerConfig(dtype=dtype).dtype
    if name not in (None, "float32", "bfloat16", "float16"):
        raise ValueError(f"dtype must be float32, bfloat16 or float16, got {dtype!r}")
    return name


# One class a backend: where its models are, how they are loaded and called.


class _Runtime:
    prefix = ""
    length_multiple = 1

    def __init__(self, device):
        self.device = device
        self.check_device()

    def check_device(self):
        """Turn the documented `device` into the framework's, or say what there is."""
        raise NotImplementedError

    def refuse(self, known):
        known = ", ".join(map(repr, known))
        raise ValueError(f"there is no device {self.device!r} here; there is {known}")

    def usable_dtype(self, dtype):
        if dtype == "float16" and self.on_cpu():
            logger.warning("float16 is for a GPU; the pipeline runs in float32 on the CPU")
            return None
        return None if dtype == "float32" else dtype

    def load(self, class_name, name, dtype, hub):
        import keras_roformer

        cls = getattr(keras_roformer, self.prefix + class_name)
        with self.scope():
            model = self.from_pretrained(cls, name, dtype, hub)
        self.place(model)
        return model

    def scope(self):
        return contextlib.nullcontext()

    def place(self, model):
        """Move the model to the device, ready for prediction."""

    def predict(self, model, batch):
        """Numpy arrays in, numpy arrays out, the outputs by name."""
        import keras

        with self.scope():
            outputs = self.call(model, batch)
        return {
            name: keras.ops.convert_to_numpy(keras.ops.cast(value, "float32"))
            for name, value in outputs.items()
            if hasattr(value, "shape")
        }


class _Torch(_Runtime):
    def check_device(self):
        import torch

        if self.device is None:
            return
        device = self.device
        if isinstance(device, int):
            device = "cpu" if device < 0 else f"cuda:{device}"
        try:
            self.device = torch.empty(0, device=device).device
        except (RuntimeError, AssertionError):  # unknown, absent, or torch built without it
            count = torch.cuda.device_count()
            self.refuse(["cpu", *(f"cuda:{number}" for number in range(count))])

    def on_cpu(self):
        return self.device is None or self.device.type == "cpu"

    def from_pretrained(self, cls, name, dtype, hub):
        return cls.from_pretrained(name, dtype=dtype, **hub)

    def place(self, model):
        if self.device is not None:
            model.to(self.device)
        model.eval()

    def call(self, model, batch):
        import torch

        with torch.inference_mode():
            tensors = {n: torch.as_tensor(a, device=model.device) for n, a in batch.items()}
            return model(**tensors)


class _Jax(_Runtime):
    prefix = "Flax"
    length_multiple = 16  # every new shape is compiled

    def check_device(self):
        import jax

        if self.device is None:
            return
        wanted = _kind_and_number(self.device)
        devices = {}
        for kind in ("cpu", "gpu"):
            with contextlib.suppress(RuntimeError):
                devices |= {(kind, i): device for i, device in enumerate(jax.devices(kind))}
        if wanted not in devices:
            self.refuse([f"{kind}:{number}" for kind, number in devices])
        self.device = devices[wanted]

    def on_cpu(self):
        import jax

        platform = jax.default_backend() if self.device is None else self.device.platform
        return platform == "cpu"

    def from_pretrained(self, cls, name, dtype, hub):
        return cls.from_pretrained(name, dtype=dtype or "float32", **hub)

    def place(self, model):
        import jax

        if self.device is not None:
            model.params = jax.device_put(model.params, self.device)

    def call(self, model, batch):
        return model(**batch)


class _TensorFlow(_Runtime):
    prefix = "TF"

    def check_device(self):
        import tensorflow as tf

        self.gpus = len(tf.config.list_physical_devices("GPU"))
        if self.device is None:
            return
        kind, number = _kind_and_number(self.device)
        if number >= {"cpu": 1, "gpu": self.gpus}.get(kind, 0):
            self.refuse(["cpu", *(f"gpu:{i}" for i in range(self.gpus))])
        self.device = f"{kind}:{number}"

    def on_cpu(self):
        return not self.gpus or str(self.device).startswith("cpu")

    def scope(self):
        import tensorflow as tf

        return contextlib.nullcontext() if self.device is None else tf.device(self.device)

    def from_pretrained(self, cls, name, dtype, hub):
        import keras

        # The TF classes take their dtype from Keras's policy.
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(f"mixed_{dtype}" if dtype else "float32")
        try:
            return cls.from_pretrained(name, **hub)
        finally:
            keras.config.set_dtype_policy(before)

    def call(self, model, batch):
        import tensorflow as tf

        return model(**{name: tf.constant(array) for name, array in batch.items()}, training=False)


_RUNTIMES = {"torch": _Torch, "jax": _Jax, "tensorflow": _TensorFlow}


def _kind_and_number(device):
    """-1, 0, "cpu", "cuda:1", "GPU:0" → ("cpu" or "gpu", number)."""
    if isinstance(device, int):
        return ("cpu", 0) if device < 0 else ("gpu", device)
    kind, _, number = str(device).lower().partition(":")
    return kind.replace("cuda", "gpu"), int(number) if number.isdecimal() else 0


def _runtime_of(model, task):
    """The runtime of a model in memory."""
    for runtime in _RUNTIMES.values():
        names = [cls.__name__ for cls in type(model).__mro__]
        if runtime.prefix + task.model_class in names:
            return runtime
    raise TypeError(
        f"{task.task} needs a {task.model_class}, TF{task.model_class} or Flax{task.model_class}, "
        f"or the name of a preset or directory; got {type(model).__name__}"
    )
