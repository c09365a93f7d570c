"""The tables behind the views: every statement that writes them, and what ingest reads of them.

One module a noun. Users build on the views; the schema store may change.
"""
