"""Answers to pages. Reads from figures.py on: which question each figure asks, and which of charts.py draws the answer.

fidelity.py is the chart of how far to believe the labels, drawing/verdicts.py which of them count.
page.py puts the HTML report together, from gallery.py and the templates of assets/; pictures.py writes each chart to a
file. unit.py is one unit, tables.py answers in a terminal or for other programs, export.py description files.
"""
