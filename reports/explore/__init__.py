"""The warehouse as a marimo app: notebook.py is the app, serving.py runs it, the rest is what its cells call."""
