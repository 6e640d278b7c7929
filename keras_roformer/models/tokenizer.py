"""The documented tokenizer as a KerasHub layer, which is in TensorFlow only inside tf.data."""

import os

import keras
import numpy as np
from keras_hub.tokenizers import Tokenizer

from keras_roformer.models.backbone import RoFormerBackbone
from keras_roformer.models.data import in_tf_graph, output, texts_of
from keras_roformer.models.preset_names import FromPreset
from keras_roformer.tokenizers import RoFormerTokenizer


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerHubTokenizer(FromPreset, Tokenizer):
    """`RoFormerTokenizer` for KerasHub: strings → token ids, without special tokens around them.

    Runs on torch and JAX without TensorFlow, and inside tf.data with it (tensorflow-text is not
    needed). Special tokens that stand in a text, such as "[MASK]", are these tokens.

    Args:
        vocabulary: tokens in the order of their ids, a `{token: id}` mapping, or the path of a
            vocab.txt. None waits for `load_assets`, as saved models do.
        lowercase: whether to lower-case the text.
        use_jieba: whether jieba cuts the text; False for character-level checkpoints.
        tokenizer: a documented tokenizer to wrap; in place of the other arguments.

    Call arguments:
        inputs: a string, or a list, NumPy array or tensor of strings.

    Returns:
        (L,) integers for a string, a list with a list of integers per string for several; in
        tf.data a tensor and a ragged tensor.

    Raises:
        ValueError: it has no vocabulary yet.

    Example:

    ```python
    from keras_roformer.models import RoFormerHubTokenizer

    tokenizer = RoFormerHubTokenizer.from_preset("roformer_tiny_zh")
    tokenizer.detokenize(tokenizer(["今天天气很好。", "我们去公园。"]))
    ```
    """

    backbone_cls = RoFormerBackbone

    def __init__(
        self,
        vocabulary=None,
        lowercase=True,
        use_jieba=True,
        tokenizer=None,
        dtype="int32",
        **kwargs,
    ):
        if not keras.backend.is_int_dtype(dtype):
            raise ValueError(f"dtype must be an integer dtype for token ids, got {dtype!r}")
        super().__init__(dtype=dtype, **kwargs)
        self.file_assets = ["vocab.txt", "tokenizer_config.json"]
        self.built = True  # it has no weights; `quantize` of a task asks every layer
        self._tokenizer = None
        self.lowercase = lowercase
        self.use_jieba = use_jieba
        if tokenizer is not None:
            self._wrap(tokenizer)
        elif vocabulary is not None:
            if not isinstance(vocabulary, (str, os.PathLike, dict)):
                vocabulary = {token: index for index, token in enumerate(vocabulary)}
            source = "vocab" if isinstance(vocabulary, dict) else "vocab_file"
            self._wrap(
                RoFormerTokenizer(
                    **{source: vocabulary}, do_lower_case=lowercase, use_jieba=use_jieba
                )
            )

    def _wrap(self, tokenizer):
        self._tokenizer = tokenizer
        self.lowercase = tokenizer.do_lower_case
        self.use_jieba = tokenizer.use_jieba

    @property
    def has_vocabulary(self):
        """Whether it has its vocabulary already."""
        return self._tokenizer is not None

    @property
    def tokenizer(self):
        """The documented `RoFormerTokenizer` that does the work."""
        if self._tokenizer is None:
            raise ValueError(
                "this tokenizer has no vocabulary yet: pass vocabulary= when making it, or call "
                "load_assets with the directory that save_assets wrote"
            )
        return self._tokenizer

    @property
    def core(self):
        """The part of `tokenizer` that cuts a text: `ids`, `words` and `pieces` of it."""
        return self.tokenizer.core

    # What KerasHub's packers and models ask of a tokenizer.

    @property
    def start_token_id(self):
        return self.tokenizer.cls_token_id

    @property
    def end_token_id(self):
        return self.tokenizer.sep_token_id

    @property
    def pad_token_id(self):
        return self.tokenizer.pad_token_id

    @property
    def mask_token_id(self):
        return self.tokenizer.mask_token_id

    @property
    def special_tokens(self):
        return self.tokenizer.all_special_tokens

    @property
    def special_token_ids(self):
        return self.tokenizer.all_special_ids

    def vocabulary_size(self):
        return len(self.tokenizer)

    def get_vocabulary(self):
        return self.tokenizer.convert_ids_to_tokens(list(range(len(self.tokenizer))))

    def id_to_token(self, id):
        if not 0 <= id < len(self.tokenizer):
            raise ValueError(f"id must be in [0, {len(self.tokenizer)}), got {id}")
        return self.tokenizer.convert_ids_to_tokens(int(id))

    def token_to_id(self, token):
        return self.tokenizer.convert_tokens_to_ids(token)

    def call(self, inputs):
        return self.tokenize(inputs)

    def tokenize(self, inputs):
        if in_tf_graph():
            return self._tokenize_in_graph(inputs)
        texts, batched = texts_of(inputs)
        ids = [self.core.ids(text) for text in texts]
        if batched:
            return ids
        return output(np.asarray(ids[0], self.compute_dtype))

    def _tokenize_in_graph(self, inputs):
        import tensorflow as tf

        def tokenize(inputs):
            texts, _ = texts_of(inputs)
            ids = [self.core.ids(text) for text in texts]
            flat = [index for row in ids for index in row]
            return np.asarray(flat, self.compute_dtype), np.asarray(list(map(len, ids)), "int64")

        inputs = tf.convert_to_tensor(inputs)
        ids, lengths = tf.numpy_function(tokenize, [inputs], (self.compute_dtype, "int64"))
        ids.set_shape((None,))
        if inputs.shape.rank == 0:
            return ids
        lengths.set_shape(inputs.shape[:1])
        return tf.RaggedTensor.from_row_lengths(ids, lengths)

    def detokenize(self, inputs):
        """Ids → text. Ids of special tokens are left out.

        Args:
            inputs: the ids of a text, or a list, array or tensor with those of several.

        Returns:
            A string, or a list of strings.
        """
        if hasattr(inputs, "to_list"):  # a ragged tensor
            inputs = inputs.to_list()
        elif hasattr(inputs, "shape"):
            inputs = keras.ops.convert_to_numpy(inputs).tolist()
        rows = [row.tolist() if hasattr(row, "tolist") else row for row in inputs]
        if rows and not isinstance(rows[0], (list, tuple)):
            return self.tokenizer.decode(rows, skip_special_tokens=True)
        return self.tokenizer.batch_decode(rows, skip_special_tokens=True)

    def save_assets(self, dir_path):
        self.tokenizer.save_pretrained(dir_path, legacy_format=True)

    def load_assets(self, dir_path):
        self._wrap(RoFormerTokenizer.from_pretrained(dir_path))

    def export_to_transformers(self, path):
        """Write the files that transformers' RoFormerTokenizer (or BertTokenizer) loads."""
        self.tokenizer.save_pretrained(path)

    def get_config(self):
        config = super().get_config()
        # The vocabulary is an asset, see `save_assets`.
        return {**config, "lowercase": self.lowercase, "use_jieba": self.use_jieba}
