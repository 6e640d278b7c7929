"""RoFormer as KerasHub models, on every backend. Needs the extra `keras-roformer[hub]`."""

from keras_roformer.models.backbone import RoFormerBackbone

__all__ = ["RoFormerBackbone"]
