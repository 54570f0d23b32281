"""Rewards, coupons and their codes. Pure."""
