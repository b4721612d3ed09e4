"""What models keep of two names: one profile, and one example of each model whose outcome is awaited."""

from __future__ import annotations

from streamer.customers.memories import Data
from streamer.customers.model_data import AwaitedExample, awaited_of
from streamer.customers.profile import AMOUNT_MAX, PRODUCTS_MAX, SESSION_GAP_MS, Profile, let_fade, profile_of


def join_profile(ours: Data, theirs: Data, now: int) -> Profile:
    """One profile of both, as if their events had come in the order of time; ``now`` in UTC. Faded counts may differ by a few thousandths.

    Of two devices it is that of the name that was active last. Visits that overlap, or lie no further apart than one visit's events may,
    are one visit.
    """
    past = _until(profile_of(theirs), now)
    if ours is None:
        return past
    own = profile_of(ours)
    older, newest = (own, past) if own.last_ms <= past.last_ms else (past, own)
    gap_ms = _gap_ms(older, newest)
    _join_visits(older, newest)
    let_fade(older, newest.last_ms)
    newest.gap_ms = gap_ms
    newest.first_ms = min(older.first_ms, newest.first_ms)
    newest.said_ms = max(older.said_ms, newest.said_ms)
    newest.device = newest.device or older.device
    newest.view_at_ms = max(older.view_at_ms, newest.view_at_ms)
    newest.cart_at_ms = max(older.cart_at_ms, newest.cart_at_ms)
    newest.order_at_ms = max(older.order_at_ms, newest.order_at_ms)
    _add_counts(newest, older)
    return newest


def _until(profile: Profile, now: int) -> Profile:
    """A profile of whose moments none is after now: those that are count as now."""
    for name in ("first_ms", "last_ms", "said_ms", "session_at_ms", "view_at_ms", "cart_at_ms", "order_at_ms"):
        setattr(profile, name, min(getattr(profile, name), now))
    return profile


def _gap_ms(older: Profile, newest: Profile) -> int:
    """Between the two newest events of both; a profile knows its own two newest."""
    before_ms = older.last_ms
    if newest.gap_ms or newest.session_events > 1:
        before_ms = max(before_ms, newest.last_ms - newest.gap_ms)
    return newest.last_ms - before_ms


def _join_visits(older: Profile, newest: Profile) -> None:
    if older.last_ms + SESSION_GAP_MS < newest.session_at_ms:
        return
    newest.session_at_ms = min(older.session_at_ms, newest.session_at_ms)
    newest.session_events += older.session_events
    newest.products += [product for product in older.products if product not in newest.products]
    del newest.products[PRODUCTS_MAX:]


def _add_counts(profile: Profile, other: Profile) -> None:
    """Add what is counted in ``other``, faded to the same moment."""
    profile.orders += other.orders
    profile.spend = min(AMOUNT_MAX, profile.spend + other.spend)
    profile.views_day += other.views_day
    profile.carts_day += other.carts_day
    profile.searches_day += other.searches_day
    profile.views_month += other.views_month
    profile.carts_month += other.carts_month
    profile.orders_month += other.orders_month
    profile.spend_month = min(AMOUNT_MAX, profile.spend_month + other.spend_month)
    profile.refunds_month += other.refunds_month
    profile.coupons_month += other.coupons_month
    profile.removes_month += other.removes_month


def join_awaited(ours: Data, theirs: Data) -> AwaitedExample:
    """The one example of a model that is awaited of the person: of two the older, ours where both began at the same moment.

    It is as far as the further of the two, and what was spent since under either name is its amount. So the person is said once when the
    horizon ends, and what was said of either before is not said again.
    """
    past = awaited_of(theirs)
    if ours is None:
        return past
    own = awaited_of(ours)
    kept, other = (own, past) if own.at_ms <= past.at_ms else (past, own)
    kept.stage = max(kept.stage, other.stage)
    kept.amount = max(-AMOUNT_MAX, min(AMOUNT_MAX, kept.amount + other.amount))
    return kept
