"""Fields of a config, config files, and models that ask for too much."""

import keras_roformer as kr
from tests.bad_input.rows import refused
from tests.support import CONFIG, cls


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


ROWS = {
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
}

test_refused = refused(ROWS)
