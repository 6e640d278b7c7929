"""Speed and memory against other libraries: one command, a table of ratios.

    python benchmarks/run.py [--rows forward,train] [--backends torch,jax] [--oracle-python PYTHON]

Every library runs in a process of its own, bound to the same two cores; their requests alternate,
so that all see the machine in the same state, and a row has the median of the rounds. The rate of a
matrix product of the model's size, measured in between, says what the machine can do. Base size is
12 layers of 768 with a vocabulary of 50,000 and random weights, float32; the pipelines run the
preset in the box on real reviews (data/corpus). Peers: transformers of this environment on torch;
transformers 4.57.6 with TensorFlow and Flax where `--oracle-python` says (tests/oracle/README.md);
on the forward rows also ONNX Runtime with transformers' model and KerasHub's BERT, where installed.

Rows are kept in `--output` (JSON; a row measured again replaces the old one), and the table of all
rows there is written beside it as Markdown. A neighbour on a core distorts small rows: keep the
machine quiet.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BACKENDS = ("torch", "jax", "tensorflow")


def _forward(shape, size="base", **options):
    return dict(work="forward", options=dict(shape=shape, size=size, **options))


# name: the work and its options, the wanted ratio on torch, JAX and TensorFlow (0: just report),
# whether to measure memory (and the wanted share of the peer's), other peers, rounds.
ROWS = {
    "forward-8x128": _forward((8, 128)) | dict(wanted=(1.0, 1.0, 1.0), more=True),
    "forward-4x512": _forward((4, 512)) | dict(wanted=(1.25, 1.0, 1.0), more=True),
    "forward-1x1536": _forward((1, 1536)) | dict(wanted=(1.8, 1.25, 1.05), memory=0.6, more=True),
    "forward-1x16": _forward((1, 16)) | dict(wanted=(1.0, 1.0, 1.0), rounds=25, more=True),
    "small-1x16": _forward((1, 16), "small") | dict(wanted=(1.0, 1.0, 1.0), rounds=41),
    "bfloat16-8x128": _forward((8, 128), dtype="bfloat16") | dict(wanted=(2.0, 0, 0)),
    "bfloat16-1x16": _forward((1, 16), dtype="bfloat16") | dict(wanted=(2.0, 0, 0), rounds=25),
    "train-4x128": dict(work="train", wanted=(1.3, 1.3, 1.3), memory=1.0, rounds=5),
    "fine-tune-2000": dict(work="fine_tune", wanted=(1.5, 1.5, 1.5), rounds=2),
    "generate-1": dict(work="generate", options=dict(batch=1), wanted=(1.5, 3.0, 3.0), rounds=3),
    "generate-8": dict(work="generate", options=dict(batch=8), wanted=(1.5, 3.0, 3.0), rounds=3),
    "fill-mask-500": dict(work="fill_mask", wanted=(3.0, 0, 0), rounds=3, batches=(1, 32)),
    "classify-2000": dict(work="classify", wanted=(2.0, 0, 0), rounds=2, batches=(8, 32)),
    "cold-start": dict(work=None, wanted=(1.5, 0, 0), rounds=3),
    "import": dict(work=None, wanted=(0, 0, 0), rounds=5),
}

# Work on real texts with the preset in the box.
TEXTS = ("fine_tune", "fill_mask", "classify")


class Process:
    """A worker process; call it with a method and its options."""

    def __init__(self, python, library, backend, options, root=ROOT):
        quiet = {
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONWARNINGS": "ignore",
            "HF_HUB_OFFLINE": "1",
            "KERAS_BACKEND": backend,
            "OMP_NUM_THREADS": str(options.threads),
            "MKL_NUM_THREADS": str(options.threads),
        }
        if library == "transformers" and backend == "tensorflow":
            quiet["TF_USE_LEGACY_KERAS"] = "1"
        options.directory.mkdir(parents=True, exist_ok=True)
        self.log = options.directory / f"{library}-{backend}.log"
        self.process = subprocess.Popen(
            [python, str(root / "benchmarks" / "worker.py"), library, backend]
            + [str(options.threads), str(options.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("a"),
            text=True,
            env={**os.environ, **quiet},
        )

    def __call__(self, method, **options):
        self.process.stdin.write(json.dumps([method, options]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            last = self.log.read_text().strip().splitlines()[-1:]
            raise RuntimeError(f"the worker ended: {last}; see {self.log}")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(name, backend, options, processes):
    """One row on one backend: a dict that JSON can keep.

    `processes` keeps the workers of one backend, as their frameworks and models take long to load.
    """
    row = ROWS[name]
    if row["work"] is None:
        return measure_start(name, backend, options)
    # transformers 5 has only torch; its pipelines no longer tokenize this model's pairs right.
    old = backend != "torch" or "batches" in row
    peer_python = options.oracle_python if old else sys.executable
    work, arguments = row["work"], dict(row.get("options", {}))
    if options.size:  # to try the benchmark itself
        arguments |= {"count": 64} if work in TEXTS else {"size": options.size}
    sides, times, results = {}, {}, {}

    def drop(label, error):
        """Go on without a peer that fails."""
        if label == "ours":
            raise error
        print(f"{name} on {backend}, {label}: {error}", file=sys.stderr)
        for table_of_labels in (sides, times, results):
            table_of_labels.pop(label, None)

    def add(label, python, library, peer_backend=backend, **changes):
        key = library, peer_backend, python, changes.get("batch_size"), changes.get("dtype")
        if key not in processes:
            processes[key] = Process(python, library, peer_backend, options)
        try:
            answer = processes[key]("prepare", work=work, **{**arguments, **changes})
        except RuntimeError as error:
            return drop(label, error)
        sides[label] = (processes[key], answer["version"])

    # Ours first: it makes the checkpoint that the others load.
    add("ours", sys.executable, "ours")
    if "batches" in row:
        for batch in row["batches"] if peer_python and backend != "jax" else ():
            add(
                f"transformers, batch_size={batch}",
                peer_python,
                "transformers",
                batch_size=batch,
            )
    else:
        if arguments.get("dtype"):
            add("ours, float32", sys.executable, "ours", dtype="float32")
        elif work == "generate" and backend == "jax":  # Flax's is not compared: it is not causal
            add("transformers", sys.executable, "transformers", peer_backend="torch")
        elif peer_python:
            add("transformers", peer_python, "transformers")
        if row.get("more") and options.more:
            if backend == "torch" and importlib.util.find_spec("onnxruntime"):
                add("onnxruntime", sys.executable, "onnxruntime")
            if importlib.util.find_spec("keras_hub"):
                add("keras_hub BERT", sys.executable, "keras_hub")
    times |= {label: [] for label in sides}
    rounds = options.rounds or row.get("rounds", 5)
    warm_up = 1 + (rounds > 10)  # compiles, fills caches
    for number in range(rounds + warm_up):
        for label, (side, _) in list(sides.items()):
            try:
                answer = side("run")
            except RuntimeError as error:
                drop(label, error)
                continue
            results[label] = answer["result"]
            if number >= warm_up:
                times[label].append(answer["seconds"])
    rate = sides["ours"][0]("matmul", dtype=arguments.get("dtype", "float32"))["flops"]
    memory = {}
    if "memory" in row:
        for label, (side, _) in sides.items():
            peaks = [side("peak") for _ in range(2)]
            memory[label] = {k: max(peak[k] for peak in peaks) for k in ("bytes", "whole")}
    return {
        "row": name,
        "backend": backend,
        "seconds": times,
        "memory": memory,
        "matmul_flops": rate,
        "versions": {label: version for label, (_, version) in sides.items()},
        "difference": difference(results),
    }


def difference(results):
    """How far apart the results are: numbers, or the share of tokens and labels that are equal."""
    labels = list(results)
    if len(labels) < 2 or not isinstance(results["ours"], list):
        return None
    ours, theirs = (np_flat(results[label]) for label in labels[:2])
    if isinstance(ours[0], float):
        return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    return f"{sum(a == b for a, b in zip(ours, theirs, strict=False)) / len(ours):.0%} equal"


def np_flat(nested):
    """The leaves of nested lists."""
    return sum(map(np_flat, nested), []) if isinstance(nested, list) else [nested]


COLD = {
    "ours": "from keras_roformer import pipeline; p = pipeline('fill-mask', {path!r}, "
    "backend={backend!r}); print(p('今天天气很[MASK]。')[0]['token_str'])",
    "transformers": "from transformers import pipeline; p = pipeline('fill-mask', {path!r}, "
    "framework={framework!r}); print(p('今天天气很[MASK]。')[0]['token_str'])",
}
IMPORT = {
    "ours": "import sys, keras_roformer; "
    "assert not set(('keras', 'torch', 'tensorflow', 'jax', 'transformers')) & set(sys.modules)",
    "python alone": "pass",
}


def measure_start(name, backend, options):
    """Seconds of whole processes: from a cold start to the first answer, or of an import."""
    path = str(ROOT / "presets" / "roformer_tiny_zh")
    framework = {"torch": "pt", "tensorflow": "tf", "jax": None}[backend]
    commands = COLD if name == "cold-start" else IMPORT
    times, results = {}, {}
    for _ in range(ROWS[name]["rounds"] + 1):
        for label, code in commands.items():
            python = options.oracle_python if label == "transformers" else sys.executable
            if python is None or (label == "transformers" and framework is None):
                continue
            code = code.format(path=path, backend=backend, framework=framework)
            quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
            if label == "transformers":
                quiet["TF_USE_LEGACY_KERAS"] = "1"
                quiet["USE_TF" if framework == "pt" else "USE_TORCH"] = "0"  # its fastest import
            start = time.perf_counter()
            done = subprocess.run(
                [python, "-W", "ignore", "-c", code],
                env={**os.environ, **quiet},
                capture_output=True,
                text=True,
                check=True,
            )
            times.setdefault(label, []).append(time.perf_counter() - start)
            results[label] = done.stdout.split()
    times = {label: seconds[1:] for label, seconds in times.items()}  # the first fills the caches
    return {
        "row": name,
        "backend": backend,
        "seconds": times,
        "memory": {},
        "matmul_flops": None,
        "versions": {},
        "difference": difference(results) if name == "cold-start" else None,
    }


def table(rows):
    """The Markdown table of rows."""
    lines = [
        "| row | backend | keras-roformer | peer | ratio | wanted | memory on top of the loaded "
        "model: ours / peer | of the whole process | matmul rate |",
        "| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    order = list(ROWS)
    for row in sorted(rows, key=lambda r: (order.index(r["row"]), BACKENDS.index(r["backend"]))):
        medians = {label: statistics.median(times) for label, times in row["seconds"].items()}
        ours = medians.pop("ours")
        wanted = ROWS[row["row"]]["wanted"][BACKENDS.index(row["backend"])]
        batches = [label for label in medians if "batch_size" in label]
        if batches:  # the peer at its best
            best = min(batches, key=medians.get)
            medians = {best: medians[best]}
        rate = row["matmul_flops"]
        for label, seconds in medians.items() or [("–", None)]:
            memory = row["memory"]
            cells = [
                row["row"],
                row["backend"],
                _time(ours),
                label + (f" {_time(seconds)}" if seconds else ""),
                f"{seconds / ours:.2f}×" if seconds else "–",
                f"{wanted}×" if wanted and label == next(iter(medians), None) else "–",
                *(_memory(memory, label, part) for part in ("bytes", "whole")),
                f"{rate / 1e9:.0f} GFLOP/s" if rate else "–",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _memory(memory, label, part):
    if label not in memory:
        return "–"
    ours, peer = (max(memory[side][part], 1) / 2**20 for side in ("ours", label))
    return f"{ours:.0f} / {peer:.0f} MiB = {ours / peer:.2f}"


def _time(seconds):
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--rows", default=",".join(ROWS), help="names, or beginnings of names")
    parser.add_argument("--oracle-python", help="Python with transformers 4.57.6, TF and Flax")
    parser.add_argument("--more", action="store_true", help="ONNX Runtime and KerasHub's BERT too")
    parser.add_argument("--rounds", type=int, help="for every row (default: as its length asks)")
    parser.add_argument("--size", choices=["small", "shallow"], help="to try the benchmark itself")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "build" / "bench.json")
    options = parser.parse_args()
    options.directory = options.output.parent / "bench"
    kept = json.loads(options.output.read_text()) if options.output.is_file() else []
    beginnings = tuple(options.rows.split(","))
    for backend in options.backends.split(","):
        processes = {}
        with contextlib.ExitStack() as stack:
            stack.callback(lambda all=processes: [process.close() for process in all.values()])
            for name in [name for name in ROWS if name.startswith(beginnings)]:
                if name == "import" and backend != options.backends.split(",")[0]:
                    continue  # imports no backend
                try:
                    row = measure(name, backend, options, processes)
                except (RuntimeError, subprocess.CalledProcessError) as error:
                    print(f"{name} on {backend}: {error}", file=sys.stderr)
                    continue
                finally:
                    for key in [k for k, p in processes.items() if p.process.poll() is not None]:
                        del processes[key]
                kept = [r for r in kept if (r["row"], r["backend"]) != (name, backend)] + [row]
                options.output.write_text(json.dumps(kept, indent=1) + "\n")
                print("\n".join(table([row]).splitlines()[2:]), row["difference"], flush=True)
    options.output.with_suffix(".md").write_text(table(kept) + "\n")


if __name__ == "__main__":
    main()
