"""A ResNet-18 and a small ViT with random weights, for pictures of 64 pixels."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models import VisionTransformer, resnet18

from neuronlake.ingest.networks.models import Model, model_from_module
from neuronlake.ingest.networks.preprocessing import Preprocessing

# layers with maps, with tokens and with one number a unit
LAYERS = {"resnet": ("layer1", "layer3", "fc"), "vit": ("encoder.layers.encoder_layer_0", "heads")}
_SEEN = Preprocessing(72, 64, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def small_networks() -> dict[str, Model]:
    """Both by name; always the same weights."""
    torch.manual_seed(2)
    resnet = resnet18(num_classes=50)
    vit = VisionTransformer(
        image_size=64, patch_size=16, num_layers=2, num_heads=4, hidden_dim=64, mlp_dim=128, num_classes=50
    )
    # its head starts at nothing
    nn.init.normal_(vit.heads[-1].weight)
    return {name: model_from_module(name, each.eval(), _SEEN) for name, each in (("resnet", resnet), ("vit", vit))}
