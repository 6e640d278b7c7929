"""Size, speed and accuracy of the quantised preset, against float32 in the same run.

    KERAS_BACKEND=jax python benchmarks/quantization.py

Accuracy: words found of those hidden in `tests/data/heldout_sample.tsv`, as tools/score_preset.py
counts them. Size: the weights that `save_to_preset` writes. Speed: a batch of 20 texts of 64
tokens, rounds interleaved, medians; above 1 is faster than float32. Prints a Markdown table.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)
sys.path.append(str(ROOT / "tools"))

WAYS = ("float32", "bfloat16", "int8", "int8, weights only", "int4", "float8")


def load(preset, way):
    """The masked language model of a preset, with logits of all positions."""
    from keras.quantizers import Int8QuantizationConfig

    from keras_roformer.models import RoFormerMaskedLM

    dtype = "bfloat16" if way == "bfloat16" else "float32"
    model = RoFormerMaskedLM.from_preset(preset, preprocessor=None, masked_only=False, dtype=dtype)
    if way == "int8, weights only":
        model.quantize(config=Int8QuantizationConfig(activation_quantizer=None))
    elif way not in ("float32", "bfloat16"):
        model.quantize(way)
    return model


def weight_bytes(model):
    with tempfile.TemporaryDirectory() as directory:
        model.save_to_preset(directory)
        return sum(path.stat().st_size for path in pathlib.Path(directory).glob("*.weights.h5"))


def logits_of(model):
    """(input_ids, attention_mask) → logits (B, L, V)."""

    def call(input_ids, attention_mask):
        return model.predict_on_batch(
            {
                "token_ids": input_ids,
                "segment_ids": 0 * input_ids,
                "padding_mask": attention_mask,
            }
        )

    return call


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="roformer_tiny_zh")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()

    import numpy as np
    from score_preset import sample_batches, sample_scores

    from keras_roformer import RoFormerTokenizer

    tokenizer = RoFormerTokenizer.from_pretrained(arguments.preset)
    models = {way: load(arguments.preset, way) for way in WAYS}
    calls = {way: logits_of(model) for way, model in models.items()}
    scores = {way: sample_scores(call, tokenizer) for way, call in calls.items()}

    *_, (input_ids, attention_mask, _) = sample_batches(tokenizer)
    times = {way: [] for way in WAYS}
    for _ in range(arguments.rounds):
        for way, call in calls.items():
            start = time.perf_counter()
            np.asarray(call(input_ids, attention_mask))
            times[way].append(time.perf_counter() - start)
    medians = {way: statistics.median(values) for way, values in times.items()}

    print("| weights | size | words found | speed |")
    print("| --- | ---: | ---: | ---: |")
    for way, model in models.items():
        size = weight_bytes(model) / 1e6
        found, error = scores[way]["accuracy"], scores[way]["accuracy_standard_error"]
        speed = medians["float32"] / medians[way]
        print(f"| {way} | {size:.1f} MB | {100 * found:.1f} ± {100 * error:.1f} % | {speed:.2f}× |")


if __name__ == "__main__":
    main()
