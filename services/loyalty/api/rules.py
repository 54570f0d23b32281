"""Earning rules over HTTP: laid down in versions, like everything the store lays down."""

from services.loyalty.api.definitions import routes
from services.loyalty.earning.rules import EarningRule

router = routes(EarningRule, "rules")
