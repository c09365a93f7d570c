"""Names and patterns to readings: which output of a network is read, and how it becomes one number a unit.

Begin with choosing.py; readings.py has the hooks, heads.py and directions.py what is no module's own output.
"""
