"""`RoFormerConfig`: the documented configuration, and transformers' config.json both ways."""

import copy
import json
import logging
import pathlib
import sys

from keras_roformer import hub
from keras_roformer.config_fields import (
    CHECKS,
    DOCUMENTED_FIELDS,
    GENERIC_DEFAULTS,
    check_integer,
    check_pruned_heads,
    converted,
)
from keras_roformer.saving import atomic, make_directory

logger = logging.getLogger("keras_roformer")

CONFIG_NAME = "config.json"

# More than any data set has. Every label has a name, and a config.json may say a trillion.
MOST_LABELS = 10**7

# Keyword arguments of transformers' `from_pretrained` that mean nothing here.
IGNORED_ARGUMENTS = (
    "_commit_hash _fast_init _from_auto low_cpu_mem_usage mirror offload_buffers offload_folder "
    "offload_state_dict proxies resume_download trust_remote_code use_auth_token weights_only"
).split()


def has_no_effect(name, value):
    """Whether an argument of transformers' `from_pretrained` asks for nothing that is not so."""
    if name == "attn_implementation":
        return value in (None, "eager", "sdpa")  # attention is fused where that is possible
    return name in IGNORED_ARGUMENTS or (name in ("variant", "quantization_config") and not value)


def _other_name_of(field):
    return property(
        lambda config: getattr(config, field),
        lambda config, value: setattr(config, field, value),
        doc=f"Another name of `{field}`.",
    )


class RoFormerConfig:
    """The configuration of a RoFormer model, with the documented fields and defaults.

    Args:
        vocab_size: number of tokens that `input_ids` can name.
        embedding_size: size of the token embeddings; by default `hidden_size`.
        hidden_size: size D of the hidden states; a multiple of `num_attention_heads`.
        num_hidden_layers: number of encoder layers.
        num_attention_heads: number N of heads; their size D / N must be even, as rotary position
            embeddings turn pairs of numbers.
        intermediate_size: size of the feed-forward layer in every encoder layer.
        hidden_act: name of an activation ("gelu", "gelu_new", "relu", "selu", or another that
            Keras knows), or a function.
        hidden_dropout_prob: dropout rate of embeddings, encoder layers and heads, in [0, 1].
        attention_probs_dropout_prob: dropout rate of the attention probabilities, in [0, 1].
        max_position_embeddings: documented longest sequence. Kept for the files; this library
            computes the angles of any position and has no such limit.
        type_vocab_size: number of segments that `token_type_ids` can name.
        initializer_range: standard deviation of the truncated normal that initialises weights.
        layer_norm_eps: epsilon of the layer normalisations.
        pad_token_id: id of the padding token.
        rotary_value: rotate the values too, not just queries and keys.
        use_cache: return keys and values for decoding (with `is_decoder`).
        kwargs: the generic fields (`GENERIC_DEFAULTS`), `num_labels`, `id2label`, `label2id`; any
            other key is kept as an attribute and written back.

    Raises:
        TypeError, ValueError: a value that no model can have; the message names the field.

    Example:
        >>> config = RoFormerConfig(hidden_size=192, num_attention_heads=3, num_labels=5)
        >>> config.save_pretrained("my_model")
    """

    model_type = "roformer"
    keys_to_ignore_at_inference = ["past_key_values"]

    def __init__(
        self,
        vocab_size=50000,
        embedding_size=None,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        hidden_act="gelu",
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        max_position_embeddings=1536,
        type_vocab_size=2,
        initializer_range=0.02,
        layer_norm_eps=1e-12,
        pad_token_id=0,
        rotary_value=False,
        use_cache=True,
        **kwargs,
    ):
        embedding_size = hidden_size if embedding_size is None else embedding_size
        given = dict(locals())  # the parameters by name
        for name in DOCUMENTED_FIELDS:
            setattr(self, name, given[name])
        validate = kwargs.pop("validate", True)  # False where more fields are to be set
        self.name_or_path = kwargs.pop("name_or_path", kwargs.pop("_name_or_path", ""))
        kwargs.pop("model_type", None)
        # Both spellings may be in one file; the newer one counts.
        torch_dtype = kwargs.pop("torch_dtype", None)
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = torch_dtype
        self._set_labels(
            kwargs.pop("num_labels", None),
            kwargs.pop("id2label", None),
            kwargs.pop("label2id", None),
        )
        for name, default in GENERIC_DEFAULTS.items():
            setattr(self, name, kwargs.pop(name, copy.copy(default)))
        for name, value in kwargs.items():
            setattr(self, name, value)
        if validate:
            self.validate()

    # Fields that stand for others

    @property
    def use_return_dict(self):
        """Whether models return a `ModelOutput` (else a tuple)."""
        return self.return_dict and not self.torchscript

    _name_or_path = _other_name_of("name_or_path")  # its name in transformers
    _commit_hash = None  # transformers' pipelines ask for it

    def get_text_config(self, decoder=None, encoder=None):
        """The config of the part that reads text: this one."""
        return self

    torch_dtype = _other_name_of("dtype")  # its older name

    @property
    def num_labels(self):
        """Number of labels; setting another number renames them LABEL_0, LABEL_1, …"""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, value):
        if value != self.num_labels:
            self._set_labels(value, None, None)

    def _set_labels(self, num_labels, id2label, label2id):
        for name, value in (("id2label", id2label), ("label2id", label2id)):
            if value is not None and not isinstance(value, dict):
                raise TypeError(f"{name} must be a dict, got {type(value).__name__}: {value!r}")
        if id2label is None:
            count = 2 if num_labels is None else check_integer("num_labels", num_labels, 0)
            if count > MOST_LABELS:  # each gets a name
                raise ValueError(f"num_labels must be at most {MOST_LABELS}, got {count}")
            id2label = {i: f"LABEL_{i}" for i in range(count)}
        elif num_labels is not None and num_labels != len(id2label):
            logger.warning(
                "num_labels=%s does not fit the %d labels of id2label, which are used",
                num_labels,
                len(id2label),
            )
        self.id2label = id2label
        if label2id is not None:
            self.label2id = label2id

    def __setattr__(self, name, value):
        object.__setattr__(self, name, converted(name, value))
        if name == "id2label":
            self.label2id = {label: key for key, label in self.id2label.items()}

    def update(self, config_dict, validate=True):
        """Set several fields and check the result.

        Args:
            config_dict: dict of field names and values; `num_labels` counts before `id2label`.
            validate: False leaves the check to who goes on, e.g. the model made with the config.
        """
        values = dict(config_dict)
        if {"num_labels", "id2label"} <= values.keys():
            count = len(values["id2label"] or {})
            if values["num_labels"] != count:
                raise ValueError(
                    f"num_labels={values['num_labels']} does not fit the {count} labels of "
                    "id2label; give one of them"
                )
        for name in ("num_labels", "id2label", "label2id"):
            if name in values:
                setattr(self, name, values.pop(name))
        for name, value in values.items():
            setattr(self, name, value)
        if validate:
            self.validate()

    def validate(self):
        """Check every field; called by the constructor and `update`, and before a model is built.

        Raises:
            TypeError, ValueError: naming the field, its value and what was expected.
        """
        for name, check in CHECKS.items():
            check(name, getattr(self, name))
        if self.pad_token_id is not None and self.pad_token_id >= self.vocab_size:
            raise ValueError(
                f"pad_token_id must be below vocab_size={self.vocab_size}, got {self.pad_token_id}"
            )
        self._check_heads()
        check_pruned_heads(self.pruned_heads, self.num_hidden_layers, self.num_attention_heads)
        if self.add_cross_attention and not self.is_decoder:
            raise ValueError(
                "add_cross_attention=True needs is_decoder=True: only a decoder attends to the "
                "states of an encoder"
            )

    def _check_heads(self):
        head_size, rest = divmod(self.hidden_size, self.num_attention_heads)
        if rest:
            raise ValueError(
                f"hidden_size must be a multiple of num_attention_heads, got "
                f"hidden_size={self.hidden_size} and num_attention_heads="
                f"{self.num_attention_heads}"
            )
        if head_size % 2:
            raise ValueError(
                f"hidden_size / num_attention_heads must be even, as rotary embeddings turn pairs; "
                f"got {self.hidden_size} / {self.num_attention_heads} = {head_size}"
            )

    # To and from dicts and files

    @classmethod
    def from_dict(cls, config_dict, return_unused_kwargs=False, *, validate=True, **kwargs):
        """Make a config from a dict such as config.json holds.

        Args:
            config_dict: fields and values.
            return_unused_kwargs: give `(config, unused)`: the `kwargs` that are no fields. Without
                it they are ignored with a warning.
            validate: False leaves the check to who goes on, e.g. the model made with the config.
            kwargs: fields that override those of the dict.
        """
        model_type = config_dict.get("model_type", cls.model_type)
        if model_type != cls.model_type:
            raise ValueError(
                f"this is the configuration of a {model_type!r} model; {cls.__name__} reads "
                f"{cls.model_type!r} only"
            )
        config = cls(**{**copy.deepcopy(config_dict), "validate": False})
        fields = {name: value for name, value in kwargs.items() if hasattr(config, name)}
        unused = {name: value for name, value in kwargs.items() if name not in fields}
        config.update(fields, validate)
        if return_unused_kwargs:
            return config, unused
        unknown = sorted(set(unused) - set(IGNORED_ARGUMENTS))
        if unknown:
            logger.warning(
                "%s has no field(s) %s; they are ignored", cls.__name__, ", ".join(unknown)
            )
        return config

    @classmethod
    def from_json_file(cls, json_file):
        """Make a config from a JSON file."""
        return cls.from_dict(read_json(pathlib.Path(json_file)))

    @classmethod
    def from_directory(cls, directory, **kwargs):
        """Load the config of a directory that `hub.resolve` gave, without a look elsewhere.

        Args:
            directory: `pathlib.Path` of the directory with the config.json.
            kwargs: as for `from_dict`.
        """
        return cls.from_dict(read_json(_config_file(directory)), name_or_path=directory, **kwargs)

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs):
        """The fields in the config.json of a checkpoint, and the `kwargs` that are left over."""
        location = {name: kwargs.pop(name) for name in hub.HUB_ARGUMENTS if name in kwargs}
        path = pathlib.Path(pretrained_model_name_or_path)
        if not path.is_file():
            path = _config_file(hub.resolve(pretrained_model_name_or_path, weights=(), **location))
        return read_json(path), kwargs

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, return_unused_kwargs=False, **kwargs):
        """Load the config of a checkpoint.

        Args:
            pretrained_model_name_or_path: a directory, the config.json itself, a preset in the box
                (`keras_roformer.hub.list_presets`) or a hub id.
            return_unused_kwargs: give `(config, unused)`, see `from_dict`.
            kwargs: fields to override; `cache_dir`, `force_download`, `local_files_only`, `token`,
                `revision`, `subfolder` for the hub.
        """
        config_dict, kwargs = cls.get_config_dict(pretrained_model_name_or_path, **kwargs)
        kwargs["name_or_path"] = pretrained_model_name_or_path
        return cls.from_dict(config_dict, return_unused_kwargs, **kwargs)

    def save_pretrained(self, save_directory, push_to_hub=False, **kwargs):
        """Write config.json into a directory.

        Args:
            save_directory: made if it is not there.
            push_to_hub: upload the file afterwards, to `repo_id`, by default the directory's name.
            kwargs: `repo_id` and others of `hub.upload`, with `push_to_hub`.
        """
        if kwargs and not push_to_hub:
            raise TypeError(
                f"save_pretrained got the unknown argument(s) {', '.join(sorted(kwargs))}; those "
                "of the hub need push_to_hub=True"
            )
        directory = make_directory(save_directory)
        self.to_json_file(directory / CONFIG_NAME)
        if push_to_hub:
            hub.push(directory, kwargs, message="Upload config", files=[CONFIG_NAME])

    def to_dict(self):
        """All fields, ready for JSON but for the integer keys of `id2label`."""
        fields = copy.deepcopy({**vars(self), "hidden_act": _activation_name(self.hidden_act)})
        fields["_name_or_path"] = fields.pop("name_or_path")
        return {**fields, "model_type": self.model_type}

    def to_diff_dict(self):
        """The documented fields, and of the others those that do not have their default."""
        fields = self.to_dict()
        del fields["_name_or_path"]
        labels = RoFormerConfig()  # two, by default
        defaults = dict(GENERIC_DEFAULTS, id2label=labels.id2label, label2id=labels.label2id)
        return {
            name: value
            for name, value in fields.items()
            if name not in defaults or value != defaults[name]
        }

    def to_json_string(self, use_diff=True):
        """JSON text of `to_diff_dict` (or `to_dict`), as transformers writes it."""
        fields = self.to_diff_dict() if use_diff else self.to_dict()
        for name in ("id2label", "pruned_heads"):  # sort_keys wants keys of one type: JSON's
            if name in fields:
                fields[name] = {str(key): value for key, value in fields[name].items()}
        return json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def to_json_file(self, json_file_path, use_diff=True):
        """Write `to_json_string` to a file."""
        text = self.to_json_string(use_diff)  # before the file is opened: it may fail
        with atomic(pathlib.Path(json_file_path)) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def __eq__(self, other):
        if not isinstance(other, RoFormerConfig):
            return NotImplemented
        # Where a config came from is no part of what it says.
        mine, theirs = ({**vars(config), "name_or_path": None} for config in (self, other))
        return mine == theirs

    def __repr__(self):
        config = copy.copy(self)
        if callable(self.hidden_act):
            config.hidden_act = repr(self.hidden_act)  # need not have a name to be printed
        return f"{type(self).__name__} {config.to_json_string()}"


class AutoConfig:
    """The documented entry point of that name; every configuration here is a `RoFormerConfig`."""

    from_pretrained = RoFormerConfig.from_pretrained


def _config_file(directory):
    """The file with a directory's config."""
    names = (CONFIG_NAME, "bert_config.json")  # the latter of the original code and bert4keras
    found = [directory / name for name in names if (directory / name).is_file()]
    return found[0] if found else directory / CONFIG_NAME


def read_json(path):
    """The object in a JSON file of a checkpoint; clear errors for a file that has none."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8-sig"))  # Windows's editors put a mark
    except FileNotFoundError:
        remedy = ""
        if path.name == CONFIG_NAME:
            remedy = (
                ", but transformers' Trainer writes none for models of this library: write it with "
                "model.config.save_pretrained, or give from_pretrained a config"
            )
        raise FileNotFoundError(
            f"there is no {path.name} in {path.parent}; a checkpoint directory must have one"
            + remedy
        ) from None
    except (ValueError, RecursionError) as error:  # also text that is not UTF-8
        raise ValueError(f"{path} is not valid JSON: {error}; download or save it again") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(fields).__name__}")
    return fields


def _activation_name(value):
    """The name that stands for an activation in a file.

    Raises:
        ValueError: a function that Keras does not know by name.
    """
    if isinstance(value, str):
        return value
    keras = sys.modules.get("keras")
    if keras is not None:
        name = getattr(value, "__name__", "")
        if getattr(keras.activations, name, None) is value:
            return name
        registered = keras.saving.get_registered_name(value)
        if keras.saving.get_registered_object(registered) is value:
            return registered
    raise ValueError(
        f"hidden_act is {value!r}, a function without a name that a file could keep; use the name "
        "of an activation or register it with keras.saving.register_keras_serializable"
    )
