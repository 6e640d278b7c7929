"""Speed of the tokenizers against transformers and against jieba alone.

    python benchmarks/tokenization.py [--oracle PYTHON] [--characters N] [--rounds N] [--long]

`--oracle` is the Python of an environment with transformers 4.57.6; transformers 5 is measured if
it is installed beside this package. Every contestant is a process of its own with one thread; in
each round each of them does each task once, in turn, so that they share the machine's moods. The
tables give medians over the rounds. `--long` adds 10 million characters through an iterator and
through worker processes.
"""

import argparse
import hashlib
import json
import lzma
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Python puts this file's folder first, where it would stand for the library `tokenizers`.
sys.path[:] = [str(ROOT), *(p for p in sys.path if Path(p).resolve() != ROOT / "benchmarks")]
VOCAB = str(ROOT / "tests" / "tokenizers" / "vocab.txt")
BATCH = 256
# "ids" are input_ids alone; a "call" gives type ids and the attention mask as well.
TASKS = ("ids, batch", "call, batch", "offsets, batch", "call, single")
ONE_THREAD = {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}


def read_lines(characters):
    """Real lines of news, reviews and laws from data/corpus, else the tests' own."""
    corpus = ROOT / "data" / "corpus"
    texts = []
    for name in ("news", "reviews", "laws"):
        path = corpus / f"{name}.jsonl"
        if path.is_file():
            entries = [json.loads(line) for line in path.open(encoding="utf-8")]
            texts.append([e.get("text") or "".join(e["words"]) for e in entries])
    if not texts:
        data = (ROOT / "tests" / "tokenizers" / "lines.txt.xz").read_bytes()
        texts = [lzma.decompress(data).decode().split("\0")]
    lines, total = [], 0
    for group in zip(*texts, strict=False):
        for line in group:
            lines.append(line)
            total += len(line)
        if total >= characters:
            break
    return lines


def contestant(name):
    """task -> function of the lines that returns the ids."""
    if name == "rjieba.cut":
        import rjieba

        cut = rjieba.cut

        def floor(lines):
            for line in lines:
                cut(line, False)

        return dict.fromkeys(TASKS, floor)
    if name.startswith("ours"):
        import keras_roformer.tokenizers as module
    else:
        import transformers as module

        module.logging.set_verbosity_error()
    fast = "slow" not in name
    tokenizer = getattr(module, "RoFormerTokenizerFast" if fast else "RoFormerTokenizer")(VOCAB)

    def batch(**kwargs):
        def run(lines):
            ids = []
            for start in range(0, len(lines), BATCH):
                ids += tokenizer(lines[start : start + BATCH], **kwargs)["input_ids"]
            return ids

        return run

    tasks = {
        "ids, batch": batch(return_token_type_ids=False, return_attention_mask=False),
        "call, batch": batch(),
        "call, single": lambda lines: [tokenizer(line)["input_ids"] for line in lines],
    }
    if fast or name.startswith("ours"):
        tasks["offsets, batch"] = batch(return_offsets_mapping=True)
    return tasks


def lines_of(task, characters):
    lines = read_lines(characters)
    if "single" not in task:
        return lines
    pieces = [line[i : i + 20] for line in lines for i in range(0, len(line) - 19, 20)]
    return pieces[: max(200, characters // 60)]


def worker(name, characters):
    """Answers each task on standard input with its time, characters and a hash of its ids."""
    tasks = contestant(name)
    texts = {task: lines_of(task, characters) for task in tasks}
    for task, run in tasks.items():
        run(texts[task][: len(texts[task]) // 4])  # warms up
    print("ready", flush=True)
    for line in sys.stdin:
        task = line.strip()
        if task not in tasks:
            print("null", flush=True)
            continue
        begin, begin_cpu = time.perf_counter(), time.process_time()
        ids = tasks[task](texts[task])
        cpu, seconds = time.process_time() - begin_cpu, time.perf_counter() - begin
        digest = hashlib.sha1(json.dumps(ids).encode()).hexdigest()[:8] if ids else None
        size = sum(map(len, texts[task]))
        print(json.dumps([seconds, cpu, size, len(texts[task]), digest]), flush=True)


class Process:
    """A contestant's process."""

    def __init__(self, python, name, characters):
        self.name = name
        self.process = subprocess.Popen(
            [python, __file__, "--worker", name, "--characters", str(characters)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **ONE_THREAD},
        )
        self.alive = self.process.stdout.readline().strip() == "ready"

    def run(self, task):
        self.process.stdin.write(task + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def compare(oracle, characters, rounds):
    contestants = [(sys.executable, n) for n in ("rjieba.cut", "ours slow", "ours fast")]
    if oracle:
        contestants += [(oracle, "transformers 4 slow"), (oracle, "transformers 4 fast")]
    contestants.append((sys.executable, "transformers 5"))
    processes = [Process(python, name, characters) for python, name in contestants]
    for process in processes:
        if not process.alive:
            print(f"{process.name}: not installed, left out")
    processes = [process for process in processes if process.alive]
    for task in TASKS:
        results = {process.name: [] for process in processes}
        for _ in range(rounds):
            for process in processes:
                result = process.run(task)
                if result:
                    results[process.name].append(result)
        report(task, {name: runs for name, runs in results.items() if runs})
    for process in processes:
        process.process.stdin.close()
        process.process.wait()


def report(task, results):
    """Prints one task's table. Ratios are medians of the ratios of each round's CPU times."""

    def ratio(name, other):
        if other not in results:
            return ""
        pairs = zip(results[other], results[name], strict=True)
        return f"{statistics.median(b[1] / a[1] for b, a in pairs):.2f}x"

    reference = "transformers 4 fast" if "transformers 4 fast" in results else "transformers 5"
    size, texts = results["rjieba.cut"][0][2:4]
    print(f"\n{task}: {size:,} characters, {texts:,} texts")
    print(
        f"{'':22}{'M char/s':>10}{'us/text':>10}{'of ' + reference:>26}{'of rjieba.cut':>15}  ids"
    )
    for name, runs in results.items():
        cpu = statistics.median(run[1] for run in runs)
        size, texts, digest = runs[0][2], runs[0][3], runs[0][4]
        print(
            f"{name:22}{size / cpu / 1e6:10.2f}{cpu / texts * 1e6:10.1f}"
            f"{ratio(name, reference):>26}{ratio(name, 'rjieba.cut'):>15}  {digest or ''}"
        )


def steps(characters, rounds):
    """What each step of the batch road costs, in nanoseconds a character."""
    from keras_roformer.tokenizers import RoFormerTokenizer, RoFormerTokenizerFast

    lines = read_lines(characters)
    size = sum(map(len, lines))
    batches = [lines[i : i + BATCH] for i in range(0, len(lines), BATCH)]

    def measure(function):
        times = []
        for _ in range(rounds + 1):
            begin = time.process_time()
            function()
            times.append(time.process_time() - begin)
        return statistics.median(times[1:]) / size * 1e9

    print("\nsteps, ns/character, each with the steps before it")
    for tokenizer in (RoFormerTokenizer(VOCAB), RoFormerTokenizerFast(VOCAB)):
        core, cut = tokenizer.core, tokenizer.segmenter
        road = {
            "normalisation": lambda core=core: [core._plain(t) and None for t in lines],
            "and segmentation": lambda core=core, cut=cut: [
                cut(core._plain(t) or t) and None for t in lines
            ],
            "and look-up": lambda core=core: [core.ids(t) and None for t in lines],
            "and packing (a call)": lambda t=tokenizer: [t(batch) and None for batch in batches],
        }
        costs = {name: measure(function) for name, function in road.items()}
        print(f"  {type(tokenizer).__name__:22}", {k: round(v, 1) for k, v in costs.items()})


def _ids_in_worker(lines):
    return sum(map(len, _TOKENIZER.encode_iter(lines)))


_TOKENIZER = None


def long(characters):
    """``characters`` of text in constant memory, and with worker processes."""
    global _TOKENIZER
    import itertools
    import multiprocessing

    from keras_roformer.tokenizers import RoFormerTokenizerFast

    _TOKENIZER = RoFormerTokenizerFast(VOCAB)
    lines = read_lines(1_000_000)
    size = sum(map(len, lines))
    repeats = characters // size + 1
    stream = itertools.chain.from_iterable(itertools.repeat(lines, repeats))
    _ids_in_worker(lines)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    _ids_in_worker(stream)
    seconds = time.perf_counter() - begin
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    total = size * repeats
    print(f"\n{total:,} characters through encode_iter: {total / seconds / 1e6:.2f} M char/s, "
          f"peak memory grew by {grown:.1f} MiB")  # fmt: skip
    for workers in (1, 2, 4):
        if workers > (os.cpu_count() or 1):
            break
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            pool.map(_ids_in_worker, [lines[:500]] * workers)
            begin = time.perf_counter()
            pool.map(_ids_in_worker, [lines] * repeats, chunksize=1)
            seconds = time.perf_counter() - begin
        print(f"  {workers} worker process(es): {total / seconds / 1e6:.2f} M char/s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--oracle", help="Python of an environment with transformers 4.57.6")
    parser.add_argument("--characters", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.worker, arguments.characters)
        return
    compare(arguments.oracle, arguments.characters, arguments.rounds)
    steps(arguments.characters, arguments.rounds)
    if arguments.long:
        long(10_000_000)


if __name__ == "__main__":
    main()
