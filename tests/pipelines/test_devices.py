"""Where and in what a pipeline runs: backends, devices, dtypes."""

import os

import keras
import pytest

from keras_roformer.pipelines import pipeline
from keras_roformer.pipelines.devices import DEVICES
from tests.pipelines.pipeline_tools import MASKED, assert_same
from tests.support import close, python
from tests.tolerances import BFLOAT16


@pytest.mark.parametrize("device", [-1, "cpu", "cpu:0"])
def test_on_the_cpu(fill, checkpoint, device, caplog):
    on_cpu = pipeline("fill-mask", checkpoint, device=device)
    assert_same(on_cpu(MASKED), fill(MASKED))
    assert not caplog.text


@pytest.fixture
def no_gpu(backend, monkeypatch):
    """The suite may run where there is one."""
    monkeypatch.setattr(DEVICES[backend], "has_gpu", lambda: False)


@pytest.mark.parametrize("device", [0, "cuda:0", "gpu"])
def test_no_gpu(no_gpu, fill, checkpoint, device, caplog):
    on_cpu = pipeline("fill-mask", checkpoint, device=device)
    warning = f"device={device!r} is a GPU, but there is none here: the pipeline runs on the CPU"
    assert caplog.messages == [warning]
    assert_same(on_cpu("今天[MASK]好。"), fill("今天[MASK]好。"))


def test_the_documented_call_without_a_gpu(no_gpu, checkpoint, fill, caplog, backend):
    """The document's opening example but for its names: it warns and runs in float32 on the CPU."""
    half = {"torch": "torch", "jax": "jax.numpy", "tensorflow": "tensorflow"}[backend]
    dtype = getattr(pytest.importorskip(half), "float16")  # noqa: B009
    pipe = pipeline(task="fill-mask", model=checkpoint, torch_dtype=dtype, device=0)
    assert "device=0 is a GPU, but there is none here" in caplog.text
    assert "float16 is for a GPU; the pipeline runs in float32" in caplog.text
    assert_same(pipe("今天[MASK]好。"), fill("今天[MASK]好。"))


@pytest.mark.framework_free
@pytest.mark.parametrize("dtype", ["torch.float16", "tensorflow.float16", "jax.numpy.float16"])
def test_a_frameworks_dtype_means_its_backend(checkpoint, dtype):
    """As in the documented example, which imports torch and passes torch.float16."""
    module, _, name = dtype.rpartition(".")
    package = module.partition(".")[0]
    code = (
        f"import {module} as module; from keras_roformer import pipeline\n"
        f"fill = pipeline('fill-mask', {checkpoint!r}, torch_dtype=module.{name}, device=-1)\n"
        "import keras; print(keras.config.backend(), len(fill('今天[MASK]好。')))"
    )
    variables = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    result = python("-c", code, env=variables)
    assert result.stdout.split() == [package, "5"], result.stderr


def test_bfloat16_is_near_float32(checkpoint, fill, monkeypatch):
    monkeypatch.setattr(keras.config, "set_dtype_policy", None)  # is for all threads
    lower = pipeline("fill-mask", checkpoint, dtype="bfloat16", top_k=10_000)

    def scores(answers):
        return [answer["score"] for answer in sorted(answers, key=lambda a: a["token"])]

    ours, exact = (scores(p("今天[MASK]好。", top_k=10_000)) for p in (lower, fill))
    close(ours, exact, BFLOAT16)
    assert ours != exact  # it did run in another precision


def test_a_missing_backend_is_named(checkpoint, backend):
    other = "torch" if backend != "torch" else "jax"
    with pytest.raises(RuntimeError, match=f"set KERAS_BACKEND={other} before"):
        pipeline("fill-mask", checkpoint, backend=other)
