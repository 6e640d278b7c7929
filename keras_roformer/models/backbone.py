"""`RoFormerBackbone`: the layer `RoFormer` as a KerasHub backbone."""

import pathlib
from types import SimpleNamespace

import keras
from keras_hub.models import Backbone

from keras_roformer import tasks
from keras_roformer.config import RoFormerConfig
from keras_roformer.layers.activations import with_functions
from keras_roformer.layers.policies import parts_config, read_parts_config, restore_quantizers
from keras_roformer.layers.spec import FIELDS, takes_spec
from keras_roformer.models.export import Exports, write_transformers
from keras_roformer.models.preset_names import FromPreset
from keras_roformer.upstream import for_keras

# Field of `EncoderSpec` → argument of the backbone, where KerasHub's encoders name it otherwise.
_HUB_NAMES = {
    "vocab_size": "vocabulary_size",
    "hidden_size": "hidden_dim",
    "intermediate_size": "intermediate_dim",
    "embedding_size": "embedding_dim",
    "type_vocab_size": "num_segments",
    "hidden_act": "activation",
    "layer_norm_eps": "layer_norm_epsilon",
}
_NOT_TAKEN = ("head_size", "add_cross_attention", "gradient_checkpointing")

# Argument of the backbone → field of `RoFormerConfig`.
CONFIG_FIELDS = {
    _HUB_NAMES.get(name, name): field
    for name, field in tasks.CONFIG_FIELDS.items()
    if name not in _NOT_TAKEN
} | {"max_sequence_length": "max_position_embeddings"}


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerBackbone(Exports, FromPreset, Backbone):
    """RoFormer without a head: a functional model with named inputs and outputs.

    Inputs, each (B, L) int32: `token_ids`; `segment_ids`, 0 for the first text and 1 for the second
    of a pair; `padding_mask`, 1 for tokens and 0 for padding. Outputs, in a dict:
    `sequence_output`, (B, L, D), and with a pooler `pooled_output`, (B, D). L may be any length.

    Args:
        vocabulary_size: number of tokens.
        num_layers, num_heads: encoder layers, and attention heads in each.
        hidden_dim, intermediate_dim: D, and the size inside the feed-forward layers.
        embedding_dim: size of the token embeddings; by default D, else a projection follows them.
        num_segments: number of segments that `segment_ids` names.
        pad_token_id: the token whose embedding gets no gradient, or None.
        activation: name of the feed-forward activation, or a function.
        dropout, attention_dropout: rates on layers' outputs and on attention probabilities.
        rotary_value: rotate the values too, not just queries and keys.
        causal: hide from each token the tokens after it, as `RoFormerCausalLM` needs.
        add_pooler: have a pooler, dense and tanh over the first token (RoFormer-Sim).
        layer_norm_epsilon, initializer_range: epsilon; standard deviation of new weights.
        max_sequence_length: longest sequence of the pretraining. Kept for exports; limits nothing.
        dtype: dtype policy of the layers, or a `keras.dtype_policies.DTypePolicyMap`.

    Raises:
        TypeError, ValueError: a value that no model can have.

    Example:

    ```python
    import numpy as np
    from keras_roformer.models import RoFormerBackbone

    backbone = RoFormerBackbone(
        vocabulary_size=100, num_layers=2, num_heads=2, hidden_dim=16, intermediate_dim=32
    )
    ids = np.random.randint(1, 100, (1, 5))
    inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": 0 * ids + 1}
    states = backbone(inputs)["sequence_output"]  # (1, 5, 16)
    ```
    """

    @takes_spec(but=_NOT_TAKEN, first=("vocab_size", "num_layers", "num_heads"), names=_HUB_NAMES)
    def __init__(self, spec, max_sequence_length=512, dtype=None, **kwargs):
        for name in FIELDS:
            if name not in _NOT_TAKEN:
                setattr(self, _HUB_NAMES.get(name, name), getattr(spec, name))
        self.max_sequence_length = max_sequence_length
        self.roformer = tasks.build_backbone(
            self.roformer_config(), spec.add_pooler, dtype=dtype, name="roformer"
        )
        self.token_embedding = self.roformer.embeddings.word_embeddings

        inputs = {
            name: keras.Input((None,), dtype="int32", name=name)
            for name in ("token_ids", "segment_ids", "padding_mask")
        }
        states, extras = self.roformer(
            inputs["token_ids"],
            token_type_ids=inputs["segment_ids"],
            attention_mask=inputs["padding_mask"],
        )
        outputs = {"sequence_output": states}
        if spec.add_pooler:
            outputs["pooled_output"] = extras["pooler_output"]
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)

    def roformer_config(self, **fields):
        """The `RoFormerConfig` of this backbone, with other `fields` added."""
        own = {field: getattr(self, name) for name, field in CONFIG_FIELDS.items()}
        return RoFormerConfig(**own, **fields)

    @classmethod
    def arguments_of(cls, config):
        """Arguments of the constructor that a `RoFormerConfig` tells."""
        return {name: getattr(config, field) for name, field in CONFIG_FIELDS.items()}

    def network(self):
        """This model as the table of weight names sees it, see `keras_roformer.weights.names`."""
        config = self.roformer_config(architectures=["RoFormerModel"])
        return SimpleNamespace(config=config, task="model", roformer=self.roformer, head=None)

    def export_to_transformers(self, path):
        """Write a directory that transformers' RoFormerModel loads.

        Args:
            path: the directory, made if it is not there, for config.json and model.safetensors.
        """
        write_transformers(pathlib.Path(path), self.network())

    def enable_lora(self, rank, target_layer_names=None):
        """Freeze everything and give some layers two small matrices of `rank` to train.

        Args:
            rank: their inner size.
            target_layer_names: names of the layers; by default `["query", "value"]`.
        """
        super().enable_lora(rank, target_layer_names)
        for part in for_keras.flat_layers(self):
            # Keras leaves the biases to be trained, but `save_lora_weights` would lose them.
            if getattr(part, "lora_enabled", False) and getattr(part, "bias", None) is not None:
                part.bias.trainable = False

    def get_config(self):
        # Not from `super()`, which takes the names off the policies of quantised layers.
        config = {"name": self.name, "trainable": self.trainable}
        config |= {name: getattr(self, name) for name in CONFIG_FIELDS}
        config |= {"add_pooler": self.add_pooler}
        return config | parts_config(self.roformer)

    @classmethod
    def from_config(cls, config):
        config, quantizers = read_parts_config(with_functions(config))
        backbone = super().from_config(config)
        restore_quantizers(backbone.roformer, quantizers)
        return backbone

    @staticmethod
    def get_layout_map(
        device_mesh, model_parallel_dim_name="model", data_parallel_dim_name="batch"
    ):
        """How `keras.distribution.ModelParallel` lays the weights over a mesh of devices.

        Each matrix is cut in both directions: over the model dimension heads, feed-forward units
        and vocabulary, so that a layer needs one exchange after attention and one after the
        feed-forward part; over the data dimension the other side.

        Args:
            device_mesh: `keras.distribution.DeviceMesh` with two named axes.
            model_parallel_dim_name, data_parallel_dim_name: their names.

        Returns:
            `keras.distribution.LayoutMap` for the backbone and the tasks on it.

        Raises:
            ValueError: the mesh lacks one of the axes.

        Example:

        ```python
        mesh = keras.distribution.DeviceMesh((2, 4), ("batch", "model"))
        layout_map = RoFormerBackbone.get_layout_map(mesh)
        keras.distribution.set_distribution(
            keras.distribution.ModelParallel(layout_map=layout_map, batch_dim_name="batch")
        )
        ```
        """
        model, data = model_parallel_dim_name, data_parallel_dim_name
        for name in (model, data):
            if name not in device_mesh.axis_names:
                raise ValueError(
                    f"the device mesh has no axis {name!r}, only {device_mesh.axis_names}; name "
                    "its axes with model_parallel_dim_name and data_parallel_dim_name"
                )
        layout_map = keras.distribution.LayoutMap(device_mesh)
        # Whole paths, as Keras 3.15 matches them (a part was enough before).
        layout_map[".*word_embeddings/embeddings"] = (model, data)
        layout_map[".*attention/(query|key|value)/kernel"] = (data, model)
        layout_map[".*attention/(query|key|value)/bias"] = (model,)
        layout_map[".*attention/output_dense/kernel"] = (model, data)
        layout_map[".*intermediate_dense/kernel"] = (data, model)
        layout_map[".*intermediate_dense/bias"] = (model,)
        layout_map[".*layer_[0-9]+/output_dense/kernel"] = (model, data)
        return layout_map
