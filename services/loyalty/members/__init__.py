"""Membership, paid terms, cards and ids from elsewhere. Pure."""
