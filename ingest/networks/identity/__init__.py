"""What a network's fingerprint is made of, besides its weights: the code that runs, and what it runs with.

Begin with code.py, which is for what libraries define; live_code.py follows a user's functions and classes.
"""
