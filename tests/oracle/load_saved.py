"""Shows that transformers 4.57.6 loads what the documented classes save, in the same framework.

Write with ours, once per backend; then load and compare in the environment of README.md:

    KERAS_BACKEND=torch python tests/oracle/load_saved.py write FOLDER      # and jax, tensorflow
    oracle/bin/python tests/oracle/load_saved.py check FOLDER
"""

import os
import sys
from pathlib import Path

import numpy as np

TASKS = {  # task -> recorded case whose weights are saved; Flax has no causal class to load it
    "Model": "model-plain",
    "ForMaskedLM": "maskedlm-plain",
    "ForCausalLM": "causallm-plain",
    "ForSequenceClassification": "sequenceclassification-plain",
    "ForMultipleChoice": "multiplechoice-plain",
    "ForTokenClassification": "tokenclassification-plain",
    "ForQuestionAnswering": "questionanswering-plain",
}
PREFIXES = {"torch": "", "tensorflow": "TF", "jax": "Flax"}
TOLERANCE = 1e-5


def arguments_of(case):
    arguments = case.calls["mask"].arguments
    return {name: array for name, array in arguments.items() if isinstance(array, np.ndarray)}


def write(folder):
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.parity.models import BACKEND, load_case, model_of, to_numpy
    from tests.support import native

    for task, case_name in TASKS.items():
        target = folder / BACKEND / task
        model = model_of(case_name)
        model.save_pretrained(target)
        arguments = arguments_of(load_case(case_name))
        outputs = model(**{name: native(array) for name, array in arguments.items()})
        np.savez(target / "ours.npz", **arguments, first=to_numpy(outputs[0]))


def check(folder):
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    to_tensor = {"torch": torch.from_numpy, "tensorflow": tf.constant, "jax": np.asarray}
    for source in sorted(folder.glob("*/*")):
        backend, task = source.parent.name, source.name
        name = f"{PREFIXES[backend]}RoFormer{task}"
        if not hasattr(transformers, name):
            print(f"{name:40} not in transformers")
            continue
        load, info = getattr(transformers, name).from_pretrained, {}
        if backend == "jax":
            model = load(source)
        else:
            model, info = load(source, output_loading_info=True)
        with np.load(source / "ours.npz") as file:
            arrays = dict(file)
        expected = arrays.pop("first")
        with torch.no_grad():
            outputs = model(**{key: to_tensor[backend](a) for key, a in arrays.items()})
        difference = float(np.abs(np.asarray(outputs[0]) - expected).max())
        files = ", ".join(sorted(p.name for p in source.iterdir() if p.name != "ours.npz"))
        problems = {key: value for key, value in info.items() if value}
        print(f"{name:40} {difference:.1e}  {files}  {problems or ''}")
        assert difference <= TOLERANCE, name


if __name__ == "__main__":
    action, where = sys.argv[1:]
    {"write": write, "check": check}[action](Path(where))
