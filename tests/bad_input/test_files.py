"""Loading, saving, resizing."""

import keras_roformer as kr
from tests.bad_input.rows import model_of, refused
from tests.support import PREFIX, cls, make


def load(name=None, task="ForMaskedLM", **arguments):
    """Loading a good checkpoint with bad arguments, or one that is not there."""

    def mistake(tmp_path):
        if name is None:
            model_of("ForMaskedLM").save_pretrained(tmp_path)
        cls(task).from_pretrained(tmp_path if name is None else name, **arguments)

    return mistake


def save(name="", **arguments):
    def mistake(tmp_path):
        (tmp_path / "file").touch()
        model_of("ForMaskedLM").save_pretrained(tmp_path / name, **arguments)

    return mistake


def resize(method, *arguments):
    def mistake(tmp_path):
        model = make("ForMaskedLM")
        getattr(model, method)(*arguments)

    return mistake


ROWS = {
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
        (f"{PREFIX}RoFormerModel", "takes a RoFormerConfig, got str", "from_pretrained"),
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
}

test_refused = refused(ROWS)
