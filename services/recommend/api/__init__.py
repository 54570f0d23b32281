"""The routes, a file for each resource; `views` holds what several of them answer."""
