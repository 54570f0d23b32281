"""Earning rules over HTTP: laid down in versions, like everything the store lays down."""

from services.loyalty.api.definitions import routes
from services.loyalty.rules import EarningRule

router = routes(EarningRule, "rules")
