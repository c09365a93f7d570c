"""The categories of concepts, which ingest stores and reports draw."""

from __future__ import annotations

# of a concept that has none
NO_CATEGORY = "none"
# Broden's, from low level to high, in the order of charts; a concept file may have others
CATEGORIES = ("color", "texture", "material", "part", "object", "scene", NO_CATEGORY)
