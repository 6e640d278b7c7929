"""Shows that transformers 4.57.6 loads what `keras_roformer.weights` writes, to the same outputs.

Run it in the environment that tests/oracle/README.md describes, from the checkout's root:

    oracle/bin/python tests/weights/load_back.py

For each checkpoint in tests/oracle/checkpoints and each format it reads the recorded file, writes
it whole and in shards, and loads the result with the class of the matching framework. It prints one
line each with the largest difference from the recorded outputs, and exits with 1 if one is above
FLOAT32's, or if the class reports weights as missing or unexpected.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ |= {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "HF_HUB_OFFLINE": "1"}
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

from keras_roformer import weights  # noqa: E402
from tests.tolerances import FLOAT32  # noqa: E402

PREFIXES = {"safetensors": "", "pytorch": "", "tensorflow": "TF", "flax": "Flax"}
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
SIZES = {"whole": "5GB", "shards": "8KB"}


def logits(format, directory, inputs):
    """The outputs of the framework's class on a directory, and what its loading complained of."""
    name = json.loads((directory / "config.json").read_text())["architectures"][0]
    loader = getattr(transformers, PREFIXES[format] + name).from_pretrained
    if format == "flax":  # its class returns no report
        return np.asarray(loader(directory)(**inputs).logits), {}
    model, report = loader(directory, output_loading_info=True)
    report = {key: value for key, value in report.items() if len(value)}
    if format == "tensorflow":
        return model(inputs).logits.numpy(), report
    with torch.no_grad():
        tensors = {key: torch.from_numpy(value) for key, value in inputs.items()}
        return model.eval()(**tensors).logits.numpy(), report


def main():
    transformers.logging.set_verbosity_error()
    failed = False
    for checkpoint in sorted(ROOT.glob("tests/oracle/checkpoints/*/expected.npz")):
        expected = dict(np.load(checkpoint))
        inputs = {name: expected[name] for name in INPUTS}
        for format in weights.FORMATS:
            tensors = weights.read(checkpoint.parent, format)
            for size, limit in SIZES.items():
                with tempfile.TemporaryDirectory() as temporary:
                    files = weights.write(temporary, tensors, format, max_shard_size=limit)
                    shutil.copy(checkpoint.parent / "config.json", temporary)
                    result, report = logits(format, Path(temporary), inputs)
                difference = np.abs(result - expected["logits"]).max()
                good = np.allclose(result, expected["logits"], **FLOAT32) and not report
                failed |= not good
                name = f"{checkpoint.parent.name:24}{format:12}{size:7}{len(files):2} files"
                print(f"{name}  {difference:.1e}  {'same' if good else 'DIFFERS'}", report or "")
    sys.exit(failed)


if __name__ == "__main__":
    main()
