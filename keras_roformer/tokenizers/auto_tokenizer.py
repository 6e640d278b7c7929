"""AutoTokenizer: the tokenizer that a directory, preset or hub id names."""

from keras_roformer.hub import HUB_ARGUMENTS
from keras_roformer.tokenizers.roformer_tokenizers import RoFormerTokenizer, RoFormerTokenizerFast
from keras_roformer.tokenizers.tokenizer_files import find_files, tokenizer_class

_KNOWN = ("RoFormerTokenizer", "RoFormerTokenizerFast", "BertTokenizer", "BertTokenizerFast")


class AutoTokenizer:
    """Makes RoFormerTokenizerFast or, with `use_fast=False`, RoFormerTokenizer."""

    def __init__(self):
        raise OSError("Use AutoTokenizer.from_pretrained(name_or_path).")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *inputs, use_fast=True, **kwargs):
        """See `RoFormerTokenizer.from_pretrained`.

        Raises ValueError if the files name a tokenizer that is not RoFormer's or BERT's.
        """
        hub = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
        path = find_files(pretrained_model_name_or_path, **hub)
        named = None if path.is_file() else tokenizer_class(path)
        if named is not None and named not in _KNOWN:
            raise ValueError(
                f"{str(pretrained_model_name_or_path)!r} names the tokenizer {named!r}; this "
                f"package has {', '.join(_KNOWN)}."
            )
        made = RoFormerTokenizerFast if use_fast else RoFormerTokenizer
        kwargs.setdefault("name_or_path", str(pretrained_model_name_or_path))
        return made.from_pretrained(path, *inputs, **kwargs)
