"""COCO panoptic: a json file that says for each label image which of its segments is of which category."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuronlake.ingest.concepts.concept import Concept
from neuronlake.ingest.concepts.same_names import each_once
from neuronlake.ingest.probes.locations import Location, ProbeError
from neuronlake.ingest.probes.masks.base import NOTHING, ImageMasks, LabelImage
from neuronlake.ingest.probes.masks.checking import first_of
from neuronlake.ingest.probes.masks.label_images import PanopticReader
from neuronlake.ingest.probes.masks.tables import require_known
from neuronlake.ingest.probes.sources import FileBytes, ProbeImage
from neuronlake.sql.words import first_line

# of things and of stuff; what it calls a supercategory is none of ours
_CATEGORY = "object"


@dataclass(frozen=True)
class Panoptic:
    """What a json file of COCO panoptic says.

    Attributes:
        concepts: its categories, each once.
        segments: of each image, by the name of its label image without the ending: that name, and for each segment the
            place of its category.
    """

    file: Location
    concepts: tuple[Concept, ...]
    segments: Mapping[str, tuple[str, Mapping[int, int]]]

    def masks_of(self, images: Sequence[ProbeImage], folder: Location) -> list[ImageMasks]:
        """Of each image its masks, not yet read: its label image in `folder`.

        Raises:
            ProbeError: an image has none.
        """
        stems = [image.path.rpartition(".")[0] for image in images]
        missing = [image.path for image, stem in zip(images, stems, strict=True) if stem not in self.segments]
        if missing:
            advice = "leave the image out, or get the file again"
            raise ProbeError(first_of([f"{self.file} lists no annotation for {path}; {advice}" for path in missing]))
        return [self._masks(folder, *self.segments[stem]) for stem in stems]

    def _masks(self, folder: Location, name: str, segments: Mapping[int, int]) -> ImageMasks:
        """The one label image of an image; its value 0 is of pixels that are in no segment."""
        places = {0: NOTHING} | dict(sorted(segments.items()))
        reader = PanopticReader(str(self.file), tuple(places), tuple(places.values()))
        file = folder.join(name)
        return ImageMasks((LabelImage(str(file), FileBytes(file), reader),))


def read_panoptic(file: Location, categories: Sequence[str]) -> Panoptic:
    """What a json file says of its categories and segments.

    Raises:
        ProbeError: it is no such file, or lists no concept of these categories.
    """
    with file.opened() as opened:
        content = opened.read()
    try:
        found = json.loads(content)
        names = {int(each["id"]): Concept(str(each["name"]), _CATEGORY) for each in found["categories"]}
        require_known(categories, [each.category for each in names.values()], file)
        concepts, places = each_once(list(names.values()))
        place_of = dict(zip(names, places, strict=True))
        segments = {name.rpartition(".")[0]: (name, mine) for name, mine in _segments(found["annotations"], place_of)}
    except KeyError as error:
        raise ProbeError(f"{file} is no COCO panoptic json: it lacks {error}; give panoptic_*.json") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise ProbeError(f"{file} is no COCO panoptic json: {first_line(error)}; give panoptic_*.json") from error
    return Panoptic(file, concepts, segments)


def _segments(annotations: Any, places: Mapping[int, int]) -> list[tuple[str, dict[int, int]]]:
    """Of each label image its name, and for each of its segments the place of its category."""
    return [
        (str(each["file_name"]), {int(one["id"]): places[int(one["category_id"])] for one in each["segments_info"]})
        for each in annotations
    ]
