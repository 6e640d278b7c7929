"""Changes to the size of a built network: its vocabulary and its attention heads."""

import numpy as np
from keras import ops

from keras_roformer.config import check_pruned_heads
from keras_roformer.tasks import TASKS
from keras_roformer.upstream.for_keras import replace_variable


def resize_vocabulary(network, size, seed=None):
    """Give a `RoFormerNetwork` another number of tokens; the rows of kept tokens keep their values.

    Args:
        network: the network; its config's `vocab_size` changes too.
        size: new number of tokens; new rows are drawn as at initialisation.
        seed: seed of the new rows.

    Raises:
        ValueError: `size` is not a positive number.
    """
    if size < 1:
        raise ValueError(f"a vocabulary must have at least 1 token, got {size}")
    config = network.config
    rng = np.random.default_rng(seed)

    def resized(variable, axis=0, spread=config.initializer_range):
        old = ops.convert_to_numpy(variable).astype("float32")
        shape = list(old.shape)
        shape[axis] = size
        new = rng.normal(0, spread, shape).astype("float32") if spread else np.zeros(shape)
        kept = [slice(None)] * old.ndim
        kept[axis] = slice(min(size, old.shape[axis]))
        new[tuple(kept)] = old[tuple(kept)]
        return new

    embedding = network.roformer.embeddings.word_embeddings
    replace_variable(embedding, "_embeddings", resized(embedding.embeddings))
    embedding.input_dim = size
    for block in (network.roformer, network.roformer.embeddings):
        block.vocab_size = size
    head = network.head
    if TASKS[network.task].is_language_model:
        replace_variable(head, "bias", resized(head.bias, spread=0))
        head.vocab_size = size
        if not head.tied:
            replace_variable(head.decoder, "_kernel", resized(head.decoder.kernel, axis=1))
            head.decoder.units = size
    config.vocab_size = size


def prune_heads(network, heads_to_prune):
    """Remove attention heads from a `RoFormerNetwork`.

    Args:
        network: the network; its config's `pruned_heads` remembers what was removed.
        heads_to_prune: layer → head numbers, counted as before any pruning.

    Raises:
        ValueError: a layer or head that there is not, or the last heads of a layer.
    """
    config, encoder = network.config, network.roformer.encoder
    before = {layer: set(heads) for layer, heads in config.pruned_heads.items()}
    after = dict(before)
    for layer, heads in heads_to_prune.items():
        after[layer] = before.get(layer, set()) | set(heads)
    pruned = {layer: sorted(heads) for layer, heads in after.items()}
    check_pruned_heads(pruned, config.num_hidden_layers, config.num_attention_heads)
    for layer in heads_to_prune:
        gone = before.get(layer, ())
        there = [head for head in range(config.num_attention_heads) if head not in gone]
        kept = [i for i, head in enumerate(there) if head not in after[layer]]
        _keep_heads(encoder.blocks[layer].attention, kept)
        encoder.blocks[layer].num_heads = len(kept)
    config.pruned_heads = pruned
    counts = [block.num_heads for block in encoder.blocks]
    encoder.num_heads = network.roformer.num_heads = counts


def _keep_heads(attention, kept):
    size = attention.head_size
    columns = np.concatenate([np.arange(head * size, (head + 1) * size) for head in kept])
    for dense in (attention.query, attention.key, attention.value):
        replace_variable(dense, "_kernel", ops.convert_to_numpy(dense.kernel)[:, columns])
        replace_variable(dense, "bias", ops.convert_to_numpy(dense.bias)[columns])
        dense.units = len(columns)
    dense = attention.output_dense
    replace_variable(dense, "_kernel", ops.convert_to_numpy(dense.kernel)[columns])
    attention.num_heads = len(kept)
