"""What generation, pipelines, pictures and conversion ask of a model, on the running family."""

import keras
import numpy as np
import pytest

from tests.support import BACKEND, CONFIG, IDS, cls, make, tensor
from tests.tolerances import FLOAT32

BATCH = {"input_ids": IDS.astype("int32"), "attention_mask": np.ones_like(IDS, "int32")}


def test_predicted_arrays_are_the_call_s():
    model = make("ForMaskedLM")
    model.prepare_prediction()
    found = model.predict_arrays({**BATCH, "logits_positions": IDS[:, :2].astype("int32") % 6})
    expected = keras.ops.convert_to_numpy(model(input_ids=tensor(IDS)).logits)
    assert list(found) == ["logits"] and isinstance(found["logits"], np.ndarray)
    for row, positions in enumerate(IDS[:, :2] % 6):
        np.testing.assert_allclose(found["logits"][row], expected[row, positions], **FLOAT32)


def test_only_single_tensors_are_predicted():
    model = make("ForQuestionAnswering", output_hidden_states=True)
    model.prepare_prediction()
    assert list(model.predict_arrays(BATCH)) == ["start_logits", "end_logits"]


def test_ids_are_checked_where_the_call_is_compiled_too():
    model = make("Model")
    model.prepare_prediction()
    wrong = {**BATCH, "input_ids": BATCH["input_ids"] + CONFIG["vocab_size"]}
    for _ in range(2):  # once the graph is made, too
        with pytest.raises(IndexError, match="knows the ids 0 to 39"):
            model.predict_arrays(wrong)
        model.predict_arrays(BATCH)


def test_gradients():
    gradient = make("Model").gradient(
        lambda x: (x * x).sum() if BACKEND != "tensorflow" else keras.ops.sum(x * x),
        keras.ops.convert_to_tensor(np.array([1.0, -2.0], "float32")),
    )
    np.testing.assert_allclose(keras.ops.convert_to_numpy(gradient), [2.0, -4.0], **FLOAT32)


def test_tensors_follow_those_that_were_given():
    model = make("ForCausalLM", is_decoder=True)
    given = tensor(IDS)
    found = model.to_tensor(IDS.astype("int32"), like=given)
    assert keras.ops.is_tensor(found)
    if BACKEND != "jax":  # which has no int64
        assert "int64" in str(found.dtype)


def test_seeds_change():
    keras.utils.set_random_seed(0)
    model = make("Model")
    assert len({model.draw_seed() for _ in range(3)}) == 3


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's bare model has a pooler")
def test_a_model_for_prediction_has_no_pooler(tmp_path, caplog):
    """And is none the worse for it: it saves and loads, and so do those with one."""
    with_pooler = make("Model")
    with_pooler.save_pretrained(tmp_path)
    model = cls("Model").load_for_prediction(str(tmp_path))
    assert not caplog.text
    assert type(model) is cls("Model") and "pooler_output" not in model.predict_arrays(BATCH)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        again.predict_arrays(BATCH)["last_hidden_state"],
        with_pooler.predict_arrays(BATCH)["last_hidden_state"],
        **FLOAT32,
    )
    assert "pooler_output" in cls("Model").from_config(with_pooler.get_config())(IDS)
