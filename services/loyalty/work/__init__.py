"""Load, fold, store: what handlers, API, jobs and commands do in their transactions."""
