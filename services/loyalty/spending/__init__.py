"""Points as money off, and what others are told of points. Pure."""
