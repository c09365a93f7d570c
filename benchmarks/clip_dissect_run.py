"""CLIP-Dissect's own save_activations, with the packages it wants for models and data stubbed in; by ingest.py.

python benchmarks/clip_dissect_run.py CLONE NETWORKS IMAGES DEVICE SAVE_TO
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import open_clip
import torch
from ingest_inputs import Networks, write_concepts
from torchvision import datasets, transforms

from neuronlake.ingest.networks.models import load_model
from neuronlake.ingest.networks.preprocessing import Preprocessing


def clip_stub(encoder: str) -> types.ModuleType:
    """A module `clip` that loads the encoder with open_clip."""
    module: Any = types.ModuleType("clip")

    def load(_name: str, device: str) -> tuple[Any, Any]:
        model, _, preprocess = open_clip.create_model_and_transforms(encoder, precision="fp32")
        return model.to(device).eval(), preprocess

    module.load = load
    module.tokenize = open_clip.get_tokenizer("ViT-B-16")
    return module


def data_stub(networks: Networks, images: str) -> types.ModuleType:
    """A module `data_utils` with the benchmark's models, which it knows by number, and its images."""
    module: Any = types.ModuleType("data_utils")

    def get_target_model(number: str, device: str) -> tuple[Any, Any]:
        model = load_model(networks.models[int(number)], random_weights=networks.are_by_name)
        wants = model.preprocessing
        assert isinstance(wants, Preprocessing)
        steps = [
            transforms.Resize(wants.resize),
            transforms.CenterCrop(wants.crop),
            transforms.ToTensor(),
            transforms.Normalize(wants.mean, wants.std),
        ]
        return model.module.to(device), transforms.Compose(steps)

    module.get_target_model = get_target_model
    module.get_data = lambda _name, preprocess=None: datasets.ImageFolder(images, preprocess)
    return module


def main() -> None:
    """Save the activations of each model, as describe_neurons.py would."""
    clone, given, images, device, save_to = sys.argv[1:]
    networks = Networks.from_json(given)
    sys.modules["clip"] = clip_stub(networks.encoder)
    sys.modules["data_utils"] = data_stub(networks, images)
    sys.path.insert(0, clone)
    import utils  # pyright: ignore[reportMissingImports]  # deptry: ignore[DEP001]  CLIP-Dissect's own

    concepts = str(write_concepts(Path(save_to)))
    for number in range(len(networks.models)):
        # its default batch of 200 images
        utils.save_activations(
            "ViT-B/16", str(number), list(networks.layers), "probe", concepts, 200, device, "avg", save_to
        )


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
