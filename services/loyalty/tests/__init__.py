"""Loyalty's promises, tested through its public doors: events in, HTTP and events out."""
