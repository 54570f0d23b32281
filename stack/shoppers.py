"""Who shops in the simulated store: tastes, rhythms, and how each can be reached.

A shopper likes one or two themes of the catalogue and keeps to colours; comes in a rhythm
of his own, at hours of his own; and buys in a share of the visits. So there is something
to find: in what goes together, in who is due to come back, and in who stays away.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from shared.events.customers import CustomerConsented, CustomerRegistered
from shared.events.envelope import Identifier
from shared.events.fields import Contact
from stack.catalogue import BY_THEME, PRODUCTS, THEMES, Product

APP_ID = "wx5f0e9a"
SHOP_ID = "foxfern"

FIRST_NAMES = (
    *("Ada", "Alan", "Bea", "Callum", "Dilys", "Edith", "Fergus", "Grace", "Hari", "Imogen"),
    *("Jack", "Kezia", "Leo", "Mabel", "Noor", "Owen", "Priya", "Rhys", "Saoirse", "Tom"),
)
LAST_NAMES = (
    *("Ashby", "Bell", "Carter", "Doyle", "Evans", "Finch", "Gill", "Hughes", "Iqbal", "Jones"),
    *("Kaur", "Lloyd", "Marsh", "Nolan", "Patel", "Reid", "Shaw", "Turner", "Vale", "Wood"),
)
FAMILY_NAMES = "王李张刘陈杨黄赵吴周徐孙"
GIVEN_NAMES = ("伟", "芳", "娜", "敏", "静", "磊", "洋", "秀英", "丽", "强", "梓涵", "浩然", "雨桐")
CITIES_CN = ("上海", "杭州", "成都", "广州")
CITIES_UK = ("London", "Leeds", "Cardiff", "Glasgow")


@dataclass(frozen=True, slots=True)
class Storefront:
    """One store of stores.toml, and the share of the shoppers who use it."""

    store: str
    channel: str
    currency: str
    zone: str
    locale: str
    share: float

    @property
    def tz(self) -> ZoneInfo:
        return ZoneInfo(self.zone)


UK = Storefront("uk-web", "web", "GBP", "Europe/London", "en-GB", 0.65)
MINI = Storefront("cn-mini", "mini_program", "CNY", "Asia/Shanghai", "zh-CN", 0.25)
TMALL = Storefront("cn-tmall", "tmall", "CNY", "Asia/Shanghai", "zh-CN", 0.10)
STOREFRONTS = (UK, MINI, TMALL)


@dataclass(slots=True)
class Shopper:
    """One person; `joined_at` None: not registered (yet), and known by `visitor_id` only."""

    customer_id: str
    visitor_id: str
    front: Storefront
    name: str
    email: str | None
    phone: str | None
    city: str
    birthday: str
    tastes: dict[str, float]
    favourites: tuple[str, ...]
    """Values of variants that he keeps to, such as a colour."""
    visits_per_day: float
    fades: float
    """The factor on that rhythm with each day; below 1 he is being lost."""
    hour: float
    buys: float
    joined_at: datetime | None = None
    identified: bool = False
    gone: bool = False
    cart: dict[str, int] = field(default_factory=dict)
    orders: int = 0

    @property
    def acting_id(self) -> str:
        return self.customer_id if self.joined_at else self.visitor_id

    def contact(self) -> Contact:
        """Who is told about an order."""
        given = {"email": self.email, "phone": self.phone, "name": self.name}
        told = {name: value for name, value in given.items() if value}
        return Contact(**told, locale=self.front.locale)

    def registration(self) -> CustomerRegistered:
        assert self.joined_at, "who registers has joined"
        given = {"email": self.email, "phone": self.phone}
        return CustomerRegistered(
            customer_id=self.customer_id,
            **{name: value for name, value in given.items() if value},
            identifiers=self._identifiers(),
            name=self.name,
            birthday=self.birthday,
            locale=self.front.locale,
            zone=self.front.zone,
            country="GB" if self.front is UK else "CN",
            city=self.city,
            store=self.front.store,
            channel=self.front.channel,
            registered_at=self.joined_at,
        )

    def _identifiers(self) -> tuple[Identifier, ...]:
        if self.front is not MINI:
            return ()
        openid = self.customer_id.rpartition(":")[2]
        return (Identifier(type="wechat", issuer=APP_ID, value=openid, verified=True),)

    def consents(self, rng: Random) -> list[CustomerConsented]:
        """What is ticked at registration; a few want no messages at all."""
        answers = [("marketing", "email", rng.random() < 0.6)]
        if self.phone:
            answers.append(("marketing", "sms", rng.random() < 0.35))
        if rng.random() < 0.03:
            answers.append(("transactional", "email", False))
        return [
            CustomerConsented(
                customer_id=self.customer_id,
                purpose=purpose,
                channel=channel,
                granted=granted,
                text_version="2024-1",
                source="account",
            )
            for purpose, channel, granted in answers
        ]

    def pick(self, rng: Random, seen: list[Product]) -> Product:
        """What he looks at next: mostly his taste, often what goes with the last, at times any."""
        chance = rng.random()
        if seen and chance < 0.35:
            return rng.choice(BY_THEME[seen[-1].theme])
        if chance < 0.92:
            theme = rng.choices(list(self.tastes), list(self.tastes.values()))[0]
            # The first of a theme are its best sellers.
            return rng.choices(BY_THEME[theme], [1 / (n + 2) for n in range(len(BY_THEME[theme]))])[
                0
            ]
        return rng.choice(PRODUCTS)

    def pick_sku(self, rng: Random, product: Product) -> str:
        for sku in product.skus:
            if product.variant_of(sku) in self.favourites and rng.random() < 0.8:
                return sku
        return rng.choice(product.skus)


def make(rng: Random, tag: str, number: int, opened: datetime) -> Shopper:
    """The shopper of this number; over half of them joined before the simulation began."""
    front = rng.choices(STOREFRONTS, [each.share for each in STOREFRONTS])[0]
    joined = rng.random() < (1.0 if front is TMALL else 0.55)
    themes = rng.sample(THEMES, 2)
    likings = (0.75, 0.25) if rng.random() < 0.6 else (0.5, 0.5)
    name, email = _name(rng, front, number)
    return Shopper(
        customer_id=_customer_id(rng, front, tag, number),
        visitor_id=f"anon:{tag}-{rng.getrandbits(40):010x}",
        front=front,
        name=name,
        email=email,
        phone=_phone(rng, front),
        city=rng.choice(CITIES_UK if front is UK else CITIES_CN),
        birthday=f"{rng.randint(1955, 2006)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
        tastes=dict(zip(themes, likings, strict=True)),
        favourites=(
            rng.choice(("celadon", "white", "ink blue")),
            rng.choice(("moss", "rust", "sand", "indigo")),
            rng.choice(("50 g", "100 g", "250 g")),
        ),
        visits_per_day=min(0.9, rng.gammavariate(1.5, 0.075)),
        fades=0.96 if rng.random() < 0.12 else 1.0,
        hour=rng.choice((8.0, 12.5, 20.0, 21.5)),
        buys=rng.betavariate(2.5, 2.0),
        joined_at=opened - timedelta(days=rng.randint(1, 900)) if joined else None,
    )


def _customer_id(rng: Random, front: Storefront, tag: str, number: int) -> str:
    """In the namespace of whoever names him: the shop, WeChat, Tmall."""
    if front is UK:
        return f"c-{tag}-{number:04d}"
    opaque = f"o{tag}{rng.getrandbits(64):016x}"
    return f"wx:{APP_ID}:{opaque}" if front is MINI else f"tmall:{SHOP_ID}:{opaque}"


def _name(rng: Random, front: Storefront, number: int) -> tuple[str, str | None]:
    if front is UK:
        first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
        return f"{first} {last}", f"{first}.{last}.{number}@mail.example".lower()
    name = rng.choice(FAMILY_NAMES) + rng.choice(GIVEN_NAMES)
    # A platform hands out no addresses; in the mini program most give one for the invoice.
    return name, f"u{number}@mail.example" if front is MINI and rng.random() < 0.9 else None


def _phone(rng: Random, front: Storefront) -> str | None:
    if front is TMALL:
        return None
    if front is MINI:
        return f"+861390000{rng.randint(0, 9999):04d}"
    # Ofcom keeps 07700 900000 to 900999 free for fiction.
    return f"+447700900{rng.randint(0, 999):03d}" if rng.random() < 0.5 else None
