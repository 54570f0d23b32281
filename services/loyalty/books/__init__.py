"""The ledger, its lots and its chain, and how the programme lets points live. Pure."""
