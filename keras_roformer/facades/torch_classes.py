"""The documented PyTorch classes: `torch.nn.Module`s over the Keras layers."""

import dataclasses

import keras
import torch

from keras_roformer import outputs
from keras_roformer.facades import torch_tree
from keras_roformer.facades.checkpoints import floating_dtype
from keras_roformer.facades.documented import declare_classes
from keras_roformer.facades.pretrained import CONTEXT, FLAGS, INPUTS, PreTrained
from keras_roformer.facades.torch_door import TorchDoor
from keras_roformer.facades.torch_utilities import Utilities
from keras_roformer.layers import kernels
from keras_roformer.layers.initializers import deferred_values, values_are_deferred
from keras_roformer.tasks import TASKS
from keras_roformer.upstream import for_keras, for_torch
from keras_roformer.weights import names, transfer

outputs.register_torch()


# The documented positional order of the calls that take more than inputs, labels and flags.
ARGUMENTS = {
    "model": (*INPUTS, *CONTEXT, "past_key_values", "use_cache", *FLAGS),
    "masked_lm": (*INPUTS, *CONTEXT, "labels", *FLAGS),
    "causal_lm": (
        *("input_ids", "attention_mask", "token_type_ids", "inputs_embeds"),
        *CONTEXT,
        *("head_mask", "cross_attn_head_mask", "past_key_values", "labels", "use_cache"),
        *FLAGS,
    ),
}


class RoFormerPreTrainedModel(
    Utilities, TorchDoor, PreTrained, for_torch.WatchedModule, torch_tree.Tree
):
    """Base of the torch classes: a tree of modules with transformers' names, which the Keras layers
    compute with (see `facades.torch_tree`).

    A subclass of one's own may add modules to a documented class, or hold a `RoFormerModel` as
    `roformer` beside others; it loads and saves like any.
    """

    call_name = "forward"
    saves_safetensors = True
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False  # a trainer looks here where an adapter around takes anything

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # transformers 4 takes a class of a module named keras… for TensorFlow's: there its Trainer
        # reads which arguments `call` has.
        if cls.task is not None:
            cls.call = cls.forward

    @staticmethod
    def arguments(task):
        return ARGUMENTS.get(task) or (*INPUTS, *TASKS[task].labels, *FLAGS)

    def __init__(self, config, *inputs, _backbone=None, **kwargs):
        super().__init__()
        # A backbone has the config of the model around, which has validated it.
        self.config = self._check_config(config, validate=_backbone is None)
        self.num_labels = self.config.num_labels
        self.warnings_issued = {}  # trainers note in it what they have said
        if self.task is not None:
            self._refuse(inputs, kwargs)
            self._make_tree(_backbone)

    @classmethod
    def _from_config(cls, config, dtype=None, torch_dtype=None, **kwargs):
        model = super()._from_config(config, **kwargs)
        dtype = dtype if dtype is not None else torch_dtype
        return model if dtype is None else model.to(getattr(torch, floating_dtype(dtype)))

    @classmethod
    def _check_config(cls, config, validate=True):
        if cls.task is None and cls is not RoFormerPreTrainedModel:
            return RoFormerModel._check_config(config, validate)  # of a subclass of one's own
        return super()._check_config(config, validate)

    def _make_tree(self, backbone=None, keep=False):
        """Make the Keras layers and the tree, or, to `keep` the tree that is there, the layers."""
        loads = values_are_deferred()
        # transformers makes models on the CPU, whatever device Keras would choose.
        with keras.device("cpu"), deferred_values():
            network = self._make_network(backbone=backbone)
            object.__setattr__(self, "network", network)  # past nn.Module's registration
            if self.task != "model" and not keep:
                self.roformer = RoFormerModel(self.config, _backbone=network.roformer)
        torch_tree.TreeLink(self, network, keep, deferred=True).link()
        if keep:
            self.after_conversion()
        elif not loads:
            for module in self._own_modules():
                self._init_weights(module)

    def _own_modules(self):
        """The modules of the tree that have parameters."""
        paths = dict.fromkeys(name.rpartition(".")[0] for name, _ in self._named_weights())
        return [self.get_submodule(path) for path in paths]

    def _models(self):
        """`(path, model)` of the documented classes in this module, those inside others left out:
        itself, or what a subclass of one's own holds."""
        if self.task is not None:
            return [("", self)]
        return [
            (f"{path}.", module)
            for path, module in self.named_children()
            if isinstance(module, RoFormerPreTrainedModel) and module.task is not None
        ]

    def _init_weights(self, module):
        """transformers' initial values: normal with `initializer_range`, 0 and 1."""
        if isinstance(module, (torch.nn.Linear, torch.nn.Embedding)):
            torch.nn.init.normal_(module.weight, std=self.config.initializer_range)
        elif isinstance(module, torch.nn.LayerNorm) and module.weight is not None:
            torch.nn.init.ones_(module.weight)
        if isinstance(module, torch.nn.Embedding) and module.padding_idx is not None:
            torch.nn.init.zeros_(module.weight.data[module.padding_idx])
        with_bias = (torch.nn.Linear, torch.nn.LayerNorm, torch_tree.Predictions)
        if isinstance(module, with_bias) and module.bias is not None:
            torch.nn.init.zeros_(module.bias)

    def init_weights(self):
        """Initialise the modules that a subclass has added; the model's own have their values."""
        own = {id(module) for _, model in self._models() for module in model._own_modules()}
        for module in self.modules():
            if id(module) not in own:
                self._init_weights(module)

    def post_init(self):
        """What transformers' constructors call last."""
        self.init_weights()

    def __setattr__(self, name, value):
        is_head_class = self.task not in (None, "model")
        shared = name == "roformer" and is_head_class and hasattr(self, "roformer")
        if shared and not isinstance(value, RoFormerModel):
            raise TypeError(f"roformer must be a RoFormerModel, got {type(value).__name__}")
        super().__setattr__(name, value)
        if shared:  # another model's backbone: the layers are made anew around it
            self._make_tree(value.network.roformer, keep=True)

    def forward(self, *args, **kwargs):
        """See the documented class for the arguments; gives its output class or a tuple."""
        if self.task is None:
            raise NotImplementedError(f"{type(self).__name__} does not define forward")
        arguments = self._named_arguments(args, kwargs)
        device = str(self.device)
        if device == for_keras.torch_device():
            return self._run(arguments, self.network.call, training=self.training)
        with keras.device(device):
            return self._run(arguments, self.network.call, training=self.training)

    def _checker(self):
        return None if torch.compiler.is_compiling() else super()._checker()

    @staticmethod
    def _extremes(values):
        values = torch.as_tensor(values)
        if kernels.is_traced() or values.is_meta or not values.numel():
            return None
        return torch.stack(torch.aminmax(values)).tolist()  # one wait for the device

    # Weights under transformers' names

    def before_load(self, state_dict, prefix):
        own = dict(self.named_parameters())
        for name in [name for name in state_dict if name.startswith(prefix)]:
            bare = name.removeprefix(prefix)
            if (bare in names.TIED and bare not in own) or names.COMPUTED.fullmatch(bare):
                del state_dict[name]

    @property
    def base_model(self):
        """The model without its head."""
        return self if self.task == "model" else self.roformer

    # Device and dtype

    @property
    def device(self):
        """The `torch.device` of the parameters."""
        return next(self.parameters()).device

    @property
    def dtype(self):
        """The `torch.dtype` of the parameters."""
        return next(self.parameters()).dtype

    def after_conversion(self):
        """After `half()`, `to(dtype)` and the like: the Keras layers compute in that dtype; a
        backbone, which is a model of its own, in its own."""
        if self.task is None:
            return
        backbone = [] if self.task == "model" else for_keras.flat_layers(self.network.roformer)
        others = {id(layer) for layer in backbone}
        own = (p for n, p in self.named_parameters() if others and not names.is_of_backbone(n))
        dtype = keras.backend.standardize_dtype(next(own, next(self.parameters())).dtype)
        if dtype == self.network.compute_dtype:
            return
        for layer in for_keras.flat_layers(self.network):
            if id(layer) not in others:
                for_keras.set_dtype(layer, dtype)

    # Loading

    @classmethod
    def from_pretrained(cls, *args, dtype=None, torch_dtype=None, device_map=None, **kwargs):
        """See `PreTrained.from_pretrained`; the model comes in evaluation mode.

        Args:
            dtype: `torch.dtype`, its name, or "auto" for the checkpoint's; by default float32.
            torch_dtype: older name of `dtype`.
            device_map: a device, "auto" for the GPU if there is one, or `{"": device}`.
        """
        dtype = dtype if dtype is not None else torch_dtype
        if dtype not in (None, "auto"):
            dtype = floating_dtype(dtype)
        result = super().from_pretrained(*args, **kwargs)
        model = result[0] if isinstance(result, tuple) else result
        if dtype == "auto":
            dtype = model.config.dtype
        if dtype is not None:
            model.to(getattr(torch, floating_dtype(dtype)))
        if device_map is not None:
            model.to(_device(device_map))
        model.eval()
        return result

    def _load(self, tensors, **kwargs):
        expected = [weight for *_, weight in self._weights_of_models()]
        known = {names.bare_name(weight.name) for weight in expected}
        for name, tensor in self.state_dict(keep_vars=True).items():
            if names.bare_name(name) not in known:  # of a module that a subclass added
                expected.append(names.Weight(name, _Added(tensor), None, "", None, False))
        return transfer.assign(expected, tensors, **kwargs)

    def _weights_of_models(self):
        """`(model, name in it, weight)` of the `_models`' weights, named as this module's."""
        for path, model in self._models():
            for name, weight in model._named_weights():
                renamed = dataclasses.replace(weight, name=path + name) if path else weight
                yield model, name, renamed

    def _after_loading(self, absent=()):
        absent = set(map(names.bare_name, absent))
        models = [m for m in self.modules() if isinstance(m, RoFormerPreTrainedModel) and m.task]
        own = {module: model for model in models for module in model._own_modules()}
        paths = {module: path for path, module in self.named_modules()}
        for module, model in own.items():
            leaves = dict(module.named_parameters(recurse=False))
            full = {names.bare_name(f"{paths[module]}.{leaf}") for leaf in leaves}
            if not absent.isdisjoint(full):
                model._init_weights(module)

    def _canonical(self):
        tensors = {n: keras.ops.convert_to_numpy(t) for n, t in self.state_dict().items()}
        computed = transfer.computed(self.config)
        return tensors | (names.without_prefix(computed) if self.task == "model" else computed)

    def _config_to_save(self):
        config = super()._config_to_save()
        config.dtype = self.dtype  # that dtype="auto" gives again
        return config

    def _kinds(self):
        return None  # torch's formats do without

    # Parts

    def _change_network(self, change, *args):
        if self.task is None:  # of a subclass of one's own, whose vocabulary is its encoder's
            return self.roformer._change_network(change, *args)
        with keras.device(str(self.device)):
            super()._change_network(change, *args)
        if self.task != "model":
            torch_tree.TreeLink(self.roformer, self.roformer.network).link()
        torch_tree.TreeLink(self, self.network).link()

    def get_input_embeddings(self):
        """The `torch.nn.Embedding` of the tokens."""
        return self.base_model.embeddings.word_embeddings

    def set_input_embeddings(self, value):
        """Take a `torch.nn.Embedding` for the tokens, changing the vocabulary's size to its."""
        self.resize_token_embeddings(value.weight.shape[0])
        self.base_model.embeddings.word_embeddings = value

    def get_output_embeddings(self):
        """A `torch.nn.Linear` of the model's own parameters, or None without a language-model head;
        its weight is the input embeddings' (`tie_word_embeddings`)."""
        if self.task is None or not TASKS[self.task].is_language_model:
            return None
        decoder, bias = self.cls.predictions.decoder, self.cls.predictions.bias
        return decoder if decoder.bias is not None else torch_tree.linear_of(decoder.weight, bias)

    def set_output_embeddings(self, new_embeddings):
        """Copy weight and bias of a `torch.nn.Linear`, resizing the vocabulary to its."""
        self._require_output_embeddings()
        self.resize_token_embeddings(new_embeddings.weight.shape[0])
        own = self.get_output_embeddings()
        with torch.no_grad():
            own.weight.copy_(new_embeddings.weight)
            if new_embeddings.bias is not None:
                own.bias.copy_(new_embeddings.bias)

    # Modes and copies

    @property
    def is_gradient_checkpointing(self):
        """Whether `gradient_checkpointing_enable` was called."""
        return any(m.network.roformer.encoder.gradient_checkpointing for _, m in self._models())

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs=None):
        """Recompute each layer in the backward pass of training instead of keeping it."""
        self._set_checkpointing(True)

    def gradient_checkpointing_disable(self):
        """Undo `gradient_checkpointing_enable`."""
        self._set_checkpointing(False)

    def activation_checkpointing_enable(
        self, activation_checkpointing_kwargs=None, every_n_layers=1, offload=False
    ):
        """`gradient_checkpointing_enable`, by the name and with the arguments of transformers 5."""
        if every_n_layers != 1 or offload:
            raise ValueError(
                "every layer is recomputed, and nothing is offloaded; leave out "
                f"every_n_layers={every_n_layers!r} and offload={offload!r}"
            )
        self._set_checkpointing(True)

    def activation_checkpointing_disable(self):
        """Undo `activation_checkpointing_enable`."""
        self._set_checkpointing(False)

    def _set_checkpointing(self, value):
        for _, model in self._models():
            model.network.roformer.encoder.gradient_checkpointing = value

    def __getstate__(self):
        """For `pickle` and `deepcopy`: the tree; the Keras layers are made again for it."""
        state = {**self.__dict__, "is_checkpointing": self.is_gradient_checkpointing}
        for name in ("network", "_kept_runner"):
            state.pop(name, None)
        return state

    def __setstate__(self, state):
        state = dict(state)
        is_checkpointing = state.pop("is_checkpointing")
        super().__setstate__(state)
        if self.task is not None:
            backbone = None if self.task == "model" else self.roformer.network.roformer
            self._make_tree(backbone, keep=True)
        self._set_checkpointing(is_checkpointing)

    def check_replication(self):
        raise NotImplementedError(
            "torch.nn.DataParallel's copies of a module within one process are not supported; "
            "use torch.nn.parallel.DistributedDataParallel, one process per device (which torchrun "
            "starts), or show the program one device with CUDA_VISIBLE_DEVICES"
        )


class _Added:
    """A tensor of a module that a subclass has added, to be loaded like a Keras variable."""

    def __init__(self, value):
        self.value = value

    @property
    def shape(self):
        return self.value.shape

    def assign(self, array):
        with torch.no_grad():
            self.value.copy_(torch.as_tensor(array))


def _device(device_map):
    """The one device that a `device_map` means; the model is not spread over several."""
    if isinstance(device_map, dict):
        devices = set(device_map.values())
        if len(devices) != 1:
            raise ValueError(
                f"device_map spreads the model over {sorted(map(str, devices))}; "
                "give one device, e.g. 'cuda:0'"
            )
        (device_map,) = devices
    if device_map == "auto":
        device_map = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device_map)


RoFormerModel = declare_classes(RoFormerPreTrainedModel, "torch")["model"]
