"""RoFormer for Keras 3, on TensorFlow, PyTorch and JAX.

Importing this package imports no framework. The first class that needs one decides Keras's backend
when nothing has decided it yet: `RoFormer*` runs on torch, `TFRoFormer*` on TensorFlow and
`FlaxRoFormer*` on JAX.
"""

import importlib
import importlib.util

from keras_roformer import hub_hook
from keras_roformer.version import __version__ as __version__

_TASKS = (
    "Model",
    "ForMaskedLM",
    "ForCausalLM",
    "ForSequenceClassification",
    "ForMultipleChoice",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "PreTrainedModel",
)
# Names of a module that needs no framework.
_PLAIN = {
    "config": ("RoFormerConfig", "AutoConfig"),
    "tokenizers": (
        "AutoTokenizer",
        "BatchEncoding",
        "RoFormerTokenizer",
        "RoFormerTokenizerFast",
    ),
    "pipelines": ("pipeline",),
    "auto_models": [
        f"{family}AutoModel{task}" for family in ("", "TF", "Flax") for task in ("", *_TASKS[1:-1])
    ],
}
# KerasHub's models, on whichever backend runs; their package has the preprocessors too.
_HUB = (
    "RoFormerBackbone",
    "RoFormerCausalLM",
    "RoFormerHubTokenizer",
    "RoFormerMaskedLM",
    "RoFormerMultipleChoice",
    "RoFormerQuestionAnswering",
    "RoFormerTextClassifier",
    "RoFormerTextEmbedder",
    "RoFormerTokenClassifier",
)
# Family → (module, Keras backend, names).
_FAMILIES = {
    "torch": ("facades.torch_classes", "torch", [f"RoFormer{task}" for task in _TASKS]),
    "tensorflow": (
        "facades.tf_classes",
        "tensorflow",
        [f"TFRoFormer{task}" for task in _TASKS] + ["TFRoFormerLayer"],
    ),
    "flax": ("facades.flax_classes", "jax", [f"FlaxRoFormer{task}" for task in _TASKS]),
}

_MODULE_OF = {name: module for module, names in _PLAIN.items() for name in names}
_FAMILY_OF = {name: family for family, (_, _, names) in _FAMILIES.items() for name in names}

_NAMES = ("__version__", *sorted([*_MODULE_OF, *_FAMILY_OF, *_HUB]))

hub_hook.install()


def __getattr__(name):
    if name == "__all__":  # for `import *`: what this process can run
        return _names_here()
    if name in _FAMILY_OF:
        module, backend, _ = _FAMILIES[_FAMILY_OF[name]]
        from keras_roformer.backend import use_backend

        use_backend(backend, wanted_by=name)
    elif name in _MODULE_OF:
        module = _MODULE_OF[name]
    elif name in _HUB:
        module = "models"
        from keras_roformer.backend import choose_backend, require_hub

        choose_backend()
        require_hub(name)
    else:
        raise AttributeError(f"module 'keras_roformer' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"keras_roformer.{module}"), name)
    globals()[name] = value
    return value


def _names_here():
    from keras_roformer.backend import choose_backend

    backend = choose_backend()
    families = [family for family, (_, its, _) in _FAMILIES.items() if its == backend]
    has_hub = importlib.util.find_spec("keras_hub") is not None
    return [
        name
        for name in _NAMES
        if _FAMILY_OF.get(name) in (None, *families) and (has_hub or name not in _HUB)
    ]


def __dir__():
    return sorted({*globals(), *_NAMES})
