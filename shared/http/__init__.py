"""The HTTP shell that every service shares: who may call, what it may cost, how it fails.

app.py       create_app: the routes, their scopes checked at start, the middleware
context.py   what a route needs at hand, and the base of request bodies
shell.py     around every request: id, time and size limits, headers, metrics, span
auth.py      who calls (API key or storefront token), and what each route asks of them
tokens.py    a storefront's JWT
rate.py      requests a second
problems.py  errors as problem+json
once.py      one effect and one answer for one Idempotency-Key
audit.py     who changed or read whose data
paging.py    cursors, pages, ETags
intake.py    POST /v1/events
seen.py      GET /v1/events/{source}/{id}
"""
