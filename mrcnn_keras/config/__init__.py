"""Every setting of a model, and the backbones that go by a name."""

from mrcnn_keras.config.backbones import BACKBONES, Backbone, replaced_by_backbone
from mrcnn_keras.config.fields import MaskRCNNConfig, make_config

__all__ = ["BACKBONES", "Backbone", "MaskRCNNConfig", "make_config", "replaced_by_backbone"]
