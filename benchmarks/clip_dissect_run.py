"""CLIP-Dissect's own save_activations, with the packages it wants for models and data stubbed in; by ingest.py.

python benchmarks/clip_dissect_run.py CLONE IMAGES ENCODER_FOLDER DEVICE SAVE_TO MODEL ...
"""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from typing import Any

import open_clip
import torch
import torchvision
from torchvision import datasets, transforms

from neuronlake.ingest.models import load_model

LAYERS = ["layer3", "layer4", "fc"]


def clip_stub(encoder_folder: str) -> types.ModuleType:
    """A module `clip` that loads the encoder with open_clip."""
    module: Any = types.ModuleType("clip")
    name = f"local-dir:{encoder_folder}"

    def load(_name: str, device: str) -> tuple[Any, Any]:
        model, _, preprocess = open_clip.create_model_and_transforms(name, precision="fp32")
        return model.to(device).eval(), preprocess

    module.load = load
    module.tokenize = open_clip.get_tokenizer("ViT-B-16")
    return module


def data_stub(images: str) -> types.ModuleType:
    """A module `data_utils` with the benchmark's models and images, prepared as CLIP-Dissect prepares them."""
    module: Any = types.ModuleType("data_utils")
    normalise = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    steps = [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), normalise]

    def get_target_model(name: str, device: str) -> tuple[Any, Any]:
        classes = 365 if "places" in name else 1000
        model = torchvision.models.resnet18(weights=None, num_classes=classes)
        model.load_state_dict(load_model(name, random_weights=True).module.state_dict())
        return model.to(device).eval(), transforms.Compose(steps)

    module.get_target_model = get_target_model
    module.get_data = lambda _name, preprocess=None: datasets.ImageFolder(images, preprocess)
    return module


def main() -> None:
    """Save the activations of each model, as describe_neurons.py would."""
    clone, images, encoder_folder, device, save_to, *models = sys.argv[1:]
    sys.modules["clip"] = clip_stub(encoder_folder)
    sys.modules["data_utils"] = data_stub(images)
    sys.path.insert(0, clone)
    import utils  # pyright: ignore[reportMissingImports]

    concepts = Path(save_to) / "concepts.txt"
    concepts.write_text(os.environ["CONCEPTS"])
    for model in models:
        # its default batch of 200 images
        utils.save_activations("ViT-B/16", model, LAYERS, "probe", str(concepts), 200, device, "avg", save_to)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
