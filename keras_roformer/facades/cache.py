"""Between the documented `past_key_values` and the encoder's cache.

The documented cache has a tuple per layer of (B, N, S, H) tensors: keys and values of
self-attention, and with cross-attention those of the encoder's states. The encoder's own has
(B, S, N, H) tensors. Cache objects of transformers are known by their attributes, not imported.
"""

from keras import ops


def from_documented(past):
    """`past_key_values`, tuples or a cache object → the encoder's cache; None for an empty one.

    Raises:
        ValueError: an entry has neither 2 nor 4 tensors.
    """
    layers = []
    for entry in _entries(past):
        tensors = [ops.transpose(tensor, (0, 2, 1, 3)) for tensor in entry if tensor is not None]
        if len(tensors) not in (2, 4):
            raise ValueError(
                "past_key_values must have a tuple per layer of 2 tensors (keys, values), or 4 "
                f"with cross-attention, got {len(tensors)}"
            )
        names = ("cache", "context_cache")[: len(tensors) // 2]
        layers.append({n: tuple(tensors[2 * i : 2 * i + 2]) for i, n in enumerate(names)})
    return layers or None


def to_documented(cache, past=None):
    """The encoder's cache → tuples; or, where `past` is a cache object, that object, updated."""
    entries = tuple(
        tuple(
            ops.transpose(tensor, (0, 2, 1, 3))
            for name in ("cache", "context_cache")
            for tensor in layer.get(name, ())
        )
        for layer in cache
    )
    if hasattr(past, "self_attention_cache"):
        _refill(past.self_attention_cache, [entry[:2] for entry in entries])
        if len(entries[0]) == 4:
            _refill(past.cross_attention_cache, [entry[2:] for entry in entries])
            past.is_updated = dict.fromkeys(range(len(entries)), True)
        return past
    if hasattr(past, "layers"):
        return _refill(past, [entry[:2] for entry in entries])
    return entries


def _entries(past):
    if hasattr(past, "self_attention_cache"):
        own, cross = _entries(past.self_attention_cache), _entries(past.cross_attention_cache)
        return [a + b for a, b in zip(own, cross, strict=True)] if cross else own
    if hasattr(past, "layers"):
        return [(layer.keys, layer.values) for layer in past.layers if layer.keys is not None]
    return past


def _refill(cache, pairs):
    """Make a cache object hold these keys and values, whatever it held."""
    cache.__init__(pairs)
    return cache
