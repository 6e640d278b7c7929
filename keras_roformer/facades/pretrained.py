"""What the documented classes of all three families share; a family adds its tensors' ways."""

import contextlib
import copy
import inspect
import logging
import math
import pathlib
import tempfile

from keras import ops

from keras_roformer import hub, resizing
from keras_roformer import outputs as output_classes
from keras_roformer.config import CONFIG_NAME, IGNORED_ARGUMENTS, RoFormerConfig, dtype_name
from keras_roformer.facades import cache
from keras_roformer.facades.call_checks import CallChecker
from keras_roformer.layers.initializers import deferred_values
from keras_roformer.limits import CHECK_IDS
from keras_roformer.saving import atomic, make_directory
from keras_roformer.tasks import TASKS, RoFormerNetwork, reduce_loss
from keras_roformer.weights import checkpoint, names, transfer

logger = logging.getLogger("keras_roformer")

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "head_mask", "inputs_embeds")
CONTEXT = ("encoder_hidden_states", "encoder_attention_mask")
FLAGS = ("output_attentions", "output_hidden_states", "return_dict")
# Arguments that every class takes by keyword, whether its documented signature has them or not.
ALWAYS = (
    *INPUTS,
    *CONTEXT,
    *FLAGS,
    "position_ids",
    "cross_attn_head_mask",
    "past_key_values",
    "use_cache",
    "logits_positions",  # (B, P) tokens whose language-model logits are wanted
)

FLOATING = ("float32", "bfloat16", "float16", "float64")

# The documented output class of each task, to which a family adds its prefix.
OUTPUT_CLASSES = {
    "model": "BaseModelOutput",
    "masked_lm": "MaskedLMOutput",
    "causal_lm": "CausalLMOutput",
    "sequence_classification": "SequenceClassifierOutput",
    "multiple_choice": "MultipleChoiceModelOutput",
    "token_classification": "TokenClassifierOutput",
    "question_answering": "QuestionAnsweringModelOutput",
}


class PreTrained:
    """Config, network, call, loading and saving of one documented class.

    A class is declared by its task: `class X(Family, task="masked_lm")`. A family gives `family`
    (the prefix of its output classes), `arguments(task)` (the documented positional order of its
    call) and `call_name` (the name of the documented call).
    """

    config_class = RoFormerConfig
    base_model_prefix = "roformer"
    main_input_name = "input_ids"
    task = None
    family = ""
    call_name = "__call__"
    add_pooler = False
    save_format = "pytorch"
    saves_safetensors = False
    saves_positions = True  # whether transformers keeps the table of positions among the weights
    output_class_names = {}  # of the tasks for which it is not the family's `OUTPUT_CLASSES`

    def __init_subclass__(cls, task=None, **kwargs):
        super().__init_subclass__(**kwargs)
        if task is None:
            return
        cls.task = task
        cls.argument_names = cls.arguments(task)
        cls.output_class = getattr(
            output_classes, cls.output_class_names.get(task, cls.family + OUTPUT_CLASSES[task])
        )
        setattr(cls, cls.call_name, _documented_call(cls))

    # Construction

    @classmethod
    def _check_config(cls, config):
        if getattr(config, "model_type", None) == RoFormerConfig.model_type and not isinstance(
            config, RoFormerConfig
        ):
            config = RoFormerConfig.from_dict(config.to_dict())  # transformers' object
        if not isinstance(config, RoFormerConfig):
            raise TypeError(
                f"{cls.__name__} takes a RoFormerConfig, got {type(config).__name__}; to load a "
                f"checkpoint, call {cls.__name__}.from_pretrained(…)"
            )
        if cls.task is None:
            raise TypeError(
                f"{cls.__name__} is a base class; use one of its subclasses, e.g. "
                f"{cls.family}RoFormerForMaskedLM"
            )
        config.validate()  # fields may have been assigned since it was made
        return config

    @classmethod
    def _refuse(cls, inputs, kwargs):
        """Raise for arguments of a constructor that are left over."""
        if inputs or kwargs:
            more = ", ".join([*map(repr, inputs), *sorted(kwargs)])
            raise TypeError(f"{cls.__name__} got the unknown argument(s) {more}")

    @classmethod
    def _from_config(cls, config, **kwargs):
        """A model with new weights; what only says how transformers makes one has no effect."""
        return cls(config, **{k: v for k, v in kwargs.items() if not _has_no_effect(k, v)})

    def _make_network(self, dtype=None, backbone=None):
        return RoFormerNetwork(
            self.config,
            task=self.task,
            add_pooler=self.add_pooler,
            backbone=backbone,
            dtype=dtype,
            name=f"{self.family.lower()}roformer_{self.task}",
        )

    @property
    def name_or_path(self):
        """What `from_pretrained` was given; "" without."""
        return self.config.name_or_path

    # Calls

    def _named_arguments(self, args, kwargs):
        """Positional and keyword arguments of a call by name, as Python would bind them."""
        known = self.argument_names
        if len(args) > len(known):
            raise TypeError(
                f"{type(self).__name__} takes at most {len(known)} positional arguments "
                f"({', '.join(known)}), got {len(args)}"
            )
        # Of one length: torch.compile of older torch (2.9) takes no other zip.
        arguments = dict(zip(known[: len(args)], args, strict=True))
        for name in kwargs:
            if name in arguments:
                raise TypeError(f"{type(self).__name__} got {name} twice, by position and by name")
            if name not in known and name not in ALWAYS:
                raise TypeError(
                    f"{type(self).__name__} has no argument {name!r}; it takes {', '.join(known)}"
                )
        return {**arguments, **kwargs}

    def _run(self, arguments, run_network, training=False):
        """Named arguments → documented output.

        Args:
            arguments: dict of the documented call's arguments (`None` means not given).
            run_network: function that calls the network with keyword arguments.
            training: whether dropout is on.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        config = self.config
        return_dict = given.pop("return_dict", config.use_return_dict)
        given.setdefault("output_attentions", config.output_attentions)
        given.setdefault("output_hidden_states", config.output_hidden_states)
        # A cache is only of use to a decoder, as in the reference.
        given["use_cache"] = config.is_decoder and given.get("use_cache", config.use_cache)
        if not config.is_decoder:
            for name in (*CONTEXT, "past_key_values", "cross_attn_head_mask"):
                given.pop(name, None)
        task = TASKS[self.task]
        labels = {name: given.pop(name, None) for name in task.labels}
        has_labels = any(value is not None for value in labels.values())
        past = given.pop("past_key_values", None)
        if past is not None and (past_cache := cache.from_documented(past)):
            given["past_key_values"] = past_cache
        checker = self._checker()
        if checker is not None:
            checker.check_inputs(given)

        result = run_network(training=training, **given)

        if "past_key_values" in result:
            result["past_key_values"] = cache.to_documented(result["past_key_values"], past)
        if task.loss is not None and has_labels:
            if checker is not None:
                some_logits = next(x for name, x in result.items() if name.endswith("logits"))
                checker.check_labels(labels, some_logits.shape)
            tensors = [ops.convert_to_tensor(label) for label in labels.values()]
            terms = task.loss(config, result, *tensors)
            result["loss"] = self._reduce(terms, task)
        output = self.output_class(
            **{f: result[f] for f in self.output_class.field_names() if f in result}
        )
        return output if return_dict else output.to_tuple()

    def _checker(self):
        """The checks of a call's arguments; None where a compiler could not read them."""
        return CallChecker(type(self).__name__, self.config, self.task, self._extremes, CHECK_IDS)

    @staticmethod
    def _extremes(values):
        """Least and greatest of concrete values; None for values that are traced, and for none."""
        raise NotImplementedError

    def _reduce(self, terms, task):
        return reduce_loss(terms)

    # Loading and saving

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
        directory = weight_file = None
        if name is not None or config is None or state_dict is None:
            is_file = name is not None and pathlib.Path(name).is_file()
            weight_file = pathlib.Path(name) if is_file else None
            directory = hub.resolve(
                str(weight_file.parent if is_file else name),
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token or kwargs.get("use_auth_token"),
                revision=revision,
                subfolder=subfolder,
            )
        model_kwargs = cls._pop_model_kwargs(kwargs)
        kwargs = {k: v for k, v in kwargs.items() if not _has_no_effect(k, v)}
        if isinstance(config, (str, pathlib.Path)):
            config = RoFormerConfig.from_pretrained(config)
        if config is None:
            config = RoFormerConfig.from_pretrained(directory)
        config = copy.deepcopy(config)
        unknown = sorted(name for name in kwargs if not hasattr(config, name))
        if unknown:
            raise TypeError(
                f"{cls.__name__}.from_pretrained got the unknown argument(s) {', '.join(unknown)}"
            )
        config.update(kwargs)
        config.name_or_path = "" if name is None else str(name)
        source = config.name_or_path or "state_dict"

        if state_dict is not None:
            tensors = {n: ops.convert_to_numpy(tensor) for n, tensor in state_dict.items()}
        else:
            tensors = checkpoint.read(
                weight_file or directory,
                _format(directory, from_pt, from_tf, from_flax, use_safetensors),
            )
        with deferred_values():
            model = cls(config, *args, **model_kwargs)
        report = model._load(
            tensors,
            source=source,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
        )
        model._after_loading(report.absent_keys)
        if directory is not None:
            model._read_more(directory)
        log_report(report, cls.__name__, source)
        return (model, report.as_dict()) if output_loading_info else model

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
            target = {"repo_id": directory.name, "commit_message": self._upload_message, **kwargs}
            index = f"{hub.WEIGHT_FILES[format]}.index.json"  # of shards, where there are
            written = [*_written, *texts, *(file.name for file in files), index]
            hub.upload(directory, files=written, **target)

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
        with tempfile.TemporaryDirectory() as directory:
            self.save_pretrained(directory, **kwargs)
            return hub.upload(
                directory,
                repo_id,
                commit_message=commit_message or self._upload_message,
                private=private,
                token=token,
                **target,
            )

    @property
    def _upload_message(self):
        return f"Upload {type(self).__name__}"

    def _named_weights(self):
        """`(name, weight)` of the network's weights, named as transformers names this class's."""
        for weight in names.weights(self.network):
            bare = self.task == "model"
            yield names.bare_name(weight.name) if bare else weight.name, weight

    # Changes of size

    def resize_token_embeddings(
        self, new_num_tokens=None, pad_to_multiple_of=None, mean_resizing=False
    ):
        """Change the number of tokens; gives the input embeddings.

        Args:
            new_num_tokens: new vocabulary size, by default as it is.
            pad_to_multiple_of: round the size up to a multiple of this.
            mean_resizing: accepted, without effect: new rows are drawn as at initialisation.
        """
        size = self.config.vocab_size if new_num_tokens is None else new_num_tokens
        if pad_to_multiple_of:
            size = -(-size // pad_to_multiple_of) * pad_to_multiple_of
        if size != self.config.vocab_size:
            self._change_network(resizing.resize_vocabulary, size)
        return self.get_input_embeddings()

    def prune_heads(self, heads_to_prune):
        """Remove attention heads: `{layer: [heads]}`, counted as before any pruning."""
        self._change_network(resizing.prune_heads, heads_to_prune)

    def _change_network(self, change, *args):
        change(self.network, *args)

    def get_input_embeddings(self):
        """The token embedding layer."""
        return self.network.roformer.embeddings.word_embeddings

    def _require_output_embeddings(self):
        if self.get_output_embeddings() is None:
            raise ValueError(
                f"{type(self).__name__} has no output embeddings; a masked or causal language "
                "model has"
            )

    def can_generate(self):
        """Whether the model has `generate`."""
        return False

    def tie_weights(self):
        """The output embeddings are the input embeddings (`tie_word_embeddings`): nothing to do."""

    def num_parameters(self, only_trainable=False, exclude_embeddings=False):
        """Number of parameters; `exclude_embeddings` leaves the embedding tables out."""
        total = 0
        for weight in names.weights(self.network):
            if exclude_embeddings and weight.kind == names.EMBEDDING:
                continue
            if not only_trainable or weight.variable.trainable:
                total += math.prod(weight.variable.shape)
        return total


def _has_no_effect(name, value):
    """Whether an argument of transformers' `from_pretrained` asks for nothing that is not so."""
    if name == "attn_implementation":
        return value in (None, "eager", "sdpa")  # attention is fused where that is possible
    return name in IGNORED_ARGUMENTS or (name in ("variant", "quantization_config") and not value)


def floating_dtype(dtype):
    """The name of a floating dtype, given as a framework's object or a name.

    Raises:
        ValueError: no dtype that a model can compute in.
    """
    name = dtype_name(dtype)
    if name not in FLOATING:
        raise ValueError(f"dtype is {name!r}; use {', '.join(FLOATING)}")
    return name


def _documented_call(cls):
    """The class's call, with the documented signature for `help` and for trainers that read it."""
    inherited = getattr(cls, cls.call_name)

    def call(self, *args, **kwargs):
        return inherited(self, *args, **kwargs)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter("self", kind)]
    parameters += [inspect.Parameter(name, kind, default=None) for name in cls.argument_names]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
        for name in ALWAYS
        if name not in cls.argument_names
    ]
    call.__signature__ = inspect.Signature(parameters)
    call.__name__ = cls.call_name
    call.__qualname__ = f"{cls.__qualname__}.{cls.call_name}"
    call.__doc__ = inherited.__doc__
    return call


def _format(directory, from_pt, from_tf, from_flax, use_safetensors):
    """The file format that the documented flags ask for; None for the first that is there."""

    def has_files(format):  # or their index
        return any(pathlib.Path(directory).glob(f"{hub.weight_pattern(format)}*"))

    if use_safetensors:
        return "safetensors"
    if from_tf:
        is_original = checkpoint.originals(directory) and not has_files("tensorflow")
        return checkpoint.ORIGINAL if is_original else "tensorflow"
    if from_flax:
        return "flax"
    # torch also writes safetensors, and those come first, as in transformers.
    if (from_pt and not has_files("safetensors")) or use_safetensors is False:
        return "pytorch"
    return None


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
