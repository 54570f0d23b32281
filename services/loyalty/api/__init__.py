"""Loyalty over HTTP: a file for each resource."""
