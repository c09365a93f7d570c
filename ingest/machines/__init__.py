"""Where the work is done: this process, or a Ray cluster. Both extract chunks of images and label layers.

Begin with local.py; extraction.py shows one chunk's images to the networks.
"""
