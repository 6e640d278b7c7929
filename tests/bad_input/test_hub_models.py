"""KerasHub's models."""

from tests.bad_input.rows import IDS, ONES, at, refused


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


ROWS = {
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
}

test_refused = refused(ROWS)
