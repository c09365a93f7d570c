"""Answers to pages. Reads from figures.py on: which question each figure asks, and which of charts.py draws the answer.

page.py puts the HTML report together, from gallery.py and the templates of assets/; pictures.py writes each chart to a
file. unit.py is one unit, tables.py answers in a terminal or for other programs, export.py description files.
"""
