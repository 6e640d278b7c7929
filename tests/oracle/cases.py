"""Reads what record.py recorded. Needs numpy only.

case = load("maskedlm-plain")
case.task, case.config, case.weights        # "ForMaskedLM", RoFormerConfig fields, torch names
call = case.calls["details"]
call.arguments                              # input_ids, attention_mask, … as numpy arrays
call.outputs["torch"]["logits"]             # likewise "tf", "flax"; tuples stay tuples
call.errors["tf"]                           # what that class raised instead
call.gradients["cls.predictions.bias"]      # of the torch loss, where the call has labels
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"
CHECKPOINTS = Path(__file__).parent / "checkpoints"


@dataclass
class Call:
    """One set of arguments and what transformers returned for it."""

    arguments: dict
    generate: bool = False  # a call of generate(), whose only output is `sequences`
    outputs: dict = field(default_factory=dict)
    errors: dict = field(default_factory=dict)
    gradients: dict = field(default_factory=dict)


@dataclass
class Case:
    """One configuration with one set of weights (float32, transformers' torch names)."""

    name: str
    task: str
    config: dict
    weights: dict
    calls: dict


def names() -> list[str]:
    """Every recorded case."""
    return sorted(path.stem for path in DATA.glob("*.npz"))


def load(name: str) -> Case:
    """The case of that name."""
    with np.load(DATA / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    meta = json.loads(arrays.pop("meta").tobytes())
    tree: dict = {"gradients": {}}
    for key, array in arrays.items():
        kind, rest = key.split("/", 1)
        tree.setdefault(kind, {})[rest] = array
    weights = {k: v.astype("float32") for k, v in tree["weights"].items()}
    calls = {}
    for call_name, entry in meta["calls"].items():
        call = Call({}, generate=entry.get("generate", False), errors=entry["errors"])
        for key, array in tree["outputs"].items():
            owner, family, output = key.split("/")
            if owner == call_name:
                _put(call.outputs.setdefault(family, {}), output.split("."), array)
        call.outputs = {family: _tuples(flat) for family, flat in call.outputs.items()}
        for key, array in tree["gradients"].items():
            owner, parameter = key.split("/")
            if owner == call_name:
                call.gradients[parameter] = array
        calls[call_name] = call
    for call_name, entry in meta["calls"].items():  # when every output is there: caches go in again
        for argument, value in entry["arguments"].items():
            if isinstance(value, str) and value.startswith("past:"):
                value = calls[value[5:]].outputs["torch"]["past_key_values"]
            elif isinstance(value, str):
                value = tree["inputs"][value]
            calls[call_name].arguments[argument] = value
    return Case(name, meta["task"], meta["config"], weights, calls)


def _put(tree, path, array):
    *parents, leaf = path
    for part in parents:
        tree = tree.setdefault(part, {})
    tree[leaf] = array


def _tuples(value):
    """{"0": a, "1": b} -> (a, b), at every depth."""
    if not isinstance(value, dict):
        return value
    value = {k: _tuples(v) for k, v in value.items()}
    if value and all(k.isdigit() for k in value):
        return tuple(value[k] for k in sorted(value, key=int))
    return value
