"""What training changed: two layers, unit by unit.

`pairs.py` says which layers meet over which images, `closest.py` correlates, `compare.py` has both done and stored.
"""
