"""Who the customer is.

Consumes: shop.customers.v1, shop.orders.v1, shop.browse.v1, shop.feedback.v1 and
    shop.engagement.v1 (the last two for the timeline); crm.notices.v1 (for the timeline, and
    contact.unsubscribed for consent); its own crm.profiles.v1 (merges, erasures) and
    crm.erasures.v1 (receipts).
Produces: crm.profiles.v1 (profile.merged, profile.unmerged, consent.changed,
    erasure.requested) and its receipt on crm.erasures.v1.
Owns: identity (which ids are one person, and the journal of why), the timeline, attributes
    and counters, consent, and the requests for erasure.
Serves: /v1/profiles/{customer_id} with /timeline, /identity, /consents, /merge, /unmerge and
    /erasure; /v1/orders/{order_id}; /v1/erasures/{request_id}; /v1/reports/totals; and the
    intake POST /v1/events.
"""
