"""Bad input: one row, one mistake. The error's text names the value, the limit and the remedy.

Every row runs on every backend; a row for some of them says so. Bad files have tests/weights,
the fields of a config one by one tests/test_config.py, tokenizers tests/tokenizers.
"""

import builtins
import functools
import importlib.util
import json

import keras
import numpy as np
import pytest

import keras_roformer as kr
from keras_roformer import backend as backends
from keras_roformer import layers
from keras_roformer.hub import list_presets, resolve
from tests.conftest import FAMILY_PREFIX

BACKEND = keras.config.backend()
PREFIX = FAMILY_PREFIX[BACKEND]
CONFIG = dict(
    vocab_size=40,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=24,
    embedding_size=12,
    num_labels=3,
)
IDS = np.random.default_rng(0).integers(1, 40, (2, 6))
LABELS = np.random.default_rng(1).integers(0, 3, (2, 6))
EMBEDS = np.random.default_rng(2).normal(size=(2, 6, 12)).astype("float32")
STATES = np.random.default_rng(3).normal(size=(2, 5, 16)).astype("float32")
DECODER = dict(is_decoder=True)
CROSS = dict(is_decoder=True, add_cross_attention=True)
NOT_FLAX = ("torch", "tensorflow")  # the documented Flax classes take neither labels nor embeds


def cls(task):
    return getattr(kr, f"{PREFIX}RoFormer{task}")


@functools.cache
def _model(task, **changes):
    keras.utils.set_random_seed(0)
    model = cls(task)(kr.RoFormerConfig(**{**CONFIG, **changes}))
    return model.eval() if BACKEND == "torch" else model


def tensor(value):
    if not isinstance(value, np.ndarray):
        return value
    if BACKEND != "torch":
        return value
    import torch

    return torch.from_numpy(value)


def call(task, config=None, /, **arguments):
    """A row's mistake: a call of the documented class."""

    def mistake(tmp_path):
        model = _model(task, **(config or {}))
        model(**{name: tensor(value) for name, value in arguments.items()})

    return mistake


def call_pruned(heads, **arguments):
    """A row's mistake: a call of a model whose heads were pruned."""

    def mistake(tmp_path):
        model = _model.__wrapped__("Model", pruned_heads=heads)
        model(**{name: tensor(value) for name, value in arguments.items()})

    return mistake


def generate(**arguments):
    def mistake(tmp_path):
        model = _model("ForCausalLM", **arguments.pop("config", DECODER))
        model.generate(**{name: tensor(value) for name, value in arguments.items()})

    return mistake


def config(**fields):
    return lambda tmp_path: kr.RoFormerConfig(**fields)


def made(**fields):
    """A model of a config that is allowed, but asks for too much."""
    return lambda tmp_path: cls("ForMaskedLM")(kr.RoFormerConfig(**{**CONFIG, **fields}))


def config_file(text):
    def mistake(tmp_path):
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "config.json").write_bytes(data)
        kr.RoFormerConfig.from_pretrained(tmp_path)

    return mistake


def load(name=None, task="ForMaskedLM", **arguments):
    """Loading a good checkpoint with bad arguments, or one that is not there."""

    def mistake(tmp_path):
        if name is None:
            _model("ForMaskedLM").save_pretrained(tmp_path)
        cls(task).from_pretrained(tmp_path if name is None else name, **arguments)

    return mistake


def save(name="", **arguments):
    def mistake(tmp_path):
        (tmp_path / "file").touch()
        _model("ForMaskedLM").save_pretrained(tmp_path / name, **arguments)

    return mistake


def resize(method, *arguments):
    def mistake(tmp_path):
        model = cls("ForMaskedLM")(kr.RoFormerConfig(**CONFIG))
        getattr(model, method)(*arguments)

    return mistake


def layer(make, *arguments, **keywords):
    return lambda tmp_path: make()(*arguments, **keywords)


def backbone(**changes):
    arguments = dict(vocab_size=40, num_layers=1, hidden_size=16, num_heads=2)
    return layers.RoFormer(intermediate_size=24, **{**arguments, **changes})


def without(package, action):
    """`action` where a package is not installed."""

    def mistake(tmp_path):
        real_import, real_find = builtins.__import__, importlib.util.find_spec

        def importing(name, *args, **kwargs):
            if name.partition(".")[0] == package:
                raise ImportError(name)
            return real_import(name, *args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(builtins, "__import__", importing)
            patch.setattr(
                importlib.util,
                "find_spec",
                lambda name, *args: None if name == package else real_find(name, *args),
            )
            patch.delenv("KERAS_BACKEND", raising=False)
            patch.setattr(backends, "current_backend", lambda: None)
            action(tmp_path)

    return mistake


def hub_backbone(**changes):
    """KerasHub's model, in a row's mistake: it is imported for these rows only."""
    from keras_roformer import models

    arguments = dict(vocabulary_size=40, num_layers=1, num_heads=2, hidden_dim=16)
    return models.RoFormerBackbone(**{**arguments, "intermediate_dim": 24, **changes})


def hub(action):
    """A mistake with KerasHub's classes: `action(models, tmp_path)`."""

    def mistake(tmp_path):
        from keras_roformer import models

        action(models, tmp_path)

    return mistake


def hub_call(name, **changes):
    """Out-of-range inputs of a task that has no preprocessor."""

    def action(models, tmp_path):
        inputs = {"token_ids": IDS, "segment_ids": 0 * IDS, "padding_mask": ONES, **changes}
        getattr(models.RoFormerTextClassifier(hub_backbone(), 2), name)(inputs, verbose=0)

    return hub(action)


def hub_file(name, content):
    """A preset in KerasHub's format with a broken file."""

    def action(models, tmp_path):
        hub_backbone().save_to_preset(tmp_path)
        (tmp_path / name).write_bytes(content)
        models.RoFormerBackbone.from_preset(tmp_path)

    return hub(action)


def large_tokenizer(models, tmp_path):
    tokenizer = models.RoFormerHubTokenizer.from_preset("roformer_tiny_zh")
    preprocessor = models.RoFormerTextClassifierPreprocessor(tokenizer, 12)
    models.RoFormerTextClassifier(hub_backbone(), 2, preprocessor=preprocessor)


def at(array, index, value):
    array = array.copy()
    array[index] = value
    return array


def flax_module(tmp_path):
    return _model("ForMaskedLM").module


def other_family(tmp_path):
    return getattr(kr, "FlaxRoFormerModel" if BACKEND != "jax" else "TFRoFormerModel")


ONES = np.ones_like(IDS)
CHOICES = IDS[:, None].repeat(2, axis=1)
PAST = [[np.zeros((2, 2, 3, 8), "float32")] * 2] * 2
MODEL = f"{PREFIX}RoFormerModel"

# name: (mistake, error, texts that it must have: value, limit, remedy), and backends if not all
ROWS = {
    # ids
    "id above the vocabulary": (
        call("Model", input_ids=at(IDS, (1, 2), 40)),
        IndexError,
        ("input_ids has the id 40", "0 to 39", "resize_token_embeddings(41)"),
    ),
    "negative id": (
        call("Model", input_ids=at(IDS, (0, 0), -1)),
        IndexError,
        ("input_ids has the id -1", "0 to 39", "mend the ids"),
    ),
    "huge id": (
        call("Model", input_ids=at(IDS, (0, 0), 2**31 - 1)),
        IndexError,
        ("2147483647", "0 to 39", "tokenizer"),
    ),
    "id above the vocabulary, with a head": (
        call("ForTokenClassification", input_ids=at(IDS, (0, 0), 40)),
        IndexError,
        ("input_ids has the id 40", "0 to 39", "Use the one saved with the model"),
    ),
    "id above the vocabulary, in a choice": (
        call("ForMultipleChoice", input_ids=at(CHOICES, (0, 1, 0), 99)),
        IndexError,
        ("input_ids has the id 99", "0 to 39", "Use the one saved with the model"),
    ),
    "id above the vocabulary, in a prompt": (
        generate(input_ids=at(IDS, (0, 0), 40)),
        IndexError,
        ("input_ids has the id 40", "0 to 39", "Use the one saved with the model"),
    ),
    "token type above": (
        call("Model", input_ids=IDS, token_type_ids=at(ONES, (0, 0), 2)),
        IndexError,
        ("token_type_ids has the id 2", "0 to 1", "mend the ids"),
    ),
    "negative token type": (
        call("Model", input_ids=IDS, token_type_ids=at(ONES, (0, 0), -7)),
        IndexError,
        ("token_type_ids has the id -7", "0 to 1", "mend the ids"),
    ),
    "float ids": (
        call("Model", input_ids=IDS.astype("float32")),
        TypeError,
        ("input_ids", "must be integers, got float32", "cast"),
    ),
    "boolean ids": (
        call("Model", input_ids=IDS > 3),
        TypeError,
        ("input_ids", "must be integers, got bool", "cast"),
    ),
    "float token types": (
        call("Model", input_ids=IDS, token_type_ids=ONES.astype("float32")),
        TypeError,
        ("token_type_ids", "must be integers, got float32", "cast"),
    ),
    "float positions": (
        call("Model", {**DECODER}, input_ids=IDS, position_ids=np.arange(6.0)),
        TypeError,
        ("position_ids", "must be integers, got float", "cast"),
    ),
    # shapes
    "empty batch": (
        call("Model", input_ids=IDS[:0]),
        ValueError,
        ("shape (0, 6)", "its batch is 0", "at least 1", "leave out"),
    ),
    "length 0": (
        call("Model", input_ids=IDS[:, :0]),
        ValueError,
        ("shape (2, 0)", "its length is 0", "at least 1", "leave out"),
    ),
    "ids without a batch": (
        call("Model", input_ids=IDS[0]),
        ValueError,
        ("(batch, length)", "(6,)", "batch of one: ids[None]"),
    ),
    "ids of three axes": (
        call("ForMaskedLM", input_ids=IDS[None]),
        ValueError,
        ("(batch, length)", "(1, 2, 6)", "ids[None]"),
    ),
    "empty prompt": (
        generate(input_ids=IDS[:, :0]),
        ValueError,
        ("shape (batch, length) and a token", "(2, 0)"),
    ),
    "choices missing": (
        call("ForMultipleChoice", input_ids=IDS),
        ValueError,
        ("(batch, choices, length)", "(2, 6)", "give every example its choices"),
    ),
    "no choices": (
        call("ForMultipleChoice", input_ids=CHOICES[:, :0]),
        ValueError,
        ("shape (2, 0, 6)", "its choices is 0", "leave out"),
    ),
    "mask of another choice": (
        call("ForMultipleChoice", input_ids=CHOICES, attention_mask=ONES[:, None]),
        ValueError,
        ("attention_mask", "(2, 2, 6)", "got (2, 1, 6)", "same batch"),
    ),
    "mask too short": (
        call("Model", input_ids=IDS, attention_mask=ONES[:, :5]),
        ValueError,
        ("attention_mask", "(2, 6) or (2, 6, 6)", "got (2, 5)", "same batch"),
    ),
    "mask too long": (
        call("ForMaskedLM", input_ids=IDS, attention_mask=np.ones((2, 7), "int32")),
        ValueError,
        ("attention_mask", "(2, 6) or (2, 6, 6)", "got (2, 7)", "same batch"),
    ),
    "mask of one length": (
        call("Model", input_ids=IDS, attention_mask=ONES[:, :1]),
        ValueError,
        ("attention_mask", "(2, 6) or (2, 6, 6)", "got (2, 1)", "same batch"),
    ),
    "mask of another batch": (
        call("Model", input_ids=IDS, attention_mask=np.ones((3, 6), "int32")),
        ValueError,
        ("attention_mask", "(2, 6) or (2, 6, 6)", "got (3, 6)", "same batch"),
    ),
    "mask of one axis": (
        call("Model", input_ids=IDS, attention_mask=ONES[0]),
        ValueError,
        ("attention_mask", "(2, 6) or (2, 6, 6)", "got (6,)", "same batch"),
    ),
    "mask of four axes": (
        call("Model", input_ids=IDS, attention_mask=ONES[:, None, None]),
        ValueError,
        ("attention_mask", "(2, 6) or (2, 6, 6)", "got (2, 1, 1, 6)", "same batch"),
    ),
    "additive mask": (
        call("Model", input_ids=IDS, attention_mask=-10000.0 * ONES.astype("float32")),
        ValueError,
        ("attention_mask", "holds -10000.0", "must be 1", "(mask == 0)"),
    ),
    "mask above one": (
        call("Model", input_ids=IDS, attention_mask=2 * ONES),
        ValueError,
        ("attention_mask", "holds 2", "must be 1", "0 for others"),
    ),
    "mask of a prompt": (
        generate(input_ids=IDS, attention_mask=ONES[:, 1:]),
        ValueError,
        ("attention_mask must have the shape of input_ids, (2, 6)", "(2, 5)"),
    ),
    "token types too short": (
        call("Model", input_ids=IDS, token_type_ids=ONES[:, :3]),
        ValueError,
        ("token_type_ids", "(2, 6)", "got (2, 3)", "same batch"),
    ),
    "positions too long": (
        call("Model", input_ids=IDS, position_ids=np.arange(7)),
        ValueError,
        ("position_ids", "(2, 6) or (6,)", "got (7,)", "same batch"),
    ),
    "head mask of other heads": (
        call("Model", input_ids=IDS, head_mask=np.ones(3, "float32")),
        ValueError,
        ("head_mask", "(2,) or (2, 2)", "got (3,)"),
    ),
    "head mask of other layers": (
        call("Model", input_ids=IDS, head_mask=np.ones((3, 2), "float32")),
        ValueError,
        ("head_mask", "(2,) or (2, 2)", "got (3, 2)"),
    ),
    "head mask of one layer": (
        call("Model", input_ids=IDS, head_mask=np.ones((1, 2), "float32")),
        ValueError,
        ("head_mask", "(2,) or (2, 2)", "got (1, 2)"),
    ),
    "head mask of one head": (
        call("Model", input_ids=IDS, head_mask=np.ones(1, "float32")),
        ValueError,
        ("head_mask", "(2,) or (2, 2)", "got (1,)"),
    ),
    "one position": (
        call("Model", input_ids=IDS, position_ids=np.array([3])),
        ValueError,
        ("position_ids", "(2, 6) or (6,)", "got (1,)"),
    ),
    "head mask of heads that are gone": (
        call_pruned({0: [1], 1: [0]}, input_ids=IDS, head_mask=np.ones((2, 2))),
        ValueError,
        ("head_mask", "(1,) or (2, 1)", "got (2, 2)"),
    ),
    "head mask of layers with unlike heads": (
        call_pruned({0: [1]}, input_ids=IDS, head_mask=np.ones((2, 2))),
        ValueError,
        ("head_mask", "layers of 1, 2 heads", "prune the other heads"),
    ),
    # ids and embeddings
    "neither ids nor embeddings": (
        call("Model", attention_mask=ONES),
        ValueError,
        ("exactly one of input_ids and inputs_embeds", "got neither", "pass the token ids"),
    ),
    "ids and embeddings": (
        call("Model", input_ids=IDS, inputs_embeds=EMBEDS),
        ValueError,
        ("exactly one of input_ids and inputs_embeds", "got both", "pass the token ids"),
    ),
    "NaN embeddings": (
        call("Model", inputs_embeds=at(EMBEDS, (1, 2, 3), np.nan)),
        ValueError,
        ("inputs_embeds", "holds nan", "must be finite", "look for the step"),
    ),
    "infinite embeddings": (
        call("ForMaskedLM", inputs_embeds=at(EMBEDS, (1, 2, 3), -np.inf)),
        ValueError,
        ("inputs_embeds", "holds -inf", "must be finite", "look for the step"),
    ),
    "embeddings of the hidden size": (
        call("Model", inputs_embeds=STATES),
        ValueError,
        ("inputs_embeds", "(2, 5, 16)", "size 12", "embedding_size"),
    ),
    "ids in the place of embeddings": (
        call("Model", inputs_embeds=IDS),
        ValueError,
        ("(batch, length, embedding_size)", "(2, 6)"),
    ),
    # decoders
    "cross-attention without states": (
        call("ForCausalLM", CROSS, input_ids=IDS),
        ValueError,
        ("encoder_hidden_states is None", "add_cross_attention=False", "last_hidden_state"),
    ),
    "generation without states": (
        generate(config=CROSS, input_ids=IDS),
        ValueError,
        ("encoder_hidden_states is None", "add_cross_attention=False"),
    ),
    "states without cross-attention": (
        call("ForCausalLM", DECODER, input_ids=IDS, encoder_hidden_states=STATES),
        ValueError,
        ("encoder_hidden_states", "without cross-attention", "add_cross_attention=True"),
    ),
    "states of another size": (
        call("ForCausalLM", CROSS, input_ids=IDS, encoder_hidden_states=EMBEDS),
        ValueError,
        ("encoder_hidden_states", "(2, None, 16)", "got (2, 6, 12)"),
    ),
    "mask of the states": (
        call(
            *("ForCausalLM", CROSS),
            input_ids=IDS,
            encoder_hidden_states=STATES,
            encoder_attention_mask=ONES,
        ),
        ValueError,
        ("encoder_attention_mask", "(2, 5) or (2, 6, 5)", "got (2, 6)"),
    ),
    "mask without states": (
        call("ForCausalLM", DECODER, input_ids=IDS, encoder_attention_mask=ONES),
        ValueError,
        ("encoder_attention_mask", "encoder_hidden_states is None", "pass the states"),
    ),
    "cache of another model": (
        call("ForCausalLM", DECODER, input_ids=IDS, past_key_values=PAST[:1]),
        ValueError,
        ("past_key_values has 1 layers", "has 2", "pass what"),
    ),
    "cache of other rows": (
        call("ForCausalLM", DECODER, input_ids=IDS[[0, 0, 0]], past_key_values=PAST),
        ValueError,
        ("batch of 2", "batch of 3", "the same rows"),
    ),
    "mask that forgets the cache": (
        call(*("ForCausalLM", DECODER), input_ids=IDS, past_key_values=PAST, attention_mask=ONES),
        ValueError,
        ("attention_mask", "(2, 9) or (2, 6, 9)", "got (2, 6)"),
    ),
    # labels
    "token label above": (
        call("ForMaskedLM", input_ids=IDS, labels=at(IDS, (0, 0), 40)),
        IndexError,
        ("labels has the label 40", "0 to 39", "-100", "mend"),
        NOT_FLAX,
    ),
    "token label below": (
        call("ForTokenClassification", input_ids=IDS, labels=at(at(LABELS, 1, -100), (0, 0), -1)),
        IndexError,
        ("labels has the label -1", "0 to 2", "-100", "num_labels"),
        NOT_FLAX,
    ),
    "next-token label above": (
        call("ForCausalLM", DECODER, input_ids=IDS, labels=at(IDS, (0, 0), 41)),
        IndexError,
        ("labels has the label 41", "0 to 39", "-100", "mend"),
        NOT_FLAX,
    ),
    "class label above": (
        call("ForSequenceClassification", input_ids=IDS, labels=np.array([0, 3])),
        IndexError,
        ("labels has the label 3", "0 to 2", "num_labels"),
        NOT_FLAX,
    ),
    "label of a third choice": (
        call("ForMultipleChoice", input_ids=CHOICES, labels=np.array([0, 2])),
        IndexError,
        ("labels has the label 2", "0 to 1", "mend"),
        NOT_FLAX,
    ),
    "labels of another length": (
        call("ForMaskedLM", input_ids=IDS, labels=IDS[:, :5]),
        ValueError,
        ("labels", "(2, 6)", "got (2, 5)", "same batch"),
        NOT_FLAX,
    ),
    "class labels of another batch": (
        call("ForSequenceClassification", input_ids=IDS, labels=np.array([0, 1, 2])),
        ValueError,
        ("labels", "(2,)", "got (3,)", "as many labels as the batch"),
        NOT_FLAX,
    ),
    "float token labels": (
        call("ForTokenClassification", input_ids=IDS, labels=LABELS.astype("float32")),
        TypeError,
        ("labels", "must be integers, got float32", "cast"),
        NOT_FLAX,
    ),
    "several labels in one column": (
        call("ForSequenceClassification", input_ids=IDS, labels=np.array([0.0, 1.0])),
        ValueError,
        ("labels", "(2, 3)", "got (2,)", "num_labels"),
        NOT_FLAX,
    ),
    "a start without an end": (
        call("ForQuestionAnswering", input_ids=IDS, start_positions=np.array([1, 2])),
        ValueError,
        ("start_positions", "not end_positions", "needs both"),
        NOT_FLAX,
    ),
    "starts of another batch": (
        call(
            "ForQuestionAnswering",
            input_ids=IDS,
            start_positions=np.array([1]),
            end_positions=np.array([1]),
        ),
        ValueError,
        ("start_positions", "(2,)", "got (1,)"),
        NOT_FLAX,
    ),
    # configs
    "odd head size": (
        config(hidden_size=36),
        ValueError,
        ("36 / 12 = 3", "must be even"),
    ),
    "hidden size and heads": (
        config(hidden_size=100),
        ValueError,
        ("hidden_size=100", "multiple of num_attention_heads", "num_attention_heads=12"),
    ),
    "unknown activation": (
        config(hidden_act="gulu"),
        ValueError,
        ("'gulu'", "use one of", "gelu_new"),
    ),
    "activation of a layer": (
        layer(lambda: backbone(hidden_act="gulu"), IDS),
        ValueError,
        ("'gulu'", "gelu_new"),
    ),
    "cross-attention of an encoder": (
        config(add_cross_attention=True),
        ValueError,
        ("add_cross_attention=True", "is_decoder=True"),
    ),
    "infinite initializer": (
        config(initializer_range=float("inf")),
        ValueError,
        ("initializer_range", "finite", "inf"),
    ),
    "pruned layer that is not there": (
        config(**CONFIG, pruned_heads={2: [0]}),
        ValueError,
        ("pruned_heads", "layer 2", "0 to 1"),
    ),
    "pruned head that is not there": (
        config(**CONFIG, pruned_heads={0: [2]}),
        ValueError,
        ("pruned_heads", "head 2", "0 to 1"),
    ),
    "all heads pruned": (
        config(**CONFIG, pruned_heads={0: [0, 1]}),
        ValueError,
        ("pruned_heads", "all 2 heads of layer 0", "leave one"),
    ),
    "label names by words": (
        config(id2label={"zero": "A"}),
        ValueError,
        ("id2label", "'zero'", "integer", '{0: "A"'),
    ),
    "a trillion labels": (
        config(num_labels=10**12),
        ValueError,
        ("num_labels", "1000000000000", "at most"),
    ),
    "a vocabulary of terabytes": (
        made(vocab_size=10**12),
        ValueError,
        ("48.0 TB", "vocab_size=1000000000000", "this machine has", "config"),
    ),
    "layers of terabytes": (
        made(num_hidden_layers=10**9),
        ValueError,
        ("TB", "num_layers=1000000000", "this machine has"),
    ),
    "a feed-forward part of terabytes": (
        made(intermediate_size=10**13),
        ValueError,
        ("TB", "intermediate_size=10000000000000", "this machine has"),
    ),
    "config of another model": (
        config_file('{"model_type": "roformer_v2"}'),
        ValueError,
        ("'roformer_v2'", "'roformer' only"),
    ),
    "config that is not JSON": (
        config_file("{"),
        ValueError,
        ("config.json is not valid JSON", "download or save it again"),
    ),
    "config that is not text": (
        config_file(b"\xff\xfe\x00"),
        ValueError,
        ("config.json is not valid JSON", "utf-8", "download or save it again"),
    ),
    "config nested without end": (
        config_file('{"a":' * 100_000),
        ValueError,
        ("config.json is not valid JSON", "download or save it again"),
    ),
    "empty config": (
        config_file(""),
        ValueError,
        ("config.json is not valid JSON", "download or save it again"),
    ),
    "text for a number in config.json": (
        config_file('{"hidden_size": "768"}'),
        TypeError,
        ("hidden_size must be an integer", "'768'"),
    ),
    # loading and saving
    "unknown preset": (
        load("roformer_tiny_zn"),
        ValueError,
        ("'roformer_tiny_zn'", "Did you mean 'roformer_tiny_zh'", "Presets in the box"),
    ),
    "hub id while offline": (
        load("someone/roformer", local_files_only=True),
        OSError,
        ("'someone/roformer'", "local_files_only", "offline, use a directory or a preset"),
    ),
    "argument that nobody knows": (
        load(colour="red"),
        TypeError,
        ("unknown argument", "colour"),
    ),
    "checkpoint of another size": (
        load(vocab_size=41),
        ValueError,
        ("(40, 12)", "(41, 12)", "ignore_mismatched_sizes=True"),
    ),
    "unknown dtype": (
        load(dtype="float13"),
        ValueError,
        ("float13", "float32", "bfloat16", "use"),
    ),
    "integer dtype": (
        load(dtype="int8"),
        ValueError,
        ("int8", "float32", "bfloat16", "use"),
    ),
    "name where a config should be": (
        lambda tmp_path: cls("Model")("roformer_tiny_zh"),
        TypeError,
        (MODEL, "takes a RoFormerConfig, got str", "from_pretrained"),
    ),
    "saving into a file": (
        save("file"),
        ValueError,
        ("file is a file", "give a directory"),
    ),
    "shards of nothing": (
        save(max_shard_size="0GB"),
        ValueError,
        ("max_shard_size='0GB'", "positive number of bytes", "'5GB'"),
    ),
    "no vocabulary left": (
        resize("resize_token_embeddings", 0),
        ValueError,
        ("0", "at least 1"),
    ),
    "pruning a layer that is not there": (
        resize("prune_heads", {7: [0]}),
        ValueError,
        ("layer 7", "0 to 1"),
    ),
    "unknown task": (
        lambda tmp_path: kr.pipeline("fil-mask", "roformer_tiny_zh"),
        ValueError,
        ("'fil-mask'", "did you mean 'fill-mask'"),
    ),
    # installations
    "wrong backend": (
        other_family,
        RuntimeError,
        (f"runs Keras on {BACKEND}", "set KERAS_BACKEND=", "before Keras is first imported"),
    ),
    "unknown backend": (
        lambda tmp_path: backends.use_backend("mxnet"),
        ValueError,
        ("'mxnet'", "jax, torch, tensorflow", "use one of"),
    ),
    "backend that is not installed": (
        without("torch", lambda tmp_path: backends.use_backend("torch")),
        ImportError,
        ("torch, which is not installed", "pip install 'keras-roformer[torch]'"),
    ),
    "flax that is not installed": (
        without("flax", flax_module),
        ImportError,
        ("needs flax", "pip install 'keras-roformer[flax]'"),
        ("jax",),
    ),
    "tokenizer of words without rjieba": (
        without("rjieba", lambda _: kr.RoFormerTokenizer.from_pretrained("roformer_tiny_zh")),
        ImportError,
        ("rjieba", "use_jieba=False"),
    ),
    "KerasHub that is not installed": (
        without("keras_hub", lambda _: kr.__getattr__("RoFormerMaskedLM")),
        ImportError,
        ("RoFormerMaskedLM needs keras-hub", "pip install 'keras-roformer[hub]'"),
    ),
    "module of KerasHub's models without KerasHub": (
        hub(lambda models, _: without("keras_hub", lambda _: importlib.reload(models))(None)),
        ImportError,
        ("keras_roformer.models needs keras-hub", "pip install 'keras-roformer[hub]'"),
    ),
    # KerasHub's models
    "unknown preset of KerasHub's models": (
        hub(lambda models, _: models.RoFormerMaskedLM.from_preset("roformer_tiny_zn")),
        ValueError,
        ("'roformer_tiny_zn'", "Did you mean 'roformer_tiny_zh'", "roformer_chinese_base"),
    ),
    "preset of KerasHub's tokenizer": (
        hub(lambda models, _: models.RoFormerHubTokenizer.from_preset("./nowhere")),
        ValueError,
        ("'./nowhere' is neither a directory nor a preset", "Presets: roformer_tiny_zh"),
    ),
    "hub id of KerasHub's models while offline": (
        hub(lambda models, _: models.RoFormerBackbone.from_preset("someone/roformer")),
        OSError,
        ("'someone/roformer'", "cannot be reached", "offline, use a directory or a preset"),
    ),
    "registered preset while offline": (
        hub(lambda models, _: models.RoFormerMaskedLM.from_preset("roformer_chinese_base")),
        OSError,
        ("'junnyu/roformer_chinese_base'", "cannot be reached", "offline, use a directory"),
    ),
    "broken config of a preset": (
        hub_file("config.json", b"{"),
        ValueError,
        ("config.json is not valid JSON", "download or save it again"),
    ),
    "truncated weights of a preset": (
        hub_file("model.weights.h5", b"\x89HDF\r\n\x1a\n"),
        ValueError,
        ("model.weights.h5 is not a whole HDF5 file", "download or save it again"),
    ),
    "id above the vocabulary, to predict": (
        hub_call("predict", token_ids=at(IDS, (0, 0), 40)),
        IndexError,
        ("token_ids has the id 40", "0 to 39", "Use the one saved with the model"),
    ),
    "negative segment, to evaluate": (
        hub_call("evaluate", segment_ids=at(ONES, (0, 0), -1)),
        IndexError,
        ("segment_ids has the id -1", "0 to 1", "mend the ids"),
    ),
    "tokenizer of a larger vocabulary": (
        hub(large_tokenizer),
        ValueError,
        ("tokenizer has 12288 tokens", "vocabulary_size is 40", "use the tokenizer saved with it"),
    ),
    "odd head size of KerasHub's backbone": (
        hub(lambda *_: hub_backbone(hidden_dim=6)),
        ValueError,
        ("must be even", "6 / 2 = 3"),
    ),
    "terabytes of KerasHub's backbone": (
        hub(lambda *_: hub_backbone(vocabulary_size=10**12)),
        ValueError,
        ("64.0 TB", "vocab_size=1000000000000", "this machine has", "correct the config"),
    ),
    "generation of a backbone that is not causal": (
        hub(lambda models, _: models.RoFormerCausalLM(hub_backbone())),
        ValueError,
        ("causal=True",),
    ),
    # layers alone
    "odd head size of a layer": (
        layer(layers.RotaryEmbedding, np.ones((1, 2, 1, 7), "float32")),
        ValueError,
        ("must be even", "got 7"),
    ),
    "neither input of a layer": (
        layer(backbone, attention_mask=ONES),
        ValueError,
        ("exactly one of input_ids and inputs_embeds", "got neither", "pass the token ids"),
    ),
    "context of a layer without cross-attention": (
        layer(backbone, IDS, context=STATES),
        ValueError,
        ("encoder_hidden_states", "without cross-attention", "add_cross_attention=True"),
    ),
}


def here(row):
    return len(row) < 4 or BACKEND in row[3]


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if here(row)])
def test_bad_input(name, tmp_path):
    mistake, error, texts = ROWS[name][:3]
    with pytest.raises(error) as caught:
        mistake(tmp_path)
    message = str(caught.value)
    for text in texts:
        assert text in message, message


def test_there_are_enough_rows():
    assert sum(map(here, ROWS.values())) >= 60


def test_good_input_of_every_shape_passes():
    """What the checks must let through: masks of both ranks, rows that serve a whole batch."""
    triangle = np.tril(np.ones((2, 6, 6), "int32"))
    for arguments in (
        dict(attention_mask=ONES.astype(bool)),
        dict(attention_mask=ONES.astype("float32")),
        dict(attention_mask=triangle),
        dict(attention_mask=ONES[:1]),
        dict(token_type_ids=ONES[:1]),
        dict(position_ids=np.arange(6)),
        dict(position_ids=np.arange(6)[None]),
        dict(head_mask=np.ones((2, 2), "float32")),
    ):
        call("Model", input_ids=IDS, **arguments)(None)
    call("Model", inputs_embeds=EMBEDS)(None)
    one = np.ones((2, 1), "float32")
    call_pruned({0: [1], 1: [0]}, input_ids=IDS, head_mask=one)(None)
    call("ForCausalLM", DECODER, input_ids=IDS, past_key_values=PAST)(None)
    if BACKEND != "jax":
        call("ForTokenClassification", input_ids=IDS, labels=at(LABELS, 0, -100))(None)
        regression = dict(num_labels=1)
        call("ForSequenceClassification", regression, input_ids=IDS, labels=np.ones(2, "f"))(None)


def test_checks_of_values_can_be_switched_off(monkeypatch):
    """Shapes are checked all the same: they cost nothing."""
    from keras_roformer.facades import pretrained

    monkeypatch.setattr(pretrained, "CHECK_IDS", False)
    additive = call("Model", input_ids=IDS, attention_mask=2.0 * ONES.astype("float32"))
    additive(None)
    with pytest.raises(ValueError, match="its length is 0"):
        call("Model", input_ids=IDS[:, :0])(None)
    monkeypatch.setattr(pretrained, "CHECK_IDS", True)
    with pytest.raises(ValueError, match="holds 2"):
        additive(None)


def test_presets_named_in_errors_are_there():
    assert "roformer_tiny_zh" in list_presets()
    path = resolve("roformer_tiny_zh") / "config.json"
    assert json.loads(path.read_text())["model_type"] == "roformer"
