"""Every format holds what was put in, and reads what transformers and PyTorch wrote."""

import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_roformer import weights
from keras_roformer.weights import formats, layouts
from keras_roformer.weights.formats import flax_msgpack, pytorch_bin, safetensors_file
from tests.weights.common import CHECKPOINTS, FLOATS, assert_same, random_weights

FORMATS = tuple(weights.FORMATS)


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("format", FORMATS)
def test_round_trip(tmp_path, format, dtype):
    tensors = random_weights(dtype)
    [file] = weights.write(tmp_path, tensors, format)
    assert file.name == weights.FORMATS[format]
    if format == "tensorflow" and dtype is ml_dtypes.bfloat16:  # HDF5 has no bfloat16
        tensors = {name: array.astype(np.float32) for name, array in tensors.items()}
    assert_same(weights.read(tmp_path), tensors)
    assert_same(weights.read(file), tensors)


@pytest.mark.parametrize("name", ("masked_lm", "sequence_classification"))
@pytest.mark.parametrize("format", FORMATS)
def test_files_of_transformers_hold_one_model(name, format):
    expected = weights.read(CHECKPOINTS / name, "safetensors")
    actual = weights.read(CHECKPOINTS / name, format)
    for tied in ("weight", "bias"):  # only PyTorch's own format stores the tied decoder
        decoder = actual.pop(f"cls.predictions.decoder.{tied}", None)
        assert (decoder is not None) == (format == "pytorch" and name == "masked_lm")
    if format == "flax":  # Flax computes the positions
        del expected["roformer.encoder.embed_positions.weight"]
    assert_same(actual, expected)


@pytest.mark.parametrize("metadata,convert", (("tf", layouts.to_tf), ("flax", layouts.to_flax)))
def test_safetensors_of_tensorflow_and_flax_classes(tmp_path, metadata, convert):
    tensors = random_weights()
    stored = convert(tensors)
    if metadata == "flax":  # its class joins the names by dots here
        stored = {name.replace("/", "."): array for name, array in stored.items()}
    safetensors_file.write(tmp_path / "model.safetensors", stored, {"format": metadata})
    assert_same(weights.read(tmp_path), tensors)


def test_names_in_tensorflow_and_flax_files():
    names = (
        "roformer.encoder.layer.3.output.LayerNorm.bias",
        "roformer.embeddings.word_embeddings.weight",
        "encoder.embed_positions.weight",
        "cls.predictions.transform.dense.weight",
        "cls.predictions.bias",
        "classifier.weight",
    )
    tensors = random_weights(names=dict.fromkeys(names, (2, 3)))
    assert list(layouts.to_tf(tensors)) == [
        "roformer/encoder/layer_._3/output/LayerNorm/beta:0",
        "roformer/embeddings/word_embeddings/weight:0",
        "roformer/encoder/embed_positions/embeddings:0",
        "mlm___cls/predictions/transform/dense/kernel:0",
        "mlm___cls/predictions/bias:0",
        "classifier/kernel:0",
    ]
    assert list(layouts.to_flax(tensors)) == [
        "roformer/encoder/layer/3/output/LayerNorm/bias",
        "roformer/embeddings/word_embeddings/embedding",
        "encoder/embed_positions/embedding",
        "cls/predictions/transform/dense/kernel",
        "cls/predictions/bias",
        "classifier/kernel",
    ]
    assert layouts.to_flax(tensors)["classifier/kernel"].shape == (3, 2)
    kinds = {"classifier": "embedding"}
    assert layouts.to_flax(tensors, kinds)["classifier/embedding"].shape == (2, 3)


def test_old_layer_norm_names(tmp_path):
    tensors = random_weights(names={"bert.LayerNorm.gamma": (3,), "bert.LayerNorm.beta": (3,)})
    weights.write(tmp_path, tensors, "pytorch")
    assert list(weights.read(tmp_path)) == ["bert.LayerNorm.weight", "bert.LayerNorm.bias"]


def test_files_are_readable_by_others(tmp_path):
    for format in FORMATS:
        [file] = weights.write(tmp_path / format, random_weights(), format)
        (tmp_path / "plain").touch()
        assert file.stat().st_mode == (tmp_path / "plain").stat().st_mode


def torch_state():
    """Every storage type, and tensors that share storages, are cut from them or are transposed."""
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(6, 5, generator=generator)
    state = {
        "base": base,
        "shared": base,
        "transposed": base.t(),
        "cut": base[2:, 1:4],
        "parameter": torch.nn.Parameter(torch.randn(3, generator=generator)),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
    }
    kinds = "float16 bfloat16 float64 int64 int32 int16 int8 uint8 bool".split()
    return state | {kind: (10 * base[0]).to(getattr(torch, kind)) for kind in kinds}


@pytest.mark.parametrize(
    "options",
    ({}, {"pickle_protocol": 4}, {"_use_new_zipfile_serialization": False}),
    ids=("zip", "protocol 4", "before torch 1.6"),
)
def test_pytorch_files_by_torch(tmp_path, options):
    torch = pytest.importorskip("torch")
    state = torch_state()
    torch.save(state, tmp_path / "pytorch_model.bin", **options)
    actual, _ = pytorch_bin.read(tmp_path / "pytorch_model.bin")
    assert actual.keys() == state.keys()
    for name, tensor in state.items():
        assert str(actual[name].dtype) == str(tensor.dtype).removeprefix("torch.")
        exact = torch.from_numpy(actual[name].astype(np.float64))
        assert torch.equal(exact, tensor.detach().to(torch.float64)), name


def test_torch_reads_pytorch_files(tmp_path):
    torch = pytest.importorskip("torch")
    tensors = {name: array for name, array in random_weights().items()}
    tensors |= {str(t): np.arange(4).astype(t) for t in (*FLOATS, np.int64, np.uint8, np.bool_)}
    tensors |= {"transposed": np.arange(6.0).reshape(2, 3).T, "scalar": np.array(1.5)}
    [file] = weights.write(tmp_path, tensors, "pytorch")
    loaded = torch.load(file, weights_only=True)
    assert loaded.keys() == tensors.keys()
    for name, array in tensors.items():
        assert str(loaded[name].dtype) == f"torch.{array.dtype}"
        assert np.array_equal(loaded[name].to(torch.float64).numpy(), array.astype(np.float64))


def test_flax_arrays_in_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(flax_msgpack, "_CHUNK_BYTES", 40)
    tensors = random_weights()
    weights.write(tmp_path, tensors, "flax")
    assert b"__msgpack_chunked_array__" in (tmp_path / "flax_model.msgpack").read_bytes()
    assert_same(weights.read(tmp_path), tensors)


DTYPES = st.sampled_from([np.dtype(t) for t in (*FLOATS[:2], np.float64, np.int64, np.uint8, bool)])
NAMES = st.text(st.characters(exclude_characters="/.", exclude_categories=("Cs", "Cc")), min_size=1)
ARRAYS = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0)))
MODULES = {"safetensors": safetensors_file, "pytorch": pytorch_bin, "flax": flax_msgpack}


@settings(max_examples=60, deadline=None)
@given(tensors=st.dictionaries(NAMES, ARRAYS, min_size=1, max_size=40))
@pytest.mark.parametrize("format", MODULES)
def test_any_arrays_survive(tmp_path_factory, format, tensors):
    path = tmp_path_factory.mktemp("any") / "file"
    MODULES[format].write(path, tensors, {"format": "pt"})
    assert_same(MODULES[format].read(path)[0], tensors)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_messagepack_reader_agrees_with_msgpack(value):
    msgpack = pytest.importorskip("msgpack")
    packed = msgpack.packb(value)
    reader = flax_msgpack._Reader(memoryview(packed))
    assert repr(reader.value()) == repr(msgpack.unpackb(packed))
    assert reader.position == len(packed)


def test_importing_weights_imports_no_framework():
    root = str(Path(weights.__file__).parents[2])
    code = (
        f"import sys; sys.path.insert(0, {root!r})\n"
        "from keras_roformer.weights import formats, read\n"
        "for row in formats.TABLE.values(): row.code\n"
        "names = 'keras torch tensorflow jax flax transformers h5py msgpack'.split()\n"
        "sys.exit(', '.join(name for name in names if name in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stderr.strip() == ""


def test_each_row_has_a_module_with_the_same_verbs():
    for row in formats.TABLE.values():
        assert callable(row.code.read) and hasattr(row.code, "write") == row.is_written


@pytest.mark.parametrize(
    "files, arguments, expected",
    [
        (["model.safetensors", "tf_model.h5"], {}, None),
        (["tf_model.h5"], {"use_safetensors": True, "from_tf": True}, "safetensors"),
        (["model.safetensors"], {"use_safetensors": False}, "pytorch"),
        (["pytorch_model.bin"], {"use_safetensors": False, "from_tf": True}, "tensorflow"),
        (["model.safetensors.index.json", "pytorch_model.bin"], {"from_pt": True}, None),
        (["pytorch_model.bin", "tf_model.h5"], {"from_pt": True}, "pytorch"),
        (["bert_model.ckpt.index"], {"from_tf": True}, "original"),
        (["bert_model.ckpt.index", "tf_model.h5.index.json"], {"from_tf": True}, "tensorflow"),
        ([], {"from_tf": True}, "tensorflow"),
        ([], {"from_flax": True, "from_pt": True}, "flax"),
    ],
)
def test_what_the_arguments_of_from_pretrained_ask_for(tmp_path, files, arguments, expected):
    for name in files:
        (tmp_path / name).touch()
    assert formats.requested(tmp_path, **arguments) == expected


def test_tensorflow_checkpoint(tmp_path):
    tf = pytest.importorskip("tensorflow")
    from keras_roformer.weights.formats import tf_checkpoint

    rng = np.random.default_rng(0)
    variables = {
        f"bert/encoder/layer_{i}/attention/self/{name}/kernel": rng.normal(size=(3, 4))
        for i in range(12)
        for name in ("query", "key", "value")
    }
    variables |= {"bert/embeddings/half": rng.normal(size=5).astype(np.float16)}
    variables |= {"global_step": np.array(7), "brain": np.arange(3).astype(ml_dtypes.bfloat16)}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, array in variables.items():
            tf.compat.v1.get_variable(name, initializer=array)
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "bert_model.ckpt"))
    assert_same(tf_checkpoint.read(tmp_path / "bert_model.ckpt")[0], variables)
    assert_same(tf_checkpoint.read(tmp_path / "bert_model.ckpt.index")[0], variables)
