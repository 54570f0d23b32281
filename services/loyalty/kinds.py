"""Everything that may be laid down, by the name under which it is kept. Pure."""

from services.loyalty.benefits.rewards import Reward
from services.loyalty.books.adjusting import AdjustmentPolicy
from services.loyalty.books.programme import Programme
from services.loyalty.earning.limits import EarningLimits
from services.loyalty.earning.rules import EarningRule
from services.loyalty.inviting.referrals import ReferralProgramme
from services.loyalty.levels.tiers import TierPlan
from services.loyalty.members.membership import MembershipTerms
from services.loyalty.members.subscriptions import MembershipPlan
from services.loyalty.promotions.offers import Offer
from services.loyalty.reporting.valuation import FinancePolicy
from services.loyalty.terms.definitions import Definition

KINDS: dict[str, type[Definition]] = {
    kind.__name__: kind
    for kind in (
        *(Programme, EarningRule, Offer, Reward, TierPlan),
        *(MembershipTerms, MembershipPlan, FinancePolicy, AdjustmentPolicy, EarningLimits),
        ReferralProgramme,
    )
}
