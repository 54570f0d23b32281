"""Offers: money off and gifts, which apply together, what an order was promised. Pure."""
