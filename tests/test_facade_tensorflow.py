"""The TensorFlow classes as Keras users use them: inputs, fit, saving, export, graphs."""

import keras
import numpy as np
import pytest

from tests.tolerances import FLOAT32

if keras.config.backend() != "tensorflow":
    pytest.skip("the TF classes run on TensorFlow", allow_module_level=True)

import tensorflow as tf

import keras_roformer as kr

CONFIG = dict(
    vocab_size=50,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=48,
    embedding_size=12,
    num_labels=3,
    initializer_range=0.2,
)
RNG = np.random.default_rng(0)
IDS = RNG.integers(1, 50, (4, 7))
MASK = np.where(np.arange(7) < RNG.integers(3, 8, (4, 1)), 1, 0)
TYPES = RNG.integers(0, 2, (4, 7))


def make(task="ForSequenceClassification", **kwargs):
    keras.utils.set_random_seed(0)
    return getattr(kr, f"TFRoFormer{task}")(kr.RoFormerConfig(**CONFIG, **kwargs))


@pytest.fixture(scope="module")
def model():
    return make()


def close(a, b):
    np.testing.assert_allclose(a, b, **FLOAT32)


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
