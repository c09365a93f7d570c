"""What other tools wrote: label files, and CLIP-Dissect's saved activations.

Begin with labels.py and activations.py.
"""
