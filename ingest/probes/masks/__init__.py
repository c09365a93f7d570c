"""Masks: what the pixels of a probe's images show, from label images and tables of what their values mean.

Begin with finding.py, which finds the masks of a probe; base.py says what they are. folders.py, panoptic.py and
broden_masks.py know how a form of masks is laid out, label_images.py the encodings, tables.py what values mean.
checking.py reads all once, and regions.py makes of an image's masks what a network sees of them.
"""
