"""Referrals: who invited whom, what it is judged by, what both sides get. Pure."""
