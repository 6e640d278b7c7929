"""Plain SGD from one checkpoint gives the same losses on every backend as in transformers."""

import json
from pathlib import Path

import keras
import numpy as np

from keras_roformer.tasks import reduce_loss
from tests.support import BACKEND, close, cls
from tests.tolerances import TRAINED_LOSS

ORACLE = Path(__file__).resolve().parents[1] / "oracle"


def torch_step(model, rate):
    import torch

    optimizer = torch.optim.SGD(model.parameters(), lr=rate)

    def step(ids):
        ids = torch.tensor(ids)
        loss = model(ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def tensorflow_step(model, rate):
    import tensorflow as tf

    optimizer = keras.optimizers.SGD(rate)

    def step(ids):
        with tf.GradientTape() as tape:
            loss = model(ids, labels=ids).loss
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return float(loss[0])

    return step


def jax_step(model, rate):
    import jax

    @jax.jit
    def descend(params, ids):
        def loss(params):
            return reduce_loss(model.network.loss(dict(model(ids, params=params)), ids))

        value, gradient = jax.value_and_grad(loss)(params)
        return value, jax.tree.map(lambda p, g: p - rate * g, params, gradient)

    def step(ids):
        value, model.params = descend(model.params, ids)
        return float(value)

    return step


def test_losses_of_sgd():
    recorded = json.loads((ORACLE / "sgd.json").read_text())
    model = cls("ForMaskedLM").from_pretrained(
        ORACLE / "checkpoints" / "masked_lm",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    make_step = {"torch": torch_step, "tensorflow": tensorflow_step, "jax": jax_step}[BACKEND]
    step = make_step(model, recorded["rate"])
    rng = np.random.default_rng(0)
    losses = [step(rng.integers(1, model.config.vocab_size, (4, 7))) for _ in recorded["losses"]]
    close(losses, recorded["losses"], TRAINED_LOSS)
    assert np.ptp(recorded["losses"]) > 0.01  # the steps do something
