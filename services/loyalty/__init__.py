"""Points: a double-entry ledger, fed by orders, whose books always balance.

Consumes  shop.orders.v1      every order, as the snapshot that it now is
          crm.profiles.v1     segment.entered, segment.left, profile.changed: what rules ask for;
                              profile.merged, profile.unmerged, erasure.requested (by the backbone)
          shop.customers.v1   customer.registered, customer.updated: birthday, since when,
                              and the welcome gift; who was invited
          shop.engagement.v1  referral.invited
          shop.catalog.v1     product.published: category, brand, attributes
Produces  crm.loyalty.v1      points.earned, points.activated, points.reversed, points.expiring,
                              points.expired, points.redeemed, points.shortfall, tier.changed,
                              reward.issued, membership.changed
          crm.ledger.v1       ledger.sealed: the heads of the chain over the books
          crm.erasures.v1     erasure.completed (by the backbone)
Owns      journal, posting    the ledger: append-only, also for this service's own role
          award_snapshot      what each order line earned, by which rule and from what: append-only
          seal, unsealed      the chain over the ledger, in blocks, and the journals in none yet
          balance             what each account holds: derived from the ledger, cached
          lot, sweep          dated points, and how far the warnings of their expiry have come
          reservation         points set aside for a checkout, and what became of them
          shortfall           points that orders said they were paid with, and were not there
          coupon, coupon_step rewards in members' hands, and their histories: append-only
          reward_stock        how many of a reward have been issued
          code_pool           codes that the shop uploads
          member              whose account it is: the one link to the person, and deletable
          membership          from joining to leaving; waiting_order: what joining may credit
          binding, card       external ids, card numbers: whom they stand for
          paid_term           paid membership, and term_refund: append-only
          closing, closing_draft  closed months, and the statements that were prepared: append-only
          definition          what the store lays down, in versions: append-only
          offer_claim         the offers that orders were promised, and whether they count
          offer_budget        what offers with a budget have come to
          order_state         the last revision seen of each order, and what it has booked
          order_decision      what each order was decided on, and every rule's verdict
          product             what the catalogue last said of each product
          shopper_fact        what rules may ask of a customer: the newest of each fact
          tally, rule_budget  what counts against caps and budgets, and paid orders
          qualifying          what counts for a tier, by account and business day
          standing            which tier each account has, its grants, and when it is due
          tier_history        every tier that was told, and why: append-only
          referral, invitation   who invited whom, and what of it is awarded
          referral_order, referral_signal, referral_due   what that is judged by, and for whom
          adjustment, hold    points given and taken by hand; earning that waits for review
          import_batch, import_row   files from another system, and what became of each row
Serves    GET /v1/accounts/{customer_id}           balance of the person
          GET /v1/accounts/{customer_id}/overview  a member's page in one call
          GET /v1/accounts/{customer_id}/balance   as of any time, by event or by booking
          GET /v1/accounts/{customer_id}/history   journals with their postings, newest first
          POST /v1/accounts/{id}/redemption-quotes   the most points that a cart may take
          POST /v1/accounts/{id}/reservations        set points aside for a checkout
          GET /v1/reservations/{id}                  and POST .../confirm, .../cancel
          GET /v1/accounts/{id}/rewards, /coupons    what a member can have, and what he has
          POST /v1/accounts/{id}/rewards/{reward}    take one
          POST /v1/coupons/{code}/reserve            and .../use, .../free, .../void
          GET, POST /v1/code-pools/{reward}          the shop's own codes
          GET, PUT /v1/rewards/{id}                  what there is to be had, in versions
          GET /v1/orders/{order_id}                what an order earned, line by line
          GET /v1/orders/{order_id}/explanation    every rule's verdict for every line
          POST /v1/quotes                          what a cart would save and earn, coupons too
          POST /v1/accounts/{id}/adjustments       give or take points by hand
          GET /v1/adjustments                      and POST .../{id}/approve, .../decline
          GET /v1/held                             and POST .../{order_id}/release, .../decline
          GET, PUT /v1/programmes/{id}           how points live, in versions
          GET, PUT /v1/rules/{id}                  earning rules, in versions
          POST /v1/rules/{id}/back-test            a rule tried on past orders
          GET, PUT /v1/tier-plans/default        tiers, in versions; GET /v1/tiers those in force
          GET /v1/accounts/{customer_id}/tier      the card; /days what counts, /history why
          POST /v1/accounts/{id}/tier-grants         and POST .../{grant_id}/end
          GET, PUT /v1/offers/{id}               money off and gifts, in versions; GET .../budget
          POST /v1/offers/claims                 what was quoted, taken for an order; GET, DELETE
          GET, PUT /v1/membership-terms/{id}, /v1/membership-plans/{id}   the same of membership
          GET, POST, DELETE /v1/accounts/{id}/membership   joining and leaving
          GET, POST /v1/accounts/{id}/subscriptions        paid terms; POST .../refunds
          GET, POST /v1/accounts/{id}/card         card number and code; POST .../by-code at a till
          GET /v1/accounts?type=&issuer=&value=    whom an external id stands for; POST .../bind
          GET /v1/accounts/{id}/referrals          a member's code, and what came of it
          GET, PUT /v1/referral-programmes/{id}    what both sides of a referral get, in versions
          GET, PUT /v1/finance-policies/{id}       what a point is worth in the accounts
          POST /v1/closings                        prepare a month; POST .../{month}/approval
          GET /v1/closings, /v1/closings/{month}   closed months; .../vouchers.csv
          GET /v1/ledger/journals                  from a figure to its journals and events
          GET /v1/ledger/liability                 and .../forecast, .../costs
          GET /v1/ledger/promotions                what offers and coupons cost, by month
          GET, PUT /v1/adjustment-policies/{id}, /v1/earning-limits/{id}   when a person looks
          GET /v1/ledger/seals                     the chain's heads, newest first
          GET /v1/ledger/reconciliation            proof that the books balance
"""
