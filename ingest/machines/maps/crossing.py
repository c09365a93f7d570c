"""Where units are above their thresholds, beside masks: how many of their pixels lie in each region of an image.

Maps are enlarged to the size of the masks as NetDissect-Lite does it, by Pillow: bilinearly, by the centres of the
pixels, lines before columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional

from neuronlake.ingest.devices import finest, reduced
from neuronlake.ingest.layers.passes import read_maps
from neuronlake.ingest.layers.planned import PlannedLayer
from neuronlake.ingest.machines.chunks import ChunkImage, FailedImage, MaskedView, PreparedImage
from neuronlake.ingest.machines.feeding.preparing import ChangedImageError, prepare_pixels
from neuronlake.ingest.machines.feeding.staging import Staging
from neuronlake.ingest.machines.loaded import LoadedNetworks
from neuronlake.ingest.machines.maps.outlines import outline
from neuronlake.ingest.networks.preprocessing import Preparation
from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.ingest.probes.masks.base import ImageMasks, digest, stacked
from neuronlake.ingest.probes.masks.regions import regions_of, seen_part

# pixels of enlarged maps that are held at once
_AT_ONCE = 2**23
_ACTIVE = {"unit": pl.Int32, "image_id": pl.Int32, "region": pl.Int32, "pixels": pl.Int32}
_OUTLINES = {"unit": pl.Int32, "image_id": pl.Int32, "outline": pl.String}

Key = tuple[str, str]
_K = TypeVar("_K")


@dataclass(frozen=True)
class CrossedChunk:
    """What a chunk's images gave.

    Attributes:
        regions: by model the regions of the images: image_id, region, places of concepts, pixels.
        active: by (model name, layer) the pixels of units in these: unit, image_id, region, pixels.
        outlines: by (model name, layer): unit, image_id, outline.
    """

    regions: Mapping[str, pl.DataFrame]
    active: Mapping[Key, pl.DataFrame]
    outlines: Mapping[Key, pl.DataFrame]


@dataclass(frozen=True)
class CrossMasks:
    """See `Look`; a chunk gives a `CrossedChunk`.

    Attributes:
        thresholds: of each layer's units, (units,) float64.
        outlined: of each layer the units and images whose outline is wanted: unit, image_id.
    """

    thresholds: Mapping[Key, np.ndarray]
    outlined: Mapping[Key, pl.DataFrame]

    def reader(self, networks: LoadedNetworks, device: torch.device) -> _CrossingReader:
        """See Look."""
        return _CrossingReader(self, networks, device)


def prepare_with_masks(image: ChunkImage, preprocessings: frozenset[Preparation]) -> PreparedImage | FailedImage:
    """Decode one image and its masks, and cut out of both what each model sees.

    Raises:
        ChangedImageError: its masks are no longer what was listed.
    """
    prepared = prepare_pixels(image, preprocessings)
    if isinstance(prepared, FailedImage):
        return prepared
    masks = image.image.masks or ImageMasks()
    label_images = _as_listed(image, masks)
    for preprocessing in preprocessings:
        window = preprocessing.window(prepared.width, prepared.height)
        region, concepts = regions_of([seen_part(each, window) for each in label_images], masks.whole)
        prepared.masks[preprocessing] = MaskedView(torch.from_numpy(region).long(), concepts)
    return prepared


def _as_listed(image: ChunkImage, masks: ImageMasks) -> list[np.ndarray]:
    """The label images of an image.

    Raises:
        ChangedImageError: they cannot be read any more, or say something else than when the probe was listed.
    """
    try:
        label_images = stacked(masks)
    except ProbeError as error:
        raise ChangedImageError(f"{error}; see that it is as it was and run the same command again to go on") from error
    if masks.sha256 and digest(label_images, masks.whole) != masks.sha256:
        raise ChangedImageError(
            f"the masks of {image.image.path} were changed after the probe was listed; leave them as they are while "
            "they are read, and run the same command again to go on"
        )
    return label_images


@dataclass(frozen=True)
class _Active:
    """Pixels where maps that are enlarged to the size of the masks are above their thresholds.

    Attributes:
        unit: (maps,) int64.
        image: places in the batch, (maps,) int64.
        shape: of the masks, height and width.
        of_map: of each pixel the place of its map, (pixels,) int64, ascending.
        pixel: its place in the flattened mask, (pixels,) int64.
    """

    unit: Tensor
    image: Tensor
    shape: tuple[int, int]
    of_map: Tensor
    pixel: Tensor


class _CrossingReader:
    """See `Reader`."""

    def __init__(self, look: CrossMasks, networks: LoadedNetworks, device: torch.device) -> None:
        self._look = look
        self._networks = networks
        self._device = device
        self._staging = Staging(device)
        self._regions: dict[str, list[pl.DataFrame]] = {model.name: [] for model in networks.models}
        self._active: dict[Key, list[pl.DataFrame]] = {layer.key: [] for layer in networks.layers}
        self._outlines: dict[Key, list[pl.DataFrame]] = {layer.key: [] for layer in networks.layers}

    def run(self, batch: list[PreparedImage]) -> None:
        """See Reader."""
        active: list[tuple[Key, pl.DataFrame, pl.DataFrame]] = []
        with torch.inference_mode():
            inputs = self._staging.inputs(batch, self._networks.preprocessings)
            for model, layers in self._networks.by_model:
                with reduced(self._device, layers[0].precision):
                    maps = read_maps(model, [layer.reading for layer in layers], inputs[model.preprocessing])
                for layer in layers:
                    active.append((layer.key, *self._crossed(layer, maps.pop(layer.name), batch)))
        for key, pixels, outlines in active:
            self._active[key].append(pixels)
            self._outlines[key].append(outlines)
        for model in self._networks.models:
            self._regions[model.name].append(_region_rows(batch, model.preprocessing))

    def finish(self) -> CrossedChunk:
        """See Reader."""
        return CrossedChunk(_joined(self._regions), _joined(self._active), _joined(self._outlines))

    def _crossed(
        self, layer: PlannedLayer, maps: Tensor, batch: list[PreparedImage]
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Active pixels and outlines of a layer on a batch."""
        views = [image.masks[layer.model.preprocessing] for image in batch]
        numbers = np.array([image.image_id for image in batch], dtype=np.int32)
        # what has no map is active on whole images
        wanted = self._look.outlined.get(layer.key) if maps.shape[2:].numel() > 1 else None
        pixels: list[pl.DataFrame] = [pl.DataFrame(schema=_ACTIVE)]
        outlines: list[pl.DataFrame] = [pl.DataFrame(schema=_OUTLINES)]
        for some in _active_pixels(maps, self._look.thresholds[layer.key], views):
            pixels.append(_counted(some, views, numbers))
            if wanted is not None:
                outlines.append(_outlined(some, wanted, batch, layer.model.preprocessing))
        return pl.concat(pixels), pl.concat(outlines)


def _active_pixels(maps: Tensor, thresholds: np.ndarray, views: list[MaskedView]) -> Iterator[_Active]:
    """Where the maps that are above their thresholds anywhere are so, some maps at a time."""
    # the nearest float32, as the reference compares
    above = torch.from_numpy(thresholds.astype(np.float32)).to(maps.device)
    is_anywhere = maps.amax(dim=(2, 3)) > above
    for height, width in dict.fromkeys((view.region.shape[0], view.region.shape[1]) for view in views):
        of_shape = torch.tensor([view.region.shape == (height, width) for view in views], device=maps.device)
        image, unit = (is_anywhere & of_shape[:, None]).nonzero(as_tuple=True)
        across, down = _weights(maps.shape[3], width, maps.device), _weights(maps.shape[2], height, maps.device)
        for start in range(0, len(unit), size := max(1, _AT_ONCE // (height * width))):
            rows = slice(start, start + size)
            lowest = above[unit[rows], None]
            wide = (maps[image[rows], unit[rows]].to(across) @ across).float()
            # a mean is above a threshold only where something is that it is made of: most columns are done with
            of_column, column = (wide.amax(dim=1) > lowest).nonzero(as_tuple=True)
            columns = (wide[of_column, :, column].to(down) @ down).float()
            place, row = (columns > lowest[of_column]).nonzero(as_tuple=True)
            pixel = row * width + column[place]
            yield _Active(unit[rows], image[rows], (height, width), of_column[place], pixel)


def _weights(side: int, wanted: int, device: torch.device) -> Tensor:
    """How a line of a map becomes one of a mask, (side, wanted); as Pillow does it, by means where it is made shorter.

    In float64, with what comes of it rounded, as it is there: of equal values a mean is then no larger than they are.
    """
    lines = torch.eye(side, dtype=torch.float64)[None, None]
    weights = functional.interpolate(lines, (side, wanted), mode="bilinear", antialias=True)[0, 0]
    return weights.to(device, finest(device))


def _joined(parts: Mapping[_K, list[pl.DataFrame]]) -> dict[_K, pl.DataFrame]:
    """The parts of each as one; nothing of those that have none."""
    return {key: pl.concat(some) for key, some in parts.items() if some}


def _counted(some: _Active, views: list[MaskedView], numbers: np.ndarray) -> pl.DataFrame:
    """How many active pixels of each map lie in each region: unit, image_id, region, pixels."""
    images, place = some.image.unique(return_inverse=True)
    # of these images alone, whose regions are no more than their pixels: those of larger masks may be many times more
    most = max(len(views[image].concepts) for image in images.tolist())
    regions = torch.stack([views[image].region.flatten() for image in images.tolist()]).to(some.pixel.device)
    region = regions[place[some.of_map], some.pixel]
    counts = torch.bincount(some.of_map * most + region, minlength=len(some.unit) * most)
    found = counts.nonzero()[:, 0]
    of_map = found // most
    columns = {
        "unit": some.unit[of_map],
        "image_id": some.image[of_map],
        "region": found % most,
        "pixels": counts[found],
    }
    arrays = {name: column.cpu().numpy().astype(np.int32) for name, column in columns.items()}
    return pl.DataFrame(arrays | {"image_id": numbers[arrays["image_id"]]}, schema=_ACTIVE)


def _outlined(
    some: _Active, wanted: pl.DataFrame, batch: list[PreparedImage], preprocessing: Preparation
) -> pl.DataFrame:
    """Outlines of what is active in those maps that are wanted: unit, image_id, outline."""
    pairs = set(wanted.select("unit", "image_id").iter_rows())
    starts = torch.searchsorted(some.of_map, torch.arange(len(some.unit) + 1, device=some.of_map.device)).tolist()
    rows: list[tuple[int, int, str]] = []
    for place, (unit, image) in enumerate(zip(some.unit.tolist(), some.image.tolist(), strict=True)):
        number = batch[image].image_id
        if (unit, number) in pairs:
            window = preprocessing.window(batch[image].width, batch[image].height)
            is_active = torch.zeros(some.shape, dtype=torch.bool)
            is_active.view(-1)[some.pixel[starts[place] : starts[place + 1]].cpu()] = True
            rows.append((unit, number, outline(is_active.numpy(), window)))
    return pl.DataFrame(rows, schema=_OUTLINES, orient="row")


def _region_rows(batch: list[PreparedImage], preprocessing: Preparation) -> pl.DataFrame:
    """The regions of a batch's images: image_id, region, concepts, pixels."""
    rows = [
        (image.image_id, number, list(concepts), pixels)
        for image in batch
        for view in [image.masks[preprocessing]]
        for number, (concepts, pixels) in enumerate(
            zip(view.concepts, view.region.flatten().bincount(minlength=len(view.concepts)).tolist(), strict=True)
        )
    ]
    schema = {"image_id": pl.Int32, "region": pl.Int32, "concepts": pl.List(pl.Int32), "pixels": pl.Int32}
    return pl.DataFrame(rows, schema=schema, orient="row")
