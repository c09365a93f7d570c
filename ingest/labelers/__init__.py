"""A layer's activations, and what else a labeler needs, to labels.

Begin with clip_dissect.py; similarity.py has the formulas, significance.py the p-values.
"""
