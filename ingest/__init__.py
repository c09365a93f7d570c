"""Pixels to numbers: models, encoders, probes and concepts in; activations and labels out.

The package shares its name with the function it is for, so it can be called as that function:
``neuronlake.ingest(warehouse, recipe)`` works whether or not this package was imported before.
"""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """This package, called as `pipeline.ingest`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from neuronlake.ingest.run import ingest  # noqa: PLC0415  torch takes seconds to import

        return ingest(*arguments, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        """What ``help`` and notebooks show as the function's parameters."""
        from neuronlake.ingest.run import ingest  # noqa: PLC0415  as above

        return inspect.signature(ingest)


sys.modules[__name__].__class__ = _CallablePackage
