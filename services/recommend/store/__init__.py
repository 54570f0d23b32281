"""All of recommend's SQL: one function for each statement, `conn` first, no rule of business.

catalog     products and offers, each as its newest event has it
histories   the newest interactions of each customer id
orders      what each order counts for, and the way from a product to its orders
popularity  what all customers share, as increments
lists       what the job reads and writes for `also_bought`
facts       what is told of one product, one order, one event
hot         the storefronts' reads, on asyncpg
"""
