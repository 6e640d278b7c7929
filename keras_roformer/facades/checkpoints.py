"""Loading and saving a documented class: `from_pretrained`, `save_pretrained`, `push_to_hub`."""

import contextlib
import copy
import logging
import pathlib
import tempfile

from keras import ops

from keras_roformer import hub
from keras_roformer.config import CONFIG_NAME, RoFormerConfig, has_no_effect
from keras_roformer.config_fields import dtype_name
from keras_roformer.layers.initializers import deferred_values
from keras_roformer.saving import atomic, make_directory
from keras_roformer.weights import checkpoint, formats, names, transfer

logger = logging.getLogger("keras_roformer")

FLOATING = ("float32", "bfloat16", "float16", "float64")


class Checkpoints:
    """Loads and saves config, weights and what else a class keeps in a checkpoint.

    A family says in which files: `save_format` (a name in `formats.TABLE`), `saves_safetensors` and
    `saves_positions`; and may override the methods below that begin with an underscore.
    """

    save_format = "pytorch"
    saves_safetensors = False
    saves_positions = True  # whether transformers keeps the table of positions among the weights

    # Loading

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path,
        *args,
        config=None,
        cache_dir=None,
        ignore_mismatched_sizes=False,
        force_download=False,
        local_files_only=False,
        token=None,
        revision=None,
        subfolder="",
        from_pt=False,
        from_tf=False,
        from_flax=False,
        use_safetensors=None,
        output_loading_info=False,
        state_dict=None,
        **kwargs,
    ):
        """Make a model from a checkpoint in any of the formats.

        Args:
            pretrained_model_name_or_path: directory, preset in the box or hub id; or a weight file,
                with `config` or beside its config.json.
            args: given on to the constructor after the config.
            config: `RoFormerConfig`, or where to load it from; by default the checkpoint's.
            from_pt, from_tf, from_flax: read pytorch_model.bin, tf_model.h5 (or the
                bert_model.ckpt of the original code and bert4keras), flax_model.msgpack; by default
                the first format that is there, safetensors first.
            use_safetensors: True reads safetensors only, False pytorch_model.bin.
            ignore_mismatched_sizes: leave weights of another shape at their initial values.
            state_dict: weights to take in place of the checkpoint's, by transformers' names; the
                checkpoint may then be None, with `config`.
            output_loading_info: give `(model, info)`, what did not match as a dict.
            cache_dir, force_download, local_files_only, token, revision, subfolder: for the hub.
            kwargs: config fields to override, and the family's own (dtype, …). What only says how
                transformers loads (`low_cpu_mem_usage`, …) is accepted and has no effect.

        Raises:
            ValueError: unknown name; a checkpoint that does not fit (`CheckpointError`).
        """
        name = pretrained_model_name_or_path
        directory = weights_path = None
        if name is not None or config is None or state_dict is None:
            directory, weights_path = _find(
                name,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token or kwargs.get("use_auth_token"),
                revision=revision,
                subfolder=subfolder,
            )
        model_kwargs = cls._pop_model_kwargs(kwargs)
        config = cls._config_to_load(config, directory, name, kwargs)
        source = config.name_or_path or "state_dict"

        if state_dict is not None:
            tensors = {n: ops.convert_to_numpy(tensor) for n, tensor in state_dict.items()}
        else:
            format = formats.requested(directory, from_pt, from_tf, from_flax, use_safetensors)
            tensors = checkpoint.read(weights_path, format)
        with deferred_values():
            model = cls(config, *args, **model_kwargs)
        report = model._load(
            tensors, source=source, ignore_mismatched_sizes=ignore_mismatched_sizes
        )
        model._after_loading(report.absent_keys)
        if directory is not None:
            model._read_more(directory)
        log_report(report, cls.__name__, source)
        return (model, report.as_dict()) if output_loading_info else model

    @classmethod
    def _config_to_load(cls, config, directory, name, kwargs):
        """The config of a model to be loaded, which its constructor is to validate."""
        if config is None:
            config = RoFormerConfig.from_directory(directory, validate=False)
        elif isinstance(config, (str, pathlib.Path)):
            config = RoFormerConfig.from_pretrained(config, validate=False)
        else:
            config = copy.deepcopy(cls._check_config(config, validate=False))
        fields = {name: value for name, value in kwargs.items() if not has_no_effect(name, value)}
        unknown = sorted(name for name in fields if not hasattr(config, name))
        if unknown:
            raise TypeError(
                f"{cls.__name__}.from_pretrained got the unknown argument(s) {', '.join(unknown)}"
            )
        config.update(fields, validate=False)
        config.name_or_path = "" if name is None else str(name)
        return config

    @classmethod
    def _pop_model_kwargs(cls, kwargs):
        """Take the keyword arguments of the constructor out of those of `from_pretrained`."""
        return {}

    def _load(self, tensors, **kwargs):
        """Assign a canonical checkpoint; see `transfer.assign`."""
        return transfer.load(self.network, tensors, **kwargs)

    def _after_loading(self, absent=()):
        """Called once the weights are assigned, but for those named in `absent`: draws these."""
        transfer.draw(self.network, absent)

    def _read_more(self, directory):
        """Read what a class keeps in a checkpoint beside config and weights."""

    def _more_files(self):
        """What a class writes beside config and weights: name → text."""
        return {}

    # Saving

    def save_pretrained(
        self,
        save_directory,
        max_shard_size="5GB",
        safe_serialization=None,
        is_main_process=True,
        state_dict=None,
        save_function=None,
        *,
        _written=(),  # what a family has written already: patterns of paths in the directory
        **kwargs,
    ):
        """Write config.json, the weights and, of a causal class, generation_config.json, as
        transformers does for this family.

        Args:
            save_directory: made if it is not there.
            max_shard_size: bytes, or a string such as "200MB"; larger files are split in shards.
            safe_serialization: True writes model.safetensors, False the family's own format; the
                default is what the family's transformers class writes and loads.
            is_main_process: False writes nothing: another process does.
            state_dict: weights to write in place of the model's, by transformers' names.
            save_function: accepted, and not called: the files are written here.
            kwargs: `push_to_hub=True` uploads these files afterwards, to `repo_id` (by default the
                directory's name); further arguments are those of `push_to_hub` for the hub.

        Raises:
            ValueError: the directory is a file, or an argument is unknown.
        """
        pushes = kwargs.pop("push_to_hub", False)
        if kwargs and not pushes:
            raise ValueError(
                f"{type(self).__name__}.save_pretrained got the unknown argument(s) "
                f"{', '.join(sorted(kwargs))}"
            )
        if not is_main_process:
            return
        config = self._config_to_save()
        config.architectures = [type(self).__name__.removeprefix(self.family)]
        safe = self.saves_safetensors if safe_serialization is None else safe_serialization
        format = "safetensors" if safe else self.save_format
        tensors = self._canonical()
        if state_dict is not None:
            tensors |= {n: ops.convert_to_numpy(tensor) for n, tensor in state_dict.items()}
        directory = make_directory(save_directory)
        # All lie beside, written, before the first is renamed: a kill leaves files that fit.
        with contextlib.ExitStack() as stack:
            texts = {CONFIG_NAME: config.to_json_string(), **self._more_files()}
            for name, text in texts.items():
                stack.enter_context(atomic(directory / name)).write_text(text, "utf-8")
            files = checkpoint.write(
                directory,
                tensors,
                format=format,
                max_shard_size=max_shard_size,
                kinds=self._kinds(),
            )
        if pushes:
            index = formats.TABLE[format].index_file  # of shards, where there are
            written = [*_written, *texts, *(file.name for file in files), index]
            hub.push(directory, kwargs, message=self._upload_message, files=written)

    def _config_to_save(self):
        return copy.deepcopy(self.config)

    def _kinds(self):
        return names.kinds(self.network)

    def _canonical(self):
        """The weights as a canonical checkpoint, named as transformers names this class's."""
        tensors = transfer.read(self.network)
        if self.saves_positions:
            tensors |= transfer.computed(self.config)
        return names.without_prefix(tensors) if self.task == "model" else tensors

    def push_to_hub(self, repo_id, commit_message=None, private=None, token=None, **kwargs):
        """Save the model and upload it to the hub; gives the hub's answer.

        Args:
            repo_id: "name" or "owner/name"; made, `private` or not, if it is not there.
            commit_message, private, token: for the hub.
            kwargs: `commit_description`, `revision` (the branch; made if it is not there) and
                `create_pr`, as in huggingface_hub; others are for `save_pretrained`.
        """
        more = ("commit_description", "revision", "create_pr")
        target = {name: kwargs.pop(name) for name in more if name in kwargs}
        target |= dict(repo_id=repo_id, commit_message=commit_message, private=private, token=token)
        with tempfile.TemporaryDirectory() as directory:
            self.save_pretrained(directory, **kwargs)
            return hub.push(directory, target, message=self._upload_message)

    @property
    def _upload_message(self):
        return f"Upload {type(self).__name__}"


def floating_dtype(dtype):
    """The name of a floating dtype, given as a framework's object or a name.

    Raises:
        ValueError: no dtype that a model can compute in.
    """
    name = dtype_name(dtype)
    if name not in FLOATING:
        raise ValueError(f"dtype is {name!r}; use {', '.join(FLOATING)}")
    return name


def _find(name, **location):
    """The directory of a checkpoint, and the path of its weights: that or the file named."""
    file = pathlib.Path(name) if name is not None and pathlib.Path(name).is_file() else None
    directory = hub.resolve(str(name if file is None else file.parent), **location)
    return directory, file or directory


def log_report(report, class_name, source):
    """Tell of the weights that a checkpoint and a model do not share."""
    report.warn_of_absent(class_name, source)
    if report.unexpected_keys:
        left_out = any(transfer.is_of_layer(name) for name in report.unexpected_keys)
        logger.log(
            logging.WARNING if left_out else logging.INFO,
            "%s has no place for these weights of %s: %s",
            class_name,
            source,
            ", ".join(report.unexpected_keys),
        )
