"""A small training that can be interrupted, on any backend."""

import keras
import numpy as np

from keras_roformer.callbacks import BackupAndRestore
from keras_roformer.layers import RoFormer


def data():
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 30, (32, 8))
    return tokens, (tokens == 7).any(axis=1).astype("int32")


def classifier(dropout=0.1, seed=0):
    keras.utils.set_random_seed(seed)
    tokens = keras.Input((8,), dtype="int32")
    states, _ = RoFormer(
        vocab_size=30,
        num_layers=1,
        hidden_size=16,
        num_heads=2,
        intermediate_size=24,
        dropout=dropout,
        attention_dropout=dropout,
    )(tokens)
    model = keras.Model(tokens, keras.layers.Dense(2)(states[:, 0]))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    return model


class Stop(Exception):
    """What stands for a kill in the middle of an epoch."""


def train(folder, epochs, stop_at=None, backup=BackupAndRestore, dropout=0.1, on_start=None):
    """The loss of each epoch; `stop_at=(epoch, batch)` raises `Stop` there."""
    model = classifier(dropout)
    epoch_now = 0

    def count(epoch, logs):
        nonlocal epoch_now
        epoch_now = epoch

    def stop(batch, logs):
        if stop_at == (epoch_now, batch):
            raise Stop

    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=count,
        on_train_batch_end=stop,
        on_train_begin=lambda logs: on_start and on_start(),
    )
    history = model.fit(
        *data(),
        batch_size=8,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[backup(folder), watch],
    )
    return history.history["loss"]
