"""The TensorFlow classes as Keras users use them: inputs, fit, saving, export, graphs."""

import keras
import numpy as np
import pytest

from tests import support
from tests.support import NO_DROPOUT, WIDE, close

if keras.config.backend() != "tensorflow":
    pytest.skip("the TF classes run on TensorFlow", allow_module_level=True)

import tensorflow as tf

import keras_roformer as kr

CONFIG = {**WIDE, "initializer_range": 0.2}
RNG = np.random.default_rng(0)
IDS = RNG.integers(1, 50, (4, 7))
MASK = np.where(np.arange(7) < RNG.integers(3, 8, (4, 1)), 1, 0)
TYPES = RNG.integers(0, 2, (4, 7))


def make(task="ForSequenceClassification", **changes):
    return support.make(task, config=CONFIG, **changes)


@pytest.fixture(scope="module")
def model():
    return make()


def make_still(task="ForSequenceClassification", **kwargs):
    """A model without dropout."""
    return make(task, **NO_DROPOUT, **kwargs)


def cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_input_formats(model):
    wanted = model(input_ids=IDS, attention_mask=MASK, token_type_ids=TYPES).logits
    ids, mask, types = (tf.constant(x) for x in (IDS, MASK, TYPES))
    batch = {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}
    for inputs in (batch, [ids, mask, types], (ids, mask, types)):
        close(model(inputs).logits, wanted)
    close(model(ids, attention_mask=mask, token_type_ids=types).logits, wanted)
    close(model({"input_ids": ids}, mask, types).logits, wanted)
    close(model(ids).logits, model([ids]).logits)
    assert np.abs(model(ids).logits - wanted).max() > 1e-4


@pytest.mark.parametrize("dtype", ["bfloat16", tf.bfloat16, "mixed_bfloat16"])
def test_dtype_of_a_loaded_model(model, tmp_path, dtype):
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path, dtype=dtype)
    stored = "float32" if dtype == "mixed_bfloat16" else "bfloat16"
    assert {v.dtype for v in loaded.network.weights} == {stored}
    assert loaded(IDS).logits.dtype == tf.bfloat16


def test_unknown_argument_is_an_error(model):
    with pytest.raises(TypeError, match="no argument 'token_ids'"):
        model(token_ids=IDS)
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model(attention_mask=MASK)


def test_documented_loss_shapes():
    rng = np.random.default_rng(1)
    tokens = np.where(MASK == 1, rng.integers(0, 3, (4, 7)), -100)
    for task, labels, shape in (
        ("ForMaskedLM", {"labels": IDS}, (1,)),
        ("ForCausalLM", {"labels": IDS}, (1,)),
        ("ForTokenClassification", {"labels": tokens}, (1,)),
        ("ForSequenceClassification", {"labels": np.array([0, 1, 2, 1])}, (4,)),
        (
            "ForQuestionAnswering",
            {"start_positions": np.array([0, 1, 2, 9]), "end_positions": np.array([2, 2, 3, 9])},
            (4,),
        ),
    ):
        output = make(task)(input_ids=IDS, attention_mask=MASK, **labels)
        assert tuple(output.loss.shape) == shape, task
        assert np.isfinite(output.loss).all() and np.all(output.loss >= 0)
    choices = make("ForMultipleChoice")(IDS.reshape(2, 2, 7), labels=np.array([0, 1]))
    assert tuple(choices.loss.shape) == (2,) and tuple(choices.logits.shape) == (2, 2)


def test_pooler_output_is_tanh_of_the_first_token():
    model = make("Model")
    output = model(IDS)
    dense = model.network.roformer.pooler.pooler_dense
    wanted = np.tanh(output.last_hidden_state[:, 0] @ dense.kernel.numpy() + dense.bias.numpy())
    close(output.pooler_output, wanted)
    assert list(output) == ["last_hidden_state", "pooler_output"]


def labels_of(ids):
    """Something that can be learnt: whether the first token is small, middling or large."""
    return np.digitize(ids[:, 0], [17, 33])


class TestFit:
    ids = RNG.integers(1, 50, (64, 7))

    def start(self, **kwargs):
        model = make(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        model.compile(keras.optimizers.Adam(3e-3), **kwargs)
        return model

    def check(self, history):
        assert history.history["loss"][-1] < 0.7 * history.history["loss"][0]

    def test_labels_in_the_dict_and_the_models_own_loss(self):
        model, batch = self.start(), {"input_ids": self.ids, "labels": labels_of(self.ids)}
        self.check(model.fit(batch, epochs=6, batch_size=16, verbose=0))
        close(model.evaluate(batch, verbose=0), np.mean(model(batch).loss))

    def test_y_and_the_models_own_loss(self):
        self.check(
            self.start().fit(self.ids, labels_of(self.ids), epochs=6, batch_size=16, verbose=0)
        )

    def test_keras_loss_and_metric(self):
        model = self.start(
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
        )
        history = model.fit(self.ids, labels_of(self.ids), epochs=6, batch_size=16, verbose=0)
        self.check(history)
        assert history.history["accuracy"][-1] > history.history["accuracy"][0]

    def test_tf_data_and_predict(self):
        model = self.start()
        data = tf.data.Dataset.from_tensor_slices(
            {"input_ids": self.ids, "labels": labels_of(self.ids)}
        ).batch(16)
        self.check(model.fit(data, epochs=6, verbose=0))
        predicted = model.predict({"input_ids": self.ids}, batch_size=16, verbose=0)
        assert type(predicted).__name__ == "TFSequenceClassifierOutput"
        close(predicted.logits, model(self.ids).logits)

    def test_no_labels_is_an_error(self):
        with pytest.raises(ValueError, match="put labels in the input dict"):
            self.start().fit({"input_ids": self.ids}, verbose=0)


class TestLabels:
    """Where labels may be: `evaluate` gives the numbers of the documented loss and of NumPy."""

    labels = np.array([0, 1, 2, 0])
    starts, ends = np.array([0, 1, 2, 3]), np.array([1, 2, 3, 6])

    def evaluate(self, model, batch, y, **kwargs):
        model.compile("adam", run_eagerly=True, **kwargs)
        return model.evaluate(batch, y, verbose=0, return_dict=True)

    @pytest.mark.parametrize("loss", [None, "auto", cross_entropy()])
    @pytest.mark.parametrize("name", [None, "labels", "logits", "y"])
    def test_of_one_output(self, model, loss, name):
        batch = {"input_ids": IDS, **({} if name else {"labels": self.labels})}
        y = {None: None, "y": self.labels}.get(name, {name: self.labels})
        found = self.evaluate(model, batch, y, loss=loss, metrics=["accuracy"])
        output = model(IDS, labels=self.labels)
        close(found["loss"], np.mean(output.loss))
        close(found["accuracy"], np.mean(np.argmax(output.logits, -1) == self.labels))

    @pytest.mark.parametrize("loss", [None, cross_entropy()])
    @pytest.mark.parametrize("names", [None, ("start_positions", "end_positions"), "logits", "y"])
    def test_of_two_outputs(self, loss, names):
        model = make("ForQuestionAnswering")
        positions = {"start_positions": self.starts, "end_positions": self.ends}
        y = positions
        if names == "logits":
            y = {"start_logits": self.starts, "end_logits": self.ends}
        elif names == "y":
            y = (self.starts, self.ends)
        batch = {"input_ids": IDS} if names else {"input_ids": IDS, **positions}
        metrics = ["accuracy", keras.metrics.SparseCategoricalAccuracy()]
        found = self.evaluate(model, batch, y if names else None, loss=loss, metrics=metrics)
        output = model(IDS, **positions)
        # Keras adds the losses of the outputs up; the documented loss is their mean.
        close(found["loss"], np.mean(output.loss) * (2 if loss else 1))
        hits = np.mean(np.argmax(output.end_logits, -1) == self.ends)
        close(found["end_logits_accuracy"], hits)
        close(found["end_logits_sparse_categorical_accuracy"], hits)

    def test_in_a_graph(self):
        model = make("ForQuestionAnswering")
        model.compile("adam", cross_entropy(), metrics=["accuracy"])
        batch = {"input_ids": IDS, "start_positions": self.starts, "end_positions": self.ends}
        history = model.fit(batch, validation_data=(batch,), verbose=0).history
        assert np.isfinite(history["val_loss"]) and "val_start_logits_accuracy" in history

    def test_of_a_bare_model(self):
        model = make("Model")
        states = np.zeros((4, 7, 32))
        found = self.evaluate(model, {"input_ids": IDS}, states, loss="mse")
        close(found["loss"], np.mean(np.square(model(IDS).last_hidden_state)))
        with pytest.raises(ValueError, match="TFRoFormerModel got no labels to fit: compile with"):
            self.evaluate(model, {"input_ids": IDS}, states)

    def test_mistakes_are_errors(self, model):
        with pytest.raises(ValueError, match="names start_logits, which is not one of its outputs"):
            self.evaluate(model, IDS, {"start_positions": self.starts}, loss=cross_entropy())
        with pytest.raises(ValueError, match="got start_positions but not end_positions"):
            self.evaluate(make("ForQuestionAnswering"), IDS, {"start_positions": self.starts})
        with pytest.raises(IndexError, match="labels has the label 3"):
            self.evaluate(model, IDS, self.labels + 1)
        with pytest.raises(ValueError, match="put labels in the input dict"):
            self.evaluate(model, {"input_ids": IDS}, None, metrics=["accuracy"])


class TestWeights:
    """`sample_weight` and `class_weight` of the model's own loss, as Keras has them: they change
    the sum of the losses and not the number that it is divided by."""

    weights = np.array([1.0, 0.0, 2.0, 0.5])

    def loss(self, model, y, weights):
        model.compile("sgd", run_eagerly=True)
        return model.test_on_batch({"input_ids": IDS}, y, sample_weight=weights)

    def test_of_examples(self, model):
        y = np.array([0, 1, 2, 0])
        each = model(IDS, labels=y).loss.numpy()
        for weights in (self.weights, self.weights[:, None]):
            close(self.loss(model, y, weights), np.sum(each * self.weights) / 4)
        still = make_still()
        still.compile(keras.optimizers.SGD(0.0))
        history = still.fit({"input_ids": IDS}, y, class_weight={0: 2.0, 1: 0.5}, verbose=0).history
        each = still(IDS, labels=y).loss.numpy()
        close(history["loss"], [np.sum(each * [2.0, 0.5, 1.0, 2.0]) / 4])

    def test_of_tokens(self):
        model = make("ForTokenClassification")
        y = np.where(MASK == 1, IDS % 3, -100)
        logits = tf.nn.log_softmax(model(IDS).logits).numpy()
        each = -np.take_along_axis(logits, np.maximum(y, 0)[..., None], -1)[..., 0] * (y >= 0)
        each_token = RNG.random((4, 7))
        for weights in (self.weights, self.weights[:, None], each_token):
            factors = weights if weights.ndim == 2 else weights[:, None]
            close(self.loss(model, y, weights), np.sum(each * factors) / np.sum(y >= 0))

    def test_of_next_tokens(self):
        model = make("ForCausalLM", is_decoder=True)
        logits = tf.nn.log_softmax(model(IDS).logits).numpy()[:, :-1]
        each = -np.take_along_axis(logits, IDS[:, 1:, None], -1)[..., 0]
        close(self.loss(model, IDS, MASK), np.sum(each * MASK[:, 1:]) / each.size)

    def test_of_positions(self):
        model = make("ForQuestionAnswering")
        y = dict(start_positions=np.array([0, 1, 2, 3]), end_positions=np.array([1, 2, 3, 6]))
        each = model(IDS, **y).loss.numpy()
        close(self.loss(model, y, self.weights), np.sum(each * self.weights) / 4)
        with pytest.raises(ValueError, match="sample_weight of .* is a dict, but its own loss"):
            self.loss(model, y, {name: self.weights for name in y})

    def test_what_cannot_be_is_an_error(self, model):
        y = np.array([0, 1, 2, 0])
        with pytest.raises(ValueError, match=r"must have the shape \(4,\) or \(4, 1\) here, got"):
            self.loss(model, y, np.ones((4, 7)))
        with pytest.raises(ValueError, match="class_weight needs the labels as y"):
            model.fit({"input_ids": IDS, "labels": y}, class_weight={0: 2.0}, verbose=0)
        tokens = make("ForTokenClassification")
        with pytest.raises(ValueError, match="class_weight needs one label for each example"):
            tokens.train_on_batch(IDS, IDS % 3, class_weight={0: 2.0})

    def test_added_losses_count(self):
        model = make()
        model.classifier.out_proj.kernel.regularizer = keras.regularizers.L2(0.1)
        y = np.array([0, 1, 2, 0])
        penalty = 0.1 * np.sum(np.square(model.classifier.out_proj.kernel.numpy()))
        assert penalty > 0.1
        close(self.loss(model, y, None), np.mean(model(IDS, labels=y).loss) + penalty)


class TestParts:
    @pytest.mark.parametrize(
        "task, names",
        [
            ("Model", ()),
            ("ForMaskedLM", ("mlm", "cls")),
            ("ForCausalLM", ("mlm", "cls")),
            ("ForSequenceClassification", ("classifier",)),
            ("ForTokenClassification", ("classifier",)),
            ("ForMultipleChoice", ("sequence_summary", "classifier")),
            ("ForQuestionAnswering", ("qa_outputs",)),
        ],
    )
    def test_freezing_the_encoder_leaves_the_head(self, task, names):
        for freeze in (lambda m: m.roformer, lambda m: m.layers[0]):
            model = make(task, summary_use_proj=True)
            freeze(model).trainable = False
            left = {id(variable) for variable in model.trainable_variables}
            head = {id(v) for name in names for v in getattr(model, name).trainable_variables}
            assert left == head and bool(head) == bool(names)

    def test_frozen_parts_keep_their_values(self):
        model = make_still()
        model.roformer.trainable = False
        model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
        before = [v.numpy() for v in model.variables]
        model.train_on_batch({"input_ids": IDS, "labels": np.array([0, 1, 2, 0])})
        encoder = {id(v) for v in model.roformer.variables}
        for variable, value in zip(model.variables, before, strict=True):
            moved = np.abs(variable.numpy() - value).max() > 0
            assert moved == (id(variable) not in encoder), variable.path

    def test_freezing_the_first_layers(self):
        model = make()
        for layer in model.roformer.encoder.layer[:1]:
            layer.trainable = False
        frozen = {id(weight) for weight in model.roformer.encoder.blocks[0].weights}
        left = {id(weight) for weight in model.trainable_weights}
        assert left == {id(weight) for weight in model.weights} - frozen

    def test_documented_loss_in_compile(self):
        y = np.array([0, 1, 2, 0])
        losses = []
        for loss in (None, "passthrough", "hf_compute_loss"):
            model = make_still()
            loss = getattr(model, str(loss), loss)
            model.compile(keras.optimizers.SGD(0.1), loss)
            losses.append([model.train_on_batch({"input_ids": IDS}, y) for _ in range(2)])
        close(losses[1:], [losses[0]] * 2)
        close(losses[0][0], np.mean(make_still()(IDS, labels=y).loss))

    def test_documented_loss_by_itself(self):
        y = np.array([0, 1, 2, 0])
        positions = dict(start_positions=y, end_positions=y + 1)
        for task, labels in (
            ("ForMaskedLM", IDS),
            ("ForSequenceClassification", y),
            ("ForTokenClassification", IDS % 3),
        ):
            model = make(task)
            close(model.hf_compute_loss(labels, model(IDS).logits), model(IDS, labels=labels).loss)
        causal = make("ForCausalLM", is_decoder=True)
        found = causal.hf_compute_loss(IDS[:, 1:], causal(IDS).logits[:, :-1])
        close(found, causal(IDS, labels=IDS).loss)
        spans = make("ForQuestionAnswering")
        output = spans(IDS, **positions)
        logits = output.start_logits, output.end_logits
        for labels in ((y, y + 1), {"end_position": y + 1, "start_position": y}, positions):
            close(spans.hf_compute_loss(labels, logits), output.loss)

    def test_embeddings(self):
        model = make("ForMaskedLM")
        assert model.get_output_embeddings() is model.get_input_embeddings()
        untied = make("ForMaskedLM", tie_word_embeddings=False)
        assert untied.get_output_embeddings().kernel.shape == (12, 50)
        assert make().get_output_embeddings() is None
        table = RNG.normal(size=(60, 12)).astype("float32")
        model.set_input_embeddings(table)
        assert model.config.vocab_size == 60 and model(IDS).logits.shape[-1] == 60
        close(model.get_input_embeddings()(np.array([59])), table[59:])
        inputs = untied.get_input_embeddings().embeddings.numpy()
        untied.set_output_embeddings(table)
        close(untied.get_input_embeddings().embeddings[:50], inputs)
        model.set_output_embeddings(table * 2)
        for tied_or_not, wanted in ((untied, table), (model, table * 2)):
            bare = tied_or_not(IDS).logits - tied_or_not.mlm.bias
            states = tied_or_not.mlm.norm(
                tied_or_not.mlm.activate(tied_or_not.mlm.transform(tied_or_not.roformer(IDS)[0]))
            )
            close(bare, states @ wanted.T)
        with pytest.raises(ValueError, match="TFRoFormerForSequenceClassification has no output"):
            make().set_output_embeddings(table)


def test_changes_of_size_reach_compiled_functions():
    model = make("ForMaskedLM")
    model.predict(IDS, verbose=0)
    model.resize_token_embeddings(60)
    close(model.predict(IDS + 10, verbose=0).logits, model(IDS + 10).logits)
    model.prune_heads({0: [1]})
    close(model.predict(IDS, verbose=0).logits, model(IDS).logits)


def test_lists_of_numbers(model):
    wanted = model(IDS, attention_mask=MASK).logits
    ids, mask = IDS.tolist(), MASK.tolist()
    close(model(ids, attention_mask=mask).logits, wanted)
    close(model({"input_ids": ids, "attention_mask": mask}).logits, wanted)
    with pytest.raises(ValueError, match="input_ids of TFRo.* rows have different lengths; pad"):
        model([[1, 2], [3]])


class TestPreparedDatasets:
    lengths = (3, 7, 5, 2, 6)
    rows = [IDS.ravel()[:length].tolist() for length in lengths]
    columns = dict(input_ids=rows, label=[0, 1, 2, 1, 0], text=["x"] * 5)

    def test_batches_are_padded_and_train(self):
        import datasets

        tokenizer = kr.RoFormerTokenizer.from_pretrained("roformer_tiny_zh")
        model = make()
        data = model.prepare_tf_dataset(
            datasets.Dataset.from_dict(self.columns), 2, shuffle=False, tokenizer=tokenizer
        )
        batches = list(data)
        assert [len(y) for _, y in batches] == [2, 2, 1]
        rows = iter(zip(self.rows, self.columns["label"], strict=True))
        for inputs, y in batches:
            assert list(inputs) == ["input_ids", "attention_mask"]
            for ids, mask, label in zip(*inputs.values(), y, strict=True):
                row, wanted = next(rows)
                assert ids[: len(row)].numpy().tolist() == row and label == wanted
                assert mask.numpy().tolist() == [1] * len(row) + [0] * (len(mask) - len(row))
        model.compile("sgd", metrics=["accuracy"], run_eagerly=True)
        wanted = [np.mean(model(x, labels=y).loss) * len(y) for x, y in batches]
        close(model.evaluate(data, verbose=0)[0], np.sum(wanted) / 5)

    def test_of_one_length_and_shuffled(self):
        import datasets

        columns = dict(input_ids=IDS.tolist(), start_positions=[0, 1, 2, 3])
        columns |= dict(end_positions=[1, 2, 3, 4])
        model = make("ForQuestionAnswering")
        data = model.prepare_tf_dataset(datasets.Dataset.from_dict(columns), batch_size=3)
        ((ids, y),) = data
        close(y["end_positions"], y["start_positions"] + 1)
        close(ids, IDS[y["start_positions"].numpy()])


@pytest.mark.parametrize("jit", [False, True])
def test_in_a_tf_function_of_any_length(model, jit):
    shape = tf.TensorSpec((None, None), tf.int64)

    @tf.function(input_signature=None if jit else [shape], jit_compile=jit)
    def run(ids):
        return model(ids, output_hidden_states=True)

    for length in (7, 4):
        output = run(tf.constant(IDS[:, :length]))
        close(output.logits, model(IDS[:, :length]).logits)
        assert len(output.hidden_states) == 3


def test_inside_a_functional_model(model):
    ids = keras.Input((None,), dtype="int64")
    mask = keras.Input((None,), dtype="int64")
    logits = model(ids, attention_mask=mask).logits
    whole = keras.Model([ids, mask], keras.layers.Softmax()(logits))
    wanted = tf.nn.softmax(model(IDS, attention_mask=MASK).logits)
    close(whole([IDS, MASK]), wanted)
    whole.compile("adam", "sparse_categorical_crossentropy")
    whole.fit([IDS, MASK], np.array([0, 1, 2, 0]), verbose=0)


def test_keras_file(model, tmp_path):
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again) is type(model) and again.config == model.config
    close(again(IDS).logits, model(IDS).logits)


@pytest.mark.parametrize("loss", [None, "sparse_categorical_crossentropy"])
def test_keras_file_of_a_compiled_model(loss, tmp_path):
    model = make("ForQuestionAnswering")
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"], run_eagerly=True)
    positions = dict(start_positions=np.array([0, 1, 2, 3]), end_positions=np.array([1, 2, 3, 6]))
    model.train_on_batch({"input_ids": IDS, **positions})
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.optimizer.iterations == 1
    wanted, found = (
        m.evaluate({"input_ids": IDS, **positions}, verbose=0, return_dict=True)
        for m in (model, again)
    )
    assert found.keys() == wanted.keys()
    close(list(found.values()), list(wanted.values()))


def test_compiling_again_without_a_loss():
    model = make()
    model.compile("sgd", "mse", metrics=["accuracy"])
    model.compile("sgd", run_eagerly=True)
    y = np.array([0, 1, 2, 0])
    close(model.evaluate(IDS, y, verbose=0), np.mean(model(IDS, labels=y).loss))


def test_weights_file(model, tmp_path):
    model.save_weights(tmp_path / "model.weights.h5")
    other = make(hidden_act="relu")
    other.load_weights(tmp_path / "model.weights.h5")
    for a, b in zip(other.network.get_weights(), model.network.get_weights(), strict=True):
        close(a, b)


def test_saved_model(model, tmp_path):
    model.export(tmp_path / "saved", input_signature=[tf.TensorSpec((None, None), tf.int64)])
    saved = tf.saved_model.load(tmp_path / "saved")
    close(saved.serve(tf.constant(IDS))["logits"], model(IDS).logits)


@pytest.mark.parametrize("how", ["saved_model", "serving", "export", "save_pretrained"])
def test_default_signature(how, tmp_path):
    model = make(output_hidden_states=True) if how == "saved_model" else make()
    path = tmp_path / "saved"
    if how == "saved_model":
        tf.saved_model.save(model, str(path))
    elif how == "serving":
        tf.saved_model.save(model, str(path), signatures=model.serving)
    elif how == "export":
        model.export(path, verbose=False)
    else:
        model.save_pretrained(tmp_path, saved_model=True, version=3)
        path = tmp_path / "saved_model" / "3"
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    inputs = dict(input_ids=IDS, attention_mask=MASK, token_type_ids=TYPES)
    for length in (7, 4):
        batch = {k: tf.constant(v[:, :length], tf.int32) for k, v in inputs.items()}
        found, wanted = serve(**batch), model(batch)
        close(found["logits"], wanted.logits)
        if how == "saved_model":
            close(found["hidden_states"], tf.stack(wanted.hidden_states))


def test_default_signature_of_choices():
    assert make("ForMultipleChoice").input_signature["input_ids"].shape.rank == 3


def test_load_weights_takes_tf_model_h5(model, tmp_path):
    model.save_pretrained(tmp_path)
    other = make()
    other.network.head.out_proj.kernel.assign_add(RNG.normal(size=(32, 3)))
    other.load_weights(tmp_path / "tf_model.h5", by_name=True)
    close(other(IDS).logits, model(IDS).logits)
    larger = make(num_labels=5)
    with pytest.raises(ValueError, match="out_proj.weight has shape"):
        larger.load_weights(str(tmp_path / "tf_model.h5"))
    larger.load_weights(str(tmp_path / "tf_model.h5"), skip_mismatch=True)
    close(larger.roformer(IDS)[0], model.roformer(IDS)[0])


def test_save_pretrained_leaves_no_weight_out(tmp_path):
    """What a subclass adds has no name in transformers' files."""

    class Larger(kr.TFRoFormerForSequenceClassification):
        def __init__(self, config, **kwargs):
            super().__init__(config, **kwargs)
            self.added = keras.layers.Dense(4, name="added")

        def call(self, *args, **kwargs):
            return self.added(super().call(*args, **kwargs).logits)

    keras.utils.set_random_seed(0)
    larger, other = (Larger(kr.RoFormerConfig(**CONFIG)) for _ in range(2))
    wanted = larger(IDS)
    with pytest.raises(ValueError, match="Larger has weights .*added/kernel.*save_weights"):
        larger.save_pretrained(tmp_path)
    larger.save_weights(tmp_path / "larger.weights.h5")
    other(IDS)
    other.load_weights(tmp_path / "larger.weights.h5")
    close(other(IDS), wanted)


def test_save_pretrained_writes_h5(model, tmp_path):
    model.save_pretrained(tmp_path)
    assert (tmp_path / "tf_model.h5").is_file()
    again = kr.TFRoFormerForSequenceClassification.from_pretrained(tmp_path)
    close(again(IDS).logits, model(IDS).logits)


def test_layer_equals_the_models_first_layer(model):
    from keras_roformer.weights.transfer import computed

    config = model.config
    layer = kr.TFRoFormerLayer(config)
    block = model.network.roformer.encoder.blocks[0]
    layer.layer.set_weights(block.get_weights())
    states = model(IDS, output_hidden_states=True, output_attentions=True)
    table = computed(config)["roformer.encoder.embed_positions.weight"][None, None, :7]
    y, scores = layer(
        states.hidden_states[0], None, tf.constant(table), None, output_attentions=True
    )
    close(y, states.hidden_states[1])
    close(scores, states.attentions[0])
    # All of it by position, as documented.
    for found, wanted in zip(
        layer(states.hidden_states[0], None, tf.constant(table), None, True),
        (y, scores),
        strict=True,
    ):
        close(found, wanted)
