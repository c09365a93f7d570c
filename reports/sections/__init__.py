"""The charts of a section each."""
