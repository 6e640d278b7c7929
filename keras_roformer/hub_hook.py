"""`keras_roformer.models` is imported after KerasHub is, whichever comes first.

KerasHub's own classes, such as `keras_hub.models.Backbone.from_preset`, find the classes of other
packages only once these are imported. Importing `keras_roformer` must not import Keras, so it
leaves a finder behind that waits for `keras_hub`.
"""

import importlib
import sys

_HUB, _MODELS = "keras_hub", "keras_roformer.models"


class _AfterHub:
    """Finds `keras_hub` as the other finders do, and has `_MODELS` imported right after it.

    KerasHub (0.32) has no entry point that would have it import other packages' classes; this can
    go when it has one.
    """

    def find_spec(self, name, path=None, target=None):
        if name != _HUB:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (f.find_spec(name, path, target) for f in others if hasattr(f, "find_spec"))
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module):
            execute(module)
            if _MODELS not in sys.modules:  # else it is what imports KerasHub
                importlib.import_module(_MODELS)

        spec.loader.exec_module = execute_and_register
        return spec


def install():
    """Import the models now if KerasHub is there already, else as soon as it is."""
    if _HUB in sys.modules:
        if _MODELS not in sys.modules:
            importlib.import_module(_MODELS)
    elif not any(isinstance(finder, _AfterHub) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterHub())
