"""How many images of a probe may be unreadable before a run gives up."""

from __future__ import annotations

from collections.abc import Mapping

from neuronlake.ingest.probes.locations import ProbeError

_WATCHED_IMAGES = 1_000


class FailureLimit:
    """Counts a probe's unreadable images, each once, and ends the run when there are too many.

    Unless `max_failures` says how many may be, a run ends once more than half of the first 1,000 images have
    failed, or all of a smaller probe: then something about the probe as a whole is wrong.
    """

    def __init__(
        self, probe: str, images: int, max_failures: int | None, known: Mapping[int, str] | None = None
    ) -> None:
        """Begin with the failures that are known: for places in the probe, their reasons."""
        self._probe = probe
        self._images = images
        self._watched = images if max_failures is not None else min(images, _WATCHED_IMAGES)
        half = _WATCHED_IMAGES // 2 if images >= _WATCHED_IMAGES else images - 1
        self._allowed = half if max_failures is None else max_failures
        self._failed = {place: reason for place, reason in (known or {}).items() if place < self._watched}

    def add(self, place: int, path: str, reason: str) -> None:
        """One more image could not be read.

        Args:
            place: of the image in its probe, from 0.
            path: its name.
            reason: what stood in the way.

        Raises:
            ProbeError: these are too many.
        """
        if place >= self._watched:
            return
        self._failed.setdefault(place, f"{path}: {reason}")
        if len(self._failed) > self._allowed:
            first = next(iter(self._failed.values()))
            raise ProbeError(
                f"{len(self._failed)} of the {self._images} images of {self._probe} could not be read, the first "
                f"of them {first}; mend the probe, or allow that many with --max-failures {self._images}"
            )
