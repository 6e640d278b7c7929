"""The dtype policies of a block's parts: what was quantised, or has a policy of its own, stays so.

Keras writes a layer's dtype as one policy, or as a `DTypePolicyMap` from the paths of its parts.
These functions make that map from the layers as they are now, so that a model that was quantised
after it was made comes back quantised.
"""

import keras
from keras.dtype_policies import DTypePolicyMap
from keras.quantizers import QuantizationConfig

from keras_roformer.upstream import for_keras


def parts_of(layer):
    """The built layers inside `layer`."""
    return [part for part in for_keras.flat_layers(layer, include_self=False) if part.path]


def own_policy(layer):
    """The policy of `layer` alone, looked up in its map where it has one."""
    policy = layer.dtype_policy
    if isinstance(policy, DTypePolicyMap):
        return policy[layer.path] if layer.path else policy.default_policy
    return policy


def policy_of(layer):
    """The policy of `layer` and its parts: a `DTypePolicyMap` when some part has another one."""
    if not layer.built:
        return layer.dtype_policy
    own = own_policy(layer)
    parts = {part.path: own_policy(part) for part in parts_of(layer)}
    others = {path: policy for path, policy in parts.items() if policy != own}
    return DTypePolicyMap(own.name, others) if others else own


def is_mixed(layer):
    """Whether some part of `layer` (which may be None) has another policy than `layer`."""
    return layer is not None and isinstance(policy_of(layer), DTypePolicyMap)


def joined_policies(policy, saved):
    """`policy`, a map or not, with the entries of the serialised map `saved` on its dtype."""
    saved = keras.dtype_policies.get(saved)
    others = policy if isinstance(policy, DTypePolicyMap) else {}
    dtype = policy.default_policy if others else policy
    if dtype.name != saved.default_policy.name:
        saved = policy_for(saved, dtype)
    return DTypePolicyMap(dtype.name, {**others, **saved})


def settle_policies(layer):
    """Give a built `layer` and its parts the policies that a map has for them, in place of the map.

    Searching the map in every call is slow, and Keras cannot quantise a layer that has one.
    """
    for part in (layer, *parts_of(layer)):
        for_keras.set_policy(part, own_policy(part))


def policy_for(saved, dtype):
    """The policy with which to make a saved model again.

    Args:
        saved: the `DTypePolicyMap` it was saved with.
        dtype: the policy asked for, or None. What was quantised stays so, on that floating dtype;
            a `DTypePolicyMap` is taken as it is.

    Raises:
        ValueError: a quantisation that does not work in this dtype.
    """
    if dtype is None:
        return saved
    dtype = keras.dtype_policies.get(dtype)
    if isinstance(dtype, DTypePolicyMap):
        return dtype
    parts = {
        path: type(policy).from_config({**policy.get_config(), "source_name": dtype.name})
        for path, policy in saved.items()
        if policy.quantization_mode
    }
    return DTypePolicyMap(dtype.name, parts)


def quantizers_of(layer):
    """Path → serialised config of the parts of `layer` not quantised in the default way.

    Policies do not tell them, and they change the outputs: of int8 with weights only, for example.
    A `ReversibleEmbedding` made again from its policy alone quantises its inputs in int4 too, which
    is not Keras's default way.
    """
    configs = {}
    for part in parts_of(layer):
        config = getattr(part, "quantization_config", None)
        if isinstance(config, QuantizationConfig) and config.mode in ("int8", "int4"):
            by_default = config.get_config() == type(config)().get_config()
            if not by_default or isinstance(part, keras.layers.ReversibleEmbedding):
                configs[part.path] = keras.saving.serialize_keras_object(config)
    return configs


def restore_quantizers(layer, configs):
    """Undo `quantizers_of` on a built `layer` whose parts have their policies again."""
    for part in parts_of(layer):
        if part.path in configs:
            config = keras.saving.deserialize_keras_object(configs[part.path])
            part.quantization_config = config
            if hasattr(part, "inputs_quantizer"):
                part.inputs_quantizer = config.activation_quantizer


def parts_config(layer):
    """The `dtype` of `layer` for a `get_config`, twice where its parts' policies differ.

    KerasHub sets the `dtype` of a preset's config to the one asked for, and by default to None;
    the `parts` stay as they are.
    """
    policy = policy_of(layer)
    config = {"dtype": keras.dtype_policies.serialize(policy)}
    if isinstance(policy, DTypePolicyMap):
        config["parts"] = {"dtype": config["dtype"], "quantizers": quantizers_of(layer)}
    return config


def read_parts_config(config):
    """`(config, quantizers)`, where `config` has the `dtype` to use in place of the `parts`."""
    config = dict(config)
    parts = config.pop("parts", None)
    if parts is None:
        return config, {}
    saved = keras.dtype_policies.get(parts["dtype"])
    return config | {"dtype": policy_for(saved, config.get("dtype"))}, parts["quantizers"]
