"""All of loyalty's SQL: one function for each statement, `conn` first, no rule of business.

members   whose account it is, and what it holds; the first lock of every transaction
orders    what each order has booked, and the awards behind it
journals  the ledger: appended, and read by account, by order and by cause
books     the whole ledger summed, in one snapshot
hot       the storefronts' reads, on asyncpg
"""
