"""The door of the Flax classes; see `facades.door`."""

import jax
import numpy as np

from keras_roformer.facades.door import Door


class FlaxDoor(Door):
    """How JAX predicts, loads, draws and differentiates."""

    fixed_shapes = True
    generate_arguments = ("params", "prng_key")
    default_seed = 0  # Flax's generate has a fixed key by default

    def prepare_prediction(self, device=None):
        if device is not None:
            self.params = jax.device_put(self.params, device)

    @staticmethod
    def gradient(function, x):
        return jax.grad(function)(x)

    @staticmethod
    def draw_seed():
        return int(np.random.randint(2**31))  # JAX has no global generator

    @staticmethod
    def seed_of_key(key):
        """The words of a JAX key, old style or new, as a seed of NumPy's generator."""
        if jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key):
            key = jax.random.key_data(key)
        return [int(word) for word in np.asarray(key)]

    def weights_for_run(self, params=None):
        values = self._ordered(self.params if params is None else params)
        return [variable for _, variable in self._paths()], values

    def generated(self, request, sequences, result):
        """As Flax's `generate`: an output object, of sequences of `max_length`."""
        config = request.config
        missing = request.max_length - sequences.shape[1]
        fill = 0 if config.pad_token_id is None else config.pad_token_id
        sequences = np.pad(sequences, ((0, 0), (0, missing)), constant_values=fill)
        values = dict(sequences=self.to_tensor(sequences, like=request.inputs))
        if config.num_beams > 1:
            values["scores"] = self.to_tensor(result.sequence_scores, like=values["sequences"])
        return self.generated_class(config)(**values)
