"""Names and patterns to activations: which output of a network is read, and how it becomes one number a unit.

Begin with planned.py, what a run knows of a layer, and choosing.py, which finds it: spellings.py says where a layer is,
trial.py what it has. An image's way is passes.py (hooks), readings.py (the tensor), heads.py and directions.py (what is
no module's own output), pooling.py.
"""
