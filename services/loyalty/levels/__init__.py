"""Tiers: what counts for them, who stands where, and why. Pure."""
