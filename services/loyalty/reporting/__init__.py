"""Finance: what points cost, closed months, statements and vouchers. Pure."""
