"""Where the work is done: this process, or a Ray cluster. Both extract chunks of images and label layers.

Begin with base.py; chunks.py says what a chunk is and gives, loaded.py holds the networks, extraction.py shows one
chunk's images to them. local.py and ray.py are the two machines; a cluster's chunks travel as shards in a spool.
"""
