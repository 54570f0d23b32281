"""Everything that may be laid down, by the name under which it is kept. Pure."""

from services.loyalty.adjusting import AdjustmentPolicy
from services.loyalty.definitions import Definition
from services.loyalty.limits import EarningLimits
from services.loyalty.membership import MembershipTerms
from services.loyalty.offers import Offer
from services.loyalty.programme import Programme
from services.loyalty.referrals import ReferralProgramme
from services.loyalty.rewards import Reward
from services.loyalty.rules import EarningRule
from services.loyalty.subscriptions import MembershipPlan
from services.loyalty.tiers import TierPlan
from services.loyalty.valuation import FinancePolicy

KINDS: dict[str, type[Definition]] = {
    kind.__name__: kind
    for kind in (
        *(Programme, EarningRule, Offer, Reward, TierPlan),
        *(MembershipTerms, MembershipPlan, FinancePolicy, AdjustmentPolicy, EarningLimits),
        ReferralProgramme,
    )
}
