"""RoFormerConfig: documented defaults, transformers' files both ways, clear errors."""

import copy
import inspect
import json
import pickle

import numpy as np
import pytest

from keras_roformer.config import AutoConfig, RoFormerConfig
from keras_roformer.config_fields import ACTIVATIONS, DOCUMENTED_FIELDS
from tests.fake_hub import Hub
from tests.support import python

pytestmark = pytest.mark.framework_free

# What transformers 4.57.6 wrote with RoFormerConfig(…).to_json_string().
DEFAULT = """\
{
  "attention_probs_dropout_prob": 0.1,
  "embedding_size": 768,
  "hidden_act": "gelu",
  "hidden_dropout_prob": 0.1,
  "hidden_size": 768,
  "initializer_range": 0.02,
  "intermediate_size": 3072,
  "layer_norm_eps": 1e-12,
  "max_position_embeddings": 1536,
  "model_type": "roformer",
  "num_attention_heads": 12,
  "num_hidden_layers": 12,
  "pad_token_id": 0,
  "rotary_value": false,
  "transformers_version": "4.57.6",
  "type_vocab_size": 2,
  "use_cache": true,
  "vocab_size": 50000
}
"""

EVERYTHING = """\
{
  "add_cross_attention": true,
  "architectures": [
    "RoFormerForCausalLM"
  ],
  "attention_probs_dropout_prob": 0.25,
  "bos_token_id": 1,
  "classifier_dropout": 0.3,
  "dtype": "float16",
  "embedding_size": 24,
  "eos_token_id": [
    2,
    3
  ],
  "hidden_act": "gelu_new",
  "hidden_dropout_prob": 0.0,
  "hidden_size": 48,
  "id2label": {
    "0": "\\u8d1f",
    "1": "\\u6b63",
    "2": "\\u4e2d"
  },
  "initializer_range": 0.05,
  "intermediate_size": 77,
  "is_decoder": true,
  "label2id": {
    "\\u4e2d": 2,
    "\\u6b63": 1,
    "\\u8d1f": 0
  },
  "layer_norm_eps": 1e-06,
  "max_position_embeddings": 512,
  "model_type": "roformer",
  "my_own": {
    "nested": [
      1,
      2
    ]
  },
  "num_attention_heads": 4,
  "num_hidden_layers": 3,
  "output_hidden_states": true,
  "pad_token_id": 5,
  "problem_type": "single_label_classification",
  "pruned_heads": {
    "1": [
      0,
      2
    ]
  },
  "return_dict": false,
  "rotary_value": true,
  "sep_token_id": 4,
  "summary_type": "first",
  "tie_word_embeddings": false,
  "tokenizer_class": "BertTokenizer",
  "transformers_version": "4.57.6",
  "type_vocab_size": 3,
  "use_cache": false,
  "vocab_size": 123
}
"""

NUM_LABELS = """\
{
  "attention_probs_dropout_prob": 0.1,
  "embedding_size": 768,
  "hidden_act": "gelu",
  "hidden_dropout_prob": 0.1,
  "hidden_size": 768,
  "id2label": {
    "0": "LABEL_0"
  },
  "initializer_range": 0.02,
  "intermediate_size": 3072,
  "label2id": {
    "LABEL_0": 0
  },
  "layer_norm_eps": 1e-12,
  "max_position_embeddings": 1536,
  "model_type": "roformer",
  "num_attention_heads": 12,
  "num_hidden_layers": 12,
  "pad_token_id": 0,
  "rotary_value": false,
  "transformers_version": "4.57.6",
  "type_vocab_size": 2,
  "use_cache": true,
  "vocab_size": 50000
}
"""

RECORDED = {"default": DEFAULT, "everything": EVERYTHING, "num_labels": NUM_LABELS}

# The signature in the documentation.
DOCUMENTED = dict(
    vocab_size=50000,
    embedding_size=None,
    hidden_size=768,
    num_hidden_layers=12,
    num_attention_heads=12,
    intermediate_size=3072,
    hidden_act="gelu",
    hidden_dropout_prob=0.1,
    attention_probs_dropout_prob=0.1,
    max_position_embeddings=1536,
    type_vocab_size=2,
    initializer_range=0.02,
    layer_norm_eps=1e-12,
    pad_token_id=0,
    rotary_value=False,
    use_cache=True,
)


def test_signature_and_defaults_are_the_documented_ones():
    parameters = list(inspect.signature(RoFormerConfig).parameters.values())
    assert parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
    assert {p.name: p.default for p in parameters[:-1]} == DOCUMENTED
    assert [p.name for p in parameters[:-1]] == list(DOCUMENTED)
    assert set(DOCUMENTED_FIELDS) == set(DOCUMENTED)  # which the constructor sets and checks
    config = RoFormerConfig()
    fields = {name: getattr(config, name) for name in DOCUMENTED}
    assert fields == {**DOCUMENTED, "embedding_size": 768}
    assert (config.is_decoder, config.num_labels, config.use_return_dict) == (False, 2, True)


@pytest.mark.parametrize("name", RECORDED)
def test_transformers_json_is_written_back_as_it_was(name):
    text = RECORDED[name]
    config = RoFormerConfig.from_dict(json.loads(text))
    # transformers escapes what is not ASCII; the JSON is the same.
    assert json.loads(config.to_json_string()) == json.loads(text)


def test_fields_of_a_transformers_file():
    config = RoFormerConfig.from_dict(json.loads(EVERYTHING))
    assert config.hidden_act == "gelu_new" and config.rotary_value and config.is_decoder
    assert config.id2label == {0: "负", 1: "正", 2: "中"} and config.num_labels == 3
    assert config.label2id["正"] == 1
    assert config.dtype == config.torch_dtype == "float16"
    assert config.pruned_heads == {1: [0, 2]}
    assert config.my_own == {"nested": [1, 2]}
    assert not config.use_return_dict and not config.tie_word_embeddings


def test_live_transformers_reads_what_is_written(tmp_path):
    transformers = pytest.importorskip("transformers")
    written = RoFormerConfig(
        hidden_size=48, num_attention_heads=4, embedding_size=24, id2label={0: "a", 1: "b", 2: "c"}
    )
    written.save_pretrained(tmp_path)
    theirs = transformers.RoFormerConfig.from_pretrained(tmp_path)
    for name in (*DOCUMENTED, "num_labels", "id2label", "label2id"):
        assert getattr(theirs, name) == getattr(written, name), name
    theirs.save_pretrained(tmp_path)
    ours = RoFormerConfig.from_pretrained(tmp_path).to_diff_dict()
    assert {name: ours[name] for name in written.to_diff_dict()} == written.to_diff_dict()


def test_save_and_load(tmp_path):
    config = RoFormerConfig(hidden_size=64, num_attention_heads=4, num_labels=3, later_field=[1])
    config.save_pretrained(tmp_path / "new" / "directory")
    for source in (tmp_path / "new/directory", tmp_path / "new/directory/config.json"):
        loaded = RoFormerConfig.from_pretrained(source)
        assert loaded == config and loaded.name_or_path == str(source)
    assert AutoConfig.from_pretrained(str(tmp_path / "new/directory")) == config
    assert RoFormerConfig.from_json_file(tmp_path / "new/directory/config.json") == config
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file; give a directory"):
        config.save_pretrained(tmp_path / "file")


def test_overrides(tmp_path, caplog):
    RoFormerConfig(hidden_size=64, num_attention_heads=4).save_pretrained(tmp_path)
    config = RoFormerConfig.from_pretrained(
        tmp_path, num_labels=4, is_decoder=True, torch_dtype="bfloat16"
    )
    assert (config.num_labels, config.is_decoder, config.dtype) == (4, True, "bfloat16")
    config, unused = RoFormerConfig.from_pretrained(
        tmp_path, return_unused_kwargs=True, is_decoder=True, nonsense=1
    )
    assert config.is_decoder and unused == {"nonsense": 1}
    assert not caplog.records
    RoFormerConfig.from_pretrained(tmp_path, nonsense=1, trust_remote_code=True)
    assert "no field(s) nonsense; they are ignored" in caplog.text
    with pytest.raises(ValueError, match="hidden_size must be a multiple"):
        RoFormerConfig.from_pretrained(tmp_path, hidden_size=65)


def test_num_labels_and_label_names():
    config = RoFormerConfig(num_labels=3)
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    config.id2label = {"0": "bad", "1": "good"}
    assert config.num_labels == 2 and config.label2id == {"bad": 0, "good": 1}
    config.num_labels = 2  # no change: the names stay
    assert config.id2label == {0: "bad", 1: "good"}
    config.num_labels = 1
    assert config.id2label == {0: "LABEL_0"} and config.label2id == {"LABEL_0": 0}
    config.update({"id2label": {0: "x", 1: "y"}, "num_labels": 2})
    assert config.label2id == {"x": 0, "y": 1}
    with pytest.raises(ValueError, match="num_labels=3 does not fit the 2 labels"):
        config.update({"id2label": {0: "x", 1: "y"}, "num_labels": 3})


def test_contradicting_labels_of_a_file_give_a_warning(caplog):
    config = RoFormerConfig(num_labels=3, id2label={0: "x", 1: "y"})
    assert config.num_labels == 2
    assert "num_labels=3 does not fit the 2 labels of id2label" in caplog.text


def test_equality_copies_and_hash():
    config = RoFormerConfig(num_labels=3, extra="kept")
    for same in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert same == config
        same.extra = "changed"
        assert same != config
    assert config != RoFormerConfig(num_labels=3)
    assert config != 3
    config.name_or_path = "elsewhere"
    assert config == RoFormerConfig(num_labels=3, extra="kept")
    other = copy.deepcopy(config)
    other.id2label[0] = "changed"
    assert config.id2label[0] == "LABEL_0"


def test_repr_shows_the_json():
    text = repr(RoFormerConfig(hidden_size=48, num_attention_heads=4))
    assert text.startswith("RoFormerConfig {") and '"hidden_size": 48' in text
    assert repr(RoFormerConfig(hidden_act=len)).count("<built-in function len>") == 1


def test_to_dict_and_from_dict_lose_nothing():
    config = RoFormerConfig.from_dict(json.loads(EVERYTHING))
    config.name_or_path = "somewhere"
    again = RoFormerConfig.from_dict(config.to_dict())
    assert again == config and again.name_or_path == "somewhere"
    fields = config.to_dict()
    fields["id2label"][0] = "changed"
    assert config.id2label[0] == "负"
    assert set(config.to_diff_dict()) < set(config.to_dict())


def test_numpy_numbers_are_accepted():
    config = RoFormerConfig(hidden_size=np.int64(48), num_attention_heads=np.int32(4))
    assert json.loads(config.to_json_string())["hidden_size"] == 48


@pytest.mark.parametrize(
    "dtype",
    ["float16", "torch.float16", "numpy.float16", "jax.numpy.float16", "tensorflow.float16"],
)
def test_dtype_of_every_framework_becomes_its_name(dtype):
    module, _, name = dtype.rpartition(".")
    if module:
        dtype = getattr(pytest.importorskip(module), name)
    assert RoFormerConfig(torch_dtype=dtype).dtype == "float16"
    assert RoFormerConfig(dtype=dtype, torch_dtype="float32").torch_dtype == "float16"


@pytest.mark.parametrize(
    "fields, error, message",
    [
        (dict(hidden_size=100), ValueError, "multiple of num_attention_heads.*100.*12"),
        (dict(hidden_size=36), ValueError, "must be even.*36 / 12 = 3"),
        (dict(hidden_act="glue"), ValueError, "hidden_act is 'glue'.*gelu_new"),
        (dict(hidden_act=3), TypeError, "hidden_act must be the name.*int: 3"),
        (dict(vocab_size=-1), ValueError, "vocab_size must be at least 1, got -1"),
        (dict(num_hidden_layers=0), ValueError, "num_hidden_layers must be at least 1, got 0"),
        (dict(hidden_size="768"), TypeError, "hidden_size must be an integer, got str: '768'"),
        (dict(intermediate_size=3.5), TypeError, "intermediate_size must be an integer"),
        (dict(type_vocab_size=True), TypeError, "type_vocab_size must be an integer, got bool"),
        (dict(hidden_dropout_prob=1.5), ValueError, "hidden_dropout_prob must be from 0 to 1"),
        (dict(attention_probs_dropout_prob=-0.1), ValueError, "must be from 0 to 1, got -0.1"),
        (dict(hidden_dropout_prob=float("nan")), ValueError, "from 0 to 1, got nan"),
        (dict(classifier_dropout=2), ValueError, "classifier_dropout must be from 0 to 1"),
        (dict(layer_norm_eps=-1), ValueError, "layer_norm_eps must be at least 0, got -1"),
        (dict(layer_norm_eps="tiny"), TypeError, "layer_norm_eps must be a number"),
        (dict(rotary_value="no"), TypeError, "rotary_value must be True or False, got 'no'"),
        (dict(is_decoder=1), TypeError, "is_decoder must be True or False, got 1"),
        (dict(pad_token_id=50000), ValueError, "below vocab_size=50000, got 50000"),
        (dict(problem_type="guess"), ValueError, "problem_type must be one of regression"),
        (dict(summary_type="max"), ValueError, "summary_type must be one of last"),
        (dict(num_labels=-1), ValueError, "num_labels must be at least 0"),
        (dict(id2label=["a"]), TypeError, "id2label must be a dict, got list"),
        (dict(add_cross_attention=True), ValueError, "needs is_decoder=True"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_bad_fields_are_named(fields, error, message):
    with pytest.raises(error, match=message) as raised:
        RoFormerConfig(**fields)
    assert "\n" not in str(raised.value)
    config = RoFormerConfig()
    if "id2label" not in fields:
        with pytest.raises(error, match=message):
            config.update(fields)


def test_saving_pushes(tmp_path, monkeypatch):
    hub = Hub(tmp_path, monkeypatch)
    RoFormerConfig(hidden_size=24).save_pretrained(tmp_path / "mine", push_to_hub=True)
    assert hub.files("me/mine") == ["config.json"]
    assert RoFormerConfig.from_pretrained("me/mine").hidden_size == 24
    with pytest.raises(TypeError, match="repo_id; those of the hub need push_to_hub=True"):
        RoFormerConfig().save_pretrained(tmp_path / "mine", repo_id="me/mine")


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no config.json in"):
        RoFormerConfig.from_pretrained(tmp_path)
    for text, message in (("{", "not valid JSON"), ("[1]", "must hold a JSON object, got list")):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            RoFormerConfig.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"vocab_size": 77}', encoding="utf-8-sig")
    assert RoFormerConfig.from_pretrained(tmp_path).vocab_size == 77
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="configuration of a 'bert' model"):
        RoFormerConfig.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="neither a directory nor a preset"):
        RoFormerConfig.from_pretrained("roformer_unknown")


def test_a_missing_pad_token_is_accepted():
    assert RoFormerConfig(pad_token_id=None).pad_token_id is None


def test_activation_names_are_those_of_the_layers():
    keras = pytest.importorskip("keras")
    from keras_roformer.layers.activations import get_activation

    for name in ACTIVATIONS:
        assert callable(get_activation(name)), name
    functions = {name for name in dir(keras.activations) if not name.startswith("_")}
    assert functions - {"get", "serialize", "deserialize"} <= set(ACTIVATIONS)


def test_activation_functions():
    keras = pytest.importorskip("keras")
    config = RoFormerConfig(hidden_act=keras.activations.relu)
    assert config.to_dict()["hidden_act"] == "relu"

    @keras.saving.register_keras_serializable(package="test_config")
    def half(x):
        return x / 2

    config = RoFormerConfig(hidden_act=half)
    assert copy.deepcopy(config) == config
    assert json.loads(config.to_json_string())["hidden_act"] == "test_config>half"
    assert RoFormerConfig.from_dict(config.to_dict()).hidden_act == "test_config>half"
    with pytest.raises(ValueError, match="function without a name.*register_keras_serializable"):
        RoFormerConfig(hidden_act=lambda x: x).to_json_string()


def test_a_failed_save_leaves_the_old_file(tmp_path):
    RoFormerConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="hidden_act"):
        RoFormerConfig(hidden_act=len).save_pretrained(tmp_path)
    assert RoFormerConfig.from_pretrained(tmp_path) == RoFormerConfig()


def test_import_needs_no_framework():
    code = (
        "import sys; from keras_roformer.config import RoFormerConfig as C; C(); C().to_dict()\n"
        "found = {'keras', 'jax', 'torch', 'tensorflow', 'transformers'} & set(sys.modules)\n"
        "assert not found, found"
    )
    python("-c", code)
