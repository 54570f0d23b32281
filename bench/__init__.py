"""Measurements, side by side in one run: `python -m bench.<name>`, or `make bench` for all.

Each prints a table for people and, as its last line, one JSON object with its figures and
ratios. Absolute figures are this machine's; the ratios are what we promise.
"""
