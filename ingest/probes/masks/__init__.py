"""Masks: what the pixels of a probe's images show, from label images and tables of what their values mean."""
