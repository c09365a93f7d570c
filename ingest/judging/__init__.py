"""How far labels can be trusted. Begin with evaluate.py; measures.py has the statistics."""
