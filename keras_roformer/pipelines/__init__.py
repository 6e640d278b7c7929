"""`pipeline(task, …)`: text in, answers out, with transformers' result formats.

A task is one subclass of `Pipeline` in `TASKS`; it says how an input is encoded and how the model's
outputs for it become a result. Batching and order are the base class's (`pipeline_base`); devices
and dtypes are `devices`'; how a framework predicts is the models' own (`facades.door`).
"""

import difflib
import os

from keras_roformer.backend import FAMILIES, choose_backend, current_backend
from keras_roformer.hub import HUB_ARGUMENTS
from keras_roformer.pipelines import devices
from keras_roformer.pipelines.embedding import (
    FeatureExtractionPipeline,
    SentenceSimilarityPipeline,
)
from keras_roformer.pipelines.fill_mask import FillMaskPipeline
from keras_roformer.pipelines.multiple_choice import MultipleChoicePipeline
from keras_roformer.pipelines.pipeline_base import Pipeline, Sample
from keras_roformer.pipelines.question_answering import QuestionAnsweringPipeline
from keras_roformer.pipelines.text_classification import TextClassificationPipeline
from keras_roformer.pipelines.text_generation import TextGenerationPipeline
from keras_roformer.pipelines.token_classification import TokenClassificationPipeline

TASKS = {
    cls.task: cls
    for cls in (
        FillMaskPipeline,
        TextClassificationPipeline,
        TokenClassificationPipeline,
        QuestionAnsweringPipeline,
        TextGenerationPipeline,
        FeatureExtractionPipeline,
        SentenceSimilarityPipeline,
        MultipleChoicePipeline,
    )
}
ALIASES = {"sentiment-analysis": "text-classification", "ner": "token-classification"}

__all__ = ["ALIASES", "TASKS", "Pipeline", "Sample", "pipeline"]


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
    model_kwargs=None,
    **kwargs,
):
    """Make the pipeline of a task.

    Args:
        task: one of `TASKS`, or "sentiment-analysis" or "ner".
        model: name of a preset in the box, directory, hub id, or a model in memory; by default the
            task's preset.
        tokenizer: where to load it from, or a tokenizer; by default the model's.
        device: -1 or "cpu", the number of a GPU, or a name such as "cuda:0"; by default the one
            that the backend chooses. A GPU where there is none gives a warning and the CPU.
        dtype: "float32", "bfloat16", "float16" or a framework's own; float16 on a CPU gives a
            warning and float32.
        torch_dtype: older name of `dtype`.
        batch_size: most texts that the model sees at once.
        backend: "jax", "torch" or "tensorflow"; by default the one that runs already, else the
            one that `dtype` or `device` belongs to (torch.float16: torch), else the first that is
            installed.
        model_kwargs: dict for the model's `from_pretrained`, e.g. config fields to override.
        kwargs: `cache_dir`, `force_download`, `local_files_only`, `token`, `revision`, `subfolder`
            for the hub; others are defaults for the pipeline's calls, e.g. `top_k`.

    Raises:
        ValueError: unknown task, preset, device or dtype; no model where the task has no preset.
        ImportError: the backend is not installed.

    Example:
        >>> fill = pipeline("fill-mask", model="roformer_tiny_zh")
        >>> fill("我父亲是一名[MASK]，在医院工作。")[0]["token_str"]
        '医生'
    """
    cls = TASKS[canonical_task(task)]
    model = cls.default_model if model is None else model
    if model is None:
        raise ValueError(
            f"{cls.task} has no preset in the box; give a model: a directory or hub id of a "
            f"{cls.model_class}"
        )
    hub = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
    backend = backend or current_backend() or devices.implied_backend(dtype, torch_dtype, device)
    dtype = devices.dtype_name(dtype if dtype is not None else torch_dtype)
    if isinstance(model, (str, os.PathLike)):
        import keras_roformer

        backend = choose_backend(backend)
        device = devices.find_device(device, backend)
        dtype = devices.usable_dtype(dtype, device, backend)
        model_class = getattr(keras_roformer, FAMILIES[backend] + cls.model_class)
        name = os.fspath(model)
        loading = {**hub, **(model_kwargs or {})}
        model = model_class.load_for_prediction(name, dtype, device, **loading)
    else:
        device = devices.find_device(device, backend_of(model, cls))
        if dtype is not None:
            raise ValueError("dtype is for a model that is loaded; this one is in memory already")
        model.prepare_prediction(device)
        name = model.config.name_or_path
    if tokenizer is None:
        if not name:
            raise ValueError("the model in memory does not say where its tokenizer is; pass one")
        tokenizer = name
    if isinstance(tokenizer, (str, os.PathLike)):
        from keras_roformer.tokenizers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(tokenizer, **hub)
    return cls(model, tokenizer, batch_size=batch_size, **kwargs)


def backend_of(model, cls):
    """The backend of a model in memory, which must be of the documented class that the pipeline
    `cls` needs; another one is a TypeError."""
    names = [base.__name__ for base in type(model).__mro__]
    for backend, family in FAMILIES.items():
        if family + cls.model_class in names:
            return backend
    needed = cls.model_class
    raise TypeError(
        f"{cls.task} needs a {needed}, TF{needed} or Flax{needed}, "
        f"or the name of a preset or directory; got {type(model).__name__}"
    )


def canonical_task(task):
    """The name in `TASKS` of a task or alias; an unknown one is a ValueError."""
    name = ALIASES.get(task, task)
    if name in TASKS:
        return name
    known = [*TASKS, *ALIASES]
    near = difflib.get_close_matches(str(task), known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise ValueError(f"unknown task {task!r}{hint} Tasks: {', '.join(known)}")
