"""What concepts predict of images, and which sum of them predicts a unit.

Begin with signals.py; pursuit.py chooses the concepts of a sum, least_squares.py weighs them, both by products.py.
"""
