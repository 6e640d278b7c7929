"""The documented PyTorch classes: `torch.nn.Module`s over the Keras layers."""

import copy

import keras
import torch

from keras_roformer import outputs
from keras_roformer.facades.base import CONTEXT, FLAGS, INPUTS, PreTrained, floating_dtype
from keras_roformer.generation import GenerationMixin
from keras_roformer.tasks import TASKS
from keras_roformer.weights import names

outputs.register_torch()


class RoFormerPreTrainedModel(PreTrained, torch.nn.Module):
    """Base of the torch classes: a module whose parameters are the variables of the Keras layers.

    The parameters hang in a tree of modules with transformers' names, so that everything that
    walks over a module finds them. Those of dense layers lie as Keras has them, (in, out);
    `state_dict` gives and `load_state_dict` takes transformers' layout.
    """

    call_name = "forward"
    saves_safetensors = True
    supports_gradient_checkpointing = True
    output_names = {
        "model": "BaseModelOutputWithPastAndCrossAttentions",
        "causal_lm": "CausalLMOutputWithCrossAttentions",
    }

    @staticmethod
    def arguments(task):
        if task == "model":
            return (*INPUTS, *CONTEXT, "past_key_values", "use_cache", *FLAGS)
        if task == "causal_lm":
            ids, mask, types, head_mask, embeds = INPUTS
            masks = (head_mask, "cross_attn_head_mask")
            cache = ("past_key_values", "labels", "use_cache")
            return (ids, mask, types, embeds, *CONTEXT, *masks, *cache, *FLAGS)
        context = CONTEXT if task == "masked_lm" else ()
        return (*INPUTS, *context, *TASKS[task].labels, *FLAGS)

    def __init__(self, config, _backbone=None):
        super().__init__()
        self.config = self._check_config(config)
        # transformers makes models on the CPU, whatever device Keras would choose.
        with keras.device("cpu"):
            network = self._make_network(backbone=_backbone)
        # Past nn.Module's registration: the tree below has the parameters, under other names.
        object.__setattr__(self, "network", network)
        self._hang_up_parameters()

    def _hang_up_parameters(self):
        """(Re)make the tree of modules under transformers' names."""
        if self.task != "model":
            self.roformer = RoFormerModel(self.config, _backbone=self.network.roformer)
        for weight in names.weights(self.network):
            in_backbone = weight.name.startswith("roformer.")
            if in_backbone == (self.task == "model"):
                if weight.transposed:
                    # In memory as transformers has it, (out, in): its layout is then a plain view.
                    data = weight.variable.value.data
                    weight.variable.value.data = data.T.contiguous().T
                _hang_up(self, weight.name.removeprefix("roformer."), weight.variable.value)

    def forward(self, *args, **kwargs):
        """See the documented class for the arguments; gives its output class or a tuple."""
        arguments = self._named_arguments(args, kwargs)
        device = str(self.device)
        if device == keras.src.backend.torch.core.get_device():
            return self._run(arguments, self.network.call, training=self.training)
        with keras.device(device):
            return self._run(arguments, self.network.call, training=self.training)

    def _checker(self):
        return None if torch.compiler.is_compiling() else super()._checker()

    @staticmethod
    def _extremes(values):
        values = torch.as_tensor(values)
        if values.is_meta or not values.numel():
            return None
        return torch.stack(torch.aminmax(values)).tolist()  # one wait for the device

    # Weights under transformers' names

    def _weights(self):
        """`(name, parameter, transposed)` of every weight, named as transformers names them."""
        for name, weight in self._named_weights():
            yield name, weight.variable.value, weight.transposed

    def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
        """Tensors by transformers' names, in its layout; they share memory with the parameters.

        As in the files that transformers writes, the tied `cls.predictions.decoder.*` is left out:
        safetensors, and so transformers' Trainer, refuses two names for one tensor.
        """
        state = {} if destination is None else destination
        for name, parameter, transposed in self._weights():
            value = parameter if keep_vars else parameter.detach()
            state[prefix + name] = value.T if transposed else value
        return state

    def load_state_dict(self, state_dict, strict=True, assign=False):
        """Copy tensors by transformers' names into the parameters.

        Returns:
            named tuple `(missing_keys, unexpected_keys)`.

        Raises:
            RuntimeError: with `strict`, names that are missing or unexpected; a wrong shape.
        """
        targets = {n: p.detach().T if t else p.detach() for n, p, t in self._weights()}
        missing = [name for name in targets if name not in state_dict]
        unexpected = [
            name
            for name in state_dict
            if name not in targets and name not in names.TIED and not names.COMPUTED.fullmatch(name)
        ]
        wrong = [
            f"{name} has shape {tuple(state_dict[name].shape)}, needs {tuple(target.shape)}"
            for name, target in targets.items()
            if name in state_dict and state_dict[name].shape != target.shape
        ]
        problems = wrong + (
            [f"missing: {', '.join(missing)}"] * bool(missing)
            + [f"unexpected: {', '.join(unexpected)}"] * bool(unexpected)
            if strict
            else []
        )
        if problems:
            raise RuntimeError(
                f"the state_dict does not fit {type(self).__name__}: {'; '.join(problems)}"
            )
        for name, target in targets.items():
            if name in state_dict:
                target.copy_(state_dict[name])
        return torch.nn.modules.module._IncompatibleKeys(missing, unexpected)

    @property
    def base_model(self):
        """The model without its head."""
        return self if self.task == "model" else self.roformer

    # Device and dtype

    @property
    def device(self):
        return next(self.parameters()).device

    @property
    def dtype(self):
        return next(self.parameters()).dtype

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        self._follow_dtype()
        return self

    def _follow_dtype(self):
        """After `half()`, `to(dtype)` and the like: the Keras layers compute in that dtype."""
        dtype = keras.backend.standardize_dtype(self.dtype)
        if dtype == self.network.compute_dtype:
            return
        for layer in self.network._flatten_layers():
            layer.dtype_policy = dtype
        for variable in self.network.variables:
            if torch.is_floating_point(variable.value):
                variable._dtype = dtype

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

    # Parts

    def _change_network(self, change, *args):
        with keras.device(str(self.device)):
            super()._change_network(change, *args)
        self._hang_up_parameters()

    def get_input_embeddings(self):
        """A `torch.nn.Embedding` whose weight is the model's own parameter."""
        weight = super().get_input_embeddings().embeddings.value
        embedding = torch.nn.Embedding(*weight.shape, self.config.pad_token_id, device="meta")
        embedding.weight = weight
        return embedding

    def set_input_embeddings(self, value):
        """Copy the weight of a `torch.nn.Embedding`, resizing the vocabulary to its."""
        self.resize_token_embeddings(value.weight.shape[0])
        with torch.no_grad():
            super().get_input_embeddings().embeddings.value.copy_(value.weight)

    def get_output_embeddings(self):
        """A `torch.nn.Linear` of the model's own parameters, or None without a language-model head;
        its weight is the input embeddings' (`tie_word_embeddings`)."""
        head = self.network.head
        if not hasattr(head, "tied"):
            return None
        bias = head.bias.value
        weight = self.get_input_embeddings().weight
        if not head.tied:
            weight = self.cls.predictions.decoder.weight.T
        linear = torch.nn.Linear(*weight.shape[::-1], device="meta")
        # An untied weight is a view, which only shares memory; a tied one is the very parameter.
        linear.weight = weight if head.tied else torch.nn.Parameter(weight)
        linear.bias = bias
        return linear

    def set_output_embeddings(self, new_embeddings):
        """Copy weight and bias of a `torch.nn.Linear`, resizing the vocabulary to its."""
        self.resize_token_embeddings(new_embeddings.weight.shape[0])
        own = self.get_output_embeddings()
        if own is None:
            raise ValueError(f"{type(self).__name__} has no output embeddings")
        with torch.no_grad():
            own.weight.copy_(new_embeddings.weight)
            if new_embeddings.bias is not None:
                own.bias.copy_(new_embeddings.bias)

    # Modes and copies

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs=None):
        """Recompute each layer in the backward pass of training instead of keeping it."""
        self.network.roformer.encoder.gradient_checkpointing = True

    def gradient_checkpointing_disable(self):
        self.network.roformer.encoder.gradient_checkpointing = False

    def __deepcopy__(self, memo):
        return _remake(*self.__reduce__()[1])

    def __reduce__(self):
        state = {name: tensor.clone() for name, tensor in self.state_dict().items()}
        return _remake, (type(self), copy.deepcopy(self.config), state, self.training)


def _hang_up(module, name, parameter):
    """Register a parameter at the end of a path such as `encoder.layer.0.output.dense.weight`."""
    *path, leaf = name.split(".")
    for i, part in enumerate(path):
        if part not in module._modules:
            numbered = path[i + 1 : i + 2] and path[i + 1].isdigit()
            module.add_module(part, torch.nn.ModuleList() if numbered else torch.nn.Module())
        module = module._modules[part]
    module.register_parameter(leaf, parameter)


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


def _remake(cls, config, state, training):
    """A copy of a model, for `pickle` and `deepcopy`."""
    model = cls(config)
    some = next(iter(state.values()))
    model.to(device=some.device, dtype=some.dtype)
    model.load_state_dict(state)
    return model.train(training)


class RoFormerModel(RoFormerPreTrainedModel, task="model"):
    """The bare model, torch."""


class RoFormerForMaskedLM(RoFormerPreTrainedModel, task="masked_lm"):
    """Masked language modelling, torch."""


class RoFormerForCausalLM(GenerationMixin, RoFormerPreTrainedModel, task="causal_lm"):
    """Causal language modelling, torch; set `is_decoder=True` in its config."""


class RoFormerForSequenceClassification(RoFormerPreTrainedModel, task="sequence_classification"):
    """Sequence classification and regression, torch."""


class RoFormerForMultipleChoice(RoFormerPreTrainedModel, task="multiple_choice"):
    """Multiple choice, torch."""


class RoFormerForTokenClassification(RoFormerPreTrainedModel, task="token_classification"):
    """Token classification, torch."""


class RoFormerForQuestionAnswering(RoFormerPreTrainedModel, task="question_answering"):
    """Extractive question answering, torch."""
