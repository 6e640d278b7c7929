"""The recipes for several devices and processes: the same losses as with one."""

import os
import subprocess
import sys

import keras
import pytest

from tests import tolerances
from tests.conftest import ROOT
from tests.models.recipes.example import make_data, make_model
from tests.support import BACKEND, close


def run(*command):
    """Losses that a recipe prints, and all its output."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=environment,
            timeout=600,
        )
        # A process of torchrun sometimes aborts while its threads end (seen once in 14 runs).
        if "terminate called without an active exception" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("losses")]
    assert len(losses) == 1, done.stdout
    return [float(loss) for loss in losses[0]], done.stdout


def full_batch_losses(steps=3):
    """Losses of SGD on all the examples at once, on one device."""
    model = make_model()
    model.compile(
        keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    inputs, labels = make_data()
    return model.fit(inputs, labels, batch_size=32, epochs=steps, verbose=0).history["loss"]


@pytest.mark.skipif(BACKEND != "jax", reason="keras.distribution is the recipe for JAX")
def test_data_and_model_parallel_on_jax_give_the_losses_of_one_device():
    import jax

    from tests.models.recipes.jax_parallel import train

    if len(jax.devices()) != 8:
        pytest.skip("needs XLA_FLAGS=--xla_force_host_platform_device_count=8 from the start")
    _, expected = train("one")
    assert expected[-1] < expected[0]

    model, losses = train("data")
    close(losses, expected, tolerances.TRAINED_LOSS)
    kernel = model.backbone.roformer.encoder.blocks[0].attention.query.kernel
    assert len(kernel.value.sharding.device_set) == 8
    assert kernel.value.sharding.is_fully_replicated

    model, losses = train("model")
    close(losses, expected, tolerances.TRAINED_LOSS)
    kernel = model.backbone.roformer.encoder.blocks[0].attention.query.kernel
    # (16, 16) over two devices of the batch axis by four of the model axis.
    assert {shard.data.shape for shard in kernel.value.addressable_shards} == {(8, 4)}
    words = model.backbone.token_embedding.embeddings.value
    assert {shard.data.shape for shard in words.addressable_shards} == {(16, 8)}


@pytest.mark.skipif(BACKEND != "torch", reason="DistributedDataParallel is torch's")
def test_two_ddp_processes_give_the_losses_of_one():
    losses, _ = run(
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "tests.models.recipes.torch_ddp"),
    )
    close(losses, full_batch_losses(), tolerances.TRAINED_LOSS)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute is TensorFlow's")
def test_two_mirrored_devices_give_the_losses_of_one():
    losses, output = run("-m", "tests.models.recipes.tensorflow_mirrored", "2")
    assert "replicas 2" in output
    close(losses, full_batch_losses(), tolerances.TRAINED_LOSS)
