"""What transformers' torch models have beside the documented API, and training code asks for."""

import torch
from keras import ops

from keras_roformer.layers.block import causal_bias, padding_bias


class Utilities:
    """Figures of a torch model, masks for layers of one's own, and inputs with gradients."""

    framework = "pt"

    @property
    def dummy_inputs(self):
        """A small batch of token ids."""
        return {"input_ids": torch.tensor([[7, 6, 0, 0, 1], [1, 2, 3, 0, 0], [0, 0, 0, 4, 5]])}

    # Figures

    def num_parameters(self, only_trainable=False, exclude_embeddings=False):
        """Number of parameters; `exclude_embeddings` leaves the embedding tables out."""
        tables = [m.weight for m in self.modules() if isinstance(m, torch.nn.Embedding)]
        left_out = {id(table) for table in tables if exclude_embeddings}
        return sum(
            parameter.numel()
            for parameter in self.parameters()
            if id(parameter) not in left_out and (parameter.requires_grad or not only_trainable)
        )

    def get_memory_footprint(self, return_buffers=True):
        """Bytes of the parameters and, with `return_buffers`, buffers."""
        tensors = [*self.parameters(), *(self.buffers() if return_buffers else ())]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def estimate_tokens(self, input_dict):
        """Number of tokens in a batch, 0 without `input_ids`."""
        ids = input_dict.get(self.main_input_name)
        return 0 if ids is None else ids.numel()

    def floating_point_ops(self, input_dict, exclude_embeddings=True):
        """Operations of a training step on a batch, but for attention's (Kaplan et al., 2020)."""
        size = self.num_parameters(exclude_embeddings=exclude_embeddings)
        return 6 * self.estimate_tokens(input_dict) * size

    # Masks

    def get_extended_attention_mask(self, attention_mask, input_shape, device=None, dtype=None):
        """The additive mask of a mask of ones and zeros, for a layer that adds one to its scores.

        Args:
            attention_mask: (B, S) or (B, L, S), 1 to attend.
            input_shape: `(B, L)`.
            device: accepted, and not used.
            dtype: `torch.dtype` of the result, by default the model's.

        Returns:
            (B, 1, 1, S) or (B, 1, L, S) tensor, in a decoder without the tokens after each.
        """
        dtype = self.dtype if dtype is None else dtype
        bias = padding_bias(attention_mask, dtype)
        if not self.config.is_decoder or attention_mask.ndim == 3:
            return bias
        length, keys = input_shape[1], attention_mask.shape[1]
        return ops.minimum(bias, causal_bias(length, keys, keys - length, dtype).to(bias.device))

    def invert_attention_mask(self, encoder_attention_mask):
        """The additive mask of a (B, S) or (B, L, S) mask, whatever the model."""
        return padding_bias(encoder_attention_mask, self.dtype)

    # Inputs

    def enable_input_require_grads(self):
        """Have the token embeddings require gradients though their table is frozen."""
        self._require_grads_hook = self.get_input_embeddings().register_forward_hook(
            lambda module, inputs, output: output.requires_grad_(True)
        )

    def disable_input_require_grads(self):
        """Undo `enable_input_require_grads`."""
        self._require_grads_hook.remove()
