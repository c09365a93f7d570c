"""Passes over the images for maps: the highest values of each unit, then its pixels above them beside masks.

Begin with look.py.
"""
