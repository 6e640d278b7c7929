"""The documented Flax classes: functions of a parameter tree over the Keras layers, on JAX."""

import functools

import jax
import jax.numpy as jnp
import keras
import numpy as np

from keras_roformer import outputs
from keras_roformer.config_fields import dtype_name
from keras_roformer.facades.call_checks import as_arrays
from keras_roformer.facades.documented import declare_classes
from keras_roformer.facades.flax_door import FlaxDoor
from keras_roformer.facades.pretrained import FLAGS, PreTrained
from keras_roformer.upstream import for_keras
from keras_roformer.weights import layouts

STATIC = ("use_cache", "output_attentions", "output_hidden_states", "training")
ON_DEMAND = ("_compiled", "_kept_runner", "module")
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}

outputs.register_jax()


class FlaxRoFormerPreTrainedModel(FlaxDoor, PreTrained):
    """Base of the Flax classes.

    Args:
        config: `RoFormerConfig`.
        input_shape: kept for compatibility; the config alone gives every parameter's shape.
        seed: seed of the initial parameters.
        dtype: the dtype of the computation; parameters are float32 whatever it is.
        _do_init: False keeps no parameters in the model: pass them in every call.
    """

    family = "Flax"
    framework = "flax"
    save_format = "flax"
    saves_positions = False

    @staticmethod
    def arguments(task):
        ids = ("input_ids", "attention_mask", "token_type_ids", "head_mask")
        return (*ids, "params", "dropout_rng", "train", *FLAGS)

    def __init__(
        self, config, input_shape=(1, 1), seed=0, dtype=jnp.float32, _do_init=True, **kwargs
    ):
        self.config = self._check_config(config)
        self.input_shape = input_shape
        self.seed = seed
        self.key = jax.random.PRNGKey(seed)
        if dtype_name(dtype) not in POLICIES:
            raise ValueError(f"dtype is {dtype_name(dtype)!r}; use {', '.join(POLICIES)}")
        self.dtype = jnp.dtype(dtype)
        self._refuse((), kwargs)
        self.network = self._make_network(dtype=POLICIES[self.dtype.name])
        self._is_initialized = _do_init
        self._params = None
        if _do_init:
            self.params = self.init_weights(self.key, input_shape)

    # Parameters

    def _paths(self):
        """`(path in the parameter tree, variable)` of every weight."""
        for name, weight in self._named_weights():
            yield layouts.flax_path(name, weight.kind), weight.variable

    def init_weights(self, rng, input_shape=None, params=None):
        """New random parameters; those in `params` are kept.

        Args:
            rng: JAX key.
            params: tree with some or all of the parameters.
        """
        given = _flatten(params or {})
        tree = {}
        for i, (path, variable) in enumerate(self._paths()):
            if path in given:
                value = given[path]
            elif path[-1] == "scale":
                value = jnp.ones(variable.shape, jnp.float32)
            elif path[-1] == "bias":
                value = jnp.zeros(variable.shape, jnp.float32)
            else:
                noise = jax.random.normal(jax.random.fold_in(rng, i), variable.shape, jnp.float32)
                value = noise * self.config.initializer_range
            _put(tree, path, value)
        return tree

    @property
    def params(self):
        """The nested dict of parameters, under transformers' Flax names.

        Raises:
            AttributeError: the model was made with `_do_init=False`.
        """
        if not self._is_initialized:
            raise AttributeError(
                "`params` are not kept by a model made with `_do_init=False`; keep the tree that "
                "`from_pretrained` or `init_weights` returned, and pass it as `params=`"
            )
        return self._params

    @params.setter
    def params(self, params):
        if not self._is_initialized:
            raise AttributeError(
                "`params` cannot be set on a model made with `_do_init=False`; pass them in calls"
            )
        self._assign(params)  # says what does not fit
        self._params = params

    @property
    def params_shape_tree(self):
        """The tree of parameters with a `jax.ShapeDtypeStruct` for each."""
        return jax.eval_shape(self.init_weights, self.key)

    @property
    def required_params(self):
        """The paths of all parameters in their tree, a set of tuples."""
        return {path for path, _ in self._paths()}

    def _ordered(self, params):
        """The values of `params` in the order of the network's weights."""
        flat = _flatten(params.get("params", params) if isinstance(params, dict) else params)
        wanted = [path for path, _ in self._paths()]
        missing = set(wanted) - set(flat)
        unknown = set(flat) - set(wanted)
        if missing or unknown:
            raise ValueError(
                f"params do not fit {type(self).__name__}: "
                f"missing {sorted('/'.join(p) for p in missing)}, "
                f"unknown {sorted('/'.join(p) for p in unknown)}"
            )
        return [flat[path] for path in wanted]

    def _assign(self, params):
        """Put a parameter tree into the network's variables."""
        values = self._ordered(params)
        for (_, variable), value in zip(self._paths(), values, strict=True):
            variable.assign(value)
        self._dtypes = [jnp.result_type(value) for value in values]  # the variables are float32

    # Calls

    def __call__(self, *args, **kwargs):
        """See the documented class for the arguments; gives its output class or a tuple."""
        arguments = as_arrays(self._named_arguments(args, kwargs), type(self).__name__)
        params = arguments.pop("params", None)
        rng = arguments.pop("dropout_rng", None)
        train = bool(arguments.pop("train", False))
        if train and rng is None and self._drops():
            raise ValueError(
                "train=True needs dropout_rng, a key such as jax.random.PRNGKey(0), for dropout"
            )
        values = self._ordered(self.params if params is None else params)
        run = functools.partial(self._compiled, values, rng)
        return self._run(arguments, run, training=train)

    @staticmethod
    def _extremes(values):
        if isinstance(values, jax.core.Tracer) or not np.size(values):
            return None
        return [np.min(values).item(), np.max(values).item()]

    def _drops(self):
        layers = for_keras.flat_layers(self.network)
        return any(layer.rate for layer in layers if isinstance(layer, keras.layers.Dropout))

    @functools.cached_property
    def _compiled(self):
        return jax.jit(self._apply, static_argnames=STATIC)

    def __getstate__(self):
        """For `pickle` and `deepcopy`: all but what is made on demand for this very network."""
        return {name: value for name, value in self.__dict__.items() if name not in ON_DEMAND}

    def _apply(self, values, rng, training, **inputs):
        """The network as a pure function of its weights and of a dropout key."""
        state = list(zip((variable for _, variable in self._paths()), values, strict=True))
        if rng is not None:
            state += [
                (seed, _key_data(jax.random.fold_in(rng, i)))
                for i, seed in enumerate(self._seed_states())
            ]
        # Not `stateless_call`, which skips the autocast of a mixed dtype policy.
        with keras.StatelessScope(state_mapping=state):
            return self.network(training=training, **inputs)

    def _seed_states(self):
        weights = {id(variable) for _, variable in self._paths()}
        return [v for v in self.network.variables if id(v) not in weights]

    # As a flax.linen module

    @functools.cached_property
    def module(self):
        """The model as a `flax.linen.Module` with `init` and `apply`; needs flax.

        Its call takes the documented inputs and, after `head_mask`, `deterministic` (False turns
        dropout on, with `rngs={"dropout": key}`) and the flags.
        """
        try:
            from flax import linen
        except ImportError:
            raise ImportError(
                f"{type(self).__name__}.module needs flax; install it with: "
                "pip install 'keras-roformer[flax]'"
            ) from None
        model = self

        class Module(linen.Module):
            @linen.compact
            def __call__(
                self,
                input_ids=None,
                attention_mask=None,
                token_type_ids=None,
                head_mask=None,
                deterministic=True,
                output_attentions=None,
                output_hidden_states=None,
                return_dict=None,
                **kwargs,
            ):
                # Each branch of the tree is one linen parameter, which may be a tree itself.
                branches = {path[0] for path, _ in model._paths()}
                params = {
                    name: self.param(name, lambda rng, name=name: model.init_weights(rng)[name])
                    for name in sorted(branches)
                }
                return model(
                    input_ids,
                    attention_mask,
                    token_type_ids,
                    head_mask,
                    params,
                    None if deterministic else self.make_rng("dropout"),
                    not deterministic,
                    output_attentions,
                    output_hidden_states,
                    return_dict,
                    **kwargs,
                )

        Module.__name__ = Module.__qualname__ = f"{type(self).__name__}Module"
        return Module()

    @classmethod
    def module_class(cls, config, dtype=jnp.float32):
        """The `flax.linen.Module` of a config alone, see `module`."""
        return cls(config, dtype=dtype, _do_init=False).module

    # Loading and saving

    @classmethod
    def _pop_model_kwargs(cls, kwargs):
        own = {k: kwargs.pop(k) for k in ("input_shape", "seed", "dtype") if k in kwargs}
        return {**own, "_do_init": False}  # `_after_loading` draws what the checkpoint lacks

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path, dtype=jnp.float32, *args, _do_init=True, **kwargs
    ):
        result = super().from_pretrained(
            pretrained_model_name_or_path, *args, dtype=dtype, **kwargs
        )
        if _do_init:
            return result
        model, *info = result if isinstance(result, tuple) else (result,)
        params, model._params, model._is_initialized = model._params, None, False
        return (model, params, *info)

    from_pretrained.__func__.__doc__ = PreTrained.from_pretrained.__doc__

    def _after_loading(self, absent=()):
        tree = {}
        for (path, variable), (_, weight) in zip(self._paths(), self._named_weights(), strict=True):
            if weight.name not in absent:
                _put(tree, path, jnp.asarray(variable.value))
        self._is_initialized = True
        self.params = self.init_weights(self.key, params=tree)

    def save_pretrained(self, save_directory, params=None, **kwargs):
        """See `PreTrained.save_pretrained`; `params` are saved in place of the model's own, and
        parameters in the dtype that they have."""
        self._assign(self.params if params is None else params)
        super().save_pretrained(save_directory, **kwargs)

    def _canonical(self):
        tensors = super()._canonical()
        for (name, _), dtype in zip(self._named_weights(), self._dtypes, strict=True):
            tensors[name] = tensors[name].astype(dtype)
        return tensors

    def _change_network(self, change, *args):
        self._assign(self.params)
        super()._change_network(change, *args)
        self.__dict__.pop("_compiled", None)
        self._after_loading()

    # Precision of parameter trees

    def to_bf16(self, params, mask=None):
        """A copy of `params` with its floats in bfloat16 (where the tree `mask` is True)."""
        return self._cast(params, jnp.bfloat16, mask)

    def to_fp16(self, params, mask=None):
        """A copy of `params` with its floats in float16 (where the tree `mask` is True)."""
        return self._cast(params, jnp.float16, mask)

    def to_fp32(self, params, mask=None):
        """A copy of `params` with its floats in float32 (where the tree `mask` is True)."""
        return self._cast(params, jnp.float32, mask)

    @staticmethod
    def _cast(params, dtype, mask):
        def cast(value, chosen=True):
            floating = jnp.issubdtype(jnp.asarray(value).dtype, jnp.floating)
            return jnp.asarray(value, dtype) if floating and chosen else value

        return jax.tree.map(cast, params, *([mask] if mask is not None else []))


def _flatten(tree, prefix=()):
    flat = {}
    for name, value in tree.items():
        path = (*prefix, str(name))
        flat.update(_flatten(value, path) if hasattr(value, "items") else {path: value})
    return flat


def _put(tree, path, value):
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value


def _key_data(key):
    """The two words of a JAX key, old style or new."""
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.key_data(key)
    return jnp.asarray(key, keras.random.SeedGenerator(0).state.dtype)


declare_classes(FlaxRoFormerPreTrainedModel, "Flax")
