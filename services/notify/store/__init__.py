"""notify's SQL: a module for each thing that it is about, a function for each statement."""
