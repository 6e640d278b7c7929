"""What the pretraining needs of Keras: model, batches, loss, schedule, optimizers, evaluation.

To be imported when Keras's backend is chosen, see `train_preset.set_up_backend`.
"""

import time

import keras
import numpy as np
from keras import ops
from masked_rows import mask_batch
from score_preset import evaluate, text_mask

from keras_roformer.tasks import RoFormerNetwork, cross_entropy, reduce_loss
from keras_roformer.training import LogitsModel

# To ask for the probabilities of attention is to have them computed: torch's fused kernel, which
# does without, has a slow backward pass in bfloat16 on CPUs, and costs a fifth of the whole step.
PLAIN_ATTENTION = dict(output_attentions=True)


class MaskedLM(LogitsModel):
    """The network, asked for the logits of the masked tokens only: (B, P, V)."""

    def __init__(self, config):
        policy = keras.config.dtype_policy()
        super().__init__(RoFormerNetwork(config, task="masked_lm", dtype=policy), **PLAIN_ATTENTION)

    def call(self, inputs, training=False):
        inputs = {
            "input_ids": inputs["input_ids"],
            "attention_mask": text_mask(inputs["segments"]),
            "logits_positions": inputs["positions"],
        }
        return super().call(inputs, training=training)


class MaskedBatches(keras.utils.PyDataset):
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


def masked_loss(labels, logits):
    """Mean cross-entropy of the masked tokens."""
    return reduce_loss([cross_entropy(logits, labels)])


class WarmUpAndDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, constant, linear decay to zero over the last `decay_steps`."""

    def __init__(self, steps, decay_steps, warmup_steps, peak):
        self.steps, self.decay_steps = steps, decay_steps
        self.warmup_steps, self.peak = warmup_steps, peak

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rising = step / self.warmup_steps
        falling = (self.steps - step) / self.decay_steps
        return self.peak * ops.clip(ops.minimum(rising, falling), 0.0, 1.0)

    def get_config(self):
        return dict(vars(self))


class Muon(keras.optimizers.Muon):
    """Keras's Muon (Jordan et al. 2024), its iterations in the model's computing type."""

    def zeropower_via_newtonschulz5(self, x, steps):
        x_low = ops.cast(x, keras.config.dtype_policy().compute_dtype)
        return ops.cast(super().zeropower_via_newtonschulz5(x_low, steps), x.dtype)


def make_optimizer(learning_rate, weight_decay, name="adamw"):
    """AdamW or Muon as all the scripts use them; biases and normalisations do not decay."""
    shared = dict(weight_decay=weight_decay, global_clipnorm=1.0)
    if name == "muon":
        optimizer = Muon(learning_rate, adam_beta_2=0.98, adam_weight_decay=weight_decay, **shared)
    else:
        optimizer = keras.optimizers.AdamW(learning_rate, beta_2=0.98, **shared)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


class Evaluate(keras.callbacks.Callback):
    """Score held-out rows after each epoch of `MaskedBatches`, which is no pass over the rows.

    Args:
        data: `MaskedBatches`.
        heldout: `Rows`.
        report: called with the number of the epoch and a dict of its time, loss and scores.
    """

    def __init__(self, data, heldout, report):
        super().__init__()
        self.data, self.heldout, self.report = data, heldout, report

    def on_epoch_begin(self, epoch, logs=None):
        self.data.first = epoch * len(self.data)
        self.started = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.monotonic() - self.started
        predict = self.model.predict_on_batch
        values, right, *_ = evaluate(predict, self.heldout, self.data.vocab_size)
        row = {
            "seconds": round(seconds),
            "loss": round(logs["loss"], 4),
            "heldout_loss": round(float(values.mean()), 4),
            "heldout_accuracy": round(float(right.mean()), 4),
        }
        self.report(epoch, row)
