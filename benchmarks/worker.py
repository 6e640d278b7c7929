"""One process of the benchmark: a library with a framework, that runs what run.py asks for.

It reads a JSON line per request and answers with one. The libraries are "ours", "transformers",
"onnxruntime" (on the graph of transformers' torch model) and "keras_hub" (BERT of the same size).
"""

import ctypes
import functools
import json
import os
import pathlib
import statistics
import sys
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
VOCABULARY = 50_000
SIZES = {  # layers, hidden size, feed-forward size, heads
    "base": (12, 768, 3072, 12),
    "small": (12, 64, 256, 2),
    "shallow": (2, 768, 3072, 12),
}
PREFIXES = {"torch": "", "tensorflow": "TF", "jax": "Flax"}
PRESET = "roformer_tiny_zh"
MATMUL = (2048, 768, 3072)
LABELLED = 24  # labels a row of 128 tokens at most, 15 % of which are masked


def config_arguments(size):
    layers, hidden, intermediate, heads = SIZES[size]
    return dict(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        embedding_size=hidden,
        num_hidden_layers=layers,
        intermediate_size=intermediate,
        num_attention_heads=heads,
        max_position_embeddings=8192,
    )


def random_ids(shape):
    return np.random.default_rng(0).integers(5, VOCABULARY, shape).astype("int32")


def reviews(count):
    """`(texts, labels)` of real reviews, from the built corpus (tools/build_corpus.py)."""
    with open(ROOT / "data" / "corpus" / "reviews.jsonl", encoding="utf-8") as file:
        lines = [json.loads(line) for _, line in zip(range(4 * count), file, strict=False)]
    lines = [line for line in lines if len(line["text"]) >= 8][:count]
    return [line["text"] for line in lines], [int(line["label"]) for line in lines]


def masked_sentences(count):
    """Real sentences with one character masked."""
    random = np.random.default_rng(0)
    sentences = []
    for text in reviews(2 * count)[0]:
        text = text[:80]
        at = int(random.integers(len(text)))
        sentences.append(f"{text[:at]}[MASK]{text[at + 1 :]}")
    return sentences[:count]


class Worker:
    """Prepares one piece of work and runs it, again and again."""

    def __init__(self, library, backend, threads, directory):
        self.library = library
        self.backend = backend
        self.directory = pathlib.Path(directory)
        self.models = {}
        if backend == "torch":
            import torch

            torch.set_num_threads(threads)
        elif backend == "tensorflow":
            import tensorflow as tf

            tf.config.threading.set_intra_op_parallelism_threads(threads)

    # Requests

    def prepare(self, work, **options):
        """Load what the work needs; gives the library's version."""
        self.step = None  # frees the last work's model
        self.step = getattr(self, work)(**options)
        module = sys.modules.get(self.library if self.library != "ours" else "keras_roformer")
        return {"version": getattr(module, "__version__", "")}

    def run(self):
        """Do the work once: seconds, and what can be compared between libraries."""
        start = time.perf_counter()
        result = self.step()
        return {"seconds": time.perf_counter() - start, "result": result}

    def peak(self):
        """Bytes of resident memory that the work needs at most on top of what lay there before."""
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # sets the peak to what there is
        before = _status("VmRSS")
        self.step()
        return {"bytes": _status("VmHWM") - before, "whole": _status("VmHWM")}

    def matmul(self, dtype="float32"):
        """Floating-point operations per second of a product with the model's sizes."""
        rows, inner, columns = MATMUL
        random = np.random.default_rng(0)
        a, b = (random.normal(size=s).astype("float32") for s in ((rows, inner), (inner, columns)))
        if self.backend == "torch":
            import torch

            a, b = (torch.as_tensor(x).to(getattr(torch, dtype)) for x in (a, b))
            product = functools.partial(torch.matmul, a, b)
        elif self.backend == "tensorflow":
            import tensorflow as tf

            a, b = (tf.cast(x, dtype) for x in (a, b))
            product = tf.function(lambda: tf.matmul(a, b), autograph=False)
        else:
            import jax

            a, b = (jax.numpy.asarray(x, dtype) for x in (a, b))
            compiled = jax.jit(jax.numpy.matmul)
            product = lambda: compiled(a, b).block_until_ready()  # noqa: E731
        times = []
        for _ in range(8):
            start = time.perf_counter()
            product()
            times.append(time.perf_counter() - start)
        return {"flops": 2 * rows * inner * columns / statistics.median(times[2:])}

    # Models

    def _module(self):
        if self.library == "ours":
            import keras_roformer

            return keras_roformer
        import transformers

        return transformers

    def _model(self, task, size, **config):
        """The model of a task; both libraries load one checkpoint of random weights.

        The bare model is kept for the next row: no work changes it.
        """
        if (task, size) in self.models:
            return self.models[task, size]
        module = self._module()
        name = f"{PREFIXES[self.backend]}RoFormer{task}"
        path = self.directory / "-".join([size, task, *map(str, config)])
        if not (path / "config.json").is_file():
            made = module.RoFormerConfig(**config_arguments(size), **config)
            getattr(module, name)(made).save_pretrained(path, safe_serialization=True)
        arguments = {}
        if self.library != "ours" and self.backend == "tensorflow":
            arguments["from_pt"] = True  # its own way of reading safetensors fails
        model = getattr(module, name).from_pretrained(str(path), **arguments)
        if task == "Model":
            self.models[task, size] = model
        return model

    # Work: each gives a function that does it once

    def forward(self, size="base", shape=(1, 16), dtype="float32"):
        ids, mask = random_ids(shape), np.ones(shape, "int32")
        if self.library == "keras_hub":
            call = self._keras_hub(size, dtype)
        elif self.library == "onnxruntime":
            call = self._onnxruntime(size)
        else:
            call = getattr(self, f"_forward_{self.backend}")(self._model("Model", size), dtype)
        return lambda: np.asarray(call(ids, mask), "float32")[0, :4, :8].tolist()

    def _forward_torch(self, model, dtype):
        import torch

        model = model.to(getattr(torch, dtype)).eval()

        def call(ids, mask):
            with torch.inference_mode():
                output = model(torch.as_tensor(ids), attention_mask=torch.as_tensor(mask))
            return output[0].float().numpy()

        return call

    def _forward_tensorflow(self, model, dtype):
        import tensorflow as tf

        if dtype != "float32":
            values = model.get_weights()
            model = type(model)(model.config, dtype=dtype)
            model.set_weights(values)

        @tf.function
        def compiled(ids, mask):
            return model({"input_ids": ids, "attention_mask": mask}, training=False)[0]

        return lambda ids, mask: tf.cast(
            compiled(tf.constant(ids), tf.constant(mask)), "float32"
        ).numpy()

    def _forward_jax(self, model, dtype):
        import jax

        if dtype != "float32":
            params = model.to_bf16(model.params)
            model = type(model)(model.config, dtype=dtype)
            model.params = params

        # Ours compiles its calls itself; transformers' is compiled here, as its users would.
        @jax.jit
        def compiled(params, ids, mask):
            return model(ids, mask, params=params)[0]

        return lambda ids, mask: np.asarray(compiled(model.params, ids, mask).astype("float32"))

    def _keras_hub(self, size, dtype):
        import keras
        import keras_hub

        layers, hidden, intermediate, heads = SIZES[size]
        model = keras_hub.models.BertBackbone(
            VOCABULARY, layers, heads, hidden, intermediate, max_sequence_length=8192, dtype=dtype
        )

        def call(ids, mask):
            inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": mask}
            return keras.ops.convert_to_numpy(model.predict_on_batch(inputs)["sequence_output"])

        return call

    def _onnxruntime(self, size):
        import onnxruntime
        import torch

        self.library = "transformers"
        path = self.directory / f"{size}.onnx"
        if not path.is_file():
            model = self._model("Model", size).eval()
            example = torch.as_tensor(random_ids((2, 16)))
            torch.onnx.export(
                model,
                (example, torch.ones_like(example)),
                str(path),
                input_names=["ids", "mask"],
                dynamic_axes={"ids": {0: "b", 1: "l"}, "mask": {0: "b", 1: "l"}},
                dynamo=False,
            )
        self.library = "onnxruntime"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(str(path), options)
        return lambda ids, mask: session.run(None, {"ids": ids, "mask": mask})[0]

    def train(self, size="base", shape=(4, 128)):
        """A step of masked language modelling: 15 % of the tokens have labels."""
        ids, mask = random_ids(shape), np.ones(shape, "int32")
        labels = np.where(np.random.default_rng(1).random(shape) < 0.15, ids, -100)
        batch = dict(input_ids=ids, attention_mask=mask)
        if self.library == "ours":  # the head at the labelled positions alone
            positions = np.argsort(labels == -100, axis=1, kind="stable")[:, :LABELLED]
            batch["logits_positions"] = positions.astype("int32")
            labels = np.take_along_axis(labels, positions, axis=1)
        model = self._model("ForMaskedLM", size)
        return getattr(self, f"_train_{self.backend}")(model, batch, labels)

    def _train_torch(self, model, batch, labels):
        import torch

        model.train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        batch = {name: torch.as_tensor(value).long() for name, value in batch.items()}
        labels = torch.as_tensor(labels).long()

        def step():
            loss = model(**batch, labels=labels).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss.item()

        return step

    def _train_tensorflow(self, model, batch, labels):
        import tensorflow as tf

        if self.library == "ours":
            import keras
        else:
            import tf_keras as keras
        optimizer = keras.optimizers.AdamW(1e-4)
        labels = labels.astype("int32")

        @tf.function
        def compiled(batch, labels):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(model({**batch, "labels": labels}, training=True).loss)
            gradients = tape.gradient(loss, model.trainable_variables)
            pairs = zip(gradients, model.trainable_variables, strict=True)
            optimizer.apply_gradients((g, v) for g, v in pairs if g is not None)
            return loss

        batch = {name: tf.constant(value) for name, value in batch.items()}
        return lambda: float(compiled(batch, tf.constant(labels)))

    def _train_jax(self, model, batch, labels):
        import jax
        import optax

        optimizer = optax.adamw(1e-4)
        weights = labels != -100
        labels = np.where(weights, labels, 0)

        def loss(params, rng):
            logits = model(**batch, params=params, dropout_rng=rng, train=True)[0]
            values = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return (values * weights).sum() / weights.sum()

        @functools.partial(jax.jit, donate_argnums=(0, 1))
        def compiled(params, state, rng):
            value, gradients = jax.value_and_grad(loss)(params, rng)
            updates, state = optimizer.update(gradients, state, params)
            return optax.apply_updates(params, updates), state, value

        state = [model.params, optimizer.init(model.params), jax.random.PRNGKey(0)]
        if self.library == "ours":
            model._params = None  # the step's alone, as in transformers' examples

        def step():
            state[2], rng = jax.random.split(state[2])
            state[0], state[1], value = compiled(state[0], state[1], rng)
            return float(value)

        return step

    def fine_tune(self, count=2000, batch_size=32, max_length=256):
        """An epoch of classification of reviews of mixed length, with tokenizing them.

        Ours is what `keras-roformer train` does: `fit` on batches of similar lengths. transformers'
        batches are padded to their longest text; under jit to a multiple of 64, as each width is
        compiled.
        """
        texts, labels = reviews(count)
        if self.library == "ours":
            return self._fine_tune_ours(texts, labels, batch_size, max_length)
        import transformers

        path = ROOT / "presets" / PRESET
        tokenizer = transformers.AutoTokenizer.from_pretrained(path)
        cls = getattr(self._module(), f"{PREFIXES[self.backend]}RoFormerForSequenceClassification")
        # The preset is float16, in which transformers 5 would compute, at a hundredth of the speed.
        arguments = {
            "torch": {"dtype": "float32"},
            "tensorflow": {"from_pt": True},
            "jax": {},
        }
        model = cls.from_pretrained(path, num_labels=2, **arguments[self.backend])
        order = np.random.default_rng(0)
        multiple = 64 if self.backend == "jax" else None

        def batches():
            rows = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
            shuffled = order.permutation(len(rows))
            for start in range(0, len(rows) - batch_size + 1, batch_size):
                chosen = shuffled[start : start + batch_size]
                batch = tokenizer.pad(
                    {"input_ids": [rows[i] for i in chosen]},
                    pad_to_multiple_of=multiple,
                    return_tensors="np",
                )
                inputs = {n: batch[n].astype("int32") for n in ("input_ids", "attention_mask")}
                yield inputs, np.array([labels[i] for i in chosen], "int32")

        return getattr(self, f"_fine_tune_{self.backend}")(model, batches)

    def _fine_tune_ours(self, texts, labels, batch_size, max_length):
        import keras

        from keras_roformer import RoFormerConfig, RoFormerTokenizer, fine_tuning, hub, training

        directory = hub.resolve(PRESET)
        tokenizer = RoFormerTokenizer.from_pretrained(PRESET)
        config = RoFormerConfig.from_pretrained(directory)
        task = "sequence_classification"
        model = training.LogitsModel(training.pretrained_network(directory, config, task, PRESET))
        model.compile(
            optimizer=keras.optimizers.AdamW(1e-4),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=self.backend == "jax",
        )
        examples = list(zip(texts, labels, strict=True))
        random = np.random.default_rng(0)

        def step():
            encoded = fine_tuning.encode_texts(tokenizer, examples, {0: 0, 1: 1}, max_length)
            data = training.Batches(encoded, batch_size, random)
            return model.fit(data, epochs=1, verbose=0, shuffle=False).history["loss"][0]

        return step

    def _fine_tune_torch(self, model, batches):
        import torch

        model.train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

        def step():
            for inputs, labels in batches():
                inputs = {name: torch.as_tensor(x).long() for name, x in inputs.items()}
                loss = model(**inputs, labels=torch.as_tensor(labels).long()).loss
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            return loss.item()

        return step

    def _fine_tune_tensorflow(self, model, batches):
        import tensorflow as tf
        import tf_keras

        model.compile(
            tf_keras.optimizers.Adam(1e-4),
            tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        spec = tf.TensorSpec((None, None), "int32")
        signature = (
            {"input_ids": spec, "attention_mask": spec},
            tf.TensorSpec((None,), "int32"),
        )
        data = tf.data.Dataset.from_generator(batches, output_signature=signature)
        return lambda: model.fit(data, epochs=1, verbose=0).history["loss"][0]

    def _fine_tune_jax(self, model, batches):
        import jax
        import optax

        optimizer = optax.adamw(1e-4)

        def loss(params, inputs, labels, rng):
            logits = model(**inputs, params=params, dropout_rng=rng, train=True)[0]
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        @functools.partial(jax.jit, donate_argnums=(0, 1))
        def compiled(params, state, inputs, labels, rng):
            rng, own = jax.random.split(rng)
            value, gradients = jax.value_and_grad(loss)(params, inputs, labels, own)
            updates, state = optimizer.update(gradients, state, params)
            return optax.apply_updates(params, updates), state, value, rng

        state = [model.params, optimizer.init(model.params), jax.random.PRNGKey(0)]

        def step():
            for inputs, labels in batches():
                state[0], state[1], value, state[2] = compiled(*state[:2], inputs, labels, state[2])
            return float(value)

        return step

    def generate(self, size="base", batch=1, tokens=64):
        """Greedy continuation of 16 tokens by exactly `tokens` more."""
        model = self._model("ForCausalLM", size, is_decoder=True)
        ids = random_ids((batch, 16))
        arguments = dict(
            max_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
            eos_token_id=None,
            attention_mask=np.ones_like(ids),
        )
        if self.backend == "torch":
            import torch

            ids = torch.as_tensor(ids).long()
            arguments["attention_mask"] = torch.ones_like(ids)
            model.eval()
        elif self.backend == "tensorflow":
            import tensorflow as tf

            ids = tf.constant(ids)
            arguments["attention_mask"] = tf.ones_like(ids)

        def step():
            if self.library != "ours" and self.backend == "tensorflow":
                output = _grow(model, ids, tokens)
            else:
                output = model.generate(ids, **arguments)
            output = getattr(output, "sequences", output)
            assert output.shape[1] == 16 + tokens, output.shape
            return np.asarray(output)[0, 16:].tolist()

        return step

    def _pipeline(self, task, path, batch_size):
        arguments = dict(batch_size=batch_size)
        pipeline = self._module().pipeline
        if self.library == "ours":
            return pipeline(task, str(path), backend=self.backend, **arguments)
        if self.backend == "torch":  # float16, as in the file, is slow on a CPU
            return pipeline(task, str(path), framework="pt", dtype="float32", **arguments)
        head = {"fill-mask": "MaskedLM", "text-classification": "SequenceClassification"}[task]
        cls = getattr(self._module(), f"TFRoFormerFor{head}")
        return pipeline(
            task,
            cls.from_pretrained(path, from_pt=True),  # see _model
            tokenizer=self._module().AutoTokenizer.from_pretrained(path),
            **arguments,
        )

    def fill_mask(self, count=500, batch_size=32):
        pipe = self._pipeline("fill-mask", ROOT / "presets" / PRESET, batch_size)
        sentences = masked_sentences(count)
        return lambda: [answer[0]["token_str"] for answer in pipe(sentences)][:20]

    def classify(self, count=2000, batch_size=32):
        path = self.directory / "classifier"
        if not (path / "config.json").is_file():
            import keras_roformer as k

            name = f"{PREFIXES[self.backend]}RoFormerForSequenceClassification"
            model = getattr(k, name).from_pretrained(PRESET)
            model.save_pretrained(path, safe_serialization=True)
            k.RoFormerTokenizer.from_pretrained(PRESET).save_pretrained(path)
        pipe = self._pipeline("text-classification", path, batch_size)
        texts = reviews(count)[0]
        # transformers' padding is per batch too; both cut at 512 tokens
        return lambda: [answer["label"] for answer in pipe(texts, truncation=True, max_length=512)][
            :20
        ]


def _grow(model, ids, count):
    """Greedy generation without a cache: the TF class of transformers 4.57 refuses `generate`."""
    import tensorflow as tf

    for _ in range(count):
        logits = model(ids, training=False).logits[:, -1]
        ids = tf.concat([ids, tf.argmax(logits, -1, output_type=ids.dtype)[:, None]], axis=1)
    return ids


def _status(field):
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise ValueError(field)


def main():
    library, backend, threads, directory = sys.argv[1:]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what frameworks print is no answer
    worker = Worker(library, backend, int(threads), directory)
    for line in sys.stdin:
        method, options = json.loads(line)
        answers.write(json.dumps(getattr(worker, method)(**options)) + "\n")
        answers.flush()


if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # not this folder: its modules are not for import by name
    main()
