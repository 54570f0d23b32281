"""What the store lays down, in versions; when it holds, and for which cart. Pure."""
