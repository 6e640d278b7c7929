"""The functions that have a fastest way on each backend, chosen once, as in `keras/src/backend`.

`plain` has every function, in Keras's operations; a backend's file has those, under the same names,
that it computes another way. They are all names of these files without an underscore.
"""

import keras

from keras_roformer.layers.kernels.plain import *  # noqa: F403

if keras.config.backend() == "torch":
    from keras_roformer.layers.kernels.torch_kernels import *  # noqa: F403
elif keras.config.backend() == "jax":
    from keras_roformer.layers.kernels.jax_kernels import *  # noqa: F403
elif keras.config.backend() == "tensorflow":
    from keras_roformer.layers.kernels.tf_kernels import *  # noqa: F403

# What computes the output of a built Keras layer of exactly this class, outside of its `__call__`;
# the `call` of any other. Not as methods of subclasses: Keras's `quantize` refuses those.
FAST = {
    keras.layers.Dense: dense,  # noqa: F405
    keras.layers.LayerNormalization: layer_norm,  # noqa: F405
    keras.layers.ReversibleEmbedding: embedding,  # noqa: F405
}
