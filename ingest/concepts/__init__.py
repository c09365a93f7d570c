"""Files and built-in sets to concepts: words with a category each.

Begin with concept_sets.py, which joins sets to one; concept.py has what a concept is, files.py and builtin_sets.py
where concepts come from.
"""
