"""Answers to pages: charts and the HTML report."""
