"""Every event that crosses a service boundary: its data, its envelope, its wire form."""
