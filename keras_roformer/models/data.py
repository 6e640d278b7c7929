"""What users feed to tasks and preprocessors: strings in any container, pairs, and loaders."""

import copy
import functools
import itertools
import sys
import types

import keras
import numpy as np

from keras_roformer.arrays import to_numpy
from keras_roformer.upstream import for_keras


def in_tf_graph():
    """Whether this runs while TensorFlow traces a function, as inside `tf.data.Dataset.map`."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and hasattr(tf, "executing_eagerly") and not tf.executing_eagerly()


def is_text(x):
    """Whether `x` is a string, or a container or tensor of strings."""
    if isinstance(x, (str, bytes)):
        return True
    if isinstance(x, np.ndarray) and x.dtype.kind == "O":
        return x.size > 0 and isinstance(x.flat[0], (str, bytes))
    if hasattr(x, "dtype"):
        return getattr(x.dtype, "kind", None) in ("U", "S") or "string" in str(x.dtype)
    return isinstance(x, (list, tuple)) and len(x) > 0 and is_text(x[0])


def texts_of(x):
    """The strings in `x`.

    Args:
        x: a string or bytes, or a list, tuple, NumPy array or TensorFlow tensor of these.

    Returns:
        `(list of str, whether x held several)`.

    Raises:
        TypeError: something in there is no string.
    """
    if isinstance(x, (str, bytes)):
        return [_string(x)], False
    if hasattr(x, "numpy"):
        x = x.numpy()
    if isinstance(x, (str, bytes)):  # a TensorFlow scalar
        return [_string(x)], False
    if isinstance(x, np.ndarray):
        if x.ndim == 0:
            return [_string(x.item())], False
        x = x.tolist()
    if not isinstance(x, (list, tuple)):
        raise TypeError(f"expected a string or several, got {type(x).__name__}: {x!r:.100}")
    return [_string(text) for text in x], True


def _string(text):
    if isinstance(text, bytes):
        return text.decode("utf-8")
    if not isinstance(text, str):
        raise TypeError(f"expected a string, got {type(text).__name__}: {text!r:.100}")
    return str(text)


def output(arrays):
    """NumPy arrays as tensors of the backend; inside a grain pipeline as they are."""
    if for_keras.in_grain_pipeline():
        return arrays
    return keras.tree.map_structure(
        lambda x: keras.ops.convert_to_tensor(x, dtype=str(x.dtype)), arrays
    )


def apply_in_tf_graph(function, arguments, outputs):
    """Call a function of NumPy arrays inside tf.data.

    Args:
        function: takes the arguments as arrays and gives a dict of arrays.
        arguments: tensors, or what TensorFlow makes tensors of.
        outputs: `{name: (dtype, shape)}` of what it gives.

    Returns:
        dict of tensors.
    """
    import tensorflow as tf

    def run(*arrays):
        found = function(*arrays)
        return [found[name] for name in outputs]

    arguments = [tf.convert_to_tensor(x) for x in arguments]
    arrays = tf.numpy_function(run, arguments, [dtype for dtype, _ in outputs.values()])
    for array, (_, shape) in zip(arrays, outputs.values(), strict=True):
        array.set_shape(shape)
    return dict(zip(outputs, arrays, strict=True))


# Sources of batches: datasets, which KerasHub's `fit` takes itself, and loaders, which it refuses.

DATASETS = ("tf.data", "grain")
LOADERS = ("PyDataset", "DataLoader", "generator")


def kind_of(x):
    """Which of `DATASETS` and `LOADERS` `x` is; None for lists, arrays and the like."""
    if hasattr(x, "element_spec"):
        return "tf.data"
    if type(x).__module__.partition(".")[0] == "grain":
        return "grain"
    if isinstance(x, keras.utils.PyDataset):
        return "PyDataset"
    if isinstance(x, types.GeneratorType):
        return "generator"
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.utils.data.DataLoader):
        return "DataLoader"
    return None


def batches_of(source, batch_size, preprocessor):
    """Preprocessed batches of all that users feed: of a dataset or loader, as it is; of columns.

    Args:
        source: `(x, y, sample_weight)`; x is a dataset, a loader, or columns (see `ArrayBatches`).
        batch_size: rows in a batch of columns.
        preprocessor: `RoFormerPreprocessor`.

    Returns:
        a source of the same kind; of columns `ArrayBatches`.
    """
    x, preprocess = source[0], preprocessor.arrays
    kind = kind_of(x)
    if kind == "tf.data":
        return x.map(lambda x, y=None, weights=None: preprocessor(x, y=y, sample_weight=weights))
    if kind == "grain":
        return x.map(functools.partial(_preprocess_batch, preprocess))
    if kind == "PyDataset":
        return _PreprocessedDataset(x, preprocess)
    if kind == "DataLoader":
        loader = copy.copy(x)
        loader.collate_fn = functools.partial(_collate, x.collate_fn, preprocess)
        return loader
    if kind == "generator":
        batches = (_preprocess_batch(preprocess, batch) for batch in x)
        # Of generators, Keras takes tuples only.
        return (batch if isinstance(batch, tuple) else (batch,) for batch in batches)
    return ArrayBatches(*source, batch_size, preprocess)


def with_open_lengths(batches, shapes):
    """Preprocessed batches of any lengths for TensorFlow, see `for_keras.with_signature`.

    Args:
        batches: what `batches_of` gives.
        shapes: the preprocessor's method of that name.
    """
    if kind_of(batches) == "tf.data":
        return batches
    import tensorflow as tf

    first, epoch, size = _epochs_of(batches)
    x, *targets = first if isinstance(first, tuple) else (first,)
    rows = shapes(targets[0] if targets else None)

    def spec(array, row):
        array = np.asarray(array)
        return tf.TensorSpec((*[None] * (array.ndim - len(row)), *row), array.dtype)

    specs = [{name: spec(array, rows[name][1]) for name, array in x.items()}]
    for name, target in zip(("y", "sample_weight"), targets, strict=False):
        made = name in rows  # then the lengths are in its axes; the user's own keep their sizes
        specs.append(
            keras.tree.map_structure(
                lambda t, made=made: spec(t, () if made else np.shape(t)[1:]), target
            )
        )
    signature = tuple(specs) if isinstance(first, tuple) else specs[0]
    return for_keras.with_signature(epoch, size, signature)


def _epochs_of(batches):
    """The first batch, a function that gives an epoch's iterator, and the size of an epoch."""
    kind = kind_of(batches)
    if kind == "PyDataset":
        return batches[0], functools.partial(_epoch, batches), batches.num_batches
    if kind == "generator":
        first = next(batches)
        return first, functools.partial(iter, itertools.chain([first], batches)), None
    finite = kind == "grain" and hasattr(batches, "__len__") and len(batches) < sys.maxsize
    return next(iter(batches)), batches.__iter__, len(batches) if finite else None


def _epoch(dataset):
    dataset.on_epoch_begin()
    size = dataset.num_batches
    for index in itertools.count() if size is None else range(size):
        yield dataset[index]
    dataset.on_epoch_end()


class _PreprocessedDataset(keras.utils.PyDataset):
    """A user's `PyDataset` with its batches preprocessed."""

    def __init__(self, dataset, preprocess):
        super().__init__(
            workers=dataset.workers,
            use_multiprocessing=dataset.use_multiprocessing,
            max_queue_size=dataset.max_queue_size,
        )
        self._dataset = dataset
        self._preprocess = preprocess

    @property
    def num_batches(self):
        return self._dataset.num_batches

    def __len__(self):
        return len(self._dataset)

    def __getitem__(self, index):
        return _preprocess_batch(self._preprocess, self._dataset[index])

    def on_epoch_begin(self):
        self._dataset.on_epoch_begin()

    def on_epoch_end(self):
        self._dataset.on_epoch_end()


class ArrayBatches(keras.utils.PyDataset):
    """Preprocessed batches of columns, in their order or, after `shuffle`, in another each epoch.

    Args:
        x, y, sample_weight: lists, arrays, tensors or Series of equal lengths; tuples and dicts of
            these; or None.
        batch_size: by default 32.
        preprocess: function of x, y and sample_weight of a batch → the batch.

    Raises:
        ValueError: the lengths differ, x is a list of pairs, or labels are strings.
    """

    def __init__(self, x, y, sample_weight, batch_size, preprocess):
        super().__init__()
        _check_labels(y)
        _check_columns(x)
        self._parts = _map_columns(_column, (x, y, sample_weight))
        self._batch_size = batch_size or 32
        self._preprocess = preprocess
        lengths = set()
        _map_columns(lambda column: lengths.add(len(column)), self._parts)
        if len(lengths) != 1:
            raise ValueError(
                f"x, y and sample_weight have {sorted(lengths)} rows; give equally many of each"
            )
        self._rows = np.arange(lengths.pop())
        self._is_shuffled = False

    def shuffle(self):
        """Take another order now and after each epoch; `keras.utils.set_random_seed` fixes it."""
        self._is_shuffled = True
        self.on_epoch_end()

    def split(self, fraction, batch_size):
        """Batches of the first rows, and others, of their own size, of the last `fraction`.

        Raises:
            ValueError: a part would be empty.
        """
        first = int(len(self._rows) * (1 - fraction))
        if not 0 < first < len(self._rows):
            raise ValueError(
                f"validation_split={fraction} of {len(self._rows)} rows leaves a part empty; it "
                "must be between 0 and 1, with rows enough"
            )
        parts = (self._take(rows) for rows in np.split(self._rows, [first]))
        return [
            ArrayBatches(*part, size, self._preprocess)
            for part, size in zip(parts, (self._batch_size, batch_size), strict=True)
        ]

    def __len__(self):
        return -(-len(self._rows) // self._batch_size)

    def __getitem__(self, index):
        rows = self._rows[index * self._batch_size : (index + 1) * self._batch_size]
        return self._preprocess(*self._take(rows))

    def _take(self, rows):
        def rows_of(column):
            return [column[row] for row in rows] if isinstance(column, list) else column[rows]

        return _map_columns(rows_of, self._parts)

    def on_epoch_end(self):
        if self._is_shuffled:
            self._rows = np.random.permutation(self._rows)


def _map_columns(function, part):
    """`function` of every column in nested tuples and dicts; None stays."""
    if isinstance(part, tuple):
        return tuple(_map_columns(function, item) for item in part)
    if isinstance(part, dict):
        return {name: _map_columns(function, item) for name, item in part.items()}
    return None if part is None else function(part)


def _column(x):
    """`x` as a list of texts or a NumPy array."""
    if isinstance(x, (str, bytes)):
        raise TypeError(f"expected a list of strings, got one: {x!r:.100}; put it into a list")
    if hasattr(x, "to_list"):  # ragged tensors, Series
        x = x.to_list()
    return x if isinstance(x, list) and is_text(x) else to_numpy(x)


def _collate(collate, preprocess, samples):
    import torch

    batch = collate(samples)
    if isinstance(batch, (list, tuple)) and batch and _holds_rows(batch[0]):
        batch = (tuple(batch[0]), *batch[1:])  # torch makes lists of columns
    return keras.tree.map_structure(torch.as_tensor, _preprocess_batch(preprocess, batch))


def _preprocess_batch(preprocess, batch):
    if isinstance(batch, list):  # a batch of strings, or (x, y, …)
        plain = bool(batch) and isinstance(batch[0], (str, bytes))
        batch = (batch,) if plain else tuple(batch)
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    return preprocess(_batch_of_texts(x), y, sample_weight)


def _batch_of_texts(x):
    """A batch's texts as lists: torch's collation makes tuples, which elsewhere mean pairs."""
    _check_columns(x)
    if not isinstance(x, tuple):
        return x
    if x and isinstance(x[0], (str, bytes)):
        return list(x)
    return tuple(list(part) if isinstance(part, tuple) else part for part in x)


def _holds_rows(x):
    """Whether `x` is a list of lists or tuples of strings."""
    return isinstance(x, list) and bool(x) and isinstance(x[0], (list, tuple)) and is_text(x[0])


def _check_columns(x):
    """Raise for a list of pairs: two of them look like a list of the firsts and the seconds."""
    if _holds_rows(x):
        raise ValueError(
            f"expected a list of strings, got one of {type(x[0]).__name__}s: {x[0]!r:.100}, …; "
            "give pairs as a tuple of two lists, (firsts, seconds): "
            "tuple(map(list, zip(*pairs)))"
        )


def _check_labels(y):
    """Raise for strings in place of labels."""
    if y is None or isinstance(y, (tuple, dict)):
        return
    column = _column(y)
    if is_text(column):
        raise ValueError(
            f"labels are strings: {column[0]!r:.60}, …; give integers, the classes' numbers. A "
            "pair of texts is one tuple, x=(firsts, seconds)"
        )
