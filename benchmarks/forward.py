"""Time of a forward pass at base size, against transformers, on each backend.

    python benchmarks/forward.py [--backends torch,tensorflow,jax] [--oracle-python PYTHON]

Both libraries load one checkpoint (random weights: 12 layers of 768, vocabulary 50,000, float32)
and get the same ids. Their requests alternate, so that both see the machine in the same state; a
row is the median of the rounds. The rate of a matrix product of the model's size, in the same
process, says what the machine can do. transformers 5 has only torch: for TensorFlow and JAX,
`--oracle-python` is the Python of an environment with transformers 4.57.6 and its frameworks
(tests/oracle/README.md).

Prints a Markdown table, and writes all times to `--output` as JSON.
"""

import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # not this folder: its tokenizers.py would hide the package of that name
SHAPES = ((8, 128), (4, 512), (1, 1536), (1, 16))  # batch × length
LAYERS, HIDDEN, INTERMEDIATE, VOCABULARY = 12, 768, 3072, 50_000
MATMUL = (2048, HIDDEN, INTERMEDIATE)
PREFIXES = {"torch": "", "tensorflow": "TF", "jax": "Flax"}


def forward_flops(batch, length, head):
    """Multiplications and additions of a forward pass; norms, softmax and the like not counted."""
    per_token = LAYERS * (8 * HIDDEN**2 + 4 * HIDDEN * INTERMEDIATE + 4 * length * HIDDEN)
    if head:
        per_token += 2 * HIDDEN**2 + 2 * HIDDEN * VOCABULARY
    return batch * length * per_token


# Workers: one process each, that holds models of one framework and runs what it is asked to.


class Worker:
    """Makes `call(ids) → array` for both libraries with one framework."""

    def __init__(self, options):
        self.options = options
        self.calls = {}
        if options.backend == "torch":
            import torch

            torch.set_num_threads(options.threads)
        elif options.backend == "tensorflow":
            import tensorflow as tf

            tf.config.threading.set_intra_op_parallelism_threads(options.threads)

    def load(self, library):
        options = self.options
        name = f"{PREFIXES[options.backend]}RoFormer{options.model_class}"
        arguments = {}
        if library == "ours":
            import keras_roformer as module

            if not (options.checkpoint / "config.json").is_file():
                config = module.RoFormerConfig(
                    vocab_size=VOCABULARY,
                    hidden_size=HIDDEN,
                    num_hidden_layers=LAYERS,
                    intermediate_size=INTERMEDIATE,
                )
                model = getattr(module, name)(config)
                model.save_pretrained(options.checkpoint, safe_serialization=True)
        else:
            import transformers as module

            if options.backend == "tensorflow":
                arguments["from_pt"] = True  # its own way of reading safetensors fails
        model = getattr(module, name).from_pretrained(str(options.checkpoint), **arguments)
        self.calls[library] = getattr(self, options.backend)(model)
        return {"version": module.__version__}

    def torch(self, model):
        import torch

        model.eval()

        def call(ids, mask):
            with torch.inference_mode():
                output = model(torch.as_tensor(ids), attention_mask=torch.as_tensor(mask))
            return output[0].numpy()

        return call

    def tensorflow(self, model):
        import tensorflow as tf

        @tf.function
        def compiled(ids, mask):
            return model({"input_ids": ids, "attention_mask": mask}, training=False)[0]

        return lambda ids, mask: compiled(tf.constant(ids), tf.constant(mask)).numpy()

    def jax(self, model):
        import jax
        import numpy as np

        # Ours compiles its calls itself; transformers' is compiled here, as its users would.
        @jax.jit
        def compiled(params, ids, mask):
            return model(ids, mask, params=params)[0]

        return lambda ids, mask: np.asarray(compiled(model.params, ids, mask))

    def run(self, library, shape):
        import numpy as np

        ids = np.random.default_rng(0).integers(5, VOCABULARY, shape).astype("int32")
        mask = np.ones(shape, "int32")
        start = time.perf_counter()
        output = self.calls[library](ids, mask)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "sample": output[0, :4, :8].tolist()}

    def matmul(self):
        """Seconds of one product of MATMUL's shape with the worker's framework."""
        import numpy as np

        rows, inner, columns = MATMUL
        random = np.random.default_rng(0)
        a, b = (
            random.normal(size=size).astype("float32") for size in ((rows, inner), (inner, columns))
        )
        if self.options.backend == "torch":
            import torch

            a, b = torch.as_tensor(a), torch.as_tensor(b)

            def product():
                return a @ b
        elif self.options.backend == "tensorflow":
            import tensorflow as tf

            a, b = tf.constant(a), tf.constant(b)

            def product():
                return tf.matmul(a, b).numpy()
        else:
            import jax

            a, b = jax.numpy.asarray(a), jax.numpy.asarray(b)
            compiled = jax.jit(jax.numpy.matmul)

            def product():
                return compiled(a, b).block_until_ready()

        times = []
        for _ in range(8):
            start = time.perf_counter()
            product()
            times.append(time.perf_counter() - start)
        return {"seconds": statistics.median(times[2:])}


def work(options):
    """Answer the requests of the driver, a line of JSON each."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what frameworks print is no answer
    worker = Worker(options)
    for line in sys.stdin:
        method, *arguments = json.loads(line)
        answers.write(json.dumps(getattr(worker, method)(*arguments)) + "\n")
        answers.flush()


# The driver


class Process:
    """A worker process."""

    def __init__(self, python, options, backend, checkpoint):
        command = [python, __file__, "--worker", "--backends", backend]
        command += ["--checkpoint", checkpoint, "--threads", options.threads]
        command += ["--model-class", options.model_class]
        threads = {name: str(options.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        quiet = {
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_USE_LEGACY_KERAS": "1",
            "PYTHONWARNINGS": "ignore",
        }
        if python == sys.executable:
            quiet = {**quiet, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
            del quiet["TF_USE_LEGACY_KERAS"]
        self.log = options.output.parent / f"{options.output.stem}-{backend}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("a"),
            text=True,
            env={**os.environ, **threads, **quiet, "HF_HUB_OFFLINE": "1"},
        )

    def __call__(self, *request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"the worker for {request} ended; see {self.log}")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(backend, options, checkpoint):
    """All rows of one backend."""
    with contextlib.ExitStack() as stack:
        ours = Process(sys.executable, options, backend, checkpoint)
        stack.callback(ours.close)
        if backend == "torch":
            reference = ours  # one process, one pool of threads
        elif options.oracle_python:
            reference = Process(options.oracle_python, options, backend, checkpoint)
            stack.callback(reference.close)
        else:
            reference = None
        sides = {"ours": ours} | ({"transformers": reference} if reference else {})
        versions = {library: side("load", library)["version"] for library, side in sides.items()}
        rows, products = [], []
        for shape in options.shapes:
            times = {library: [] for library in sides}
            samples = {}
            for number in range(options.rounds + 2):
                for library, side in sides.items():
                    answer = side("run", library, shape)
                    samples[library] = answer["sample"]
                    if number >= 2:  # the first rounds compile and warm up
                        times[library].append(answer["seconds"])
            products.append(ours("matmul")["seconds"])
            row = {"backend": backend, "batch": shape[0], "length": shape[1], "times": times}
            row["difference"] = difference(*samples.values()) if reference else None
            row["flops"] = forward_flops(*shape, head=options.model_class == "ForMaskedLM")
            rows.append(row)
    rows_, inner, columns = MATMUL
    rate = 2 * rows_ * inner * columns / statistics.median(products)
    return {"versions": versions, "matmul_flops_per_second": rate, "rows": rows}


def difference(one, other):
    """Largest absolute difference of two nested lists."""
    if isinstance(one, list):
        return max(map(difference, one, other))
    return abs(one - other)


def table(results):
    """The Markdown table of all backends."""
    lines = [
        "| backend | batch × length | keras-roformer | transformers | ratio | of the matmul rate |"
        " largest difference |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for result in results.values():
        for row in result["rows"]:
            medians = {name: statistics.median(times) for name, times in row["times"].items()}
            ours, theirs = medians["ours"], medians.get("transformers")
            share = row["flops"] / ours / result["matmul_flops_per_second"]
            cells = [
                row["backend"],
                f"{row['batch']} × {row['length']}",
                f"{1000 * ours:.1f} ms",
                f"{1000 * theirs:.1f} ms" if theirs else "–",
                f"{theirs / ours:.2f}×" if theirs else "–",
                f"{share:.0%}",
                f"{row['difference']:.1e}" if theirs else "–",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", default="torch,tensorflow,jax")
    parser.add_argument("--oracle-python", help="Python with transformers 4.57.6, TF and Flax")
    parser.add_argument("--model-class", default="Model", choices=["Model", "ForMaskedLM"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shapes", help='by default "8x128,4x512,1x1536,1x16"')
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "build" / "forward.json")
    parser.add_argument("--checkpoint", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        options.backend = options.backends
        work(options)
        return
    if options.shapes:
        options.shapes = [tuple(map(int, shape.split("x"))) for shape in options.shapes.split(",")]
    else:
        options.shapes = SHAPES
    results = {}
    with tempfile.TemporaryDirectory() as checkpoint:
        for backend in options.backends.split(","):
            results[backend] = measure(backend, options, checkpoint)
    print(table(results), end="\n\n")
    for backend, result in results.items():
        rate = result["matmul_flops_per_second"] / 1e9
        versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
        print(
            f"{backend}: matrix product {rate:.0f} GFLOP/s on {options.threads} cores; {versions}"
        )
    options.output.write_text(json.dumps({"threads": options.threads, **results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
