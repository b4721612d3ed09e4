"""``python -m tests.bench.models``: how good the models are, against honest rivals, and what they cost.

``--data`` (or ``STREAMER_DATA``) names the folder with ``online_shoppers_intention`` and ``online_retail_uci``; by default ``data`` beside
or above the checkout, or in a folder ``shared`` there. Parts whose data is not found are said to be skipped. ``--only`` runs one part.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from streamer.examples import SCORE_SCALE, Example
from streamer.learning.evaluation.window import Tally
from streamer.learning.learner import Learner
from streamer.learning.online.linear import OnlineLinear
from streamer.learning.reports.outputs import Alert, ModelPublished
from streamer.learning.scorers.decode import decode_scorer
from tests.bench import retail, shoppers
from tests.learning.outcomes import CHURN, DAY_MS, FEATURES, HOUR_MS, PURCHASE, VALUE, Moment, Step, moments, play

AUC_BELOW = 0.01  # the aims
LOSS_RATIO = 1.02
CALIBRATION = (0.95, 1.05)
REGAINED = 0.95
EXAMPLES_A_SECOND = 15_000
SCORING_US = 5.0
DRIFT_AT = 100_000  # ten days: the detector does not speak in its first week
FALSE_ALARM_WEEKS = 4


def bench_shoppers(folder: Path) -> None:
    """Real sessions."""
    path = folder / "online_shoppers_intention" / "online_shoppers_intention.csv"
    print(
        f"\nOnline Shoppers, outcomes known after {shoppers.LAG} sessions, judged from session {shoppers.FIRST} on where both have a score"
    )
    print(f"{'':34}{'ours':^27}{'LightGBM':^27}")
    print(f"{'order':26}{'rows':>8}{'AUC':>9}{'log loss':>9}{'Σp/Σy':>9}{'AUC':>9}{'log loss':>9}{'Σp/Σy':>9}  AUC  loss  Σp/Σy")
    for with_page_values in (True, False):
        features, rows = shoppers.load(path, with_page_values)
        for name, ordered in shoppers.orders(rows, (1, 2, 3)):
            count, ours, theirs = shoppers.compare(features, ordered)
            marks = (
                _mark(ours.auc >= theirs.auc - AUC_BELOW),
                _mark(ours.log_loss <= theirs.log_loss * LOSS_RATIO),
                _mark(CALIBRATION[0] <= ours.ratio <= CALIBRATION[1]),
            )
            label = name if with_page_values else f"{name}, no {shoppers.VALUED}"
            figures = "".join(f"{v.auc:9.4f}{v.log_loss:9.4f}{v.ratio:9.3f}" for v in (ours, theirs))
            print(f"{label:26}{count:>8}{figures}  {'  '.join(marks)}", flush=True)


def bench_retail(folder: Path) -> None:
    """A real year."""
    rows = retail.load(folder / "online_retail_uci" / "online_retail.csv.gz")
    rule, boosted = retail.plain_rule(rows), retail.boosted(rows)
    left, spent = retail.serve(rows, retail.CHURN), retail.serve(rows, retail.VALUE)
    judged = [
        at
        for at, row in enumerate(rows)
        if row.t_ms >= retail.JUDGED_FROM_MS and None not in (left[at], spent[at], rule.left[at], boosted.left[at])
    ]
    print(f"\nOnline Retail, who stays away for 30 days: {len(judged)} measurements from April 2011 on, by time")
    print(f"{'':22}{'AUC':>9}{'log loss':>9}{'Σp/Σy':>9}")
    tallies: dict[str, Tally] = {}
    for name, chances, scale in (("ours", left, SCORE_SCALE), ("recency rule", rule.left, 1), ("LightGBM, monthly", boosted.left, 1)):
        tally = tallies[name] = Tally()
        for at in judged:
            tally.add(int(min(1.0, max(0.0, (chances[at] or 0.0) / scale)) * SCORE_SCALE + 0.5), rows[at].left)
        print(f"{name:22}{tally.auc or 0:9.4f}{tally.log_loss or 0:9.4f}{tally.ratio or 0:9.3f}")
    ours, others = tallies["ours"], (tallies["recency rule"], tallies["LightGBM, monthly"])
    verdicts = ", ".join(f"{_mark((ours.auc or 0) >= (other.auc or 0) - AUC_BELOW)}" for other in others)
    print(f"AUC at least the rule's, at least LightGBM's - {AUC_BELOW}: {verdicts}")
    print(f"\n{'what they will spend':22}{'Σpromised/Σspent':>18}{'rank corr.':>12}{'top tenth spends':>18}")
    came = [rows[at].spent for at in judged]
    for name, amounts, scale in (("ours", spent, SCORE_SCALE), ("recency rule", rule.spent, 1), ("LightGBM, monthly", boosted.spent, 1)):
        promised = [(amounts[at] or 0.0) / scale for at in judged]
        order = sorted(range(len(judged)), key=lambda at: -promised[at])
        top = sum(came[at] for at in order[: len(order) // 10]) / sum(came)
        print(f"{name:22}{sum(promised) / sum(came):>18.3f}{_rank_correlation(promised, came):>12.3f}{top:>18.1%}", flush=True)


def bench_shop() -> None:
    """Planted truth, and another truth in the middle."""
    print("\nA simulated shop, 400 customers an hour, orders within a day; what drives them changes in the middle")
    step, learner = Step(PURCHASE), Learner([PURCHASE], FEATURES)
    frozen: Any = None
    heard: list[Any] = []
    stream = list(moments(DRIFT_AT + 50_000, drift_at=DRIFT_AT))
    drift_ms = stream[DRIFT_AT].t_ms
    for example in step.examples(stream):
        for said in learner.take(example):
            heard.append(said)
            if isinstance(said, ModelPublished):
                step.scorer = decode_scorer(said.scorer)  # type: ignore[assignment]
        if example.at_ms <= drift_ms:
            frozen = step.scorer
    before = _auc(step.served[DRIFT_AT - 20_000 : DRIFT_AT])
    _print_aucs("before", step.served[DRIFT_AT - 20_000 : DRIFT_AT], frozen)
    for name, window_ms in (("short window", PURCHASE.window_ms), ("horizon", PURCHASE.horizon_ms)):
        first = next(at for at, (moment, _) in enumerate(step.served) if moment.t_ms >= drift_ms + window_ms) + 5_000
        part = step.served[first : first + 20_000]
        after, old = _print_aucs(f"after the {name} and 5,000 labels", part, frozen)
        print(
            f"  of the AUC before: {after / before:.1%} {_mark(after >= REGAINED * before)}, above the frozen model's: {_mark(after > old)}"
        )
    for said in heard:
        if isinstance(said, Alert):
            print(f"  {(said.at_ms - drift_ms) / HOUR_MS:+8.1f} h  {said.kind}: {said.text}")
    false = weeks = 0
    for seed in (2, 3):
        quiet = list(moments(FALSE_ALARM_WEEKS * 7 * 24 * 110, seed=seed, per_hour=150))
        said = play(Learner([PURCHASE], FEATURES), Step(PURCHASE), quiet)
        weeks += (quiet[-1].t_ms - quiet[0].t_ms) / (7 * DAY_MS)
        false += sum(isinstance(one, Alert) and one.kind == "drift" for one in said)
    print(f"false alarms of drift without one: {false} in {weeks:.1f} weeks {_mark(false <= weeks)}")


def bench_cost() -> None:
    """Examples a second of one core, and microseconds a score."""
    print("\nCost, one core, 8 features, 2 crosses")
    stream = list(moments(30_000))
    rows = [moment.x for moment in stream[:20_000]]
    prepared = {spec.name: list(Step(spec).examples(stream)) for spec in (PURCHASE, CHURN, VALUE)}
    for names in ((PURCHASE.name,), (PURCHASE.name, CHURN.name, VALUE.name)):
        specs = [spec for spec in (PURCHASE, CHURN, VALUE) if spec.name in names]
        learner = Learner(specs, FEATURES)
        examples = sorted((example for name in names for example in prepared[name]), key=lambda example: example.at_ms)
        scorers: dict[str, Any] = {}
        took, count = _drive(learner, examples, scorers)
        rate = count / took
        print(f"learner, {len(names)} model(s), 2-3 candidates each: {rate:,.0f} examples/s {_mark(rate >= EXAMPLES_A_SECOND)}")
        total = 0.0
        for name, scorer in scorers.items():
            took = _timed(lambda scorer=scorer: [scorer.score(row) for row in rows]) / len(rows) * 1e6
            total += took
            print(f"  scoring {name}: {took:.2f} µs")
        print(f"  all {len(scorers)}: {total:.2f} µs an event {_mark(total <= SCORING_US)}")
    _river_alone(stream)


def _print_aucs(name: str, served: Sequence[tuple[Moment, int | None]], frozen: Any) -> tuple[float, float]:
    """The served and the frozen model's."""
    ours = _auc(served)
    best = _auc([(moment, int(moment.chance * SCORE_SCALE + 0.5)) for moment, _ in served])
    old = _auc([(moment, frozen.score(moment.x)) for moment, _ in served])
    print(f"{name}: AUC {ours:.4f}, of the planted truth {best:.4f}, of the model frozen at the change {old:.4f}")
    return ours, old


def _drive(learner: Learner, examples: Sequence[Example], scorers: dict[str, Any]) -> tuple[float, int]:
    begun = time.process_time()
    for example in examples:
        for said in learner.take(example):
            if isinstance(said, ModelPublished):
                scorers[said.model] = said.scorer
    took = time.process_time() - begun
    for name, raw in scorers.items():
        scorers[name] = decode_scorer(raw)
    return took, sum(example.kind not in ("mark", "switch") for example in examples)


def _river_alone(stream: Sequence[Moment]) -> None:
    """The same rows through river and nothing else, to tell what the rest costs."""
    from streamer.learning.inputs.feature_encoding import Encoder, freeze  # noqa: PLC0415

    encoder = Encoder(freeze([moment.x for moment in stream[:1_000]], FEATURES, 1))
    lit = [encoder.encode(moment.x) for moment in stream]
    for recipe in ("ftrl", "sgd"):
        model = OnlineLinear.of_rate(recipe, encoder.encoding.slots, 0.07)
        took = _timed(lambda model=model: [model.learn(row, moment.label) for row, moment in zip(lit, stream, strict=True)])
        print(f"  of which river's learn_one alone, {recipe}, {len(lit[0])} lit slots: {took / len(lit) * 1e6:.1f} µs")


def _timed(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _auc(served: Sequence[tuple[Moment, int | None]]) -> float:
    tally = Tally()
    for moment, score in served:
        if score is not None:
            tally.add(score, moment.label)
    return tally.auc or 0.0


def _rank_correlation(left: Sequence[float], right: Sequence[float]) -> float:
    from scipy.stats import spearmanr  # noqa: PLC0415

    return float(spearmanr(left, right)[0])  # pyright: ignore[reportArgumentType]


def _mark(reached: bool) -> str:
    return "ok" if reached else "NOT REACHED"


def _folder(given: str | None) -> Path:
    top = Path(__file__).parents[2]
    candidates = [Path(given)] if given else [base / name for base in (top, top.parent) for name in ("data", "shared/data")]
    return next((path for path in candidates if path.is_dir()), candidates[0])


def main() -> None:
    """All parts, or one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("STREAMER_DATA"))
    parser.add_argument("--only", choices=("shoppers", "retail", "shop", "cost"))
    arguments = parser.parse_args()
    folder = _folder(arguments.data)
    for name, part in (("cost", bench_cost), ("shop", bench_shop)):
        if arguments.only in (None, name):
            part()
    for name, part, needed in (("shoppers", bench_shoppers, "online_shoppers_intention"), ("retail", bench_retail, "online_retail_uci")):
        if arguments.only not in (None, name):
            continue
        if (folder / needed).is_dir():
            part(folder)
        else:
            print(f"\n{name}: skipped, no {needed} in {folder} (--data or STREAMER_DATA names it)")


if __name__ == "__main__":
    main()
