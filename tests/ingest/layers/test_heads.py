"""Attention heads as units: the outputs of all heads, side by side, before the output projection."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision.models as vision
from torch import Tensor, nn

from neuronlake.ingest.layers.choosing import choose_layers, list_layers
from neuronlake.ingest.layers.passes import recorded_outputs, run_until_seen
from neuronlake.ingest.layers.planned import PlannedLayer
from neuronlake.ingest.layers.readings import Reading
from neuronlake.ingest.layers.spellings import LayerError
from neuronlake.ingest.networks.models import Model, load_model, model_from_module
from neuronlake.ingest.networks.preprocessing import Preprocessing
from neuronlake.ingest.networks.running import run

SEEN = Preprocessing(32, 32, (0.5,) * 3, (0.5,) * 3)


def by_hand(tokens: Tensor, qkv: Tensor, bias: Tensor, heads: int) -> Tensor:
    """Attention of (images, tokens, channels), head by head, without the output projection."""
    found: list[Tensor] = []
    query, key, value = (tokens @ qkv.T + bias).chunk(3, dim=-1)
    for q, k, v in zip(*(part.chunk(heads, dim=-1) for part in (query, key, value)), strict=True):
        weights = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(dim=-1)
        found.append(weights @ v)
    return torch.cat(found, dim=-1)


def model_of(module: nn.Module) -> Model:
    """A network with weights that differ enough for each head to attend to something else."""
    torch.manual_seed(5)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model_from_module("net", module.eval().requires_grad_(False), SEEN)


class Attends(nn.Module):
    """Patches of 8 x 8, and one layer of attention over them."""

    def __init__(self, attention: nn.Module, attend: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 8, 8)
        self.attention = attention
        self.attend = attend

    def forward(self, images: Tensor) -> Tensor:
        return self.attend(self.attention, self.stem(images).flatten(2).transpose(1, 2))


def tokens_first(attention: nn.Module, tokens: Tensor) -> Tensor:
    """As of a MultiheadAttention whose first dimension is the tokens'."""
    swapped = tokens.transpose(0, 1)
    return attention(swapped, swapped, swapped)[0].transpose(0, 1)


ATTENTIONS: dict[str, Callable[[], nn.Module]] = {
    "fast path": lambda: Attends(
        nn.MultiheadAttention(12, 4, batch_first=True), lambda part, x: part(x, x, x, need_weights=False)[0]
    ),
    "odd heads, by keywords": lambda: Attends(
        nn.MultiheadAttention(12, 3, batch_first=True), lambda part, x: part(query=x, key=x, value=x)[0]
    ),
    "tokens first": lambda: Attends(nn.MultiheadAttention(12, 4), tokens_first),
    "no bias": lambda: Attends(
        nn.MultiheadAttention(12, 4, bias=False, batch_first=True), lambda part, x: part(x, x, x)[0]
    ),
}


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_heads_of_multihead_attention_are_those_computed_by_hand(kind: str) -> None:
    model = model_of(ATTENTIONS[kind]())
    attention: Any = model.module.get_submodule("attention")
    images = torch.randn(3, 3, 32, 32)
    tokens = model.module.get_submodule("stem")(images).flatten(2).transpose(1, 2)
    bias = torch.zeros(36) if attention.in_proj_bias is None else attention.in_proj_bias
    expected = by_hand(tokens, attention.in_proj_weight, bias, attention.num_heads)
    torch.testing.assert_close(attended(model, "attention:heads", images), expected, rtol=1e-4, atol=1e-4)


def attended(model: Model, layer: str, images: Tensor, pooling: str = "mean") -> Tensor:
    """A layer's values at each place, (images, places, units)."""
    (shape,) = choose_layers(model, [layer], pooling)
    with (
        torch.inference_mode(),
        recorded_outputs(model.module, [shape.reading], lambda r, v: r.positions(v, len(images)).values) as seen,
    ):
        run(model, images)
    found = seen.outcomes[layer]
    assert isinstance(found, Tensor)
    assert found.shape[:2] == (len(images), shape.units)
    return found.transpose(1, 2)


def test_heads_of_timms_attention_are_those_computed_by_hand() -> None:
    model = load_model("timm:test_vit", random_weights=True)
    attention: Any = model.module.get_submodule("blocks.1.attn")
    images = torch.randn(2, 3, model.preprocessing.height, model.preprocessing.width)
    inputs: list[Tensor] = []
    handle = attention.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    with torch.inference_mode():
        model.module(images)
    handle.remove()
    expected = by_hand(inputs[0], attention.qkv.weight, attention.qkv.bias, attention.num_heads)
    torch.testing.assert_close(attended(model, "blocks.1.attn:heads", images), expected[:, :1])
    torch.testing.assert_close(attended(model, "blocks.1.attn:heads", images, "patches"), expected[:, 1:])


NETWORKS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "vit": (
        lambda: vision.VisionTransformer(32, 8, 2, 4, 24, 48, num_classes=10),
        "encoder.layers.encoder_layer_0.self_attention",
    ),
    # in shifted windows over a map that they do not fill
    "swin": (lambda: vision.SwinTransformer([4, 4], 12, [2, 1], [2, 2], [3, 3], num_classes=10), "features.1.1.attn"),
    "encoder layer": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 12, 8, 8),
            nn.Flatten(2),
            nn.Linear(16, 12),
            nn.TransformerEncoderLayer(12, 4, 24, batch_first=True),
        ),
        "3.self_attn",
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_heads_through_the_output_projection_are_the_modules_output(name: str) -> None:
    build, attention = NETWORKS[name]
    model = model_of(build())
    images = torch.randn(2, 3, 32, 32)
    part: Any = model.module.get_submodule(attention)
    projection = part.proj if name == "swin" else part.out_proj
    seen: list[Tensor] = []
    handle = part.register_forward_hook(lambda _, __, out: seen.append(out if name == "swin" else out[0]))
    with torch.inference_mode():
        model.module(images)
    handle.remove()
    pooling = "patches" if name == "vit" else "mean"
    given = projection(attended(model, f"{attention}:heads", images, pooling))
    plain = seen[0].flatten(1, 2) if name == "swin" else seen[0]
    torch.testing.assert_close(given, plain[:, 1:] if name == "vit" else plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_reading_heads_changes_nothing_of_the_network(name: str) -> None:
    build, attention = NETWORKS[name]
    model = model_of(build())
    images = torch.randn(2, 3, 32, 32)
    before = copy.deepcopy(model.module)
    (shape,) = choose_layers(model, [f"{attention}:heads"])
    with torch.inference_mode():
        expected = before(images)
        with recorded_outputs(model.module, [shape.reading], lambda _, value: value):
            during = model.module(images)
        run_until_seen(model, [shape.reading], images, lambda _, value: value)
        after = model.module(images)
    # an encoder layer that is hooked leaves torch's fused path, whose sums have another order
    torch.testing.assert_close(during, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(after, expected)
    assert str(before) == str(model.module)
    assert list(before.state_dict()) == list(model.module.state_dict())


def test_heads_are_listed_after_their_module_and_found_by_patterns() -> None:
    model = model_of(NETWORKS["vit"][0]())
    listed = [row for row in list_layers(model).rows() if "self_attention" in row[0]]
    first, second = (f"encoder.layers.encoder_layer_{number}.self_attention" for number in (0, 1))
    assert listed == [
        (first, "MultiheadAttention", None, "[0] 17 x 24, [1] nothing", 1),
        (f"{first}:heads", "MultiheadAttention", 24, "17 x 24", 1),
        (second, "MultiheadAttention", None, "[0] 17 x 24, [1] nothing", 1),
        (f"{second}:heads", "MultiheadAttention", 24, "17 x 24", 1),
    ]
    assert [shape.name for shape in choose_layers(model, ["**:heads"])] == [f"{first}:heads", f"{second}:heads"]


def test_heads_are_another_layer_than_their_module() -> None:
    model = load_model("timm:test_vit", random_weights=True)
    prints = {
        PlannedLayer(model, shape.reading, shape.position, shape.units, None).fingerprint
        for shape in choose_layers(model, ["blocks.0.attn", "blocks.0.attn:heads", "blocks.0.attn:input"])
    }
    assert len(prints) == 3


def test_what_has_no_heads_is_told_who_has() -> None:
    vit = model_of(NETWORKS["vit"][0]())
    message = r"'conv_proj:heads' of net: a Conv2d has no heads; .*, such as encoder\.layers\.encoder_layer_0\.self_att"
    with pytest.raises(LayerError, match=message):
        choose_layers(vit, ["conv_proj:heads"])
    with pytest.raises(LayerError, match=r"a Conv2d has no heads; .* and net has none that can be seen"):
        choose_layers(model_of(nn.Sequential(nn.Conv2d(3, 4, 1))), ["0:heads"])


def test_heads_stop_the_network_where_they_are_the_last() -> None:
    model = model_of(NETWORKS["vit"][0]())
    (shape,) = choose_layers(model, ["encoder.layers.encoder_layer_0.self_attention:heads"])
    ran: list[str] = []
    model.module.get_submodule("heads").register_forward_hook(lambda *_: ran.append("heads"))
    counted = Reading("net", shape.reading.place, shape.reading.frame, calls=shape.calls)
    with torch.inference_mode():
        run_until_seen(model, [counted], torch.randn(2, 3, 32, 32), lambda _, value: value)
    assert ran == []
