"""Profile's promises, against real PostgreSQL."""
