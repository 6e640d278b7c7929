"""The tree of modules that a torch class is, under transformers' names, and its Keras layers' view.

The modules own the parameters, in torch's layout, and are torch's own classes where there is one.
The Keras layers keep none: their variables read those of the tree, and for each of its parts a
block calls the module that stands in for the part at that moment (`layers.stand_in`). So whatever
torch code does to a tree (replace or hook a module, load, move, freeze, set a mode or a rate)
is done to the model.
"""

import copy

import keras
import torch

from keras_roformer.layers.attention import AttentionInputs
from keras_roformer.layers.encoder import EncoderInputs
from keras_roformer.layers.heads import rows_at
from keras_roformer.layers.initializers import InitialWeights, deferred_values
from keras_roformer.layers.kernels import torch_kernels
from keras_roformer.layers.stand_in import set_stand_in, stand_in
from keras_roformer.tasks import TASKS
from keras_roformer.upstream import for_keras, for_torch
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
            inside = ", ".join(for_torch.children(self)) or "none"
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

    def forward(self, x, *args, **kwargs):
        self._check_block("be called")
        if args and isinstance(args[0], (AttentionInputs, EncoderInputs)):  # as the model does
            return self.block.compute(x, *args, **kwargs)
        y = self.block.call(x, *args, **kwargs)
        return y if isinstance(y, tuple) else (y, {})


class Head(Part):
    """A head; a module that replaces it is called with the last hidden states.

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
        if "decoder" in for_torch.children(self):
            return for_torch.children(self)["decoder"]
        return linear_of(stand_in(self.block.word_embeddings).module.weight, self.bias)

    def __setattr__(self, name, value):
        if name == "decoder" and "decoder" not in for_torch.children(self):
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


class ModuleAt:
    """What stands in for a Keras layer: the module that a tree has under a name, at every call.

    Args:
        parent: the module around it.
        name: its name there.
    """

    def __init__(self, parent, name):
        self.siblings, self.name = for_torch.children(parent), name

    @property
    def module(self):
        return self.siblings[self.name]

    @property
    def dropout_rate(self):
        return getattr(self.module, "p", 0.0) if self.module.training else 0.0

    def __call__(self, *args, reverse=False, **kwargs):
        module = self.siblings[self.name]
        if reverse:  # the product with all embeddings
            return torch_kernels.linear(args[0], module.weight)
        if isinstance(module, Part):
            return module(*args, **kwargs)
        if type(module) is torch.nn.Linear and not for_torch.has_hooks(module):
            return torch_kernels.linear(args[0], module.weight, module.bias)
        y = module(args[0])
        positions = kwargs.get("positions")  # of the tokens whose logits are wanted
        return y if positions is None else rows_at(y, positions)

    def moved(self, paths, tree):
        """The same in a copy of a tree; None for a module that is not in the tree.

        Args:
            paths: id of the `children` of each module of the tree that was copied → its path.
            tree: the copy.
        """
        path = paths.get(id(self.siblings))
        return None if path is None else ModuleAt(tree.get_submodule(path), self.name)


class ParameterAt:
    """What a Keras variable reads: the parameter that a `ModuleAt` has under a name, at every time.

    Args:
        at: `ModuleAt`.
        leaf: name of the parameter.
        transposed: whether the variable is its transpose.
    """

    def __init__(self, at, leaf, transposed):
        self.at, self.leaf, self.transposed = at, leaf, transposed

    @property
    def parameter(self):
        return getattr(self.at.module, self.leaf)

    @property
    def value(self):
        return self.parameter.T if self.transposed else self.parameter

    def set_data(self, tensor):
        """Take a tensor's memory, in the layout of the variable, for the parameter."""
        self.parameter.data = tensor.T if self.transposed else tensor


class TreeLink:
    """Links the layers of a network to the tree of modules of a model; makes what it lacks.

    When `link` is done:
    1. every weight of the network is a parameter of a module of the tree, and its Keras variable
       reads that parameter: no value is in two places;
    2. every part of a block that the tree has a module for has that module stand in for it, as a
       `ModuleAt`: what the tree has when the block runs is what computes;
    3. every `Part` that the model calls has its Keras block, whose parts are under 2.;
    4. modules that the tree had before are still there, whoever put them there.

    Args:
        root: the model; of a model with a head, the backbone is a model of its own.
        network: `RoFormerNetwork`.
        keep: take the parameters that the tree has, whatever the network's are; else those of the
            network that are new become the tree's.
        deferred: the network was made within `deferred_values`: its initial weights have no
            values, and the parameters that they become are for the model to draw.
    """

    def __init__(self, root, network, keep=False, deferred=False):
        self.root, self.network = root, network
        self.keep, self.deferred = keep, deferred
        self.bare = root.task == "model"

    def link(self):
        self._link_blocks()
        self._link_weights()
        self._link_dropouts()
        for layer in for_keras.flat_layers(self.network):  # the variables' own values, until now
            for_keras.forget_parameters(layer)

    def _link_blocks(self):
        embeddings = self.network.roformer.embeddings.word_embeddings
        for name, block, kind in _blocks(self.network, self.bare):
            at = self._attached(name, kind)
            if isinstance(at.module, kind):
                object.__setattr__(at.module, "block", block)  # past the registration of modules
            for part in at.module.modules():  # copies of a head know the embeddings, too
                if isinstance(part, LMHead) and part.block is not None:
                    for_keras.set_untracked(part.block, "word_embeddings", embeddings)
            if kind is not Predictions:  # which its parent calls
                set_stand_in(block, at)

    def _link_weights(self):
        for row, layer in names.layers(self.network):
            if names.is_of_backbone(row.module) != self.bare:
                continue
            name = names.bare_name(row.module)
            at = self._attached(name, _make_leaf, row.kind, layer, self.root.config)
            for weight in names.layer_weights(row, layer):
                self._link_variable(weight, at)
            if row.kind != names.BIAS:
                set_stand_in(layer, at)
                if not self.keep:
                    _follow_size(at.module, layer)

    def _link_variable(self, weight, at):
        variable, leaf = weight.variable, weight.name.rpartition(".")[2]
        if not self.keep and not isinstance(variable, for_keras.LinkedVariable):
            own = variable.value.data.T if weight.transposed else variable.value.data
            if self.deferred and isinstance(weight.initializer, InitialWeights):
                own = torch.empty_like(own, memory_format=torch.contiguous_format)
            parameter = torch.nn.Parameter(own.contiguous(), requires_grad=variable.trainable)
            at.module.register_parameter(leaf, parameter)
        for_keras.link_variable(variable, ParameterAt(at, leaf, weight.transposed))

    def _link_dropouts(self):
        for name, dropout in _dropouts(self.network, self.bare):
            set_stand_in(dropout, self._attached(name, _make_dropout, dropout))

    def _attached(self, name, make, *args):
        """The `ModuleAt` of a name with dots; the module, and those around it, are made where there
        is none, the module by `make(*args)`."""
        parent = self.root
        *path, last = name.split(".")
        for part, after in zip(path, [*path, last][1:], strict=True):
            if part not in for_torch.children(parent):
                parent.add_module(part, torch.nn.ModuleList() if after.isdigit() else Part())
            parent = for_torch.children(parent)[part]
        if last not in for_torch.children(parent):
            # Not by `add_module`, which refuses `decoder`, a property of `Predictions`.
            for_torch.children(parent)[last] = make(*args)
        return ModuleAt(parent, last)


def _make_dropout(dropout):
    known = stand_in(dropout)  # the same one serves under several names
    return known.module if known else torch.nn.Dropout(dropout.rate)


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


def _copy_block(block, tree, twin):
    """A Keras block like one that is linked to a tree, linked to a copy of the tree."""
    with keras.device("cpu"), deferred_values():  # every variable is linked to a parameter below
        copied = type(block).from_config(block.get_config())
        copied.build()
    paths = {id(for_torch.children(m)): path for path, m in tree.named_modules()}
    pairs = zip(for_keras.flat_layers(block), for_keras.flat_layers(copied), strict=True)
    for old, new in pairs:
        known = stand_in(old)
        if known is not None and (at := known.moved(paths, twin)) is not None:
            set_stand_in(new, at)
        variables = map(for_keras.own_trainable_variables, (old, new))
        for known, variable in zip(*variables, strict=True):
            source = known.source
            at = source.at.moved(paths, twin)
            for_keras.link_variable(variable, ParameterAt(at, source.leaf, source.transposed))
        for_keras.forget_parameters(new)
    if "word_embeddings" in block.__dict__:
        for_keras.set_untracked(copied, "word_embeddings", block.word_embeddings)
    return copied


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
    elif TASKS[network.task].is_language_model:
        embeddings = backbone.embeddings.word_embeddings
        for_keras.set_untracked(head, "word_embeddings", embeddings)
        yield "cls", head, LMHead
        yield "cls.predictions", head, Predictions
    elif block := TASKS[network.task].torch_block:
        yield block, head, Head


def _dropouts(network, bare):
    """`(name, Keras dropout)` under every name that transformers has for it."""
    backbone = network.roformer
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
    else:
        for name, path in TASKS[network.task].torch_dropouts.items():
            yield name, names.layer_at(network, path)
