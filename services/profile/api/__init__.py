"""Profile's routes, a file for each resource."""
