"""Coverage-guided fuzzing of everything that reads a file or a text (needs `pip install atheris`).

    python tests/fuzz/readers.py [--seconds 600] [--folder build/fuzz] [reader …]

Whatever the bytes, a reader gives a result or its own error; any other exception, a hang of 10
minutes or 4 GB of memory stops the run, and the input is kept as crash-… in the folder. HDF5 is not
among the readers: what it does with damaged files is the C library's business.
"""

import argparse
import contextlib
import json
import logging
import os
import pathlib
import sys
import tempfile
import time
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

if __name__ == "__main__":
    import atheris

    instrumented = atheris.instrument_imports(include=["keras_roformer"])
else:  # the readers alone, for test_readers.py
    instrumented = contextlib.nullcontext()

with instrumented:
    from keras_roformer.config import RoFormerConfig
    from keras_roformer.tokenizers import RoFormerTokenizer, RoFormerTokenizerFast
    from keras_roformer.weights import CheckpointError, checkpoint
    from keras_roformer.weights.formats import tf_checkpoint

PRESET = ROOT / "presets" / "roformer_tiny_zh"
MEMORY = "/dev/shm" if pathlib.Path("/dev/shm").is_dir() else None
FOLDER = tempfile.TemporaryDirectory(dir=MEMORY)  # removed when the process ends
WORK = pathlib.Path(FOLDER.name)
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "今天", "天气", "##好", "a", "##b", "é"]


def read_config(data):
    """config.json, written back and read again."""
    file = WORK / "config.json"
    file.write_bytes(data)
    try:
        config = RoFormerConfig.from_pretrained(WORK)
        text = config.to_json_string()
    except (ValueError, TypeError):
        return
    assert RoFormerConfig.from_dict(json.loads(text)) == config


def read_vocab(data):
    """vocab.txt, and a text that is cut by it."""
    vocabulary, _, text = data.partition(b"\0")
    file = WORK / "vocab" / "vocab.txt"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(vocabulary)
    try:
        tokenizer = RoFormerTokenizer(str(file), use_jieba=len(data) % 2 == 0)
    except ValueError:
        return
    check_text(tokenizer, text.decode("utf-8", "replace"))


def read_tokenizer(data):
    """tokenizer.json, or tokenizer_config.json beside a vocabulary."""
    folder = WORK / "tokenizer"
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").unlink(missing_ok=True)
    whole = data[:1] == b"0"
    (folder / ("tokenizer.json" if whole else "tokenizer_config.json")).write_bytes(data[1:])
    try:
        tokenizer = RoFormerTokenizerFast.from_pretrained(folder)
    except (ValueError, TypeError):
        return
    check_text(tokenizer, "今天ab好")


def read_text(data):
    """Any text, cut by the words and by the characters of one vocabulary."""
    text = data.decode("utf-8", "surrogateescape")  # lone surrogates are text too
    for tokenizer in TOKENIZERS:
        check_text(tokenizer, text)


def check_text(tokenizer, text):
    try:
        row = tokenizer(text, return_offsets_mapping=True)
    except ValueError as error:  # a vocabulary without the special tokens that a text needs
        assert "token" in str(error), error
        return
    assert all(0 <= start <= end <= len(text) for start, end in row["offset_mapping"])
    assert len(row["input_ids"]) == len(row["offset_mapping"])
    tokenizer.decode(row["input_ids"])


def read_weights(name):
    """A weight file of one format."""

    def read(data):
        file = WORK / name
        file.write_bytes(data)
        try:
            tensors = checkpoint.read(file)
        except CheckpointError:
            return
        # Broadcast views may claim more; none of what is stored can be larger than the file.
        assert sum(array.nbytes for array in tensors.values()) <= max(len(data), 1) * 64

    return read


def read_index(data):
    """The index of shards."""
    folder = WORK / "shards"
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors.index.json").write_bytes(data)
    try:
        checkpoint.find(folder)
    except CheckpointError:
        pass


def read_original(data):
    """The index of a TensorFlow checkpoint; its data are zeros."""
    (WORK / "bert_model.ckpt.index").write_bytes(data)
    (WORK / "bert_model.ckpt.data-00000-of-00001").write_bytes(bytes(4096))
    try:
        tf_checkpoint.read(WORK / "bert_model.ckpt")
    except CheckpointError:
        pass


READERS = {
    "config": read_config,
    "vocab": read_vocab,
    "tokenizer": read_tokenizer,
    "text": read_text,
    "safetensors": read_weights("model.safetensors"),
    "pytorch": read_weights("pytorch_model.bin"),
    "flax": read_weights("flax_model.msgpack"),
    "index": read_index,
    "original": read_original,
}


def seeds():
    """Reader → good files to start from."""
    import numpy as np

    small = {"a.weight": np.ones((2, 3), "float32"), "classifier.bias": np.ones(2, "float16")}
    files = {}
    for name in checkpoint.FORMATS:
        if name in READERS:
            [path] = checkpoint.write(WORK / "seeds", small, name)
            files[name] = [path.read_bytes()]
    checkpoint.write(WORK / "seeds", small, "safetensors", max_shard_size=8)
    index = (WORK / "seeds" / "model.safetensors.index.json").read_bytes()
    vocabulary = "\n".join(TOKENS).encode()
    settings = b'1{"do_lower_case": false, "model_max_length": 8, "mask_token": "[MASK]"}'
    return files | {
        "config": [(PRESET / "config.json").read_bytes(), b'{"pruned_heads": {"0": [1]}}'],
        "vocab": [vocabulary, vocabulary + "\0今天 ab".encode()],
        "tokenizer": [settings, b"0" + small_tokenizer()],
        "text": ["今天天气[MASK]好 café ＡＢ\u0301\u200d한".encode(), b"a'b ##c \0 [CLS]"],
        "index": [index],
        "original": [(ROOT / "tests" / "weights" / "data" / "bert_model.ckpt.index").read_bytes()],
    }


def small_tokenizer():
    file = WORK / "small" / "vocab.txt"
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    RoFormerTokenizerFast(str(file)).save_pretrained(file.parent)
    return (file.parent / "tokenizer.json").read_bytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("readers", nargs="*", default=[], help=f"of {', '.join(READERS)}")
    parser.add_argument("--seconds", type=int, default=600, help="of all readers together")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build" / "fuzz")
    options = parser.parse_args()
    unknown = set(options.readers) - set(READERS)
    if unknown:
        parser.error(f"unknown reader {', '.join(unknown)}; there are {', '.join(READERS)}")
    names = options.readers or list(READERS)
    good = seeds()
    corpus = options.folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(READERS):
        for i, data in enumerate(good[name]):
            (corpus / f"seed-{name}-{i}").write_bytes(bytes([number]) + data)
    counts = dict.fromkeys(names, 0)
    start = time.monotonic()

    def test(data):
        if data:
            number = data[0] % len(READERS)
            name = list(READERS)[number]
            if name in counts:
                counts[name] += 1
                READERS[name](data[1:])
        if time.monotonic() - start > options.seconds:
            total = sum(counts.values())
            print(f"{total} inputs in {options.seconds} s without a crash: {counts}", flush=True)
            FOLDER.cleanup()
            os._exit(0)  # sys.exit would be taken for a crash of the test

    arguments = [sys.argv[0], str(corpus), f"-artifact_prefix={options.folder}/"]
    arguments += ["-rss_limit_mb=4096", "-timeout=600", "-max_len=4096", "-print_final_stats=1"]
    atheris.Setup(arguments, test)
    atheris.Fuzz()


def prepare():
    """What all readers share: quiet, and tokenizers of one small vocabulary."""
    logging.disable()  # what a tokenizer says about a strange vocabulary
    warnings.simplefilter("ignore")
    small_tokenizer()
    for cls in (RoFormerTokenizer, RoFormerTokenizerFast):
        for use_jieba in (True, False):
            TOKENIZERS.append(cls(str(WORK / "small" / "vocab.txt"), use_jieba=use_jieba))


TOKENIZERS = []
if __name__ == "__main__":
    prepare()
    main()
