"""SMS and email: what to say, when, whether at all.

Consumes  shop.orders.v1      an order placed or paid, and each of its parcels, may be told of
          shop.customers.v1   contact points only: e-mail, phone, name, language
          crm.profiles.v1     consent.changed, processing.restricted, merges, erasures
Produces  crm.notices.v1      notice.sent, notice.failed, notice.suppressed; never an address
          crm.erasures.v1     erasure.completed
Owns      notice, attempt     one row for each message to one person, and its tries, for ever
          customer, contact, consent, shop_order    what a decision to send looks at
Serves    GET /v1/notices?customer_id=
          GET /v1/notices/{notice_id}
          GET /v1/orders/{order_id}

A notice is sent at most once. Its id is derived from what it tells, so an order has one
confirmation however often, and in whatever form, its events come. Whether it may go out
is decided at the moment of hand-over, and what was decided on is kept with it; one that
does not go out says why.
"""
