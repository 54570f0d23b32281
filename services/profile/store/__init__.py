"""Profile's SQL: one function for each statement, `conn` first; hot reads in `hot`."""
