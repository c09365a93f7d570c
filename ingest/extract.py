"""One pass over a probe: each image is decoded once and shown to every model and to the encoder."""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn

from neuronlake import NeuronlakeError
from neuronlake.ingest.decoding import decode
from neuronlake.ingest.encoders import Encoder
from neuronlake.ingest.locations import ProbeError
from neuronlake.ingest.models import Model
from neuronlake.ingest.preprocessing import Preprocessing
from neuronlake.ingest.probe_sources import Source
from neuronlake.ingest.similarity import top_image_indices

POOLINGS = ("mean", "max")
TOP_IMAGES = 20


class LayerError(NeuronlakeError):
    """A layer does not exist, or its output is nothing that has units."""


@dataclass(frozen=True)
class LayerShape:
    """What a dry run showed of a layer.

    Attributes:
        position: among the model's modules.
        units: how many.
        receptive_field: side of the square that a pixel of its map sees, as a share of the image's shorter side;
            None where it has no map.
    """

    name: str
    position: int
    units: int
    receptive_field: float | None


@dataclass(frozen=True)
class Work:
    """What a chunk of images is still needed for: layers of models, and perhaps the encoder's embeddings."""

    layers: tuple[tuple[Model, tuple[str, ...]], ...]
    encoder: Encoder | None
    pooling: str

    @property
    def preprocessings(self) -> frozenset[Preprocessing]:
        """The different ways in which the images must be prepared."""
        needed = {model.preprocessing for model, _ in self.layers}
        return frozenset(needed | ({self.encoder.preprocessing} if self.encoder else set()))


@dataclass(frozen=True)
class ChunkImage:
    """An image to decode: its number in the warehouse, and where its bytes are."""

    image_id: int
    source: Source


@dataclass(frozen=True)
class PreparedImage:
    """A decoded image as each preprocessing wants it."""

    image_id: int
    width: int
    height: int
    thumbnail: bytes
    pixels: dict[Preprocessing, Tensor]


@dataclass(frozen=True)
class FailedImage:
    """An image that could not be read, and why."""

    image_id: int
    reason: str


@dataclass(frozen=True)
class TopCandidates:
    """The images of a chunk with the highest activations of each unit.

    Attributes:
        rows: (units, k) int64, row numbers within the chunk, best first.
        peaks: (units, k, 2) float32, x and y of the map's maximum in the whole image; None without a map.
    """

    rows: Tensor
    peaks: Tensor | None


@dataclass(frozen=True)
class ExtractedChunk:
    """All that one chunk of images gave.

    Attributes:
        images: those that could be read, in order.
        failures: those that could not.
        activations: for each (model name, layer) (images, units) float32 on the CPU.
        candidates: for each (model name, layer) its top images within the chunk.
        embeddings: (images, dimensions) float32 on the CPU, or None where they were not needed.
    """

    images: list[PreparedImage]
    failures: list[FailedImage]
    activations: dict[tuple[str, str], Tensor]
    candidates: dict[tuple[str, str], TopCandidates]
    embeddings: Tensor | None


@contextmanager
def recorded_outputs(module: nn.Module, layers: Sequence[str]) -> Generator[dict[str, object]]:
    """Forward passes within the block leave the named layers' outputs in the dict.

    A layer that runs several times in one pass leaves its last output.
    """
    outputs: dict[str, object] = {}

    def record(name: str):
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            outputs[name] = output

        return hook

    handles = [module.get_submodule(name).register_forward_hook(record(name)) for name in layers]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def inspect_layers(model: Model, layers: Sequence[str]) -> list[LayerShape]:
    """Check that the layers exist and have units, with one forward pass of a blank image.

    Raises:
        LayerError: one does not.
    """
    names = [name for name, _ in model.module.named_modules() if name]
    for layer in layers:
        if layer not in names:
            raise LayerError(_unknown_layer(model.name, layer, names))
    side = model.preprocessing.crop
    device = next(model.module.parameters()).device
    with torch.inference_mode(), recorded_outputs(model.module, layers) as outputs:
        model.module(torch.zeros(2, 3, side, side, device=device))
    shapes: list[LayerShape] = []
    for layer in layers:
        values, peaks = pool(_tensor_output(model.name, layer, outputs), "mean")
        field = None if peaks is None else _receptive_field(model, layer)
        shapes.append(LayerShape(layer, names.index(layer), values.shape[1], field))
    return shapes


def _receptive_field(model: Model, layer: str) -> float:
    """The side of what the middle of a layer's map sees, found by which pixels its gradient reaches."""
    side = model.preprocessing.crop
    device = next(model.module.parameters()).device
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, side, side, generator=generator).to(device).requires_grad_()
    with torch.enable_grad(), recorded_outputs(model.module, [layer]) as outputs:
        model.module(image)
        maps = channels_first(_tensor_output(model.name, layer, outputs))
        height, width = maps.shape[2:]
        (gradient,) = torch.autograd.grad(maps[0, :, height // 2, width // 2].sum(), image)
    rows, columns = gradient.abs().sum(dim=(0, 1)).nonzero(as_tuple=True)
    seen = max(_extent(rows), _extent(columns))
    return min(1.0, seen / side) * side / max(side, model.preprocessing.resize)


def _extent(places: Tensor) -> int:
    """From the first place to the last; 0 of none."""
    return int(places.max() - places.min()) + 1 if len(places) else 0


def _unknown_layer(model: str, layer: str, names: list[str]) -> str:
    """The message for a layer that does not exist: near names, and where to look."""
    near = difflib.get_close_matches(layer, names, n=3, cutoff=0.4)
    outermost = [name for name in names if "." not in name]
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{model} has no layer {layer!r}; {hint}its outermost layers are {', '.join(outermost)}"


def _tensor_output(model: str, layer: str, outputs: dict[str, object]) -> Tensor:
    """The output that a layer left in a forward pass of two images.

    Raises:
        LayerError: it did not run, or its output is no tensor with images and units.
    """
    output = outputs.get(layer)
    if output is None:
        raise LayerError(f"layer {layer!r} of {model} gives no output in a forward pass; name another")
    if not isinstance(output, Tensor):
        raise LayerError(
            f"layer {layer!r} of {model} gives a {type(output).__name__}, not a tensor; name one within it"
        )
    if not 2 <= output.ndim <= 4:
        raise LayerError(f"layer {layer!r} of {model} gives a tensor of shape {list(output.shape)}; name another")
    return output


def channels_first(maps: Tensor) -> Tensor:
    """(batch, channels, height, width), also of maps that have their channels last.

    Those are told by their equal second and third sizes: images are square, so maps are.
    """
    return maps.permute(0, 3, 1, 2) if maps.shape[1] == maps.shape[2] != maps.shape[3] else maps


def pool(output: Tensor, pooling: str) -> tuple[Tensor, Tensor | None]:
    """A layer's output to one activation for each image and unit.

    A map, (batch, channels, height, width) or with its channels last as Swin has them, is averaged or its maximum
    taken. Of tokens, (batch, tokens, channels), the first is taken, the class token. What is (batch, units) stays.

    Returns:
        (batch, units) float32, and for maps larger than one pixel (batch, units, 2) float32: x and y of the
        maximum in the model's square, from 0 to 1.
    """
    if output.ndim == 2:
        return output.float(), None
    if output.ndim == 3:
        return output[:, 0].float(), None
    output = channels_first(output)
    height, width = output.shape[2:]
    maps = output.flatten(2).float()  # (batch, units, height * width)
    values = maps.mean(dim=2) if pooling == "mean" else maps.amax(dim=2)
    if height * width == 1:
        return values, None
    peak = maps.argmax(dim=2)
    x = (peak % width + 0.5) / width
    y = (torch.div(peak, width, rounding_mode="floor") + 0.5) / height
    return values, torch.stack([x, y], dim=2)


def _prepare(image: ChunkImage, preprocessings: frozenset[Preprocessing]) -> PreparedImage | FailedImage:
    """Decode one image and cut out of it what each model sees."""
    try:
        decoded = decode(image.source.read())
    except ProbeError as error:
        return FailedImage(image.image_id, str(error))
    rgb: Image.Image = decoded.rgb
    pixels = {preprocessing: preprocessing.pixels(rgb) for preprocessing in preprocessings}
    return PreparedImage(image.image_id, *rgb.size, decoded.thumbnail, pixels)


def prepare_ahead(
    images: Iterable[tuple[ChunkImage, frozenset[Preprocessing]]], workers: int, ahead: int
) -> Iterator[PreparedImage | FailedImage]:
    """Decode on `workers` threads, at most `ahead` images before they are asked for, in order.

    Decoding and resizing leave Python's lock, so threads run beside the forward passes.
    """
    waiting: deque[Future[PreparedImage | FailedImage]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool_of_threads:
        try:
            for image, preprocessings in images:
                waiting.append(pool_of_threads.submit(_prepare, image, preprocessings))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool_of_threads.shutdown(wait=True, cancel_futures=True)


class ChunkExtractor:
    """Shows the images of one chunk to the networks, batch by batch, and gathers what they give."""

    def __init__(self, work: Work, device: torch.device) -> None:
        self._work = work
        self._device = device
        self._images: list[PreparedImage] = []
        self._activations: dict[tuple[str, str], list[Tensor]] = {}
        self._peaks: dict[tuple[str, str], list[Tensor]] = {}
        self._embeddings: list[Tensor] = []

    def add(self, batch: list[PreparedImage]) -> None:
        """Run all networks on a batch."""
        with torch.inference_mode():
            inputs = {
                preprocessing: preprocessing.normalise(
                    torch.stack([image.pixels[preprocessing] for image in batch]).to(self._device)
                )
                for preprocessing in self._work.preprocessings
            }
            for model, layers in self._work.layers:
                with recorded_outputs(model.module, layers) as outputs:
                    model.module(inputs[model.preprocessing])
                for layer in layers:
                    self._keep(model, layer, _tensor_output(model.name, layer, outputs))
            if self._work.encoder:
                encoded = self._work.encoder.encode_images(inputs[self._work.encoder.preprocessing])
                # an image without a direction is all zeros: it then speaks for every concept alike
                has_direction = encoded.isfinite().all(dim=1, keepdim=True)
                self._embeddings.append(encoded.where(has_direction, 0.0).float().cpu())
        # the pixels have been seen: keep what the warehouse wants of the image
        self._images += [
            PreparedImage(image.image_id, image.width, image.height, image.thumbnail, {}) for image in batch
        ]

    def _keep(self, model: Model, layer: str, output: Tensor) -> None:
        """Pool one layer's output and put it by."""
        values, peaks = pool(output, self._work.pooling)
        key = (model.name, layer)
        self._activations.setdefault(key, []).append(values.cpu())
        if peaks is not None:
            self._peaks.setdefault(key, []).append(peaks.cpu())

    def finish(self, failures: list[FailedImage]) -> ExtractedChunk:
        """The whole chunk."""
        if not self._images:
            return ExtractedChunk([], failures, {}, {}, None)
        activations = {key: torch.cat(parts) for key, parts in self._activations.items()}
        candidates: dict[tuple[str, str], TopCandidates] = {}
        for model, layers in self._work.layers:
            for layer in layers:
                key = (model.name, layer)
                peaks = torch.cat(self._peaks[key]) if key in self._peaks else None
                candidates[key] = self._candidates(activations[key], peaks, model.preprocessing)
        embeddings = torch.cat(self._embeddings) if self._embeddings else None
        return ExtractedChunk(self._images, failures, activations, candidates, embeddings)

    def _candidates(self, activations: Tensor, peaks: Tensor | None, preprocessing: Preprocessing) -> TopCandidates:
        """Each unit's top images within the chunk, with the place where it fired in the whole image."""
        finite = torch.where(activations.isfinite(), activations, -torch.inf)
        rows = top_image_indices(finite, TOP_IMAGES)
        if peaks is None:
            return TopCandidates(rows, None)
        corners = [preprocessing.place_in_image(0, 0, image.width, image.height) for image in self._images]
        opposite = [preprocessing.place_in_image(1, 1, image.width, image.height) for image in self._images]
        start = torch.tensor(corners)[rows]  # (units, k, 2)
        end = torch.tensor(opposite)[rows]
        chosen = peaks.permute(1, 0, 2).gather(1, rows[:, :, None].expand(-1, -1, 2))
        return TopCandidates(rows, start + chosen * (end - start))
