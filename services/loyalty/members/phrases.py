"""What a member reads of his points, in his language. Pure.

A line for each kind of journal, without amounts: those stand beside it. A language that is
not here is told in English.
"""

ENGLISH = "en"
PHRASES: dict[str, dict[str, str]] = {
    ENGLISH: {
        "earn": "Earned",
        "activate": "Can be spent from now on",
        "reverse": "Taken back: an order was changed",
        "expire": "Expired",
        "reserve": "Set aside at the checkout",
        "redeem": "Spent",
        "free": "No longer set aside",
        "give_back": "Given back: an order was changed",
        "adjust": "Changed by the shop",
        "opening": "Brought along",
        "donate": "Donated",
        "forfeit": "Forfeited on leaving",
    },
    "zh": {
        "earn": "获得积分",
        "activate": "积分已可使用",
        "reverse": "订单变更，扣回积分",
        "expire": "积分过期",
        "reserve": "结算时锁定积分",
        "redeem": "使用积分",
        "free": "解除锁定",
        "give_back": "订单变更，退回积分",
        "adjust": "店铺调整",
        "opening": "迁移导入",
        "donate": "捐赠积分",
        "forfeit": "退会清零",
    },
    "de": {
        "earn": "Gesammelt",
        "activate": "Ab jetzt einlösbar",
        "reverse": "Zurückgenommen: eine Bestellung wurde geändert",
        "expire": "Verfallen",
        "reserve": "An der Kasse zurückgelegt",
        "redeem": "Eingelöst",
        "free": "Nicht mehr zurückgelegt",
        "give_back": "Zurückgegeben: eine Bestellung wurde geändert",
        "adjust": "Vom Shop geändert",
        "opening": "Mitgebracht",
        "donate": "Gespendet",
        "forfeit": "Mit dem Austritt verfallen",
    },
}


def language_of(accepted: str) -> str:
    """The first language of an Accept-Language header (RFC 9110, 12.5.4) that is known here."""
    ranked: list[tuple[float, str]] = []
    for part in accepted.split(","):
        tag, _, weight = part.strip().partition(";q=")
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            quality = 0.0
        ranked.append((-quality, tag.split("-")[0].strip().lower()))
    known = (name for _, name in sorted(ranked, key=lambda pair: pair[0]) if name in PHRASES)
    return next(known, ENGLISH)


def tell(kind: str, language: str) -> str:
    """One journal for its member; a kind that is not here keeps its own name."""
    return PHRASES[language].get(kind, kind)
