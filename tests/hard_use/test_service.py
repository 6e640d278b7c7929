"""One model and one tokenizer behind a service: threads, mixed lengths, memory, workers."""

import concurrent.futures
import gc
import multiprocessing
import os
import pathlib
import threading
import time

import numpy as np
import pytest

from keras_roformer import RoFormerTokenizer
from tests.hard_use.common import often, report
from tests.support import BACKEND, cls, tensor
from tests.tolerances import FLOAT32

TEXTS = [
    "今天[MASK]很好。",
    "北京是中国的[MASK]，有两千多万人口。",
    "我[MASK]你",
    "他每天早上六点起床，先去公园[MASK]步，然后回家吃早饭，八点钟准时到公司上班。",
    "会议定在下周[MASK]上午。" * 6,
    "[MASK]",
]
BUCKET = 32  # lengths are rounded up to a multiple: so many shapes are compiled, and no more


class Service:
    """What a web service does with a request; `shapes` are all that the model has seen."""

    def __init__(self):
        self.tokenizer = RoFormerTokenizer.from_pretrained("roformer_tiny_zh")
        self.model = cls("ForMaskedLM").from_pretrained("roformer_tiny_zh")
        self.shapes = set()
        self.run = self.model
        if BACKEND == "tensorflow":
            import tensorflow as tf

            self.run = tf.function(self.model, reduce_retracing=False)

    def answer(self, text):
        """The likeliest words for the first [MASK], and their logits."""
        row = self.tokenizer([text], padding=True, pad_to_multiple_of=BUCKET, return_tensors="np")
        self.shapes.add(row["input_ids"].shape)
        where = row["input_ids"][0].tolist().index(self.tokenizer.mask_token_id)
        given = {name: tensor(np.asarray(row[name])) for name in ("input_ids", "attention_mask")}
        if BACKEND == "torch":
            import torch

            with torch.no_grad():
                logits = self.run(**given).logits[0, where].numpy()
        elif BACKEND == "tensorflow":
            import tensorflow as tf

            given = {name: tf.constant(value) for name, value in given.items()}
            logits = self.run(**given).logits[0, where].numpy()
        else:
            logits = np.asarray(self.run(**given).logits[0, where])
        best = np.argsort(-logits)[:5]
        return best.tolist(), logits[best]

    def compilations(self):
        if BACKEND == "jax":
            return self.model._compiled._cache_size()
        if BACKEND == "tensorflow":
            return self.run.experimental_get_tracing_count()
        return 0


@pytest.fixture(scope="module")
def service():
    return Service()


@pytest.fixture(scope="module")
def alone(service):
    """The answers of a service that has one user."""
    return [service.answer(text) for text in TEXTS]


def same(answer, wanted):
    """The same words; the same logits but for the last bits, as threads may share the cores."""
    return answer[0] == wanted[0] and np.allclose(answer[1], wanted[1], **FLOAT32)


def test_sixteen_threads(service, alone):
    seconds = often(120, 2)
    deadline = time.monotonic() + seconds
    started = threading.Barrier(16)

    def user(number):
        rng = np.random.default_rng(number)
        started.wait()
        served = 0
        while time.monotonic() < deadline or served == 0:
            i = rng.integers(len(TEXTS))
            assert same(service.answer(TEXTS[i]), alone[i]), TEXTS[i]
            served += 1
        return served

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        served = list(pool.map(user, range(16)))
    assert min(served) > 0
    assert service.compilations() <= len(service.shapes) <= 3
    report(f"16 threads, {seconds} s: {sum(served)} requests, every answer as alone")


def resident():
    """Bytes of this process in memory."""
    gc.collect()
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not pathlib.Path("/proc/self/statm").is_file(), reason="Linux tells memory")
def test_memory_does_not_grow(service, alone):
    requests = often(2000, 150)
    warm_up = requests // 4
    sizes = []
    for i in range(requests + warm_up):
        # No text comes twice, as with real users: what is kept per text would show.
        service.answer(f"{i}号[MASK]" + "天气" * (i % 30) + "。")
        if i >= warm_up and i % 25 == 0:
            sizes.append(resident())
    grown = (np.median(sizes[-3:]) - np.median(sizes[:3])) / 2**20
    # 2,000 requests grow it by 0.1 MB; 20 are what allocators may keep, and 10 kB a request.
    assert grown < 20, f"{grown:.1f} MB in {requests} requests"
    assert service.compilations() <= len(service.shapes) <= 4
    report(
        f"{requests} requests: memory grew by {grown:.1f} MB, {len(service.shapes)} shapes, "
        f"{service.compilations()} compilations"
    )


def work(numbers):
    service = Service()
    return [service.answer(TEXTS[i]) for i in numbers]


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_worker_processes(alone, method):
    if method == "fork" and (BACKEND != "torch" or not hasattr(os, "fork")):
        pytest.skip("JAX's and TensorFlow's threads do not survive a fork")
    with multiprocessing.get_context(method).Pool(1) as pool:
        answers = pool.apply(work, ([0, 3],))
    assert same(answers[0], alone[0]) and same(answers[1], alone[3])
