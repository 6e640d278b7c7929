"""RoFormer for Keras 3, on TensorFlow, PyTorch and JAX.

Importing this package imports no framework. The first class that needs one decides Keras's backend
when nothing has decided it yet: `RoFormer*` runs on torch, `TFRoFormer*` on TensorFlow and
`FlaxRoFormer*` on JAX.
"""

import importlib
import importlib.util
import sys

from keras_roformer import auto_models, hub_hook
from keras_roformer.version import __version__ as __version__
from keras_roformer.weights.names import HEADS, class_name

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
    "auto_models": auto_models.TARGETS,
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
# Prefix of a family's classes → (module, Keras backend, names beside those of the tasks).
_FAMILIES = {
    "": ("facades.torch_classes", "torch", ("RoFormerPreTrainedModel",)),
    "TF": (
        "facades.tf_classes",
        "tensorflow",
        ("TFRoFormerPreTrainedModel", "TFRoFormerLayer"),
    ),
    "Flax": ("facades.flax_classes", "jax", ("FlaxRoFormerPreTrainedModel",)),
}

_MODULE_OF = {name: module for module, names in _PLAIN.items() for name in names}
_FAMILY_OF = {
    name: family
    for family, (_, _, others) in _FAMILIES.items()
    for name in (*(class_name(task, family) for task in HEADS), *others)
}

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
    setattr(sys.modules[__name__], name, value)  # asked for once
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
