"""All of loyalty's SQL: one function for each statement, `conn` first, no rule of business.

members   whose account it is, and what it holds; the first lock of every transaction
orders    what each order has booked
decisions what each order was awarded, by which rules, and on what
shoppers  what is known of who buys, and what is counted of him; budgets
products  what the catalogue says of what is bought
journals  the ledger: appended, and read by account, by order and by cause
books     the whole ledger summed, in one snapshot
hot       the storefronts' reads, on asyncpg
"""
