"""Every recorded case against the class of the running backend: outputs, losses, gradients."""

import fnmatch
import functools
from unittest import mock

import keras
import numpy as np
import pytest

from keras_roformer.facades import pretrained as facades
from keras_roformer.tasks import TASKS, reduce_loss
from keras_roformer.weights import layouts, names
from tests.oracle import cases
from tests.parity.models import (
    BACKEND,
    LABELS,
    PREFIX,
    RECORDED_FAMILY,
    assert_close,
    load_case,
    model_of,
    relative_difference,
    to_numpy,
)
from tests.support import close, native
from tests.tolerances import FLOAT32, FLOAT32_GRADIENT

# Where a TensorFlow or Flax class of transformers 4.57.6 differs from its PyTorch class. Ours equal
# the PyTorch class. (family, case, output, reason)
KNOWN_DEVIATIONS = [
    ("tf", "*-decoder*", "*", "is_decoder applies no causal mask"),
    ("flax", "*-decoder*", "*", "is_decoder applies no causal mask"),
    ("tf", "multiplechoice-first", "*", "config.summary_type is ignored: always the last position"),
    ("tf", "multiplechoice-mean", "*", "config.summary_type is ignored: always the last position"),
    ("flax", "multiplechoice-first", "*", "config.summary_type is ignored"),
    ("flax", "multiplechoice-mean", "*", "config.summary_type is ignored"),
    ("flax", "multiplechoice-projection", "*", "config.summary_use_proj is ignored"),
]
# The output classes documented for these have no place for what their PyTorch twin returns.
UNDOCUMENTED = {
    "TFRoFormerModel": ("past_key_values", "cross_attentions"),
    "FlaxRoFormerModel": ("past_key_values", "cross_attentions"),
}
# Outputs that ours give and the recorded class does not: the document promises TensorFlow's pooler.
MORE_OUTPUTS = {"torch": set(), "tensorflow": {"pooler_output"}, "jax": set()}
# TensorFlow's losses per example cannot leave out one that is ignored: their mean is another.
PER_EXAMPLE = {"loss_outside"}


# One call of every task.
QUICK = {(name, "mask") for name in cases.names() if name.endswith("-plain")}


def calls(generate=False, wanted=lambda call: True):
    return [
        pytest.param(
            case,
            name,
            id=f"{case}-{name}",
            marks=[pytest.mark.quick] if (case, name) in QUICK else [],
        )
        for case in cases.names()
        for name, call in load_case(case).calls.items()
        if call.generate == generate and wanted(call)
    ]


@functools.cache
def run(case_name, call_name):
    """Our outputs as numpy arrays. No Flax class takes labels: the loss is left out there."""
    arguments = dict(load_case(case_name).calls[call_name].arguments)
    if BACKEND == "jax":
        arguments = {k: v for k, v in arguments.items() if k not in LABELS}
    # Without its checks ours leaves out cross-attention that gets no states, as transformers does.
    with mock.patch.object(facades, "CHECK_IDS", call_name != "no_encoder"):
        outputs = model_of(case_name)(**{k: native(v) for k, v in arguments.items()})
    return {name: to_numpy(value) for name, value in outputs.items()}


def class_name(case):
    return f"{PREFIX}RoFormer{case.task}"


@pytest.mark.parametrize("case_name, call_name", calls())
def test_outputs(case_name, call_name):
    """What the PyTorch class returned, or as documented where it ignores a documented argument."""
    case = load_case(case_name)
    call = case.calls[call_name]
    expected = dict(call.outputs.get("documented", call.outputs["torch"]))
    outputs = dict(run(case_name, call_name))
    loss, expected_loss = outputs.pop("loss", None), expected.pop("loss", None)
    if BACKEND != "jax" and expected_loss is not None:
        reduced = loss.mean() if BACKEND == "tensorflow" else loss
        if not (BACKEND == "tensorflow" and call_name in PER_EXAMPLE):
            assert_close(np.asarray(reduced), expected_loss, "loss", class_name(case))
    expected = {
        k: v for k, v in expected.items() if k not in UNDOCUMENTED.get(class_name(case), ())
    }
    assert set(outputs) - MORE_OUTPUTS[BACKEND] == set(expected)
    for name, array in expected.items():
        assert_close(outputs[name], array, name, class_name(case))


# On torch test_outputs is this test.
@pytest.mark.parametrize(
    "case_name, call_name",
    calls(wanted=lambda call: BACKEND != "torch" and RECORDED_FAMILY in call.outputs),
)
def test_outputs_of_the_same_family(case_name, call_name):
    """What transformers' own class of this family returned, loss shapes included."""
    case = load_case(case_name)
    call = case.calls[call_name]
    outputs = run(case_name, call_name)
    for name, expected in call.outputs[RECORDED_FAMILY].items():
        reason = next((r for f, c, o, r in KNOWN_DEVIATIONS if matches(f, c, o, case, name)), None)
        if reason is None:
            assert_close(outputs[name], expected, name, class_name(case))
        else:  # a deviation that is none has no place in the table
            parts = zip(flat(outputs[name]), flat(expected), strict=True)
            assert any(
                a.shape != e.shape or relative_difference(a, e) > FLOAT32["rtol"] for a, e in parts
            ), (name, reason)


def matches(family, case_pattern, output_pattern, case, output):
    return (
        family == RECORDED_FAMILY
        and fnmatch.fnmatch(case.name, case_pattern)
        and fnmatch.fnmatch(output, output_pattern)
    )


def flat(value):
    return [x for part in value for x in flat(part)] if isinstance(value, tuple) else [value]


# JAX compiles each case's backward pass for seconds: there, two of the four variants of each head.
GRADIENTS = [
    case
    for case in calls(wanted=lambda call: call.gradients)
    if BACKEND != "jax" or not case.values[0].endswith(("rotary_value", "selu"))
]


@pytest.mark.parametrize("case_name, call_name", GRADIENTS)
def test_gradients(case_name, call_name):
    """The gradient of the PyTorch class's loss with respect to every parameter."""
    if BACKEND == "tensorflow" and call_name in PER_EXAMPLE:
        pytest.skip("the mean of TensorFlow's losses per example is another loss")
    case = load_case(case_name)
    call = case.calls[call_name]
    gradients = gradients_of(model_of(case_name), call)
    assert set(gradients) == set(call.gradients)
    for name, expected in call.gradients.items():
        close(gradients[name], expected, FLOAT32_GRADIENT, message=name)


def gradients_of(model, call):
    """Gradients of a call's loss, under transformers' torch names and in its layout."""
    weights = list(names.weights(model.network))
    arguments = {k: native(v) for k, v in call.arguments.items()}
    if BACKEND == "torch":
        model.zero_grad()
        model(**arguments).loss.backward()
        # The modules' own parameters, which have the canonical layout.
        return {weight.name: to_numpy(weight.variable.parameter.grad) for weight in weights}
    if BACKEND == "tensorflow":
        import tensorflow as tf

        variables = [weight.variable.value for weight in weights]
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(**arguments).loss)
        found = [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]
    else:
        found = flax_gradients(model, weights, arguments)
    return {
        weight.name: to_numpy(gradient).T if weight.transposed else to_numpy(gradient)
        for weight, gradient in zip(weights, found, strict=True)
    }


def flax_gradients(model, weights, arguments):
    import jax

    labels = [arguments.pop(name) for name in TASKS[model.task].labels]

    def loss(params):
        outputs = model(**arguments, params=params)
        return reduce_loss(model.network.loss(dict(outputs.items()), *map(keras.ops.array, labels)))

    gradients = jax.grad(loss)(model.params)
    found = []
    for weight in weights:
        leaf = gradients
        for part in layouts.flax_path(weight.name, weight.kind):
            leaf = leaf[part]
        found.append(leaf)
    return found


RIGHT_PADDED = "greedy_right_padded"


def generate(case_name, **arguments):
    arguments = {name: native(value) for name, value in arguments.items()}
    tokens = model_of(case_name).generate(**arguments)
    return to_numpy(getattr(tokens, "sequences", tokens))


@pytest.mark.parametrize(
    "case_name, call_name",
    [case for case in calls(generate=True) if case.values[1] != RIGHT_PADDED],
)
def test_generated_tokens(case_name, call_name):
    """The very tokens of transformers' generate(): greedy and beam search."""
    call = load_case(case_name).calls[call_name]
    tokens = generate(case_name, **call.arguments)
    np.testing.assert_array_equal(tokens, call.outputs["torch"]["sequences"])


@pytest.mark.parametrize(
    "case_name", [case.values[0] for case in calls(generate=True) if case.values[1] == RIGHT_PADDED]
)
def test_right_padded_prompts_continue_as_if_alone(case_name):
    """A deviation: transformers predicts a row's first new token from its last padding."""
    call = load_case(case_name).calls[RIGHT_PADDED]
    arguments = dict(call.arguments)
    ids, mask = arguments.pop("input_ids"), arguments.pop("attention_mask")
    tokens = generate(case_name, input_ids=ids, attention_mask=mask, **arguments)
    for row, length in enumerate(mask.sum(1)):
        alone = generate(case_name, input_ids=ids[row : row + 1, :length], **arguments)
        np.testing.assert_array_equal(tokens[row, ids.shape[1] :], alone[0, length:])
    assert (tokens != call.outputs["torch"]["sequences"]).any()


@pytest.mark.parametrize("case_name", ["causallm-decoder", "causallm-decoder_rotary_value"])
def test_own_cache_continues(case_name):
    """The cache that one call returns, fed to the next, gives what no cache gives."""
    case = load_case(case_name)
    model = model_of(case_name)
    past, logits = None, []
    for name in ("first_four", "fifth", "last_two"):
        ids = native(case.calls[name].arguments["input_ids"])
        outputs = model(input_ids=ids, past_key_values=past, use_cache=True)
        past = outputs.past_key_values
        logits.append(to_numpy(outputs.logits))
    ids = np.concatenate(
        [case.calls[n].arguments["input_ids"] for n in ("first_four", "fifth", "last_two")], axis=1
    )
    whole = to_numpy(model(input_ids=native(ids), use_cache=False).logits)
    assert_close(np.concatenate(logits, axis=1), whole, "logits", class_name(case))
