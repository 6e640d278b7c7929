"""The tasks: their numbers, presets in every format, files, and what they refuse."""

import warnings

import keras
import numpy as np
import pytest

from keras_roformer import models
from keras_roformer.config import RoFormerConfig
from keras_roformer.tasks import TASKS, RoFormerNetwork
from keras_roformer.weights import checkpoint, transfer
from tests.models.common import (
    TEXTS,
    VOCABULARY,
    backbone_arguments,
    random_inputs,
    randomise,
)
from tests.support import close

NAMES = (
    "MaskedLM",
    "TextClassifier",
    "TokenClassifier",
    "QuestionAnswering",
    "MultipleChoice",
    "CausalLM",
    "TextEmbedder",
)
CLASSES = {"TextClassifier": 3, "TokenClassifier": 4}


def make_backbone(**changes):
    return models.RoFormerBackbone(**backbone_arguments(vocabulary_size=len(VOCABULARY), **changes))


def make(name, preprocessor=False, **changes):
    """A small model of one task with random weights."""
    if name == "CausalLM":
        changes["causal"] = True
    arguments = {"num_classes": CLASSES[name]} if name in CLASSES else {}
    if preprocessor:
        cls = getattr(models, f"RoFormer{name}Preprocessor")
        arguments["preprocessor"] = cls(models.RoFormerHubTokenizer(VOCABULARY), 12)
    model = getattr(models, f"RoFormer{name}")(make_backbone(**changes), **arguments)
    randomise(model)
    return model


def inputs_of(name, model):
    """Random inputs of a task, as Keras takes them."""
    inputs = random_inputs(model.backbone, batch=4)
    if name == "MaskedLM":
        inputs["mask_positions"] = np.array([[0, 1], [1, 0], [1, 1], [0, 0]], "int32")
    if name == "CausalLM":
        del inputs["segment_ids"]
    if name == "MultipleChoice":
        inputs = {key: value.reshape(2, 2, -1) for key, value in inputs.items()}
    return inputs


def outputs_of(model, inputs):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, model(inputs))


def assert_equal(got, want):
    keras.tree.map_structure(lambda a, b: close(a, b), got, want)


@pytest.mark.quick
@pytest.mark.parametrize("name", NAMES[:-1])
def test_outputs_are_those_of_the_documented_task(name):
    """The core that the documented classes run gives the same from the exported checkpoint."""
    model = make(name, embedding_dim=8)
    inputs = inputs_of(name, model)
    network = RoFormerNetwork(model.roformer_config(), model.task)
    transfer.load(network, transfer.read(model.network()))
    documented = network(
        inputs["token_ids"],
        attention_mask=inputs["padding_mask"],
        token_type_ids=inputs.get("segment_ids"),
        logits_positions=inputs.get("mask_positions"),
    )
    got = outputs_of(model, inputs)
    got = got if isinstance(got, dict) else {"logits": got}
    want = {key: keras.ops.convert_to_numpy(documented[key]) for key in got}
    assert_equal(got, want)


@pytest.mark.parametrize("name", ("MaskedLM", "TextClassifier", "CausalLM"))
def test_padding_changes_nothing(name):
    model = make(name)
    inputs = inputs_of(name, model)
    want = outputs_of(model, inputs)
    wider = {
        key: value if key == "mask_positions" else np.pad(value, ((0, 0), (0, 3)))
        for key, value in inputs.items()
    }
    got = outputs_of(model, wider)
    if name == "CausalLM":
        real = inputs["padding_mask"].astype(bool)
        got, want = got[:, : real.shape[1]][real], want[real]
    assert_equal(got, want)


@pytest.mark.parametrize("name", NAMES)
def test_presets_of_both_formats_and_keras_files_give_the_model_again(name, tmp_path):
    model = make(name, preprocessor=True)
    inputs = inputs_of(name, model)
    want = outputs_of(model, inputs)
    cls = type(model)

    model.save_to_preset(tmp_path / "keras")
    assert_equal(outputs_of(cls.from_preset(tmp_path / "keras"), inputs), want)

    model.export_to_transformers(tmp_path / "transformers")
    again = cls.from_preset(tmp_path / "transformers")
    assert_equal(outputs_of(again, inputs), want)
    assert again.preprocessor.tokenizer.get_vocabulary() == VOCABULARY

    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again) is cls
    assert_equal(outputs_of(again, inputs), want)
    ids = again.preprocessor.tokenizer(TEXTS[:1])
    assert ids == model.preprocessor.tokenizer(TEXTS[:1])


def test_a_preset_has_no_optimizer_and_training_goes_on(tmp_path):
    model = make("TextClassifier", preprocessor=True)
    labels = np.array([0, 1, 2, 0])
    model.fit(TEXTS, labels, verbose=0)
    model.save_to_preset(tmp_path / "preset")
    assert int(model.optimizer.iterations) == 1
    model.fit(TEXTS, labels, verbose=0)
    assert int(model.optimizer.iterations) == 2
    model.save_to_preset(tmp_path / "preset")
    assert b"optimizer" not in (tmp_path / "preset" / "task.weights.h5").read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = type(model).from_preset(tmp_path / "preset")
    inputs = inputs_of("TextClassifier", model)
    assert_equal(outputs_of(again, inputs), outputs_of(model, inputs))


@pytest.mark.parametrize("name", ("TextClassifier", "TokenClassifier"))
def test_training_goes_on_from_a_keras_file(name, tmp_path):
    model = make(name, dropout=0.0, attention_dropout=0.0)
    inputs = inputs_of(name, model)
    labels = np.random.default_rng(0).integers(0, 3, (4, 7) if name == "TokenClassifier" else 4)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss=model.loss, weighted_metrics=[])
    model.fit(inputs, labels, verbose=0)
    model.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = keras.models.load_model(tmp_path / "model.keras")
    histories = [m.fit(inputs, labels, epochs=2, verbose=0).history for m in (model, again)]
    assert_equal(*histories)
    assert type(keras.models.clone_model(model).optimizer) is type(model.optimizer)
    model.compile(optimizer=None, loss=model.loss)
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").optimizer is None


@pytest.mark.parametrize("format", checkpoint.FORMATS)
def test_every_format_of_weights_is_read(format, tmp_path):
    model = make("TextClassifier", preprocessor=True)
    model.export_to_transformers(tmp_path)
    from keras_roformer.weights import names

    tensors = checkpoint.read(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    checkpoint.write(tmp_path, tensors, format, kinds=names.kinds(model.network()))
    inputs = inputs_of("TextClassifier", model)
    again = models.RoFormerTextClassifier.from_preset(tmp_path)
    assert_equal(outputs_of(again, inputs), outputs_of(model, inputs))


def test_keras_hubs_classes_find_ours(tmp_path):
    import keras_hub
    import keras_nlp

    for hub in (keras_hub, keras_nlp):
        for name in ("TextClassifier", "MaskedLM", "CausalLM"):
            arguments = {"num_classes": 2} if name == "TextClassifier" else {}
            cls = getattr(hub.models, name)
            model = cls.from_preset("roformer_tiny_zh", load_weights=False, **arguments)
            assert type(model) is getattr(models, f"RoFormer{name}")
    backbone = keras_hub.models.Backbone.from_preset("roformer_tiny_zh")
    assert type(backbone) is models.RoFormerBackbone
    tokenizer = keras_hub.models.Tokenizer.from_preset("roformer_tiny_zh")
    assert type(tokenizer) is models.RoFormerHubTokenizer
    preprocessor = keras_hub.models.TextClassifierPreprocessor.from_preset("roformer_tiny_zh")
    assert type(preprocessor) is models.RoFormerTextClassifierPreprocessor


@pytest.mark.quick
def test_registered_presets():
    presets = models.RoFormerBackbone.presets
    assert {"roformer_tiny_zh", "roformer_chinese_base", "roformer_small_generator"} <= set(presets)
    assert all(entry["metadata"]["description"] for entry in presets.values())
    assert presets["roformer_chinese_sim_char_base"]["kaggle_handle"] == (
        "hf://junnyu/roformer_chinese_sim_char_base"
    )


@pytest.mark.quick
def test_boxed_preset_fills_the_mask():
    model = models.RoFormerMaskedLM.from_preset("roformer_tiny_zh", preprocessor=None)
    tokenizer = models.RoFormerHubTokenizer.from_preset("roformer_tiny_zh")
    ids = tokenizer.tokenizer("今天天气很好，我们去公园[MASK]吧。", return_tensors="np")
    logits = model.predict(
        {
            "token_ids": ids["input_ids"],
            "segment_ids": ids["token_type_ids"],
            "padding_mask": ids["attention_mask"],
            "mask_positions": np.argwhere(ids["input_ids"] == tokenizer.mask_token_id)[:, 1:],
        },
        verbose=0,
    )
    best = [tokenizer.id_to_token(i) for i in np.argsort(-logits[0, 0])[:5]]
    assert {"里", "散步", "玩"} & set(best)


def test_new_heads_are_named(tmp_path, caplog):
    make("MaskedLM", preprocessor=True).export_to_transformers(tmp_path)
    with caplog.at_level("WARNING", "keras_roformer"):
        models.RoFormerTokenClassifier.from_preset(tmp_path)
    assert "classifier.weight" in caplog.text
    caplog.clear()
    model = models.RoFormerTokenClassifier.from_preset(tmp_path, num_classes=7)
    assert model.num_classes == 7
    assert not caplog.text


def test_full_logits():
    model = models.RoFormerMaskedLM(make_backbone(), masked_only=False)
    randomise(model)
    inputs = random_inputs(model.backbone)
    full = outputs_of(model, inputs)
    assert full.shape == (3, 7, len(VOCABULARY))
    some = models.RoFormerMaskedLM(model.backbone)
    some.head.set_weights(model.head.get_weights())
    positions = np.array([[0, 3], [1, 0], [1, 1]], "int32")
    got = outputs_of(some, {**inputs, "mask_positions": positions})
    assert_equal(got, np.take_along_axis(full, positions[..., None], axis=1))


@pytest.mark.parametrize("mode", ("mean", "cls", "pooler"))
def test_embedder_pools(mode):
    backbone = make_backbone(add_pooler=True)
    randomise(backbone)
    inputs = random_inputs(backbone)
    states = outputs_of(backbone, inputs)
    mask = inputs["padding_mask"][..., None]
    want = {
        "mean": (states["sequence_output"] * mask).sum(1) / mask.sum(1),
        "cls": states["sequence_output"][:, 0],
        "pooler": states["pooled_output"],
    }[mode]
    model = models.RoFormerTextEmbedder(backbone, pooling_mode=mode, normalize=False)
    assert_equal(outputs_of(model, inputs), want)
    model = models.RoFormerTextEmbedder(backbone, pooling_mode=mode)
    lengths = np.linalg.norm(want, axis=-1, keepdims=True)
    assert_equal(outputs_of(model, inputs), want / lengths)


def test_generation_is_greedy_search_without_a_cache():
    model = make("CausalLM", preprocessor=True)
    model.compile(sampler="greedy")
    prompts = ["今天天气", "我们"]
    ids = model.preprocessor.generate_preprocess(prompts, sequence_length=12)
    ids, mask = (keras.ops.convert_to_numpy(ids[key]) for key in ("token_ids", "padding_mask"))
    got = model.generate(prompts, max_length=12, stop_token_ids=None)
    want = []
    for row, length in zip(ids, mask.sum(1), strict=True):
        row = row[:length].tolist()
        while len(row) < 12:
            inputs = {"token_ids": np.array([row]), "padding_mask": np.ones((1, len(row)))}
            row.append(int(outputs_of(model, inputs)[0, -1].argmax()))
        want.append(model.preprocessor.tokenizer.detokenize(row))
    assert got == want


@pytest.mark.parametrize("sampler", ("top_k", "top_p", "beam", "contrastive", "random"))
def test_samplers(sampler):
    if sampler == "contrastive":
        import keras_hub

        sampler = keras_hub.samplers.ContrastiveSampler(k=2, alpha=0.5)
    model = make("CausalLM", preprocessor=True)
    model.compile(sampler=sampler)
    text = model.generate("今天", max_length=8)
    assert text.startswith("今天")


def test_what_cannot_work_says_so():
    with pytest.raises(ValueError, match="causal=True"):
        models.RoFormerCausalLM(make_backbone())
    with pytest.raises(ValueError, match="add_pooler=True"):
        models.RoFormerTextEmbedder(make_backbone(), pooling_mode="pooler")
    with pytest.raises(ValueError, match="no vocabulary"):
        models.RoFormerHubTokenizer()("文")
    with pytest.raises(ValueError, match="masked_only"):
        tokenizer = models.RoFormerHubTokenizer(VOCABULARY)
        models.RoFormerMaskedLM(
            make_backbone(),
            models.RoFormerMaskedLMPreprocessor(tokenizer, masked_only=False),
        )


def test_config_tells_the_task():
    for name in NAMES[:-1]:
        model = make(name)
        assert model.task in TASKS
        config = model.roformer_config()
        assert isinstance(config, RoFormerConfig)
        assert config.is_decoder == (name == "CausalLM")


@pytest.mark.parametrize("policy", ("bfloat16", "mixed_bfloat16"))
def test_dtype_policies(policy):
    model = make("TextClassifier", dtype=policy)
    assert model.head.compute_dtype == "bfloat16"
    assert keras.backend.standardize_dtype(model(inputs_of("", model)).dtype) == "bfloat16"
    expected = "bfloat16" if policy == "bfloat16" else "float32"
    assert {weight.dtype for weight in model.weights} == {expected}


def test_freezing():
    model = make("TextClassifier")
    model.backbone.trainable = False
    assert len(model.trainable_weights) == len(model.head.weights) == 4
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    assert "roformer" in "\n".join(lines).lower()


@pytest.mark.skipif(keras.config.backend() != "torch", reason="transformers 5 has torch only")
@pytest.mark.parametrize("name", NAMES[:-1])
def test_transformers_loads_what_is_exported(name, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers", minversion="5")
    model = make(name, preprocessor=True)
    model.export_to_transformers(tmp_path)
    theirs = getattr(transformers, model.transformers_class)
    theirs, report = theirs.from_pretrained(
        tmp_path, output_loading_info=True, attn_implementation="eager"
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert not report["mismatched_keys"]

    inputs = inputs_of(name, model)
    positions = inputs.pop("mask_positions", None)
    renamed = {"token_ids": "input_ids", "segment_ids": "token_type_ids"}
    with torch.no_grad():
        found = theirs.eval()(
            **{renamed.get(key, "attention_mask"): torch.from_numpy(x) for key, x in inputs.items()}
        )
    if positions is not None:
        inputs["mask_positions"] = positions
    got = outputs_of(model, inputs)
    for key, logits in (got if isinstance(got, dict) else {"logits": got}).items():
        want = found[key].numpy()
        if positions is not None:
            want = np.take_along_axis(want, positions[..., None], axis=1)
        if name == "CausalLM":  # what padding predicts is nobody's business
            real = inputs["padding_mask"].astype(bool)
            logits, want = logits[real], want[real]
        close(logits, want)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer(TEXTS[0])["input_ids"] == list(
        model.preprocessor.tokenizer.tokenizer(TEXTS[0])["input_ids"]
    )
