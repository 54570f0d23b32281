"""What happens by time alone."""
