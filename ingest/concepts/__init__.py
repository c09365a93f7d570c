"""Files and built-in sets to concepts: words with a category each. Begin with concept_sets.py."""
