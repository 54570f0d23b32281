"""Points: a double-entry ledger, fed by orders, whose books always balance.

Consumes  shop.orders.v1      every order, as the snapshot that it now is
          crm.profiles.v1     profile.merged, profile.unmerged, erasure.requested (by the backbone)
Produces  crm.loyalty.v1      points.earned, points.activated, points.reversed, points.expiring,
                              points.expired, points.redeemed, points.shortfall
          crm.ledger.v1       ledger.sealed: the heads of the chain over the books
          crm.erasures.v1     erasure.completed (by the backbone)
Owns      journal, posting    the ledger: append-only, also for this service's own role
          award_snapshot      what each order line earned, by which rule and from what: append-only
          seal, unsealed      the chain over the ledger, in blocks, and the journals in none yet
          balance             what each account holds: derived from the ledger, cached
          lot, sweep          dated points, and how far the warnings of their expiry have come
          reservation         points set aside for a checkout, and what became of them
          shortfall           points that orders said they were paid with, and were not there
          member              whose account it is: the one link to the person, and deletable
          closing, closing_draft  closed months, and the statements that were prepared: append-only
          definition          what the store lays down, in versions: append-only
          order_state         the last revision seen of each order, and what it has booked
Serves    GET /v1/accounts/{customer_id}           balance of the person
          GET /v1/accounts/{customer_id}/balance   as of any time, by event or by booking
          GET /v1/accounts/{customer_id}/history   journals with their postings, newest first
          POST /v1/accounts/{id}/redemption-quotes   the most points that a cart may take
          POST /v1/accounts/{id}/reservations        set points aside for a checkout
          GET /v1/reservations/{id}                  and POST .../confirm, .../cancel
          GET /v1/orders/{order_id}                what an order earned, line by line
          GET, PUT /v1/programmes/{id}           how points live, in versions
          GET, PUT /v1/finance-policies/{id}       what a point is worth in the accounts
          POST /v1/closings                        prepare a month; POST .../{month}/approval
          GET /v1/closings, /v1/closings/{month}   closed months; .../vouchers.csv
          GET /v1/ledger/journals                  from a figure to its journals and events
          GET /v1/ledger/liability                 and .../forecast, .../costs
          GET /v1/ledger/seals                     the chain's heads, newest first
          GET /v1/ledger/reconciliation            proof that the books balance
"""
