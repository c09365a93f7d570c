"""Folders, lists, tars, Parquet, Broden, data sets of torchvision and addresses to images with their labels.

Begin with probe.py, which puts a probe together; sources.py has what an image is and where its bytes come from;
lists, tars, parquet, broden and torchvision_datasets read one form each.
"""
