"""What a network's fingerprint is made of: its weights, the code that runs, and what it runs with.

Begin with fingerprints.py. live_code.py follows what is in memory, held_objects.py what that code holds, homes.py tells
whose code it is; written_code.py is what a file says of it.
"""
