"""Broken, hostile and mistaken files: one clear error, nothing run, nothing outside read."""

import json
import os
import pickle
import random
import struct
import zipfile

import h5py
import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from keras_roformer import weights
from keras_roformer.weights import CheckpointError
from keras_roformer.weights.formats import flax_msgpack, pytorch_bin, tf_checkpoint
from tests.weights.common import CHECKPOINTS, assert_same, random_weights

FORMATS = tuple(weights.FORMATS)
LFS_POINTER = b"version https://git-lfs.example/spec/v1\noid sha256:1234\nsize 497000000\n"


def refused(directory, *texts, format=None):
    """Reads `directory` and checks that the error has each of `texts`."""
    with pytest.raises(CheckpointError) as caught:
        weights.read(directory, format)
    for text in texts:
        assert str(text) in str(caught.value)


def small_file(directory, format):
    names = {"roformer.embeddings.LayerNorm.weight": (4,), "classifier.weight": (2, 4)}
    [file] = weights.write(directory, random_weights(names=names), format)
    return file


def old_pytorch_file(directory):
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(array) for name, array in random_weights().items()}
    file = directory / "pytorch_model.bin"
    torch.save(state, file, _use_new_zipfile_serialization=False)
    return file


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "content,problem",
    ((b"", "empty"), (LFS_POINTER, "git lfs pull"), (b"<html>Not found</html>", "download")),
    ids=("empty", "git-LFS pointer", "a web page"),
)
def test_not_weights_at_all(tmp_path, format, content, problem):
    file = tmp_path / weights.FORMATS[format]
    file.write_bytes(content)
    refused(tmp_path, file, problem)


@pytest.mark.parametrize("format", (*FORMATS, "old pytorch"))
def test_truncated_anywhere(tmp_path, format):
    old = format == "old pytorch"
    file = old_pytorch_file(tmp_path) if old else small_file(tmp_path, format)
    whole = file.read_bytes()
    for length in range(1, len(whole), max(1, len(whole) // 150)):
        file.write_bytes(whole[:length])
        refused(tmp_path, file)


@pytest.mark.parametrize("format", (*FORMATS, "old pytorch"))
def test_damaged_anywhere(tmp_path, format):
    """Any bytes give tensors or our error; damaged HDF5 is left to fewer tries for its time."""
    old = format == "old pytorch"
    file = old_pytorch_file(tmp_path) if old else small_file(tmp_path, format)
    whole, rng = file.read_bytes(), random.Random(0)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(100 if format == "tensorflow" else 400):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.choice(
                (0, 1, 0x7F, 0xFF, rng.randrange(256))
            )
        file.write_bytes(damaged)
        try:
            tensors = weights.read(tmp_path)
            assert sum(array.nbytes for array in tensors.values()) <= len(whole)
            outcomes["read"] += 1
        except CheckpointError as error:
            assert str(file) in str(error)
            outcomes["refused"] += 1
    assert outcomes["refused"] > 0


class Command:
    """Pickles as a call of os.mkdir(path)."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", (2, 4))
@pytest.mark.parametrize("container", ("zip", "old"))
def test_hostile_pickle_runs_nothing(tmp_path, container, protocol):
    marker = tmp_path / "marker"
    hostile = pickle.dumps({"weight": Command(str(marker))}, protocol=protocol)
    file = tmp_path / "pytorch_model.bin"
    if container == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", hostile)
    else:
        head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
        file.write_bytes(b"".join(pickle.dumps(item, protocol=2) for item in head) + hostile)
    refused(tmp_path, file, f"'{os.mkdir.__module__}.mkdir'", "model.safetensors")
    assert not marker.exists()
    pickle.loads(hostile)  # the file would have done it
    assert marker.exists()


def write_pickle(directory, content, storages=()):
    """A pytorch_model.bin of the given pickle instructions and storages."""
    with zipfile.ZipFile(directory / "pytorch_model.bin", "w") as archive:
        archive.writestr("archive/data.pkl", content)
        for key, data in enumerate(storages):
            archive.writestr(f"archive/data/{key}", data)


def tensor_pickle(offset, shape, strides, key="0"):
    """The pickle of {'weight': a float32 tensor of storage `key`}."""
    dump = pytorch_bin._dump
    return b"".join(
        (
            *(b"\x80\x02}(", dump("weight"), b"ctorch._utils\n_rebuild_tensor_v2\n(("),
            *(dump("storage"), b"ctorch\nFloatStorage\n", dump(key), dump("cpu"), dump(6), b"tQ"),
            *(dump(offset), dump(shape), dump(strides), b"\x89}tRu."),
        )
    )


@pytest.mark.parametrize(
    "offset,shape,strides,key,problem",
    (
        (0, (2**40, 2**20), (0, 0), "0", "claims"),
        (0, (2, 4), (4, 1), "0", "claims"),
        (3, (2, 2), (2, 1), "0", "buffer"),
        (0, (2, 2), (2**40, 1), "0", "buffer"),
        (0, (2, -2), (2, 1), "0", "negative"),
        (-1, (2, 2), (2, 1), "0", "negative"),
        (0, (2, 2), (2, -1), "0", "negative"),
        (0, (2, 2), (2,), "0", "2 sizes but 1 strides"),
        (0, (2, 2), (2, 1), "7", "7"),
    ),
)
def test_pytorch_tensor_outside_its_storage(tmp_path, offset, shape, strides, key, problem):
    data = np.arange(6, dtype=np.float32)
    write_pickle(tmp_path, tensor_pickle(0, (2, 3), (3, 1)), [data.tobytes()])
    assert_same(weights.read(tmp_path), {"weight": data.reshape(2, 3)})
    write_pickle(tmp_path, tensor_pickle(offset, shape, strides, key), [data.tobytes()])
    refused(tmp_path, "pytorch_model.bin", problem)


@pytest.mark.parametrize(
    "content,problem",
    (
        (pickle.dumps([1, 2], protocol=2), "list"),
        (pickle.dumps({"epoch": 3}, protocol=2), "'epoch' is of type int"),
        (pickle.dumps({(1, 2): 3}, protocol=2), "neither text nor a number"),
        (b"\x80\x02X\xff\xff\xff\xffweight.", "pickle"),
        (b"\x80\x02r\xff\xff\xff\x7f.", "pickle"),
        (b"\x80\x02" + b"(" * 1000 + b"t" * 1000 + b".", "tuple"),
        (b"\x80\x02}" * 3, "exhausted"),
        (b"\x80\x02ctorch\nload\n.", "'torch.load'"),
        (b"\x80\x02cbuiltins\neval\n.", "'builtins.eval'"),
    ),
)
def test_pickles_that_are_no_state_dict(tmp_path, content, problem):
    write_pickle(tmp_path, content)
    refused(tmp_path, "pytorch_model.bin", problem)


def test_compressed_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", tensor_pickle(0, (2, 3), (3, 1)))
        archive.writestr("archive/data/0", bytes(2**24))
    refused(tmp_path, "compressed")


def safetensors_bytes(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "content",
    (
        safetensors_bytes(b"{not json"),
        safetensors_bytes({"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
        safetensors_bytes({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)),
        safetensors_bytes({"w": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        struct.pack("<Q", 2**62) + b"{}",
    ),
    ids=("JSON", "more than the file", "shape and size", "dtype", "header length"),
)
def test_safetensors_header(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    refused(tmp_path, "model.safetensors", "download or save it again")


def test_unsupported_dtypes(tmp_path):
    header = {"w": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes(header, bytes(4)))
    refused(tmp_path, "'w'", "F8_E4M3", "float32")
    for array in (np.array(["text"]), np.zeros(2, np.complex64), np.zeros(2, ">f4"), [1.0, 2.0]):
        with pytest.raises(CheckpointError, match="'a.weight' has dtype"):
            weights.write(tmp_path, {"a.weight": array})
    with pytest.raises(CheckpointError, match="no storage"):
        weights.write(tmp_path, {"a.weight": np.zeros(2, np.uint16)}, "pytorch")


def test_unknown_safetensors_metadata(tmp_path):
    file = tmp_path / "model.safetensors"
    safetensors_numpy.save_file(random_weights(), file, metadata={"format": "other"})
    refused(tmp_path, file, "'other'", "pt, tf, flax")


def pack_flax(value):
    """Packs what the writer would not."""
    msgpack = pytest.importorskip("msgpack")
    array = msgpack.ExtType(1, msgpack.packb(value))
    return msgpack.packb({"classifier": {"kernel": array}})


@pytest.mark.parametrize(
    "value,problem",
    (
        (((2**40,), "float32", bytes(4)), "4 bytes"),
        (((2, 2), "float32", bytes(12)), "12 bytes"),
        (((2,), "object", bytes(16)), "'object'"),
        (("text", "float32", bytes(4)), "Flax"),
        (((-1, -1), "float32", bytes(4)), "Flax"),
    ),
)
def test_flax_array_is_not_what_it_says(tmp_path, value, problem):
    (tmp_path / "flax_model.msgpack").write_bytes(pack_flax(value))
    refused(tmp_path, "flax_model.msgpack", problem)


@pytest.mark.parametrize(
    "content,problem",
    (
        (b"\x81\xa1a" * 100 + b"\x80", "nested deeper"),
        (b"\x80\x80", "exactly one map"),
        (b"\x93\x01\x02\x03", "exactly one map"),
        (b"\x82\xa1a\x80\xa1a\x80", "repeated"),
        (b"\x81\xa1a\xc0", "expected an array"),
        (b"\xdf\xff\xff\xff\xff\xa1a", "has"),
        (b"\xc1", "0xc1"),
        (b"\x81\xa1a\xd4\x02\x00", "type 2"),
    ),
)
def test_flax_file_that_holds_no_parameters(tmp_path, content, problem):
    (tmp_path / "flax_model.msgpack").write_bytes(content)
    refused(tmp_path, "flax_model.msgpack", problem)


def test_flax_leaf_of_another_kind(tmp_path):
    flax_msgpack.write(tmp_path / "flax_model.msgpack", {"a/moving_mean": np.zeros(2)})
    refused(tmp_path, "flax_model.msgpack", "moving_mean")


def test_hdf5_that_refers_to_other_files(tmp_path):
    """A link elsewhere is not followed, and external or virtual data is refused."""
    secret, file = tmp_path / "secret.h5", tmp_path / "tf_model.h5"
    with h5py.File(secret, "w") as other:
        other["kernel:0"] = np.ones((2, 2))
    (tmp_path / "raw").write_bytes(bytes(64))
    small_file(tmp_path, "tensorflow")
    expected = weights.read(tmp_path)
    with h5py.File(file, "a") as h5:
        h5["classifier/tf_ro_former/stolen"] = h5py.ExternalLink("secret.h5", "/")
    assert_same(weights.read(tmp_path), expected)
    layout = h5py.VirtualLayout((2, 2), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "kernel:0", (2, 2))
    for make in (
        lambda h5: h5.create_virtual_dataset("classifier/tf_ro_former/a/kernel:0", layout),
        lambda h5: h5.create_dataset(
            "classifier/tf_ro_former/a/kernel:0", (2, 2), "f8", external=[("raw", 0, 32)]
        ),
    ):
        with h5py.File(file, "a") as h5:
            make(h5)
        refused(tmp_path, file, "another file")
        small_file(tmp_path, "tensorflow")


def test_hdf5_contents(tmp_path):
    file = small_file(tmp_path, "tensorflow")
    with h5py.File(file, "a") as h5:  # takes no space until it is written to
        h5.create_dataset("classifier/m/classifier/big:0", (2**40,), "f4", chunks=(1024,))
    refused(tmp_path, file, "claims 4398046511104 bytes")
    with h5py.File(file, "w") as h5:
        h5["kernel:0"] = np.ones((2, 2))
    refused(tmp_path, file, "layer_names")
    small_file(tmp_path, "tensorflow")
    with h5py.File(file, "a") as h5:
        h5["classifier/m/classifier/kernel:0"] = np.ones((2, 2))
    refused(tmp_path, file, "twice")


def shards(directory, format="safetensors"):
    weights.write(directory, random_weights(), format, max_shard_size=200)
    index = directory / f"{weights.FORMATS[format]}.index.json"
    return index, json.loads(index.read_text())


@pytest.mark.parametrize(
    "name",
    ("../secret.safetensors", "/etc/passwd", "sub/file", "..", "", ".hidden", "c:x", "a\\b", 7),
)
def test_index_may_name_only_files_beside_it(tmp_path, name):
    index, content = shards(tmp_path)
    (tmp_path.parent / "secret.safetensors").write_bytes(b"secret")
    content["weight_map"]["classifier.weight"] = name
    index.write_text(json.dumps(content))
    refused(tmp_path, index, "weight_map" if name == 7 else repr(name))


@pytest.mark.parametrize(
    "text",
    ("", "{", "[]", '{"weight_map": []}', '{"weight_map": {"a": ["b"]}}', '{"weight_map": {}}')
    + ("{}", "\xff", "[" * 100_000, '{"weight_map": {"a": null}}'),
    ids=str.__len__,
)
def test_broken_index(tmp_path, text):
    index, _ = shards(tmp_path)
    index.write_text(text, "latin-1")
    refused(tmp_path, index)


@pytest.mark.parametrize("format", FORMATS)
def test_missing_or_exchanged_shard(tmp_path, format):
    index, content = shards(tmp_path, format)
    first, second = sorted(set(content["weight_map"].values()))[:2]
    weights.read(tmp_path)
    (tmp_path / second).write_bytes((tmp_path / first).read_bytes())
    refused(tmp_path, second, "not")
    (tmp_path / second).unlink()
    refused(tmp_path, index, second, "download the missing")


def test_find_says_what_is_there(tmp_path):
    refused(tmp_path / "absent", tmp_path / "absent", "no such directory")
    refused(tmp_path, "an empty directory", *weights.FORMATS.values())
    (tmp_path / "vocab.txt").touch()
    refused(tmp_path, "vocab.txt")
    small_file(tmp_path, "flax")
    refused(tmp_path, "flax_model.msgpack", "tf_model.h5", format="tensorflow")
    refused(tmp_path / "vocab.txt", "vocab.txt", ".safetensors")
    with pytest.raises(ValueError, match="'pickle'.*safetensors, pytorch"):
        weights.read(tmp_path, "pickle")


def test_broken_tensorflow_checkpoint(tmp_path):
    # Four variables saved by tf.compat.v1.train.Saver of TensorFlow 2.x, as in test_formats.
    source = CHECKPOINTS.parent.parent / "weights" / "data"
    names = ("bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001")
    for name in names:
        (tmp_path / name).write_bytes((source / name).read_bytes())
    assert len(tf_checkpoint.read(tmp_path / "bert_model.ckpt")[0]) == 4
    for name in names:
        whole = (tmp_path / name).read_bytes()
        for length in range(len(whole)):
            (tmp_path / name).write_bytes(whole[:length])
            with pytest.raises(CheckpointError, match="bert_model.ckpt"):
                tf_checkpoint.read(tmp_path / "bert_model.ckpt")
        (tmp_path / name).write_bytes(whole)
