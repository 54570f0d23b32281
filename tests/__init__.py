"""Tests across services: the house's rules, end to end, faults."""
