"""generate() of the causal classes. Equality with transformers' recorded tokens for more
parameters: tests/parity/test_recorded.py::test_generated_tokens.
"""

import itertools
import json

import keras
import numpy as np
import pytest

from keras_roformer import RoFormerConfig
from keras_roformer.arrays import log_softmax
from keras_roformer.generation import GenerationConfig, decoding, processors
from tests.support import BACKEND, CONFIG, PREFIX, close, cls, native

VOCABULARY = 61
PROMPT = np.random.default_rng(0).integers(10, VOCABULARY, (3, 5))
LENGTHS = (5, 3, 2)  # real tokens of each row in the padded prompts
LEFT_MASK = np.array([[0] * (5 - n) + [1] * n for n in LENGTHS])
RIGHT_MASK = LEFT_MASK[:, ::-1].copy()
SHAPES = {
    **{**CONFIG, "vocab_size": VOCABULARY, "embedding_size": None},
    **dict(max_position_embeddings=32, is_decoder=True),
}


def make_model(**changes):
    """A model whose random weights make the next tokens differ."""
    model = cls("ForCausalLM")(RoFormerConfig(**{**SHAPES, **changes}))
    rng = np.random.default_rng(7)
    for variable in model.network.variables:
        if "float" in variable.dtype:
            noise = rng.normal(scale=0.4, size=variable.shape)
            variable.assign(noise + (1 if variable.path.endswith("gamma") else 0))
    if PREFIX == "Flax":
        model._after_loading()
    return model.eval() if PREFIX == "" else model


@pytest.fixture(scope="module")
def model():
    return make_model()


def generate(model, prompt=PROMPT, **parameters):
    """The sequences as an array."""
    arrays = {k: native(v) if isinstance(v, np.ndarray) else v for k, v in parameters.items()}
    output = model.generate(native(prompt), **arrays)
    return keras.ops.convert_to_numpy(getattr(output, "sequences", output))


def all_logits(model, tokens):
    """Logits after each token, by a plain call."""
    return keras.ops.convert_to_numpy(model(input_ids=native(tokens)).logits)


def next_logits(model, tokens):
    """Logits after each row of tokens, by a plain call."""
    return all_logits(model, tokens)[:, -1]


# The cache


@pytest.mark.parametrize(
    "changes",
    [dict(rotary_value=True), dict(embedding_size=12, hidden_act="relu")],
    ids=["rotary_value", "projected"],
)
def test_cached_logits_equal_uncached(changes):
    model = make_model(**changes)
    for mask in (np.ones_like(PROMPT), LEFT_MASK, RIGHT_MASK):
        check_cached_logits(model, mask)


def check_cached_logits(model, mask):
    steps = np.random.default_rng(1).integers(10, VOCABULARY, (4, 3))
    found = []
    for use_cache in (True, False):
        prompt = decoding.Prompt.make(PROMPT.astype("int32"), mask.astype("int32"), None)
        with model.inference():
            run = decoding.Decoding(*model._runner(None), prompt, {}, 9, use_cache)
            found.append([run.start(1), *(run.advance(tokens.astype("int32")) for tokens in steps)])
    close(found[0], found[1])


@pytest.mark.parametrize("beams", [1, 3])
def test_cache_does_not_change_tokens(model, beams):
    parameters = dict(max_new_tokens=8, num_beams=beams)
    cached = generate(model, **parameters)
    np.testing.assert_array_equal(cached, generate(model, **parameters, use_cache=False))


@pytest.mark.skipif(BACKEND == "torch", reason="nothing is compiled on torch")
def test_few_compilations():
    """Prompts and continuations of many lengths share the compiled functions."""
    model = make_model(num_hidden_layers=1)
    for length, new in ((5, 3), (3, 9), (7, 20)):
        generate(model, np.tile(PROMPT, 2)[:, :length], max_new_tokens=new)
    runner = model._kept_runner
    if BACKEND == "jax":
        counts = (runner.prefill._cache_size(), runner.step._cache_size())
    else:
        counts = (
            runner._prefill.experimental_get_tracing_count(),
            runner._step.experimental_get_tracing_count(),
        )
    assert counts == (1, 1)


@pytest.mark.skipif(BACKEND != "torch", reason="steps are traced on torch only")
@pytest.mark.parametrize(
    "parameters, size",
    [({}, {}), (dict(num_beams=2), {}), ({}, dict(hidden_size=256, num_attention_heads=4))],
    ids=["greedy", "beam", "large matrices"],
)
def test_traced_steps(monkeypatch, parameters, size):
    """A trace serves every later step, with the weights of the moment, on any mask."""
    monkeypatch.setattr(decoding._TorchRunner, "STEPS_BEFORE_TRACE", 10**9)
    model = make_model(rotary_value=True, **size)

    def run():
        padded = generate(model, PROMPT, attention_mask=LEFT_MASK, max_new_tokens=8, **parameters)
        return np.concatenate([padded, generate(model, max_new_tokens=8, **parameters)])

    expected = run()
    monkeypatch.setattr(decoding._TorchRunner, "STEPS_BEFORE_TRACE", 2)
    np.testing.assert_array_equal(run(), expected)
    assert len(model._kept_runner._traces) == 1
    for parameter in model.parameters():
        parameter.data.mul_(-1)  # in place
    negative = run()
    for parameter in model.parameters():
        parameter.data = -parameter.data  # in another place
    np.testing.assert_array_equal(run(), expected)
    assert (negative != expected).any()
    model.double()  # of another dtype
    np.testing.assert_array_equal(run(), expected)


def test_new_weights_are_seen():
    """A compiled step computes with the weights of the moment."""
    model = make_model(num_hidden_layers=1)
    before = generate(model, max_new_tokens=4)
    for variable in model.network.variables:
        if "float" in variable.dtype:
            variable.assign(-np.array(keras.ops.convert_to_numpy(variable.value)))
    if PREFIX == "Flax":
        model._after_loading()
    after = generate(model, max_new_tokens=4)
    assert (before != after).any()
    assert after[0, 5] == next_logits(model, PROMPT).argmax(-1)[0]


# Greedy search


@pytest.mark.quick
def test_greedy_is_the_most_probable_token_each_time(model):
    """Also beyond max_position_embeddings, which is 32."""
    tokens = generate(model, max_new_tokens=40)
    assert tokens.shape == (3, 45)
    np.testing.assert_array_equal(tokens[:, 5:], all_logits(model, tokens)[:, 4:-1].argmax(-1))


@pytest.mark.parametrize(
    "parameters, rotary_value", [({}, True), (dict(num_beams=3), False)], ids=["greedy", "beam"]
)
def test_right_padding_changes_nothing(parameters, rotary_value):
    """Each row goes on as it does alone; the penalties do not see the padding either."""
    model = make_model(rotary_value=rotary_value, num_hidden_layers=1)
    parameters = parameters | dict(max_new_tokens=6, repetition_penalty=1.4, no_repeat_ngram_size=2)
    padded = np.where(RIGHT_MASK, PROMPT, 0)
    together = generate(model, padded, attention_mask=RIGHT_MASK, **parameters)
    np.testing.assert_array_equal(together[:, :5], padded)
    np.testing.assert_array_equal(together, generate(model, padded, **parameters))  # mask inferred
    for row, length in enumerate(LENGTHS):
        alone = generate(model, PROMPT[row : row + 1, :length], **parameters)
        np.testing.assert_array_equal(together[row, 5:], alone[0, length:])


def test_left_padding_changes_nothing(model):
    """Without rotated values only distances count, and they stay."""
    columns = [np.roll(PROMPT[i], 5 - n) for i, n in enumerate(LENGTHS)]
    padded = np.where(LEFT_MASK, columns, 0)
    together = generate(model, padded, attention_mask=LEFT_MASK, max_new_tokens=6)
    for row, length in enumerate(LENGTHS):
        alone = generate(model, PROMPT[row : row + 1, :length], max_new_tokens=6)
        np.testing.assert_array_equal(together[row, 5:], alone[0, length:])


def test_end_of_sequence_stops(model):
    free = generate(model, max_new_tokens=10)
    end = int(free[0, 7])
    tokens = generate(model, max_new_tokens=10, eos_token_id=[end, 9], pad_token_id=3)
    width = tokens.shape[1]
    for row, row_free in zip(tokens, free, strict=True):
        ended = np.flatnonzero(np.isin(row_free[5:], [end, 9]))
        stop = 5 + ended[0] + 1 if len(ended) else 15
        np.testing.assert_array_equal(row[:stop], row_free[: min(stop, width)])
        assert (row[stop:] == 3).all()
    alone = model.generate(
        native(PROMPT[:1]), max_new_tokens=10, eos_token_id=end, return_dict_in_generate=True
    ).sequences
    # Flax's tensors always have the full length.
    first = 5 + np.flatnonzero(free[0, 5:] == end)[0] + 1
    assert alone.shape == (1, 15 if PREFIX == "Flax" else first)


def test_min_new_tokens(model):
    end = int(generate(model, max_new_tokens=1)[0, 5])
    tokens = generate(model, max_new_tokens=8, min_new_tokens=5, eos_token_id=end)
    assert not (tokens[:, 5:10] == end).any()
    by_length = generate(model, max_new_tokens=8, min_length=10, eos_token_id=end)
    np.testing.assert_array_equal(tokens, by_length)


def test_an_end_that_is_no_token_ends_nothing(model):
    parameters = dict(max_new_tokens=5, min_new_tokens=3)
    np.testing.assert_array_equal(
        generate(model, eos_token_id=[-1, VOCABULARY], pad_token_id=0, **parameters),
        generate(model, **parameters),
    )


def test_no_repeat_ngram(model):
    for size in (1, 2, 3):
        tokens = generate(model, max_new_tokens=25, no_repeat_ngram_size=size)
        for row in tokens:
            ngrams = [tuple(row[i : i + size]) for i in range(len(row) - size + 1)]
            assert len(set(ngrams)) == len(ngrams)


def test_max_length_and_default(model):
    assert generate(model, max_length=9).shape == (3, 9)
    assert generate(model).shape == (3, 25)  # 20 new tokens
    assert generate(model, np.tile(PROMPT, 4)).shape == (3, 32)  # max_position_embeddings
    np.testing.assert_array_equal(
        generate(model, None, bos_token_id=4, max_length=6),
        generate(model, np.array([[4]]), max_length=6),
    )


def test_token_types_and_context():
    """They reach the network at each step."""
    model = make_model(add_cross_attention=True, num_hidden_layers=1)
    rng = np.random.default_rng(3)
    context_mask = native(np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]]))
    types = np.array([[0, 0, 0, 1, 1]] * 3)

    def run(context, **parameters):
        encoder = dict(encoder_hidden_states=native(context), encoder_attention_mask=context_mask)
        return generate(model, token_type_ids=types, max_new_tokens=5, **encoder, **parameters)

    context, other = rng.normal(size=(2, 3, 4, 16)).astype("float32")
    tokens = run(context)
    # Compiled on JAX; Keras's call knows the documented arguments only.
    call = model if PREFIX == "Flax" else model.network
    logits = call(
        input_ids=native(tokens),
        token_type_ids=native(np.pad(types, ((0, 0), (0, 5)), "edge")),
        encoder_hidden_states=native(context),
        encoder_attention_mask=context_mask,
    )["logits"]
    logits = keras.ops.convert_to_numpy(logits)
    np.testing.assert_array_equal(tokens[:, 5:], logits[:, 4:-1].argmax(-1))
    beams = run(context, num_beams=2)
    np.testing.assert_array_equal(beams, run(context, num_beams=2, use_cache=False))
    assert (beams != run(other, num_beams=2)).any()


# Beam search


def test_wide_beam_search_finds_the_best_sequence():
    """With every prefix in the beams, the result is the most probable of all sequences."""
    model = make_model(vocab_size=8, num_hidden_layers=1)
    prompt = PROMPT[:1] % 8
    endings = np.array(list(itertools.product(range(8), repeat=2)))
    tokens = np.concatenate([np.repeat(prompt, 64, axis=0), endings], axis=1)
    logits = model(input_ids=native(tokens)).logits
    log_probs = log_softmax(keras.ops.convert_to_numpy(logits))[:, 4:6]
    totals = np.take_along_axis(log_probs, endings[..., None], axis=2).sum(axis=(1, 2))
    found = model.generate(
        native(prompt),
        max_new_tokens=2,
        num_beams=8,
        num_return_sequences=3,
        return_dict_in_generate=True,
        output_scores=True,
    )
    sequences = keras.ops.convert_to_numpy(found.sequences)
    np.testing.assert_array_equal(sequences, tokens[np.argsort(-totals)[:3]])
    scores = found.scores if PREFIX == "Flax" else found.sequences_scores
    close(keras.ops.convert_to_numpy(scores), np.sort(-totals)[:3] / -2)


LIVE = [
    dict(),
    dict(attention_mask=LEFT_MASK, repetition_penalty=1.5),
    dict(attention_mask=LEFT_MASK, eos_token_id=[7, 12, 30], no_repeat_ngram_size=3),
    dict(attention_mask=LEFT_MASK, num_beams=4, eos_token_id=[12, 30, 45], early_stopping=True),
    dict(num_beams=3, eos_token_id=30, length_penalty=2.0, num_return_sequences=2),
    dict(num_beams=3, eos_token_id=[12, 30], length_penalty=0.5, early_stopping="never"),
    dict(bad_words_ids=[[14], [54, 43], [12]], suppress_tokens=[3, 38], eos_token_id=12),
    dict(num_beams=3, bad_words_ids=[[14], [54, 43]], renormalize_logits=True, eos_token_id=12),
    dict(encoder_no_repeat_ngram_size=1),
    dict(encoder_repetition_penalty=4.0),
    dict(begin_suppress_tokens=[15, 16, 31, 40], forced_eos_token_id=9, num_beams=2),
    dict(prefix_allowed_tokens_fn=lambda row, tokens: [row, 10, 20, int(tokens[-1]) // 2]),
]


@pytest.mark.skipif(BACKEND != "torch", reason="compares with transformers' torch class")
@pytest.mark.parametrize("parameters", LIVE, ids=lambda p: "-".join(p) or "greedy")
def test_tokens_of_live_transformers(model, parameters, tmp_path):
    transformers = pytest.importorskip("transformers")
    model.save_pretrained(tmp_path)
    # transformers 5 cannot compute beyond max_position_embeddings
    reference = transformers.RoFormerForCausalLM.from_pretrained(tmp_path)
    prompt = np.where(parameters.get("attention_mask", 1), PROMPT, 0)
    parameters = {"pad_token_id": 0, "max_new_tokens": 14, **parameters}
    np.testing.assert_array_equal(
        generate(model, prompt, **parameters),
        generate(reference, prompt, do_sample=False, **parameters),
    )


def test_parameters_of_transformers_that_are_off(model):
    off = dict(guidance_scale=None, num_beam_groups=1, synced_gpus=False, constraints=None)
    np.testing.assert_array_equal(
        generate(model, max_new_tokens=4, **off), generate(model, max_new_tokens=4)
    )
    with pytest.raises(TypeError, match="no argument 'num_beam_groups'"):
        generate(model, num_beam_groups=2)
    with pytest.raises(TypeError, match="no argument 'max_lenght'"):
        generate(model, max_lenght=None)


def test_the_models_own_parameters_can_be_set(model, monkeypatch):
    monkeypatch.setattr(model, "_generation_config", None)
    model.generation_config.max_new_tokens = 3
    assert generate(model).shape[1] == PROMPT.shape[1] + 3
    model.generation_config.bad_words_ids = [[int(generate(model)[0, -1])]]
    assert generate(model)[0, -1] != model.generation_config.bad_words_ids[0][0]


def test_stopping_criteria(model):
    columns = []

    def after_nine(tokens, scores):
        columns.append(tokens.shape[1])
        assert len(scores) == len(tokens)
        return tokens.shape[1] >= 9

    plain = generate(model, max_new_tokens=12)
    tokens = generate(model, max_new_tokens=12, stopping_criteria=[after_nine])
    np.testing.assert_array_equal(tokens[:, :9], plain[:, :9])
    assert not tokens[:, 9:].any()  # Flax's padding
    assert columns == list(range(PROMPT.shape[1] + 1, 10))

    def first_row(tokens, scores):
        return keras.ops.convert_to_tensor([True] + [False] * (len(tokens) - 1))

    ends = dict(eos_token_id=PROMPT.max() + 1, pad_token_id=0, max_new_tokens=3)
    tokens = generate(model, **ends, stopping_criteria=[first_row])
    assert (tokens[0, -2:] == 0).all() and (tokens[0, :-2] != 0).any()


def test_stopping_criteria_of_beams(model):
    """A beam that meets a criterion ends, as one with an end of sequence does."""
    end = 43

    def at_end(tokens, scores):
        assert len(scores) == len(tokens)
        return native(keras.ops.convert_to_numpy(tokens)[:, -1] == end)

    beams = dict(num_beams=3, num_return_sequences=2, max_new_tokens=8, pad_token_id=1)
    wanted = generate(model, eos_token_id=end, **beams)
    found = generate(model, stopping_criteria=[at_end], eos_token_id=VOCABULARY + 1, **beams)
    assert (wanted == end).any()
    np.testing.assert_array_equal(found, wanted)


def test_time_and_strings_that_stop(model):
    class Tokenizer:
        def decode(self, ids):
            return "".join(f"<{i}>" for i in ids)

    parameters = dict(max_new_tokens=6, no_repeat_ngram_size=1)
    ends = dict(**parameters, pad_token_id=0, eos_token_id=VOCABULARY + 1)
    greedy = generate(model, **parameters)
    new = greedy[0, 5:]
    for strings, count in ((f"<{new[2]}", 3), (["no", f"{new[1]}><{new[2]}>"], 3), ("no", 6)):
        found = generate(model, PROMPT[:1], stop_strings=strings, tokenizer=Tokenizer(), **ends)
        np.testing.assert_array_equal(found[0, 5 : 5 + count], new[:count])
        assert not found[0, 5 + count :].any()
    with pytest.raises(ValueError, match="tokenizer=tokenizer"):
        generate(model, stop_strings="a")
    stopped = generate(model, max_time=0.0, **ends)
    assert stopped[:, 5].all() and not stopped[:, 6:].any()
    np.testing.assert_array_equal(generate(model, max_time=1e6, **ends), greedy)


def test_scores_of_transitions(model):
    if PREFIX == "Flax":
        pytest.skip("transformers' Flax output has no scores")
    kept = dict(return_dict_in_generate=True, output_scores=True, max_new_tokens=5)
    output = model.generate(native(PROMPT), **kept)
    found = model.compute_transition_scores(output.sequences, output.scores, normalize_logits=True)
    tokens = keras.ops.convert_to_numpy(output.sequences)
    for i in range(5):
        logits = log_softmax(next_logits(model, tokens[:, : 5 + i]))
        wanted = logits[np.arange(3), tokens[:, 5 + i]]
        close(found[:, i], wanted)
    beams = dict(num_beams=3, num_return_sequences=2, eos_token_id=30, length_penalty=0.5)
    output = model.generate(native(PROMPT), **beams, **kept)
    found = model.compute_transition_scores(output.sequences, output.scores, output.beam_indices)
    found, total = map(keras.ops.convert_to_numpy, (found, output.sequences_scores))
    close(found.sum(1) / (found != 0).sum(1) ** 0.5, total)


def test_a_loop_of_ones_own(model):
    tokens, past = PROMPT, None
    if PREFIX == "Flax":
        pytest.skip("transformers' Flax loop differs")
    for _ in range(4):
        inputs = model.prepare_inputs_for_generation(
            native(tokens), past, attention_mask=native(np.ones_like(tokens)), use_cache=True
        )
        assert inputs["input_ids"].shape[1] == (1 if past is not None else 5)
        output = model(**inputs)
        past = output.past_key_values
        new = keras.ops.convert_to_numpy(output.logits)[:, -1:].argmax(-1)
        tokens = np.concatenate([tokens, new], axis=1)
    np.testing.assert_array_equal(tokens, generate(model, max_new_tokens=4))


def test_replaced_inputs_are_an_error(model, monkeypatch):
    """`generate` does not call it, and would leave out what it adds."""
    monkeypatch.setattr(
        type(model), "prepare_inputs_for_generation", lambda self, input_ids, **kwargs: {}
    )
    with pytest.raises(NotImplementedError, match="prepare_inputs_for_generation"):
        generate(model)


# Sampling


def test_min_p(model):
    """Tokens below a share of the best one's probability are never drawn."""
    scores = np.log(np.array([[0.5, 0.2, 0.3], [0.01, 0.98, 0.01]], "float32"))
    kept = processors.keep_min_p(0.5, 1, None, scores)
    np.testing.assert_array_equal(np.isfinite(kept), [[1, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(
        np.isfinite(processors.keep_min_p(0.5, 2, None, scores)[1]).sum(), 2
    )
    greedy = generate(model, max_new_tokens=6)
    drawn = generate(model, max_new_tokens=6, do_sample=True, min_p=1.0, top_k=0, seed=1)
    np.testing.assert_array_equal(drawn, greedy)


@pytest.mark.skipif(BACKEND != "torch", reason="NumPy, whatever the backend")
@pytest.mark.parametrize("at_least", [1, 3])
def test_support_of_transformers(at_least):
    """Which tokens may be drawn, after transformers' own filters."""
    transformers = pytest.importorskip("transformers")
    import torch

    scores = np.random.default_rng(0).normal(0, 2, (6, 40)).astype("float32")
    scores[0, :38] = -np.inf
    for ours, theirs, values in (
        (processors.keep_typical, transformers.TypicalLogitsWarper, (0.1, 0.6, 0.95)),
        (processors.keep_likely, transformers.EpsilonLogitsWarper, (0.01, 0.2, 0.9)),
        (processors.keep_eta, transformers.EtaLogitsWarper, (0.01, 0.2, 0.9)),
    ):
        for value in values:
            wanted = theirs(value, min_tokens_to_keep=at_least)(None, torch.tensor(scores))
            np.testing.assert_array_equal(ours(value, at_least, None, scores), wanted)


def test_a_seed_reproduces(model):
    parameters = dict(max_new_tokens=12, do_sample=True, num_return_sequences=2)
    first = generate(model, seed=5, **parameters)
    assert first.shape == (6, 17)
    np.testing.assert_array_equal(first, generate(model, seed=5, **parameters))
    assert (first != generate(model, seed=6, **parameters)).any()
    assert (first[0] != first[1]).any()


def test_one_prompt_is_sampled_several_times(model):
    """With the cache, each copy of a single row has its own, as without."""
    parameters = dict(do_sample=True, num_return_sequences=3, max_new_tokens=8, seed=3)
    tokens = generate(model, PROMPT[:1], **parameters)
    assert len({tuple(row) for row in tokens.tolist()}) == 3
    np.testing.assert_array_equal(
        tokens, generate(model, PROMPT[:1], use_cache=False, **parameters)
    )


def test_the_same_seed_gives_the_same_tokens_on_every_backend(model):
    """As first drawn on JAX: the logits agree to 1e-5, and the draws are NumPy's."""
    tokens = generate(model, max_new_tokens=10, do_sample=True, top_k=20, seed=1)
    expected = [
        [14, 54, 43, 3, 14, 14, 14, 14, 54, 14],
        [59, 14, 14, 34, 38, 14, 14, 14, 43, 11],
        [3, 14, 14, 14, 14, 14, 29, 59, 14, 59],
    ]
    np.testing.assert_array_equal(tokens[:, 5:], expected)


def test_framework_seed(model):
    """Without a seed, the framework's own generator decides; Flax has its keys."""
    parameters = dict(max_new_tokens=12, do_sample=True)
    if PREFIX == "Flax":
        import jax

        keys = [dict(prng_key=jax.random.PRNGKey(i)) for i in (0, 0, 1)]
        found = [generate(model, **parameters, **key) for key in keys]
    else:
        found = []
        for seed in (0, 0, 1):
            keras.utils.set_random_seed(seed)
            found.append(generate(model, **parameters))
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


@pytest.mark.parametrize("parameters", [dict(top_k=3), dict(top_k=0, top_p=0.6)], ids=["k", "p"])
def test_support_and_frequencies(model, parameters):
    """First tokens are drawn from the filtered softmax."""
    temperature, count = 1.5, 2000
    tokens = generate(
        model,
        PROMPT[:1],
        max_new_tokens=1,
        do_sample=True,
        num_return_sequences=count,
        temperature=temperature,
        seed=0,
        **parameters,
    )[:, 5]
    probabilities = np.exp(log_softmax(next_logits(model, PROMPT[:1])[0] / temperature))
    order = np.argsort(-probabilities)
    if parameters["top_k"]:
        kept = order[: parameters["top_k"]]
    else:  # the fewest that reach top_p
        kept = order[: np.searchsorted(np.cumsum(probabilities[order]), 0.6) + 1]
    assert len(kept) > 1
    assert set(tokens) == set(kept)
    expected = probabilities[kept] / probabilities[kept].sum()
    found = np.array([(tokens == token).mean() for token in kept])
    deviation = np.sqrt(expected * (1 - expected) / count)
    assert (np.abs(found - expected) < 4 * deviation).all()


def test_beam_sampling(model):
    parameters = dict(max_new_tokens=6, do_sample=True, num_beams=3, num_return_sequences=2)
    first = generate(model, seed=0, **parameters)
    assert first.shape == (6, 11)
    np.testing.assert_array_equal(first, generate(model, seed=0, **parameters))
    assert (first != generate(model, seed=1, **parameters)).any()


# Streaming, outputs, arguments


class Recorder:
    def __init__(self):
        self.values, self.ended = [], False

    def put(self, value):
        self.values.append(np.array(value.tolist()))

    def end(self):
        self.ended = True


def test_streamer(model):
    recorder = Recorder()
    tokens = generate(model, max_new_tokens=4, streamer=recorder)
    assert recorder.ended
    np.testing.assert_array_equal(recorder.values[0], PROMPT)
    np.testing.assert_array_equal(np.transpose(recorder.values[1:]), tokens[:, 5:])

    steps = []
    generate(model, max_new_tokens=4, streamer=lambda value: steps.append(value.tolist()))
    np.testing.assert_array_equal(np.transpose(steps), tokens[:, 5:])
    with pytest.raises(ValueError, match="streamer"):
        generate(model, num_beams=2, streamer=recorder)


def test_output_object(model):
    output = model.generate(
        native(PROMPT),
        max_new_tokens=3,
        return_dict_in_generate=True,
        output_scores=True,
        output_logits=True,
        repetition_penalty=2.0,
    )
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(output.sequences),
        generate(model, max_new_tokens=3, repetition_penalty=2.0),
    )
    if PREFIX == "Flax":
        assert list(output) == ["sequences"]
        return
    assert len(output.scores) == len(output.logits) == 3
    logits = keras.ops.convert_to_numpy(output.logits[0])
    close(logits, next_logits(model, PROMPT))
    scores = keras.ops.convert_to_numpy(output.scores[0])
    seen = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(seen, PROMPT, True, axis=1)
    penalised = np.where(logits < 0, logits * 2, logits / 2)
    close(scores, np.where(seen, penalised, logits))


def test_kinds_of_tensors(model):
    tokens = model.generate(native(PROMPT), max_new_tokens=2)
    if BACKEND == "torch":
        import torch

        assert isinstance(tokens, torch.Tensor) and tokens.dtype == torch.int64
        assert not tokens.requires_grad
    elif BACKEND == "tensorflow":
        import tensorflow as tf

        assert tf.is_tensor(tokens) and tokens.dtype == tf.int64
        prompt = tf.constant(PROMPT, tf.int32)
        assert model.generate(prompt, max_new_tokens=2).dtype == tf.int32
    else:
        import jax

        assert isinstance(tokens.sequences, jax.Array)
        assert tokens.sequences.dtype == np.int32


def test_parameters_come_from_config_and_object():
    model = make_model(eos_token_id=11, pad_token_id=1, max_length=8, num_hidden_layers=1)
    assert model.generation_config == GenerationConfig(
        eos_token_id=11, pad_token_id=1, max_length=8
    )
    assert generate(model).shape == (3, 8)
    wanted = generate(model, max_new_tokens=5, repetition_penalty=1.5)
    chosen = GenerationConfig(max_new_tokens=5, repetition_penalty=1.5)
    np.testing.assert_array_equal(wanted, generate(model, generation_config=chosen))
    np.testing.assert_array_equal(wanted, generate(model, generation_config=vars(chosen)))
    model.generation_config = chosen
    np.testing.assert_array_equal(wanted, generate(model, eos_token_id=11, pad_token_id=1))


def test_generation_config_file(tmp_path, caplog):
    """What a checkpoint's generation_config.json says counts, and is saved with the model."""
    model = make_model(num_hidden_layers=1)
    wanted = generate(model, max_new_tokens=5, repetition_penalty=1.5, eos_token_id=[9, 11])
    model.save_pretrained(tmp_path)
    assert GenerationConfig.from_pretrained(tmp_path) == model.generation_config
    # As transformers 4.57.6 writes it.
    written = {
        "_from_model_config": True,
        "eos_token_id": [9, 11],
        "max_new_tokens": 5,
        "pad_token_id": 0,
        "repetition_penalty": 1.5,
        "transformers_version": "4.57.6",
    }
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps({**written, "penalty_alpha": 0.5, "num_beam_groups": 1}))
    again = type(model).from_pretrained(tmp_path)
    assert "penalty_alpha=0.5; it is left out" in caplog.text
    np.testing.assert_array_equal(generate(again), wanted)
    again.generation_config.max_new_tokens = 4
    again.save_pretrained(tmp_path / "again")
    loaded = type(model).from_pretrained(tmp_path / "again")
    assert loaded.generation_config == again.generation_config
    np.testing.assert_array_equal(generate(loaded), wanted[:, :-1])
    path.write_text("{")
    with pytest.raises(ValueError, match="generation_config.json is not valid JSON"):
        type(model).from_pretrained(tmp_path)


def test_transformers_reads_the_generation_config(model, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = GenerationConfig(eos_token_id=[9, 11], num_beams=3, length_penalty=0.5)
    config.save_pretrained(tmp_path)
    theirs = transformers.GenerationConfig.from_pretrained(tmp_path)
    assert GenerationConfig().with_changes(theirs) == config


def test_none_switches_off(model):
    """Existing code passes None for what it does not use, in the place of the model's own."""
    off = dict.fromkeys(("temperature", "top_p", "repetition_penalty", "no_repeat_ngram_size"))
    chosen = GenerationConfig(max_new_tokens=6, repetition_penalty=1.5)
    np.testing.assert_array_equal(
        generate(model, generation_config=chosen, **off), generate(model, max_new_tokens=6)
    )


def test_own_processor(model):
    def only_even(tokens, scores):
        assert tokens.shape[0] == scores.shape[0]
        keep = np.arange(VOCABULARY) % 2 == 0
        return scores + native(np.where(keep, 0, -np.inf).astype("float32"))

    tokens = generate(model, max_new_tokens=5, logits_processor=[only_even])
    assert (tokens[:, 5:] % 2 == 0).all()


def test_without_causal_mask():
    """A bidirectional model cannot use a cache; each token still follows from a plain call."""
    model = make_model(is_decoder=False, num_hidden_layers=1)
    tokens = generate(model, max_new_tokens=3)
    np.testing.assert_array_equal(tokens[:, -1], next_logits(model, tokens[:, :-1]).argmax(-1))


@pytest.mark.parametrize(
    "parameters, error, words",
    [
        (dict(max_new_token=3), TypeError, "max_new_token"),
        (dict(max_length=5), ValueError, "no room"),
        (dict(temperature=0.0, do_sample=True), ValueError, "temperature"),
        (dict(top_p=1.5, do_sample=True), ValueError, "top_p"),
        (dict(num_return_sequences=2), ValueError, "num_return_sequences"),
        (dict(num_beams=2, num_return_sequences=3), ValueError, "num_return_sequences"),
        (dict(num_beams=2, early_stopping="soon"), ValueError, "early_stopping"),
        (dict(attention_mask=LEFT_MASK[:, 1:]), ValueError, "attention_mask"),
        (dict(input_ids=PROMPT), ValueError, "twice"),
        (dict(do_sample=True, seed=-1), ValueError, "seed must be an integer of at least 0"),
        (dict(max_new_tokens=2.5), ValueError, "max_new_tokens must be an integer"),
        (dict(num_beams=1.5), ValueError, "num_beams must be an integer"),
        (dict(bad_words_ids=[[12, -1]]), ValueError, "bad_words_ids must be ids from 0 to 60"),
        (dict(suppress_tokens=[61]), ValueError, "suppress_tokens must be ids from 0 to 60"),
        (dict(forced_eos_token_id=61), ValueError, "forced_eos_token_id must be ids from 0 to 60"),
        (dict(typical_p=0.0, do_sample=True), ValueError, "typical_p must be above 0"),
        (dict(eta_cutoff=1.0, do_sample=True), ValueError, "eta_cutoff must be at least 0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_bad_arguments(model, parameters, error, words):
    with pytest.raises(error, match=words):
        generate(model, **parameters)


def test_bad_prompts(model):
    with pytest.raises(ValueError, match="bos_token_id"):
        model.generate()
    with pytest.raises(ValueError, match="shape"):
        model.generate(native(PROMPT[0]))
    if PREFIX != "Flax":
        with pytest.raises(TypeError, match="params"):
            model.generate(native(PROMPT), params={})
