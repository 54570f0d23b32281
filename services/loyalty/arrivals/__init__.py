"""What comes from another system, row by row. Pure."""
