"""Names and patterns to readings: which output of a network is read, and how it becomes one number a unit.

Begin with planned.py, what a run knows of a layer, and choosing.py, which finds it; readings.py has the hooks, heads.py
and directions.py what is no module's own output.
"""
