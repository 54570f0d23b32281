"""Everything that may be laid down, by the name under which it is kept. Pure."""

from services.loyalty import programme
from services.loyalty.adjusting import AdjustmentPolicy
from services.loyalty.definitions import Definition
from services.loyalty.limits import EarningLimits

KINDS: dict[str, type[Definition]] = {
    **programme.KINDS,
    **{kind.__name__: kind for kind in (AdjustmentPolicy, EarningLimits)},
}
