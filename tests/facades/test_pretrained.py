"""What the documented classes share: loading, saving, errors, signatures."""

import copy
import inspect
import json
import logging
import os

import keras
import numpy as np
import pytest

import keras_roformer as kr
from keras_roformer import hub, weights
from keras_roformer.convert import convert_checkpoint
from keras_roformer.weights import names
from tests.fake_hub import Hub
from tests.support import (
    BACKEND,
    CONFIG,
    IDS,
    PREFIX,
    TASKS,
    close,
    cls,
    first,
    make,
    python,
    tensor,
)


def assert_equal_weights(loaded, model):
    """Bit for bit: a file changes no weight."""
    found, wanted = loaded._canonical(), model._canonical()
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize("task", TASKS)
def test_name_table_is_complete_both_ways(task):
    """Every trainable variable has one name, and every name one variable."""
    network = make(task, is_decoder=True, add_cross_attention=True).network
    table = list(names.weights(network))
    assert {id(w.variable) for w in table} == {id(v) for v in network.trainable_variables}
    assert len({w.name for w in table}) == len(table) == len(network.trainable_variables)
    originals = [w.original for w in table if w.original]
    assert len(set(originals)) == len(originals)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("format", ["safetensors", "pytorch", "tensorflow", "flax"])
def test_every_family_loads_every_format(task, format, tmp_path):
    model = make(task)
    model.config.save_pretrained(tmp_path)
    weights.write(tmp_path, model._canonical(), format=format, kinds=names.kinds(model.network))
    assert_equal_weights(cls(task).from_pretrained(tmp_path), model)


def write_original(directory, model):
    """A checkpoint as the original code and bert4keras write it, with what training adds."""
    tf = pytest.importorskip("tensorflow")
    canonical = model._canonical()
    arrays = {"global_step": np.array(7)}
    for weight in names.weights(model.network):
        if weight.original:
            array = canonical[weight.name]
            arrays[weight.original] = array.T if weight.transposed else array
            arrays[f"{weight.original}/adam_m"] = np.zeros(3, "float32")
    stored, tensors = zip(*arrays.items(), strict=True)
    tf.raw_ops.SaveV2(
        prefix=str(directory / "bert_model.ckpt"),
        tensor_names=stored,
        shape_and_slices=[""] * len(stored),
        tensors=tensors,
    )
    config = json.loads(model.config.to_json_string())
    del config["model_type"]
    (directory / "bert_config.json").write_text(json.dumps(config), "utf-8")


def test_original_checkpoints(tmp_path):
    model = make("ForMaskedLM")
    write_original(tmp_path, model)
    assert_equal_weights(cls("ForMaskedLM").from_pretrained(tmp_path), model)
    assert_equal_weights(cls("ForMaskedLM").from_pretrained(tmp_path, from_tf=True), model)
    index = tmp_path / "bert_model.ckpt.index"
    again, info = cls("ForMaskedLM").from_pretrained(
        str(index), from_tf=True, config=model.config, output_loading_info=True
    )
    assert_equal_weights(again, model)
    assert info["missing_keys"] == info["unexpected_keys"] == []
    close(first(again), first(model))

    report = convert_checkpoint(tmp_path, tmp_path / "new")
    assert report["from"] == "original" and report["equal"]
    (tmp_path / "new" / "bert_config.json").unlink()  # the copied one is not needed
    assert_equal_weights(cls("ForMaskedLM").from_pretrained(tmp_path / "new"), model)


def test_original_checkpoints_that_do_not_fit(tmp_path):
    tf = pytest.importorskip("tensorflow")

    def save(name, variables):
        tf.raw_ops.SaveV2(
            prefix=str(tmp_path / name),
            tensor_names=list(variables),
            shape_and_slices=[""] * len(variables),
            tensors=list(variables.values()),
        )

    save("bert_model.ckpt", {"bert/embeddings/position_embeddings": np.zeros((5, 4), "float32")})
    make("Model").config.save_pretrained(tmp_path)
    with pytest.raises(weights.CheckpointError, match="BERT checkpoint"):
        cls("Model").from_pretrained(tmp_path)
    save("model.ckpt-100", {"a": np.zeros(3, "float32")})
    with pytest.raises(weights.CheckpointError, match="several TensorFlow checkpoints"):
        cls("Model").from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="expected one of safetensors"):
        weights.write(tmp_path, {}, "original")


def test_weights_in_memory(tmp_path):
    model = make("ForTokenClassification")
    state = model._canonical()
    new = cls("ForTokenClassification").from_pretrained(None, config=model.config, state_dict=state)
    assert_equal_weights(new, model)
    doubled = {name: 2 * array for name, array in state.items()}
    model.save_pretrained(tmp_path / "other", state_dict=doubled, save_function=print)
    loaded = cls("ForTokenClassification").from_pretrained(tmp_path / "other")._canonical()
    np.testing.assert_array_equal(loaded["classifier.weight"], doubled["classifier.weight"])
    model.save_pretrained(tmp_path / "no", is_main_process=False)
    assert not (tmp_path / "no").exists()


def test_arguments_that_only_say_how_transformers_loads(tmp_path):
    model = make("ForTokenClassification")
    model.save_pretrained(tmp_path)
    again = cls("ForTokenClassification").from_pretrained(
        tmp_path,
        config=model.config,
        trust_remote_code=True,
        resume_download=False,
        proxies=None,
        use_auth_token=None,
        mirror=None,
        low_cpu_mem_usage=True,
        weights_only=True,
        attn_implementation="eager",
        variant=None,
        quantization_config=None,
    )
    assert_equal_weights(again, model)
    for wrong in ({"foo_bar": 1}, {"attn_implementation": "flash_attention_2"}, {"variant": "x"}):
        with pytest.raises(TypeError, match=f"unknown argument.*{next(iter(wrong))}"):
            cls("ForTokenClassification").from_pretrained(tmp_path, config=model.config, **wrong)
        with pytest.raises(TypeError, match=f"unknown argument.*{next(iter(wrong))}"):
            cls("ForTokenClassification").from_pretrained(tmp_path, **wrong)


def test_a_config_of_transformers():
    transformers = pytest.importorskip("transformers")
    config = transformers.RoFormerConfig(**CONFIG)
    model = cls("ForTokenClassification")(config)
    assert isinstance(model.config, kr.RoFormerConfig) and model.config.num_labels == 3
    assert first(model).shape == (2, 6, 3)


def test_import_star():
    found = {}
    exec("from keras_roformer import *", found)
    assert found[f"{PREFIX}RoFormerForMaskedLM"] is cls("ForMaskedLM")
    assert {"RoFormerConfig", "RoFormerTokenizer", "pipeline", "RoFormerBackbone"} <= set(found)


@pytest.mark.parametrize("flag", ["from_pt", "from_tf", "from_flax"])
def test_documented_format_flags(flag, tmp_path):
    model = make("ForMaskedLM")
    model.config.save_pretrained(tmp_path)
    other = {n: a + 1 for n, a in model._canonical().items()}
    file_format = {"from_pt": "pytorch", "from_tf": "tensorflow", "from_flax": "flax"}[flag]
    for name in {"pytorch", "tensorflow", "flax"}:
        tensors = model._canonical() if name == file_format else other
        weights.write(tmp_path, tensors, format=name, kinds=names.kinds(model.network))
    loaded = cls("ForMaskedLM").from_pretrained(tmp_path, **{flag: True})
    assert_equal_weights(loaded, model)


@pytest.mark.quick
@pytest.mark.parametrize("task", TASKS)
def test_save_and_load_round_trip_in_shards(task, tmp_path):
    model = make(task)
    model.save_pretrained(tmp_path, max_shard_size=4000)
    assert any(name.endswith(".index.json") for name in os.listdir(tmp_path))
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["architectures"] == [f"RoFormer{task}"]
    assert_equal_weights(cls(task).from_pretrained(tmp_path), model)


def test_what_is_pushed_comes_back(tmp_path, monkeypatch):
    hub = Hub(tmp_path, monkeypatch)
    model = make("ForSequenceClassification")
    answer = model.push_to_hub("mine", "Say so", private=True, token="secret", revision="next")
    assert answer == "commit to me/mine"
    assert [name for name, _ in hub.calls] == ["HfApi", "create", "branch", "upload"]
    assert hub.calls[0][1] == "secret" and hub.calls[1][1]["private"] is True
    assert hub.calls[3][1]["commit_message"] == "Say so" and hub.calls[3][1]["revision"] == "next"
    again = cls("ForSequenceClassification").from_pretrained("me/mine")
    assert_equal_weights(again, model)


def test_saving_pushes_what_it_has_written(tmp_path, monkeypatch):
    hub = Hub(tmp_path, monkeypatch)
    directory = tmp_path / "local"
    directory.mkdir()
    (directory / "diary.txt").write_text("of the user's own")
    model = make("ForSequenceClassification")
    other = {"classifier.out_proj.weight": np.random.default_rng(0).normal(size=(3, 16))}
    options = dict(state_dict=other, safe_serialization=True, max_shard_size=4000)
    saved_model = dict(saved_model=True) if BACKEND == "tensorflow" else {}
    model.save_pretrained(directory, push_to_hub=True, **options, **saved_model)
    here = [str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()]
    assert hub.files("me/local") == sorted({*here} - {"diary.txt"})
    assert any("safetensors.index" in name for name in here)
    assert any("saved_model.pb" in name for name in here) == (BACKEND == "tensorflow")
    with pytest.raises(TypeError, match="colour"):
        model.save_pretrained(directory, push_to_hub=True, colour="red")


def test_new_head_is_reported_and_the_encoder_kept(tmp_path, caplog):
    model = make("ForMaskedLM")
    model.save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING, "keras_roformer"):
        other, info = cls("ForTokenClassification").from_pretrained(
            tmp_path, num_labels=5, output_loading_info=True
        )
    assert "classifier.weight" in caplog.text and "train the model" in caplog.text
    assert info["missing_keys"] == ["classifier.weight", "classifier.bias"]
    assert "cls.predictions.bias" in info["unexpected_keys"]
    assert other.config.num_labels == 5 and first(other).shape == (2, 6, 5)
    bare = cls("Model").from_pretrained(tmp_path)
    states = model(tensor(IDS), output_hidden_states=True).hidden_states[-1]
    close(first(bare), keras.ops.convert_to_numpy(states))


def test_loading_draws_only_what_the_checkpoint_lacks(tmp_path, monkeypatch):
    make("ForMaskedLM").save_pretrained(tmp_path)
    new = cls("ForTokenClassification").from_pretrained(
        tmp_path, num_labels=1000, initializer_range=0.5
    )
    kernel = new._canonical()["classifier.weight"]
    assert 0.4 < kernel.std() < 0.55 and np.abs(kernel).max() > 0.8
    bias = new._canonical()["classifier.bias"]
    np.testing.assert_array_equal(bias, np.zeros(1000, "float32"))

    def draw(*args, **kwargs):
        raise AssertionError("drawn, only to be replaced")

    monkeypatch.setattr(keras.src.initializers.random_initializers.random, "truncated_normal", draw)
    if BACKEND == "torch":
        monkeypatch.setattr("torch.nn.init.normal_", draw)
    if BACKEND == "jax":
        import jax

        monkeypatch.setattr(jax.random, "normal", draw)
    with pytest.raises(AssertionError, match="only to be replaced"):
        make("ForMaskedLM")
    cls("ForMaskedLM").from_pretrained(tmp_path)


def test_a_load_resolves_validates_and_copies_once(tmp_path, monkeypatch):
    calls = []

    def counted(function):
        def count(*args, **kwargs):
            calls.append(function.__name__)
            return function(*args, **kwargs)

        return count

    config = make("ForCausalLM", is_decoder=True).config
    make("ForCausalLM", is_decoder=True).save_pretrained(tmp_path)
    monkeypatch.setattr(hub, "resolve", counted(hub.resolve))
    monkeypatch.setattr(kr.RoFormerConfig, "validate", counted(kr.RoFormerConfig.validate))
    monkeypatch.setattr(copy, "deepcopy", counted(copy.deepcopy))
    for arguments in ({}, {"hidden_dropout_prob": 0.3}, {"config": config}):
        calls.clear()
        model = cls("ForCausalLM").from_pretrained(tmp_path, **arguments)
        assert sorted(calls) == ["deepcopy", "resolve", "validate"], arguments
        assert model.config is not config
    config.hidden_size = 65  # assigned since the config was made
    for call in (cls("Model"), lambda c: cls("Model").from_pretrained(tmp_path, config=c)):
        with pytest.raises(ValueError, match="hidden_size must be a multiple"):
            call(config)


class TestCheckpointsThatDoNotFit:
    def write(self, directory, change):
        model = make("ForMaskedLM")
        model.config.save_pretrained(directory)
        tensors = dict(model._canonical())
        change(tensors)
        weights.write(directory, tensors)

    def load(self, directory, **kwargs):
        return cls("ForMaskedLM").from_pretrained(directory, **kwargs)

    def test_missing_encoder_weight(self, tmp_path):
        self.write(tmp_path, lambda t: t.pop("roformer.encoder.layer.1.output.dense.weight"))
        with pytest.raises(weights.CheckpointError, match=r"lacks 1 weights.*layer.1.output.dense"):
            self.load(tmp_path)

    def test_a_network_of_the_first_layers(self, tmp_path, caplog):
        self.write(tmp_path, lambda t: None)
        whole, (part, info) = (
            self.load(tmp_path),
            self.load(tmp_path, num_hidden_layers=1, output_loading_info=True),
        )
        assert "roformer.encoder.layer.1.output.dense.weight" in info["unexpected_keys"]
        assert "has no place for" in caplog.text and part.config.num_hidden_layers == 1
        first_layer = whole(tensor(IDS), output_hidden_states=True).hidden_states[1]
        states = part(tensor(IDS), output_hidden_states=True).hidden_states
        assert len(states) == 2
        np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (states[1], first_layer)))

    def test_unknown_parts_of_a_layer(self, tmp_path):
        def add(tensors):
            tensors["roformer.encoder.layer.1.gate.weight"] = np.zeros(3, "float32")

        self.write(tmp_path, add)
        with pytest.raises(weights.CheckpointError, match="has, but the model does not"):
            self.load(tmp_path)

    def test_a_decoder_that_starts_from_an_encoder(self, tmp_path, caplog):
        make("ForMaskedLM").save_pretrained(tmp_path)
        model, info = cls("ForCausalLM").from_pretrained(
            tmp_path, is_decoder=True, add_cross_attention=True, output_loading_info=True
        )
        assert all("crossattention" in name for name in info["missing_keys"])
        assert len(info["missing_keys"]) == 20 and "keep their initial values" in caplog.text
        kernel = model._canonical()["roformer.encoder.layer.1.crossattention.self.query.weight"]
        assert 0.01 < kernel.std() < 0.03
        loaded, wanted = model._canonical(), make("ForMaskedLM")._canonical()
        assert all(np.array_equal(loaded[name], array) for name, array in wanted.items())

    def test_other_shape(self, tmp_path):
        self.write(tmp_path, lambda t: None)
        with pytest.raises(weights.CheckpointError, match=r"\(40, 12\), the model needs \(41, 12"):
            self.load(tmp_path, vocab_size=41)
        model, info = self.load(
            tmp_path, vocab_size=41, ignore_mismatched_sizes=True, output_loading_info=True
        )
        assert ("roformer.embeddings.word_embeddings.weight", (40, 12), (41, 12)) in info[
            "mismatched_keys"
        ]

    def test_bert_and_v2_are_refused_by_name(self, tmp_path):
        def to_bert(tensors):
            for name in list(tensors):
                tensors[name.replace("roformer.", "bert.")] = tensors.pop(name)

        self.write(tmp_path, to_bert)
        with pytest.raises(weights.CheckpointError, match="is a bert checkpoint"):
            self.load(tmp_path)

        def to_v2(tensors):
            for name in [n for n in tensors if "attention.self" in n and n.endswith("bias")]:
                del tensors[name]

        self.write(tmp_path, to_v2)
        with pytest.raises(weights.CheckpointError, match="RoFormerV2"):
            self.load(tmp_path)


def test_ids_out_of_range_are_named():
    model = make("ForMaskedLM")
    for bad in (40, -1):
        ids = IDS.copy()
        ids[1, 2] = bad
        with pytest.raises(IndexError, match=f"input_ids has the id {bad}, .* 0 to 39"):
            model(tensor(ids))
    with pytest.raises(IndexError, match="token_type_ids has the id 2, .* 0 to 1"):
        model(tensor(IDS), token_type_ids=tensor(np.full_like(IDS, 2)))


@pytest.mark.quick
def test_documented_signature():
    name = "forward" if BACKEND == "torch" else "call" if BACKEND == "tensorflow" else "__call__"
    parameters = list(inspect.signature(getattr(cls("ForMaskedLM"), name)).parameters)
    assert parameters[:4] == ["self", "input_ids", "attention_mask", "token_type_ids"]
    assert parameters[4] == "head_mask"
    assert ("labels" in parameters) == (BACKEND != "jax")


def test_can_generate():
    assert [make(task).can_generate() for task in ("Model", "ForCausalLM")] == [False, True]


@pytest.mark.parametrize("value", ["roformer", None, {}])
def test_constructor_wants_a_config(value):
    with pytest.raises(TypeError, match="takes a RoFormerConfig.*from_pretrained"):
        cls("Model")(value)
    with pytest.raises(TypeError, match="base class"):
        cls("PreTrainedModel")(kr.RoFormerConfig(**CONFIG))


def test_unknown_arguments_are_errors(tmp_path):
    model = make("Model")
    with pytest.raises(TypeError, match="no argument 'tokens'"):
        model(tensor(IDS), tokens=1)
    model.save_pretrained(tmp_path)
    with pytest.raises(TypeError, match="unknown argument.*colour"):
        cls("Model").from_pretrained(tmp_path, colour="red")
    with pytest.raises((TypeError, ValueError), match="colour"):  # Keras's own is a ValueError
        cls("Model")(model.config, colour="red")
    if BACKEND != "jax":  # whose constructor has arguments by position
        with pytest.raises(TypeError, match="unknown argument.* 'red'"):
            cls("Model")(model.config, "red")
    with pytest.raises(TypeError, match="pad_to_multiple"):
        model.resize_token_embeddings(50, pad_to_multiple=64)
    model.resize_token_embeddings(50, mean_resizing=False)


def test_auto_classes(tmp_path):
    model = make("ForMaskedLM")
    model.save_pretrained(tmp_path)
    loaded = getattr(kr, f"{PREFIX}AutoModelForMaskedLM").from_pretrained(tmp_path)
    assert type(loaded) is cls("ForMaskedLM")
    assert_equal_weights(loaded, model)
    config = kr.AutoConfig.from_pretrained(tmp_path)
    auto = getattr(kr, f"{PREFIX}AutoModel")
    assert type(auto.from_config(config)) is cls("Model")
    new = auto.from_config(config, dtype="float16", trust_remote_code=False)
    assert "float16" in str(new.dtype)
    with pytest.raises((TypeError, ValueError), match="colour"):
        auto.from_config(config, colour="red")


def test_wrong_backend_names_both():
    other = "TFRoFormerModel" if BACKEND != "tensorflow" else "FlaxRoFormerModel"
    wanted = "tensorflow" if BACKEND != "tensorflow" else "jax"
    with pytest.raises(
        RuntimeError, match=f"{wanted} backend.*runs Keras on {BACKEND}.*KERAS_BACKEND={wanted}"
    ):
        getattr(kr, other)


def test_import_is_light_and_first_class_decides():
    code = (
        "import sys, keras_roformer\n"
        "heavy = {'keras', 'jax', 'torch', 'tensorflow', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        f"keras_roformer.{PREFIX}RoFormerModel\n"
        f"import keras; assert keras.config.backend() == {BACKEND!r}\n"
    )
    environment = {n: v for n, v in os.environ.items() if n != "KERAS_BACKEND"}
    python("-c", code, env=environment)


@pytest.mark.parametrize("module", ["layers", "models", "viz; keras_roformer.viz.rope_decay()"])
@pytest.mark.parametrize("configured, expected", [("torch", "torch"), ("tensorflow", "jax")])
@pytest.mark.framework_free
def test_layers_and_models_choose_a_backend(module, configured, expected, tmp_path):
    """Keras alone asks for TensorFlow, installed or not: so it says in the keras.json it writes."""
    (tmp_path / "keras.json").write_text(json.dumps({"backend": configured}))
    # Stops where Keras would be imported, and tells which backend is chosen by then.
    code = (
        "import os, sys, importlib.abc\n"
        "class Stop(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'keras': print(os.environ.get('KERAS_BACKEND')); os._exit(3)\n"
        "sys.meta_path.insert(0, Stop())\n"
        "sys.stdout.reconfigure(line_buffering=True)\n"
        f"import keras_roformer.{module}"
    )
    environment = {**os.environ, "KERAS_HOME": str(tmp_path), "KERAS_BACKEND": ""}
    done = python("-c", code, status=3, env=environment)
    assert done.stdout == f"{expected}\n", done.stderr
