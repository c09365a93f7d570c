"""Folders, lists, tars, Parquet, Broden, data sets of torchvision and addresses to images with their labels.

Begin with probe.py, which puts a probe together. formats.py is the table of the forms that it may have, and
sources.py has what an image is and where its bytes come from; lists, parquet, tars, broden and
torchvision_datasets read one form each, from what locations.py names. hashing.py reads every image once, decoding.py
makes pixels of its bytes, and failure_limit.py says how many may fail. masks/ has what pixels show, beside the images.
"""
