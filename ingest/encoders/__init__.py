"""Image-text models: one small protocol, and open_clip, ConSE or a user's own behind it.

Begin with protocol.py, then loading.py.
"""
