"""The tree of modules that a torch class is, under transformers' names, and its Keras layers' view.

The modules own the parameters, in torch's layout, and are torch's own classes where there is one.
The Keras layers keep none: their variables read those of the tree, and for each of its parts a
block calls the module that stands in the part's place at that moment (`Block.run`). So whatever
torch code does to a tree (replace or hook a module, load, move, freeze, set a mode or a rate)
is done to the model.
"""

import copy

import keras
import torch

from keras_roformer.layers import kernels
from keras_roformer.layers.heads import rows_at
from keras_roformer.layers.initializers import drawn_later
from keras_roformer.weights import names


class Tree(torch.nn.Module):
    """A module with modules under transformers' names."""

    def __setattr__(self, name, value):
        old = self.__dict__.get("_modules", {}).get(name)
        fixed = isinstance(old, torch.nn.ModuleList) or (
            isinstance(old, Part) and not old.can_be_replaced
        )
        if fixed and value is not old:
            raise TypeError(
                f"{name!r} cannot be replaced: the model computes with its own. Replace modules "
                "inside it (dense layers, norms, embeddings, dropout), or load the checkpoint with "
                "another config, e.g. from_pretrained(…, num_hidden_layers=3) for the first three "
                "layers"
            )
        super().__setattr__(name, value)


class Part(Tree):
    """A part of a model that is no class of torch's.

    With a Keras block it computes what that computes, for the model too. Without, it only holds
    modules, and says so to who would call or hook it.
    """

    block = None
    can_be_replaced = False

    def forward(self, *args, **kwargs):
        self._check_block("be called")
        return self.block.call(*args, **kwargs)

    def register_forward_hook(self, *args, **kwargs):
        self._check_block("have hooks")
        return super().register_forward_hook(*args, **kwargs)

    def register_forward_pre_hook(self, *args, **kwargs):
        self._check_block("have hooks")
        return super().register_forward_pre_hook(*args, **kwargs)

    def register_full_backward_hook(self, *args, **kwargs):
        self._check_block("have hooks")
        return super().register_full_backward_hook(*args, **kwargs)

    def _check_block(self, what):
        if self.block is None:
            inside = ", ".join(self._modules) or "none"
            raise NotImplementedError(
                f"this module cannot {what}: the model does not compute it by itself, or it was "
                f"copied out of its model. Use the modules inside it ({inside}) or the one around"
            )

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "block"}


class Embeddings(Part):
    """The embeddings, by transformers' names of their inputs."""

    def forward(self, input_ids=None, token_type_ids=None, inputs_embeds=None, **kwargs):
        inputs = dict(token_type_ids=token_type_ids, inputs_embeds=inputs_embeds)
        return super().forward(input_ids, **inputs, **kwargs)


class Layer(Part):
    """A part that gives `(states, extras)`, where the dict `extras` has what was asked for."""

    def forward(self, *args, **kwargs):
        y = super().forward(*args, **kwargs)
        return y if isinstance(y, tuple) else (y, {})


class Head(Part):
    """A head; a module that takes its place is called with the last hidden states.

    That may be one around a copy of the head, which adapters train in its stead.
    """

    can_be_replaced = True

    def __deepcopy__(self, memo):
        twin = memo[id(self)] = type(self).__new__(type(self))
        twin.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        if self.block is not None:
            block = _copy_block(self.block, self, twin)
            for name, part in self.named_modules():
                if isinstance(part, Part) and part.block is self.block:
                    object.__setattr__(twin.get_submodule(name), "block", block)
        return twin


class LMHead(Head):
    """`cls`: the language-model head, computed by its `predictions`."""

    def forward(self, *args, **kwargs):
        return self.predictions(*args, **kwargs)


class Predictions(Part):
    """`cls.predictions`: last hidden states → logits, by the token embeddings of its model."""

    def forward(self, x, word_embeddings=None, positions=None):
        self._check_block("be called")
        return self.block.call(x, word_embeddings or self.block.word_embeddings, positions)

    @property
    def decoder(self):
        """The output embeddings; tied ones are a `torch.nn.Linear` of the input embeddings'
        parameter, made for the call."""
        if "decoder" in self._modules:
            return self._modules["decoder"]
        return linear_of(self.block.word_embeddings.place.module.weight, self.bias)

    def __setattr__(self, name, value):
        if name == "decoder" and "decoder" not in self._modules:
            raise TypeError(
                "the output embeddings are the input embeddings (tie_word_embeddings); call "
                "set_output_embeddings to change both"
            )
        super().__setattr__(name, value)


def linear_of(weight, bias):
    """A `torch.nn.Linear` of these very parameters."""
    linear = torch.nn.Linear(*weight.shape[::-1], device="meta")
    linear.weight, linear.bias = weight, bias
    return linear


class Place:
    """Where in a tree a Keras layer has its module; calls the module that is there."""

    def __init__(self, parent, name):
        self.modules, self.name = parent._modules, name

    @property
    def module(self):
        return self.modules[self.name]

    @property
    def dropout_rate(self):
        return getattr(self.module, "p", 0.0) if self.module.training else 0.0

    def __call__(self, *args, reverse=False, **kwargs):
        module = self.modules[self.name]
        if reverse:  # the product with all embeddings
            return kernels.linear(args[0], module.weight)
        if isinstance(module, Part):
            return module(*args, **kwargs)
        if _is_bare_linear(module):
            return kernels.linear(args[0], module.weight, module.bias)
        y = module(args[0])
        positions = kwargs.get("positions")  # of the tokens whose logits are wanted
        return y if positions is None else rows_at(y, positions)


def _is_bare_linear(module):
    """Whether a call of a module is torch's dense product and nothing else, for which the Keras
    layers have a faster one."""
    every = torch.nn.modules.module
    return type(module) is torch.nn.Linear and not (
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or module._compiled_call_impl
        or "forward" in module.__dict__
        or every._global_forward_hooks
        or every._global_forward_pre_hooks
        or every._global_backward_hooks
        or every._global_backward_pre_hooks
    )


class TreeVariable(keras.Variable):
    """The variable of a Keras layer, with a parameter of the tree in place of its own value."""

    @property
    def parameter(self):
        return getattr(self.place.module, self.leaf)

    @property
    def _value(self):
        return self.parameter.T if self.transposed else self.parameter

    @property
    def trainable(self):
        return self.parameter.requires_grad

    @trainable.setter
    def trainable(self, value):
        self.parameter.requires_grad = value

    def set_data(self, tensor):
        """Take a tensor's memory, in the layout of the variable, for the parameter."""
        self.parameter.data = tensor.T if self.transposed else tensor


def plant(root, network, adopt=False):
    """Grow the tree of a model, and give the Keras layers their places in it.

    Args:
        root: the model; of a model with a head, the backbone is a model of its own.
        network: `RoFormerNetwork`.
        adopt: take the parameters that the tree has, whatever the network's are; else those of
            the network that are new become the tree's.
    """
    bare = root.task == "model"
    for name, block, kind in _blocks(network, bare):
        parent, last = _grow(root, name)
        if last not in parent._modules:
            parent.add_module(last, kind())
        if isinstance(parent._modules[last], kind):
            object.__setattr__(parent._modules[last], "block", block)
        for part in parent._modules[last].modules():  # copies of a head know the embeddings, too
            if isinstance(part, LMHead) and part.block is not None:
                part.block.__dict__["word_embeddings"] = network.roformer.embeddings.word_embeddings
        if kind is not Predictions:  # which its parent calls
            block.__dict__["place"] = Place(parent, last)

    for row, layer in names.layers(network):
        if row.module.startswith("roformer.") != bare:
            continue
        parent, last = _grow(root, row.module.removeprefix("roformer."))
        if last not in parent._modules:
            parent._modules[last] = _make_leaf(row.kind, layer, root.config)
        place = Place(parent, last)
        for weight in names.layer_weights(row, layer):
            _link(weight, place, adopt)
        if row.kind != names.BIAS:
            layer.__dict__["place"] = place
            if not adopt:
                _follow_size(place.module, layer)

    for name, dropout in _dropouts(network, bare):
        parent, last = _grow(root, name)
        if last not in parent._modules:
            known = dropout.__dict__.get("place")  # the same one serves under several names
            parent.add_module(last, known.module if known else torch.nn.Dropout(dropout.rate))
        dropout.__dict__["place"] = Place(parent, last)

    for layer in network._flatten_layers():  # Keras had registered the variables' own values
        layer._modules.pop("_torch_params", None)


def _grow(module, name):
    """The module around the one of a name, made where it is not there, and the last part."""
    *path, last = name.split(".")
    for part, after in zip(path, [*path, last][1:], strict=True):
        if part not in module._modules:
            module.add_module(part, torch.nn.ModuleList() if after.isdigit() else Part())
        module = module._modules[part]
    return module, last


def _make_leaf(kind, layer, config):
    if kind == names.DENSE:
        return torch.nn.Linear(*layer.kernel.shape, bias=layer.bias is not None, device="meta")
    if kind == names.NORM:
        return torch.nn.LayerNorm(layer.gamma.shape, layer.epsilon, device="meta")
    padding = config.pad_token_id if layer.name == "word_embeddings" else None
    weight = torch.empty(layer.embeddings.shape, device="meta")
    return torch.nn.Embedding.from_pretrained(weight, freeze=False, padding_idx=padding)


def _follow_size(module, layer):
    """After a change of size: the numbers that torch's classes keep beside their weights."""
    if isinstance(module, torch.nn.Linear):
        module.in_features, module.out_features = layer.kernel.shape
    elif isinstance(module, torch.nn.Embedding):
        module.num_embeddings = layer.embeddings.shape[0]


def _link(weight, place, adopt):
    """Have a Keras variable read a parameter of the tree, where its own value goes if it is new."""
    variable, leaf = weight.variable, weight.name.rpartition(".")[2]
    if not isinstance(variable, TreeVariable):
        is_empty = getattr(weight.initializer, "owes", False)
        if is_empty:
            weight.initializer.owes = False  # the model draws for its modules
        if not adopt:
            own = variable.value.data.T if weight.transposed else variable.value.data
            layout = torch.contiguous_format
            own = torch.empty_like(own, memory_format=layout) if is_empty else own.contiguous()
            parameter = torch.nn.Parameter(own, requires_grad=variable.trainable)
            place.module.register_parameter(leaf, parameter)
    _read_there(variable, place, leaf, weight.transposed)


def _read_there(variable, place, leaf, transposed):
    """Have a Keras variable read a parameter of the tree in place of its own value."""
    if not isinstance(variable, TreeVariable):
        del variable._value
        variable.__class__ = TreeVariable
    variable.place, variable.leaf, variable.transposed = place, leaf, transposed


def _copy_block(block, tree, twin):
    """A Keras block like one whose places are in a tree, with its places in a copy of the tree."""
    with keras.device("cpu"), drawn_later():
        copied = type(block).from_config(block.get_config())
        copied.build()
    paths = {id(module._modules): path for path, module in tree.named_modules()}
    for old, new in zip(block._flatten_layers(), copied._flatten_layers(), strict=True):
        if (place := _moved(old.__dict__.get("place"), paths, twin)) is not None:
            new.__dict__["place"] = place
        variables = zip(old._trainable_variables, new._trainable_variables, strict=True)
        for known, variable in variables:
            place = _moved(known.place, paths, twin)
            _read_there(variable, place, known.leaf, known.transposed)
        new._modules.pop("_torch_params", None)
    if "word_embeddings" in block.__dict__:
        copied.__dict__["word_embeddings"] = block.word_embeddings
    return copied


def _moved(place, paths, twin):
    """A place in the copy of a tree; None for one that is not in the tree."""
    if place is None or id(place.modules) not in paths:
        return None
    return Place(twin.get_submodule(paths[id(place.modules)]), place.name)


def _blocks(network, bare):
    """`(name, Keras block, kind of module)` of the parts that the model calls."""
    backbone, head = network.roformer, network.head
    if bare:
        yield "embeddings", backbone.embeddings, Embeddings
        yield "encoder", backbone.encoder, Layer
        for i, block in enumerate(backbone.encoder.blocks):
            yield f"encoder.layer.{i}", block, Layer
        if backbone.add_pooler:
            yield "pooler", backbone.pooler, Head
    elif hasattr(head, "tied"):
        head.__dict__["word_embeddings"] = backbone.embeddings.word_embeddings
        yield "cls", head, LMHead
        yield "cls.predictions", head, Predictions
    elif network.task == "sequence_classification":
        yield "classifier", head, Head


def _dropouts(network, bare):
    """`(name, Keras dropout)` under every name that transformers has for it."""
    backbone, head = network.roformer, network.head
    if bare:
        yield "embeddings.dropout", backbone.embeddings.drop
        for i, block in enumerate(backbone.encoder.blocks):
            layer = f"encoder.layer.{i}"
            yield f"{layer}.attention.self.dropout", block.attention.drop
            if block.add_cross_attention:
                yield f"{layer}.crossattention.self.dropout", block.cross_attention.drop
                yield f"{layer}.crossattention.output.dropout", block.drop
            yield f"{layer}.attention.output.dropout", block.drop
            yield f"{layer}.output.dropout", block.drop
    elif network.task == "sequence_classification":
        yield "classifier.dropout", head.drop
    elif network.task == "token_classification":
        yield "dropout", head.drop
    elif network.task == "multiple_choice":
        yield "sequence_summary.first_dropout", head.drop_first
        yield "sequence_summary.last_dropout", head.drop_last
