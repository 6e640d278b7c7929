"""text-classification, token-classification and question-answering: transformers' results and
formats, the same answers whatever the batch, clear errors."""

import json
import pathlib
import types

import pytest

from keras_roformer.pipelines import pipeline
from keras_roformer.tokenizers import RoFormerTokenizer, RoFormerTokenizerFast
from tests.oracle.record_question_answering import CASES, CONTEXT, LONG, QUESTION
from tests.pipelines.pipeline_tools import MOODS, assert_same, write_checkpoint
from tests.tolerances import FLOAT32

RECORDED = pathlib.Path(__file__).parents[1] / "oracle" / "question_answering.json"
TEXTS = [
    "今天天氣非常好。",
    "my dog is cute. paris is the capital of france, jim is in new york.",
    "天",
    "Jim held the puppet! Italy... 今天 tokenized pieces",
    "非常好 非常好",
    "Unknown ☃ sign",
]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    directory = tmp_path_factory.mktemp("checkpoints")
    made = {}

    def checkpoint(task, **fields):
        key = (task, *fields.items())
        if key not in made:
            made[key] = write_checkpoint(directory / str(len(made)), task, **fields)
        return made[key]

    return checkpoint


@pytest.fixture(scope="module")
def pipes(checkpoints):
    """Ours, with character-level tokens, as transformers' pipelines below have."""
    made = {}

    def pipe(task, **fields):
        key = (task, *fields.items())
        if key not in made:
            path = checkpoints(task, **fields)
            tokenizer = RoFormerTokenizerFast(f"{path}/vocab.txt", use_jieba=False)
            made[key] = pipeline(task, path, tokenizer)
        return made[key]

    return pipe


@pytest.fixture(scope="module")
def references(checkpoints):
    """transformers' own pipelines on the same weights."""
    transformers = pytest.importorskip("transformers")
    made = {}

    def reference(task, **fields):
        key = (task, *fields.items())
        if key not in made:
            path = checkpoints(task, **fields)
            name = "".join(part.capitalize() for part in task.split("-"))
            model_class = getattr(
                transformers, f"RoFormerFor{name.replace('Text', 'Sequence')}", None
            )
            made[key] = getattr(transformers, f"{name}Pipeline")(
                model=model_class.from_pretrained(path),
                tokenizer=transformers.BertTokenizerFast(f"{path}/vocab.txt"),
            )
        return made[key]

    return reference


PAIR = {"text": "今天天氣非常好。", "text_pair": "my dog is cute"}


@pytest.mark.parametrize(
    "inputs, arguments",
    [
        (TEXTS[0], {}),
        (TEXTS[0], {"top_k": 1}),
        (TEXTS[0], {"top_k": None}),
        (TEXTS, {}),
        (TEXTS, {"top_k": 2}),
        (TEXTS[:1], {}),
        (PAIR, {}),
        ([PAIR, {"text": "今天"}], {"top_k": 3}),
        ([[["今天天氣", "非常好"]]], {}),
        (TEXTS, {"function_to_apply": "sigmoid"}),
        (TEXTS[1], {"function_to_apply": "none", "top_k": None}),
        (TEXTS, {"truncation": True, "max_length": 6}),
        (TEXTS, {"truncation": True, "max_length": 6, "padding": "max_length"}),
        (TEXTS, {"add_special_tokens": False}),
    ],
    ids=lambda value: str(value)[:24],
)
def test_text_classification_equals_transformers(pipes, references, inputs, arguments):
    task = "text-classification"
    expected = references(task)(inputs, **arguments)
    assert_same(pipes(task)(inputs, **arguments), expected, FLOAT32)


@pytest.mark.parametrize(
    "fields",
    [
        {"problem_type": "multi_label_classification"},
        {"problem_type": "regression"},
        {"problem_type": "single_label_classification"},
    ],
)
def test_scores_of_the_problem_type(pipes, references, fields):
    task = "text-classification"
    expected = references(task, **fields)(TEXTS, top_k=None)
    assert_same(pipes(task, **fields)(TEXTS, top_k=None), expected, FLOAT32)


def test_labels_differ(pipes):
    """The checkpoint is no constant function, so that equal answers mean something."""
    answers = pipes("text-classification")(TEXTS)
    assert len({answer["label"] for answer in answers}) > 1
    tags = pipes("token-classification")(TEXTS, ignore_labels=[])
    assert {tag["entity"] for text in tags for tag in text} == {"O", "B-PER", "I-PER"}


TAGGING = [
    {},
    {"ignore_labels": []},
    {"ignore_labels": ["O", "B-PER"]},
    *({"aggregation_strategy": name} for name in ("simple", "first", "average", "max")),
    {"aggregation_strategy": "average", "ignore_labels": []},
]


@pytest.mark.parametrize("arguments", TAGGING, ids=str)
def test_token_classification_equals_transformers(pipes, references, arguments):
    task = "token-classification"
    expected = references(task)(TEXTS, **arguments)
    assert_same(pipes(task)(TEXTS, **arguments), expected, FLOAT32)
    assert_same(pipes(task)(TEXTS[0], **arguments), expected[0], FLOAT32)


@pytest.mark.parametrize("inputs", [["jim", "is", "tokenized"], [["jim", "is"], ["今天", "好"]]])
@pytest.mark.parametrize("arguments", [{}, {"aggregation_strategy": "first"}, {"delimiter": "--"}])
def test_words_instead_of_a_text(pipes, references, inputs, arguments):
    task, arguments = "token-classification", {"is_split_into_words": True, **arguments}
    expected = references(task)(inputs, **arguments)
    assert_same(pipes(task)(inputs, **arguments), expected, FLOAT32)


@pytest.mark.parametrize("strategy", ["simple", "first"])
def test_long_texts_by_stride(checkpoints, references, strategy):
    task, text = "token-classification", " ".join(TEXTS)
    path = checkpoints(task)
    tokenizer = RoFormerTokenizerFast(f"{path}/vocab.txt", use_jieba=False, model_max_length=20)
    reference = references(task)
    reference.tokenizer.model_max_length = 20
    arguments = {"aggregation_strategy": strategy, "stride": 6}
    try:
        expected = reference(text, **arguments)
    finally:
        reference.tokenizer.model_max_length = int(1e30)
    assert len(expected) > 5
    assert_same(pipeline(task, path, tokenizer)(text, **arguments), expected, FLOAT32)


def test_offsets_cut_entities_out_of_the_text(checkpoints):
    """Words of jieba, capitals, accents, runs of spaces: the text as it was given."""
    text = "  Jim  今天 é非常好，TOKENIZED"
    tags = pipeline("ner", checkpoints("token-classification"), ignore_labels=[])(text)
    cut = [text[tag["start"] : tag["end"]] for tag in tags]
    assert "".join(cut) == text.replace(" ", "")
    assert "非常" in cut and "Jim" in cut


@pytest.mark.parametrize("name", CASES)
def test_question_answering_equals_transformers(pipes, name):
    recorded = json.loads(RECORDED.read_text("utf-8"))
    assert recorded["transformers"] == "4.57.6"
    answer = pipes("question-answering")
    assert_same(answer(**CASES[name], padding="max_length"), recorded[name], FLOAT32)


def test_ways_to_ask(pipes):
    answer = pipes("question-answering")
    expected = answer(question=QUESTION, context=CONTEXT)
    pair = {"question": QUESTION, "context": CONTEXT}
    for inputs in ((QUESTION, CONTEXT), (pair,), ([pair],)):
        assert_same(answer(*inputs), expected, FLOAT32)
    assert_same(answer([pair, pair]), [expected, expected], FLOAT32)
    stream = answer(pair for _ in range(3))
    assert isinstance(stream, types.GeneratorType)
    assert_same(list(stream), [expected] * 3, FLOAT32)
    assert CONTEXT[expected["start"] : expected["end"]] == expected["answer"]


INPUTS = {
    "text-classification": [*TEXTS, PAIR, {"text": "天"}],
    "token-classification": TEXTS,
    "question-answering": [
        {"question": question, "context": context}
        for question in ("天氣?", QUESTION)
        for context in (CONTEXT, LONG, "今天")
    ],
}


@pytest.mark.parametrize("task", INPUTS)
def test_order_and_numbers_do_not_depend_on_the_batch(pipes, task):
    pipe, inputs = pipes(task), INPUTS[task]
    expected = [pipe([item])[0] if task != "question-answering" else pipe(item) for item in inputs]
    for size in (1, 3, 32):
        assert_same(pipe(inputs, batch_size=size), expected, FLOAT32)
    assert_same(list(pipe(iter(inputs), batch_size=2)), expected, FLOAT32)
    assert pipe([]) == []


@pytest.mark.parametrize("task", INPUTS)
def test_the_slow_tokenizer_gives_the_same(pipes, checkpoints, task):
    """transformers refuses it for offsets; ours has them."""
    path = checkpoints(task)
    tokenizer = RoFormerTokenizer(f"{path}/vocab.txt", use_jieba=False)
    slow = pipeline(task, pipes(task).model, tokenizer)
    assert_same(slow(INPUTS[task][:3]), pipes(task)(INPUTS[task][:3]), FLOAT32)


def test_defaults_of_the_calls(checkpoints):
    path = checkpoints("text-classification")
    classify = pipeline("sentiment-analysis", path, top_k=None)
    assert classify.task == "text-classification"
    assert sorted(answer["label"] for answer in classify(TEXTS[:1])[0]) == sorted(MOODS)
    assert len(classify(TEXTS[:1], top_k=2)[0]) == 2


@pytest.mark.parametrize(
    "task, call, error, message",
    [
        ("text", lambda f: f([["a", "b"]]), ValueError, 'given as {"text": …, "text_pair": …}'),
        ("text", lambda f: f({"texts": "a"}), ValueError, "got the keys ['texts']"),
        ("text", lambda f: f([3]), TypeError, 'takes a text or a dict with "text" and'),
        ("text", lambda f: f("a", top_k=0), ValueError, "top_k must be an integer of at least 1"),
        ("text", lambda f: f("a", function_to_apply="max"), ValueError, "one of default, softmax"),
        ("token", lambda f: f("a", aggregation_strategy="x"), ValueError, "one of none, simple"),
        ("token", lambda f: f("a", stride=3), ValueError, "stride needs an aggregation_strategy"),
        ("token", lambda f: f([["a"]]), ValueError, "set is_split_into_words=True"),
        ("token", lambda f: f("a", ignore_labels="O"), ValueError, "must be a list, got 'O'"),
        ("question", lambda f: f(question="a"), TypeError, "question= and context= together"),
        ("question", lambda f: f("a"), TypeError, 'takes a dict with "question" and "context"'),
        ("question", lambda f: f("a", " "), ValueError, "the context is empty"),
        ("question", lambda f: f("a", LONG, max_seq_len=4), ValueError, "tokens for the context"),
        (
            "question",
            lambda f: f(question=["a"], context=["b", "c"]),
            ValueError,
            "1 questions, but 2 contexts",
        ),
    ],
)
def test_bad_calls(pipes, task, call, error, message):
    names = {"text": "text-classification", "token": "token-classification"}
    with pytest.raises(error) as raised:
        call(pipes(names.get(task, "question-answering")))
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_no_preset_for_a_task():
    with pytest.raises(ValueError, match="has no preset in the box; give a model"):
        pipeline("question-answering")
