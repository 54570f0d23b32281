"""What orders and actions earn: rules, caps, limits, decisions as they are kept. Pure."""
