"""PyTorch classes against transformers 5, live: random configurations, outputs and gradients."""

import os

import numpy as np
import pytest

import keras_roformer
from tests.parity.models import assert_close, load_model, to_numpy
from tests.support import TASKS, close, cls
from tests.tolerances import FLOAT32_GRADIENT

if os.environ["KERAS_BACKEND"] != "torch":
    pytest.skip("transformers 5 has PyTorch classes only", allow_module_level=True)

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5")

SEEDS = range(4)


def random_config(rng, task):
    heads = int(rng.choice([1, 2, 3]))
    hidden = heads * int(rng.choice([4, 6, 10]))
    decoder = task == "ForCausalLM" or (task == "Model" and bool(rng.integers(2)))
    return dict(
        vocab_size=int(rng.integers(50, 90)),
        hidden_size=hidden,
        embedding_size=int(rng.choice([hidden, 14])),
        num_hidden_layers=int(rng.integers(1, 4)),
        num_attention_heads=heads,
        intermediate_size=int(rng.integers(10, 40)),
        hidden_act=str(rng.choice(["gelu", "gelu_new", "relu"])),
        max_position_embeddings=64,
        type_vocab_size=int(rng.integers(1, 4)),
        rotary_value=bool(rng.integers(2)),
        layer_norm_eps=float(rng.choice([1e-12, 1e-5])),
        is_decoder=decoder,
        num_labels=int(rng.integers(2, 5)),
    )


def random_inputs(rng, config, task):
    """Token ids with padding at the end, a row of nothing else, and labels where there are any."""
    batch, length = int(rng.integers(1, 5)), int(rng.integers(2, 20))
    choices = (int(rng.integers(2, 4)),) if task == "ForMultipleChoice" else ()
    shape = (batch, *choices, length)
    lengths = rng.integers(1, length + 1, (*shape[:-1], 1))
    mask = (np.arange(length) < lengths).astype("int64")
    mask[(-1,) * len(shape[:-1])] = 0
    inputs = dict(
        input_ids=rng.integers(1, config["vocab_size"], shape) * mask,
        attention_mask=mask,
        token_type_ids=rng.integers(0, config["type_vocab_size"], shape),
    )
    if task in ("ForMaskedLM", "ForCausalLM", "ForTokenClassification"):
        kinds = config["num_labels" if task == "ForTokenClassification" else "vocab_size"]
        labels = np.where(rng.random(shape) < 0.7, rng.integers(0, kinds, shape), -100) * mask
        labels = np.where(mask == 1, labels, -100)
        labels[:, min(1, length - 1)] = 1
        inputs["labels"] = labels
    elif task == "ForSequenceClassification":
        inputs["labels"] = rng.integers(0, config["num_labels"], batch)
    elif task == "ForMultipleChoice":
        inputs["labels"] = rng.integers(0, choices[0], batch)
    elif task == "ForQuestionAnswering":
        inputs["start_positions"] = rng.integers(0, length, batch)
        inputs["end_positions"] = rng.integers(0, length, batch)
    return {name: torch.from_numpy(array) for name, array in inputs.items()}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("task", TASKS)
def test_outputs_and_gradients(task, seed):
    rng = np.random.default_rng([seed, TASKS.index(task)])
    config = random_config(rng, task)
    reference = getattr(transformers, f"RoFormer{task}")(transformers.RoFormerConfig(**config))
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            if "embed_positions" not in name:
                values = rng.normal(scale=0.3, size=tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(values + name.endswith("LayerNorm.weight")))
    reference.eval()
    weights = {name: tensor.numpy() for name, tensor in reference.state_dict().items()}
    if task == "ForSequenceClassification":
        config["problem_type"] = "single_label_classification"
    model = load_model(task, config, weights)

    inputs = random_inputs(rng, config, task)
    flags = dict(output_attentions=True, output_hidden_states=True)
    expected = reference(**inputs, **flags)
    outputs = model(**inputs, **flags)
    assert set(outputs.keys()) == set(expected.keys())
    for name in set(expected.keys()) - {"past_key_values"}:
        label = f"RoFormer{task} (live)"
        assert_close(to_numpy(outputs[name]), to_numpy(expected[name]), name, label)

    for flag in flags:
        flags[flag] = False  # attention without its probabilities has gradients of its own
    expected, outputs = reference(**inputs, **flags), model(**inputs, **flags)
    plain = model(**inputs, return_dict=False)
    for i, value in enumerate(reference(**inputs, return_dict=False)):
        if isinstance(value, torch.Tensor):
            assert_close(
                to_numpy(plain[i]), to_numpy(value), f"output {i}", f"RoFormer{task} (live)"
            )

    loss_of(task, expected).backward()
    loss_of(task, outputs).backward()
    gradients = {n: p.grad for n, p in reference.named_parameters() if p.grad is not None}
    ours = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert set(ours) == set(gradients)
    for name, gradient in gradients.items():
        close(to_numpy(ours[name]), to_numpy(gradient), FLOAT32_GRADIENT, message=name)


def loss_of(task, outputs):
    """The class's loss; the bare model has none, so the sine of its states serves."""
    return outputs.last_hidden_state.sin().mean() if task == "Model" else outputs.loss


@pytest.mark.parametrize("task", TASKS)
def test_transformers_loads_what_ours_saves(task, tmp_path):
    rng = np.random.default_rng(TASKS.index(task))
    config = random_config(rng, task)
    model = cls(task)(keras_roformer.RoFormerConfig(**config))
    model.eval().save_pretrained(tmp_path)
    reference, info = getattr(transformers, f"RoFormer{task}").from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(info.values()), info
    inputs = random_inputs(rng, config, task)
    label = f"RoFormer{task} (live)"
    assert_close(to_numpy(model(**inputs)[0]), to_numpy(reference(**inputs)[0]), "output 0", label)
