use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
use proptest::strategy::Strategy as _;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn target(name: &str) -> Arc<Target> {
    let credential = Arc::new(Credential::new(BreakerPolicy::credential()));
    Arc::new(Target::new(name, credential, BreakerPolicy::default()))
}

fn balancer(strategy: Strategy, weights: &[u32]) -> Balancer {
    let member = |(n, &weight): (usize, &u32)| Member { target: target(&format!("t{n}")), weight };
    Balancer::new(strategy, weights.iter().enumerate().map(member).collect())
}

fn ask(tried: &Tried, random: u64) -> Ask<'_> {
    Ask { affinity: None, random, tried }
}

/// Fails a target until its breaker opens.
fn trip(balancer: &Balancer, index: usize, now: Instant) {
    while let Some(mut in_flight) = balancer.members()[index].target.begin(now) {
        in_flight.report(Outcome::Failed, now);
    }
}

/// A source of numbers that looks random enough and is the same each time.
fn numbers(mut state: u64) -> impl Iterator<Item = u64> {
    std::iter::repeat_with(move || {
        state = xxh3_64_with_seed(&state.to_le_bytes(), 7);
        state
    })
}

#[test]
fn ordered_takes_the_first_that_works_and_goes_back_to_it() {
    let (now, tried) = (Instant::now(), Tried::default());
    let balancer = balancer(Strategy::Fallback, &[1, 1, 1]);
    assert_eq!(balancer.pick(ask(&tried, 9), now).unwrap().index, 0);
    trip(&balancer, 0, now);
    assert_eq!(balancer.pick(ask(&tried, 9), now).unwrap().index, 1);
    let mut skip = Tried::default();
    skip.target(1);
    assert_eq!(balancer.pick(ask(&skip, 9), now).unwrap().index, 2);
    assert_eq!(balancer.pick(ask(&tried, 9), now + 5 * SECOND).unwrap().index, 0);
}

#[test]
fn weights_are_parts_and_weight_zero_is_a_last_resort() {
    let (now, tried) = (Instant::now(), Tried::default());
    let balancer = balancer(Strategy::Weighted, &[6, 3, 1, 0]);
    let mut counts = [0; 4];
    for random in numbers(1).take(10_000) {
        counts[balancer.pick(ask(&tried, random), now).unwrap().index] += 1;
    }
    assert_eq!(counts[3], 0);
    for (count, expected) in counts.into_iter().zip([6_000_i32, 3_000, 1_000]) {
        assert!((count - expected).abs() < 200, "{counts:?}");
    }
    (0..3).for_each(|index| trip(&balancer, index, now));
    assert_eq!(balancer.pick(ask(&tried, 0), now).unwrap().index, 3);
}

#[test]
fn least_in_flight_fills_by_weight() {
    let (now, tried) = (Instant::now(), Tried::default());
    let balancer = balancer(Strategy::LeastInflight, &[2, 1]);
    let picks: Vec<_> =
        numbers(2).take(9).map(|random| balancer.pick(ask(&tried, random), now)).collect();
    assert_eq!(balancer.members()[0].target.in_flight(), 6);
    assert_eq!(balancer.members()[1].target.in_flight(), 3);
    drop(picks);
    assert_eq!(balancer.members()[0].target.in_flight(), 0);
}

#[test]
fn latency_prefers_the_fast_and_tries_the_slow_again_later() {
    let (now, tried) = (Instant::now(), Tried::default());
    let balancer = balancer(Strategy::Latency, &[1, 1]);
    for (index, millis) in [(0, 2_000), (1, 100)] {
        let began = balancer.members()[index].target.begin(now).unwrap();
        began.first_token(now + Duration::from_millis(millis));
    }
    let mut counts = [0; 2];
    for second in 2..300 {
        let now = now + second * SECOND;
        let pick = balancer.pick(ask(&tried, 0), now).unwrap();
        let ttft = [1_900, 100][pick.index];
        pick.in_flight.first_token(now + Duration::from_millis(ttft));
        counts[pick.index] += 1;
    }
    assert!((1..=4).contains(&counts[0]), "{counts:?}");

    // Under load the slow one helps.
    let end = now + 301 * SECOND;
    let picks: Vec<_> = (0..60).map(|_| balancer.pick(ask(&tried, 0), end).unwrap()).collect();
    assert!(picks.iter().any(|pick| pick.index == 0));
    assert!(picks.iter().filter(|pick| pick.index == 1).count() > 30);
}

#[test]
fn a_target_that_nobody_knows_is_tried_but_not_by_all_at_once() {
    let (now, tried) = (Instant::now(), Tried::default());
    let balancer = balancer(Strategy::Latency, &[1, 1]);
    let known = balancer.members()[0].target.begin(now).unwrap();
    known.first_token(now + Duration::from_millis(200));
    drop(known);
    let picks: Vec<_> = (0..60).map(|_| balancer.pick(ask(&tried, 0), now).unwrap()).collect();
    let n_unknown = picks.iter().filter(|pick| pick.index == 1).count();
    assert!((40..55).contains(&n_unknown), "{n_unknown}");
}

#[test]
fn affinity_keeps_together_and_moves_little_when_a_target_goes() {
    let (now, none) = (Instant::now(), Tried::default());
    let balancer = balancer(Strategy::Prefix, &[1, 1, 1, 1]);
    let place = |n: u64, tried: &Tried| {
        let affinity = Some(affinity(format!("prompt {n}").as_bytes(), 1024));
        balancer.pick(Ask { affinity, random: n, tried }, now).unwrap().index
    };
    let mut without = Tried::default();
    without.target(2);
    let mut counts = [0; 4];
    for n in 0..1_000 {
        let at = place(n, &none);
        assert_eq!(at, place(n, &none));
        counts[at] += 1;
        if at != 2 {
            assert_eq!(at, place(n, &without), "only what was at the missing target moves");
        }
    }
    assert!(counts.iter().all(|count| (180..320).contains(count)), "{counts:?}");
    assert_eq!(affinity(b"same start, one end", 10), affinity(b"same start, other end", 10));
}

#[test]
fn affinity_gives_way_to_load() {
    let (now, tried) = (Instant::now(), Tried::default());
    let balancer = balancer(Strategy::Prefix, &[1, 1, 1, 1]);
    let ask = Ask { affinity: Some(1), random: 0, tried: &tried };
    let _picks: Vec<_> = (0..100).map(|_| balancer.pick(ask, now).unwrap()).collect();
    let loads: Vec<_> = balancer.members().iter().map(|m| m.target.in_flight()).collect();
    assert!(loads.iter().all(|&load| load <= 32), "{loads:?}");
}

#[test]
fn a_refused_credential_closes_every_target_that_uses_it() {
    let now = Instant::now();
    let shared = Arc::new(Credential::new(BreakerPolicy::credential()));
    let with = |name: &str, credential: &Arc<Credential>| Member {
        target: Arc::new(Target::new(name, credential.clone(), BreakerPolicy::default())),
        weight: 1,
    };
    let other = Arc::new(Credential::new(BreakerPolicy::credential()));
    let members = vec![with("a", &shared), with("b", &shared), with("c", &other)];
    let balancer = Balancer::new(Strategy::Fallback, members);

    let mut tried = Tried::default();
    let mut pick = balancer.pick(ask(&tried, 0), now).unwrap();
    pick.in_flight.report(Outcome::Denied, now);
    tried.credential(pick.in_flight.target().credential());
    assert_eq!(balancer.pick(ask(&tried, 0), now).unwrap().index, 2);

    for _ in 0..2 {
        balancer.members()[1].target.begin(now).unwrap().report(Outcome::Denied, now);
    }
    assert!(matches!(shared.state(), BreakerState::Open { .. }));
    assert_eq!(balancer.members()[0].target.state(), BreakerState::Closed);
    let tried = Tried::default();
    assert_eq!(balancer.pick(ask(&tried, 0), now).unwrap().index, 2);
    assert_eq!(balancer.pick(ask(&tried, 0), now + 30 * SECOND).unwrap().index, 0);
}

#[test]
fn a_busy_target_is_left_alone_for_as_long_as_it_asks_up_to_a_limit() {
    let (now, none) = (Instant::now(), Tried::default());
    let mut tried = Tried::default();
    tried.target(1);
    for (asked, expected) in [(7 * SECOND, 7 * SECOND), (Duration::MAX, 300 * SECOND)] {
        let balancer = balancer(Strategy::Fallback, &[1, 1]);
        let mut pick = balancer.pick(ask(&none, 0), now).unwrap();
        pick.in_flight.report(Outcome::Busy(asked), now);
        assert_eq!(balancer.pick(ask(&none, 0), now).unwrap().index, 1);
        let refused = balancer.pick(ask(&tried, 0), now).unwrap_err();
        assert_eq!(refused.retry_after, Some(expected));
        assert_eq!(balancer.pick(ask(&none, 0), now + expected).unwrap().index, 0);
    }
}

#[test]
fn with_nothing_left_the_answer_says_when() {
    let (now, none) = (Instant::now(), Tried::default());
    let balancer = balancer(Strategy::Weighted, &[1, 1]);
    (0..2).for_each(|index| trip(&balancer, index, now));
    assert!(!balancer.has_other(&none, now));
    let later = now + 2 * SECOND;
    let mut first = Tried::default();
    first.target(0);
    assert_eq!(balancer.pick(ask(&first, 0), later).unwrap_err().retry_after, Some(3 * SECOND));
    let mut all = Tried::default();
    (0..2).for_each(|index| all.target(index));
    assert_eq!(balancer.pick(ask(&all, 0), now).unwrap_err().retry_after, None);
    let empty = Balancer::new(Strategy::Latency, Vec::new());
    assert!(empty.pick(ask(&none, 0), now).is_err());
}

#[test]
fn one_probe_at_a_time_and_an_unreported_one_leaves_room() {
    let (now, tried) = (Instant::now(), Tried::default());
    let balancer = balancer(Strategy::Fallback, &[1, 1]);
    trip(&balancer, 0, now);
    let later = now + 5 * SECOND;
    let pick = || balancer.pick(ask(&tried, 0), later).unwrap();
    let probe = pick();
    assert_eq!((probe.index, pick().index), (0, 1));
    drop(probe);
    let mut probe = pick();
    probe.in_flight.report(Outcome::Succeeded, later);
    assert_eq!((probe.index, pick().index), (0, 0));
}

#[test]
fn where_there_is_no_choice_the_request_goes_somewhere_unless_the_key_is_refused() {
    let (now, none) = (Instant::now(), Tried::default());
    let balancer = balancer(Strategy::Weighted, &[1, 1]);
    trip(&balancer, 0, now);
    trip(&balancer, 1, now + SECOND);
    let later = now + 2 * SECOND;
    let mut pick = balancer.pick(ask(&none, u64::MAX), later).unwrap();
    assert_eq!(pick.index, 0);
    pick.in_flight.report(Outcome::Succeeded, later);
    assert!(balancer.has_other(&none, later));

    let mut tried = Tried::default();
    tried.target(0);
    assert!(balancer.pick(ask(&tried, 0), later).is_err());
    assert_eq!(balancer.again(1, later).unwrap().index, 1);
    for member in balancer.members() {
        while let Some(mut refused) = member.target.begin_anyway(later) {
            refused.report(Outcome::Denied, later);
        }
    }
    assert!(balancer.again(1, later).is_none());
    let refused = balancer.pick(ask(&none, 0), later).unwrap_err();
    assert_eq!(refused.retry_after, Some(30 * SECOND));
}

const STRATEGIES: [Strategy; 5] = [
    Strategy::Fallback,
    Strategy::Weighted,
    Strategy::LeastInflight,
    Strategy::Latency,
    Strategy::Prefix,
];

fn any_strategy() -> impl proptest::strategy::Strategy<Value = Strategy> {
    (0..STRATEGIES.len()).prop_map(|index| STRATEGIES[index])
}

proptest! {
    /// Whatever happens to targets: a choice is never one that was tried or that is to be left
    /// alone, one is made whenever one can be, and every request under way is counted once.
    #[test]
    fn choices_are_allowed_and_counted(
        strategy in any_strategy(),
        weights in prop::collection::vec(0_u32..4, 1..6),
        steps in prop::collection::vec((any::<u64>(), 0_u8..6, 0_u64..3_000, any::<u8>()), 1..80),
    ) {
        let balancer = balancer(strategy, &weights);
        let mut now = Instant::now();
        let mut open: Vec<Pick> = Vec::new();
        for (random, action, millis, skipped) in steps {
            now += Duration::from_millis(millis);
            let mut tried = Tried::default();
            let skips = (0..weights.len()).filter(|index| skipped >> index & 1 == 1);
            skips.for_each(|index| tried.target(index));
            let is_ready = balancer.has_other(&tried, now);
            let affinity = (random % 3 == 0).then_some(random % 5);
            match balancer.pick(Ask { affinity, random, tried: &tried }, now) {
                Ok(mut pick) => {
                    prop_assert!(is_ready || tried.is_empty());
                    prop_assert!(skipped >> pick.index & 1 == 0);
                    match action {
                        0 => pick.in_flight.report(Outcome::Succeeded, now),
                        1 | 2 => pick.in_flight.report(Outcome::Failed, now),
                        3 => pick.in_flight.report(Outcome::Denied, now),
                        4 => pick.in_flight.report(Outcome::Busy(Duration::from_secs(1)), now),
                        _ => pick.in_flight.first_token(now),
                    }
                    open.push(pick);
                }
                Err(NoTarget { retry_after }) => {
                    prop_assert!(!is_ready);
                    prop_assert!(retry_after != Some(Duration::ZERO));
                }
            }
            if action % 2 == 0 && !open.is_empty() {
                open.swap_remove(random as usize % open.len());
            }
            let counted: u32 = balancer.members().iter().map(|m| m.target.in_flight()).sum();
            prop_assert_eq!(counted as usize, open.len());
        }
    }
}
