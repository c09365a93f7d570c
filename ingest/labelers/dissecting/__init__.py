"""How units meet what masks show: counts of pixels, their intersections over unions, and formulas of concepts.

Begin with regions.py; tally.py counts, formulas.py searches, shares.py has what a concept predicts of an image.
"""
