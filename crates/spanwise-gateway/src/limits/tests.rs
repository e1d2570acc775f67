use std::sync::Barrier;

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 86_400 * SECOND;
/// 2026-11-21T12:00:00Z, the beginning of a minute and of an hour.
const NOON: u64 = 1_795_262_400 * SECOND;

const ALICE: Who<'static> = Who { key: "alice", model: "openai/gpt-4o" };
const BOB: Who<'static> = Who { key: "bob", model: "openai/gpt-4o" };

fn rules(json: serde_json::Value) -> Vec<Rule> {
    serde_json::from_value(json).unwrap()
}

fn limits(json: serde_json::Value) -> Limits {
    Limits::new(rules(json), &Keys::default()).unwrap()
}

fn one(quotas: &serde_json::Value) -> Limits {
    limits(serde_json::json!([{"name": "all", "limits": quotas}]))
}

fn request() -> Amount {
    Amount { requests: 1, ..Amount::default() }
}

fn tokens(tokens: u64) -> Amount {
    Amount { requests: 1, tokens, nano_usd: 0 }
}

fn usd(nano_usd: u64) -> Amount {
    Amount { requests: 1, tokens: 0, nano_usd }
}

/// Uses so much, and says whether that was allowed.
fn spend(limits: &Limits, who: Who<'_>, amount: Amount, now: u64) -> bool {
    limits.reserve(who, amount, now).map(|reservation| reservation.settle(amount, now)).is_ok()
}

fn remaining(limits: &Limits, unit: Unit, now: u64) -> u64 {
    let nothing = limits.reserve(ALICE, Amount::default(), now);
    let standing = nothing.as_ref().map_or_else(|r| *r.standing(), |r| *r.standing());
    standing.level(unit).unwrap().remaining
}

#[test]
fn of_a_thousand_at_once_exactly_ten_pass() {
    let limits = limits(serde_json::json!([
        {"name": "ten", "limits": {"requests_per_minute": 10}},
        {"name": "tokens", "each": ["key"], "limits": {"tokens_per_minute": 1_000_000}},
    ]));
    let start = Barrier::new(8);
    let held: Vec<Reservation> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let (limits, start) = (&limits, &start);
                scope.spawn(move || {
                    let key = format!("key-{}", thread % 3);
                    let who = Who { key: &key, model: "m" };
                    start.wait();
                    let tries = (0..125).map(|_| limits.reserve(who, tokens(10), NOON));
                    tries.filter_map(Result::ok).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(held.len(), 10);
    drop(held);
    assert_eq!(remaining(&limits, Unit::Requests, NOON), 10);
}

#[test]
fn who_is_about_to_be_refused_elsewhere_takes_no_place() {
    // Bob has no tokens left, so that his thousands of requests must not cost Alice one of ten.
    let limits = limits(serde_json::json!([
        {"name": "ten", "limits": {"requests_per_minute": 10}},
        {"name": "bob", "keys": "bob", "limits": {"tokens_per_minute": 0}},
    ]));
    let start = Barrier::new(7);
    std::thread::scope(|scope| {
        for thread in 0..7 {
            let (limits, start) = (&limits, &start);
            scope.spawn(move || {
                start.wait();
                if thread < 5 {
                    assert!((0..2).all(|_| spend(limits, ALICE, request(), NOON)));
                } else {
                    assert!((0..2_000).all(|_| !spend(limits, BOB, request(), NOON)));
                }
            });
        }
    });
    assert!(!spend(&limits, ALICE, request(), NOON));
}

#[test]
fn a_request_that_crosses_its_budget_finishes_and_the_next_is_refused() {
    let limits = one(&serde_json::json!({"tokens_per_day": 1_000, "usd_per_day": 0.5}));
    let stream = limits.reserve(ALICE, tokens(800), NOON).unwrap();
    stream.settle(Amount { requests: 1, tokens: 1_700, nano_usd: 900_000_000 }, NOON + SECOND);
    let refusal = limits.reserve(ALICE, tokens(1), NOON + SECOND).unwrap_err();
    assert_eq!(refusal.shortage.remaining, 0);
    assert_eq!(refusal.shortage.retry_after, Some(Duration::from_secs(12 * 3_600 - 1)));
    assert!(limits.reserve(ALICE, Amount::default(), NOON + SECOND).is_err());
    assert!(spend(&limits, ALICE, tokens(1_000), NOON + DAY / 2));
}

#[test]
fn what_is_reserved_counts_until_it_is_settled_refunded_or_kept() {
    let limits = one(&serde_json::json!({"tokens_per_minute": 100}));
    let first = limits.reserve(ALICE, tokens(60), NOON).unwrap();
    assert!(limits.reserve(BOB, tokens(60), NOON).is_err());
    first.settle(tokens(30), NOON);
    assert_eq!(remaining(&limits, Unit::Tokens, NOON), 70);
    drop(limits.reserve(BOB, tokens(70), NOON).unwrap());
    assert_eq!(remaining(&limits, Unit::Tokens, NOON), 70);
    limits.reserve(BOB, tokens(50), NOON).unwrap().keep();
    assert_eq!(remaining(&limits, Unit::Tokens, NOON), 20);
}

#[test]
fn windows_begin_and_end_with_the_clock() {
    let limits = one(&serde_json::json!({"requests_per_minute": 2}));
    let end = NOON + MINUTE;
    assert!(spend(&limits, ALICE, request(), end - 2 * SECOND));
    assert!(spend(&limits, ALICE, request(), end - SECOND));
    let refusal = limits.reserve(ALICE, request(), end - SECOND).unwrap_err();
    assert_eq!(refusal.shortage.retry_after, Some(Duration::from_secs(1)));
    assert!(spend(&limits, ALICE, request(), end));

    let month = |at| Window::Month.around(at);
    let day = |text: &str| text.parse::<crate::keys::Expiry>().unwrap().unix_nano();
    assert_eq!(month(NOON), (day("2026-11-01"), day("2026-12-01")));
    assert_eq!(month(day("2028-02-29")), (day("2028-02-01"), day("2028-03-01")));
    assert_eq!(month(day("2027-01-01") - 1), (day("2026-12-01"), day("2027-01-01")));
    assert_eq!(Window::Day.around(NOON), (NOON - DAY / 2, NOON + DAY / 2));
    let (start, end) = Window::Month.around(u64::MAX);
    assert!(start < end);
}

#[test]
fn a_request_over_the_end_of_a_window_owes_only_its_excess_to_the_next() {
    let limits = one(&serde_json::json!({"tokens_per_minute": 100}));
    let next = NOON + MINUTE;
    limits.reserve(ALICE, tokens(80), NOON).unwrap().settle(tokens(100), next);
    assert_eq!(remaining(&limits, Unit::Tokens, next), 80);
    let over = limits.reserve(ALICE, tokens(80), next).unwrap();
    over.settle(tokens(10), next + MINUTE);
    assert_eq!(remaining(&limits, Unit::Tokens, next + MINUTE), 100);
    let dropped = limits.reserve(ALICE, tokens(80), next + MINUTE).unwrap();
    let later = next + 2 * MINUTE;
    assert!(spend(&limits, ALICE, tokens(30), later));
    drop(dropped);
    assert_eq!(remaining(&limits, Unit::Tokens, later), 70);
}

#[test]
fn a_clock_that_is_set_back_gives_nothing_anew_and_gets_over_it() {
    let limits = one(&serde_json::json!({"requests_per_minute": 2}));
    let wrong = NOON + 1_000 * DAY;
    assert!(spend(&limits, ALICE, request(), wrong));
    assert!(spend(&limits, ALICE, request(), NOON));
    assert!(!spend(&limits, ALICE, request(), NOON));
    assert!(spend(&limits, ALICE, request(), NOON + MINUTE));
    // Threads whose clocks differ by a little do not throw each other back.
    assert!(spend(&limits, ALICE, request(), NOON + MINUTE - 1));
    assert!(!spend(&limits, ALICE, request(), NOON + MINUTE));
}

#[test]
fn rules_count_together_or_apart() {
    let limits = limits(serde_json::json!([
        {"name": "key", "each": ["key"], "limits": {"requests_per_minute": 3}},
        {"name": "model", "each": ["model"], "models": "openai/*", "limits": {"requests_per_minute": 4}},
        {"name": "pair", "each": ["key", "model"], "limits": {"requests_per_minute": 2}},
    ]));
    let mini = |key| Who { key, model: "openai/mini" };
    let refused_by = |who| limits.reserve(who, request(), NOON).map(Reservation::keep).err();
    let name = |refusal: Option<Box<Refusal>>| refusal.map(|refusal| refusal.rule.to_string());
    assert_eq!(name(refused_by(ALICE)), None);
    assert_eq!(name(refused_by(ALICE)), None);
    assert_eq!(name(refused_by(ALICE)), Some("pair".to_owned()));
    assert_eq!(name(refused_by(mini("alice"))), None);
    assert_eq!(name(refused_by(mini("alice"))), Some("key".to_owned()));
    assert_eq!(name(refused_by(BOB)), None);
    assert_eq!(name(refused_by(BOB)), None);
    let carol = Who { key: "carol", ..ALICE };
    assert_eq!(name(refused_by(carol)), Some("model".to_owned()));
    assert_eq!(name(refused_by(Who { model: "other", ..carol })), None);
}

#[test]
fn keys_bring_their_own_limits() {
    let key: Key = serde_json::from_value(serde_json::json!({
        "id": "alice", "hash": crate::keys::KeyHash::of(b"x").to_string(),
        "limits": {"requests_per_minute": 5},
        "model_limits": {"openai/*": {"requests_per_minute": 1}, "*": {"usd_total": 1}},
    }))
    .unwrap();
    let keys = Keys::new([key]).unwrap();
    let limits = Limits::new([], &keys).unwrap();
    assert!(spend(&limits, ALICE, request(), NOON));
    let refusal = limits.reserve(ALICE, request(), NOON).unwrap_err();
    assert_eq!(&*refusal.rule, "key alice model openai/*");
    assert!((0..9).all(|_| spend(&limits, BOB, request(), NOON)));
    assert!((0..4).all(|_| spend(&limits, Who { model: "x", ..ALICE }, usd(10), NOON)));
}

#[test]
fn more_than_there_ever_is_is_refused_without_a_time() {
    let limits = one(&serde_json::json!({"tokens_per_minute": 100, "requests_total": 1}));
    let refusal = limits.reserve(ALICE, tokens(101), NOON).unwrap_err();
    assert_eq!(refusal.shortage.retry_after, None);
    assert_eq!(
        refusal.to_string(),
        "limit `all` of 100 tokens per minute is less than the request may use"
    );
    assert!(spend(&limits, ALICE, tokens(1), NOON));
    let refusal = limits.reserve(ALICE, tokens(1), NOON + DAY).unwrap_err();
    assert_eq!(refusal.to_string(), "limit `all` of 1 requests in total is used up");
    assert_eq!(refusal.retry_after_seconds(), None);
    let closed = one(&serde_json::json!({"requests_per_second": 0}));
    assert_eq!(closed.reserve(ALICE, request(), NOON).unwrap_err().shortage.retry_after, None);
}

#[test]
fn headers_tell_how_the_client_stands() {
    let limits = limits(serde_json::json!([
        {"name": "wide", "limits": {"requests_per_minute": 100, "usd_per_day": 1.5}},
        {"name": "narrow", "limits": {"requests_per_hour": 2}},
    ]));
    let at = NOON + 10 * SECOND + 1;
    let amount = Amount { requests: 1, tokens: 5, nano_usd: 250_000_000 };
    let reservation = limits.reserve(ALICE, amount, at).unwrap();
    let show = |headers: Vec<(&str, String)>| {
        headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
    };
    assert_eq!(
        show(reservation.standing().headers().collect()),
        [
            "x-ratelimit-limit-requests: 2",
            "x-ratelimit-remaining-requests: 1",
            "x-ratelimit-reset-requests: 59m50s",
            "x-ratelimit-limit-usd: 1.5",
            "x-ratelimit-remaining-usd: 1.25",
            "x-ratelimit-reset-usd: 11h59m50s",
        ]
    );
    reservation.keep();
    assert!(spend(&limits, ALICE, amount, at));
    let refusal = limits.reserve(ALICE, amount, NOON + 3_599 * SECOND).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "limit `narrow` of 2 requests per hour is used up; try again in 1 s"
    );
    let headers = show(refusal.headers().collect());
    assert_eq!(headers[0], "retry-after: 1");
    assert!(headers.contains(&"x-ratelimit-remaining-requests: 0".to_owned()), "{headers:?}");
}

#[test]
fn a_reload_forgets_nothing_and_settles_what_is_under_way() {
    let old = one(&serde_json::json!({"tokens_per_minute": 100}));
    let under_way = old.reserve(ALICE, tokens(60), NOON).unwrap();
    let wider = serde_json::json!([
        {"name": "first", "limits": {"requests_per_day": 10}},
        {"name": "all", "limits": {"tokens_per_minute": 200}},
    ]);
    let new = old.with_rules(rules(wider), &Keys::default()).unwrap();
    assert_eq!(remaining(&new, Unit::Tokens, NOON), 140);
    under_way.settle(tokens(10), NOON);
    assert_eq!(remaining(&new, Unit::Tokens, NOON), 190);
}

#[test]
fn what_was_used_survives_a_restart() {
    let json = serde_json::json!([
        {"name": "a", "each": ["key"], "limits": {"usd_per_day": 1, "requests_per_minute": 5}},
        {"name": "b", "limits": {"tokens_total": 10}},
    ]);
    let before = limits(json.clone());
    assert!(spend(&before, ALICE, Amount { requests: 1, tokens: 7, nano_usd: 600_000_000 }, NOON));
    let text = serde_json::to_string(&before.snapshot(NOON)).unwrap();

    let after = limits(json.clone());
    let later = NOON + MINUTE;
    after.restore(&serde_json::from_str(&text).unwrap(), later);
    assert!(after.reserve(ALICE, usd(400_000_001), later).is_err());
    assert_eq!(remaining(&after, Unit::Usd, later), 400_000_000);
    assert_eq!(remaining(&after, Unit::Requests, later), 5);
    assert_eq!(remaining(&after, Unit::Tokens, later), 3);
    assert!(spend(&after, BOB, usd(1_000_000_000), later));

    let tomorrow = limits(json);
    tomorrow.restore(&serde_json::from_str(&text).unwrap(), NOON + DAY);
    assert_eq!(remaining(&tomorrow, Unit::Usd, NOON + DAY), 1_000_000_000);
    assert_eq!(remaining(&tomorrow, Unit::Tokens, NOON + DAY), 3);
    assert_eq!(one(&serde_json::json!({})).snapshot(NOON), Snapshot::default());
}

#[test]
fn endless_names_of_models_share_a_counter_in_the_end() {
    let limits = limits(serde_json::json!([
        {"name": "a", "each": ["model"], "limits": {"requests_per_minute": 1}},
    ]));
    let n_spent = |prefix: &str, n, now| {
        (0..n)
            .filter(|n| {
                let model = format!("{prefix}-{n}");
                spend(&limits, Who { key: "k", model: &model }, request(), now)
            })
            .count()
    };
    assert_eq!(n_spent("x", MAX_GROUPS, NOON), MAX_GROUPS);
    assert_eq!(n_spent("y", 100, NOON), 1);
    assert_eq!(limits.ledger().by_rule["a"].len(), MAX_GROUPS + 1);
    // Those that have nothing to remember make room.
    assert_eq!(n_spent("z", 100, NOON + MINUTE), 100);
    assert!(limits.ledger().by_rule["a"].len() <= 101);
}

#[test]
fn mistakes_in_rules_are_named() {
    let parse = |json: serde_json::Value| serde_json::from_value::<Quotas>(json).unwrap_err();
    for name in ["requests", "tokens_per_week", "cents_per_day", "requests_per_total", "_total"] {
        let error = parse(serde_json::json!({name: 1})).to_string();
        assert!(error.contains(name), "{error}");
    }
    for limit in [-1.0, 0.5, 1e300] {
        parse(serde_json::json!({"requests_per_minute": limit}));
    }
    let quotas: Quotas =
        serde_json::from_value(serde_json::json!({"usd_per_day": 0.1, "tokens_total": 3})).unwrap();
    let shown: Vec<_> = quotas.iter().map(|quota| (quota.name(), quota.to_string())).collect();
    assert_eq!(shown[0], ("tokens_total".to_owned(), "3 tokens in total".to_owned()));
    assert_eq!(shown[1], ("usd_per_day".to_owned(), "0.1 dollars per day".to_owned()));

    let twice = serde_json::json!([{"name": "a", "limits": {}}, {"name": "a", "limits": {}}]);
    assert_eq!(Limits::new(rules(twice), &Keys::default()).unwrap_err(), RepeatedRule("a".into()));
}

#[derive(Clone, Debug)]
enum Action {
    Reserve { key: u8, model: u8, amount: Amount },
    Settle { which: usize, actual: Amount },
    Drop { which: usize },
    Keep { which: usize },
    Advance { millis: u64 },
}

fn any_amount() -> impl Strategy<Value = Amount> {
    (0_u64..2, 0_u64..60, 0_u64..40).prop_map(|(requests, tokens, nano_usd)| Amount {
        requests,
        tokens,
        nano_usd,
    })
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (0_u8..3, 0_u8..2, any_amount())
            .prop_map(|(key, model, amount)| Action::Reserve { key, model, amount }),
        2 => (any::<usize>(), any_amount())
            .prop_map(|(which, actual)| Action::Settle { which, actual }),
        1 => any::<usize>().prop_map(|which| Action::Drop { which }),
        1 => any::<usize>().prop_map(|which| Action::Keep { which }),
        1 => (0_u64..30_000).prop_map(|millis| Action::Advance { millis }),
    ]
}

/// What was admitted, with what it reserved and what it turned out to use.
struct Admitted {
    key: u8,
    at: u64,
    estimate: Amount,
    settled: Option<(Amount, u64)>,
}

impl Admitted {
    /// What it counts in the window around `now`, by the rules as they are written down.
    fn counts(&self, window: Window, now: u64) -> Amount {
        let current = window.around(now);
        match self.settled {
            _ if window.around(self.at) == current => {
                self.settled.map_or(self.estimate, |(actual, _)| actual)
            }
            Some((actual, at)) if window.around(at) == current => actual.minus(self.estimate),
            _ => Amount::default(),
        }
    }
}

proptest! {
    /// The counters are what a ledger that never forgets anything says, and a request passes
    /// exactly when every quota has room for it.
    #[test]
    fn counters_agree_with_a_ledger(actions in prop::collection::vec(any_action(), 1..120)) {
        let limits = limits(serde_json::json!([
            {"name": "all", "limits": {"requests_per_minute": 12, "tokens_per_hour": 2_000}},
            {"name": "key", "each": ["key"], "limits": {"tokens_per_minute": 100}},
            {"name": "money", "each": ["key"], "limits": {"usd_total": 0.000_000_5}},
        ]));
        let mut now = NOON;
        let mut ledger: Vec<Admitted> = Vec::new();
        let mut open: Vec<(usize, Reservation)> = Vec::new();
        for action in actions {
            match action {
                Action::Reserve { key, model, amount } => {
                    let used = |window, of_key: bool| {
                        ledger
                            .iter()
                            .filter(|entry| !of_key || entry.key == key)
                            .map(|entry| entry.counts(window, now))
                            .fold(Amount::default(), Amount::plus)
                    };
                    let fits = |used: u64, wanted, limit| used < limit && used + wanted <= limit;
                    let expected = fits(used(Window::Minute, false).requests, amount.requests, 12)
                        && fits(used(Window::Hour, false).tokens, amount.tokens, 2_000)
                        && fits(used(Window::Minute, true).tokens, amount.tokens, 100)
                        && fits(used(Window::Total, true).nano_usd, amount.nano_usd, 500);
                    let (key_name, model) = (format!("k{key}"), format!("m{model}"));
                    let who = Who { key: &key_name, model: &model };
                    let outcome = limits.reserve(who, amount, now);
                    prop_assert_eq!(outcome.is_ok(), expected);
                    if let Ok(reservation) = outcome {
                        open.push((ledger.len(), reservation));
                        ledger.push(Admitted { key, at: now, estimate: amount, settled: None });
                    }
                }
                Action::Settle { which, actual } if !open.is_empty() => {
                    let (index, reservation) = open.swap_remove(which % open.len());
                    reservation.settle(actual, now);
                    ledger[index].settled = Some((actual, now));
                }
                Action::Drop { which } if !open.is_empty() => {
                    let (index, reservation) = open.swap_remove(which % open.len());
                    drop(reservation);
                    ledger[index].settled = Some((Amount::default(), now));
                }
                Action::Keep { which } if !open.is_empty() => {
                    open.swap_remove(which % open.len()).1.keep();
                }
                Action::Advance { millis } => now += millis * 1_000_000,
                _ => {}
            }
        }
    }
}
