use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::TraceId;
use crate::propagate::TraceState;

fn randomness(value: u64) -> Randomness {
    Randomness::parse(&format!("{value:014x}")).unwrap()
}

#[test]
fn thresholds_are_written_without_zeros_at_the_end() {
    for (rate, expected) in [
        (1.0, "0"),
        (0.5, "8"),
        (0.25, "c"),
        (0.1, "e6666666666666"),
        (0.01, "fd70a3d70a3d71"),
        (2.0_f64.powi(-56), "ffffffffffffff"),
    ] {
        let threshold = Rate::new(rate).unwrap().threshold().unwrap();
        assert_eq!(threshold.to_string(), expected, "{rate}");
        assert_eq!(Threshold::parse(expected), Some(threshold));
        assert!((threshold.weight() * rate - 1.0).abs() < 1e-9);
    }
    assert_eq!(Rate::NONE.threshold(), None);
    assert_eq!(Threshold::parse("8000"), Threshold::parse("8"));
    for illegal in ["", "8A", "x", "+8", "000000000000000"] {
        assert_eq!(Threshold::parse(illegal), None, "{illegal}");
    }
}

#[test]
fn the_low_56_bits_of_the_id_decide() {
    let half = Rate::new(0.5).unwrap();
    let keeps = |hex: &str| half.keeps(Randomness::of_trace(hex.parse::<TraceId>().unwrap()));
    assert!(keeps("00000000000000000080000000000000"));
    assert!(!keeps("ffffffffffffffffff7fffffffffffff"));
    assert!(keeps("000000000000000000ffffffffffffff"));
    let id: TraceId = "00000000000000000100000000000000".parse().unwrap();
    assert_eq!(Randomness::of_trace(id).get(), 0);
    assert!(Rate::ALL.keeps(Randomness::of_trace(id)));
    assert!(!Rate::NONE.keeps(randomness((1 << 56) - 1)));
}

#[test]
fn explicit_randomness_takes_the_place_of_the_id() {
    let id: TraceId = "00000000000000000000000000000001".parse().unwrap();
    let state = |text: &str| TraceState::parse(text.as_bytes()).unwrap();
    assert_eq!(Randomness::of(id, &state("ot=th:8;rv:ff000000000000")).get(), 0xff << 48);
    assert_eq!(Randomness::of(id, &state("ot=rv:ff")).get(), 1);
    assert_eq!(Randomness::of(id, &TraceState::default()).get(), 1);
}

#[test]
fn tracestate_keeps_what_others_wrote() {
    let mut state = TraceState::parse(b"a=1,ot=p:8;rv:00000000000007;th:c,b=2").unwrap();
    let mut ot = OtState::read(&state);
    assert_eq!(ot.threshold, Threshold::parse("c"));
    ot.threshold = Rate::new(0.5).unwrap().threshold();
    ot.write(&mut state).unwrap();
    assert_eq!(state.as_str(), "ot=th:8;rv:00000000000007;p:8,a=1,b=2");
    OtState::default().write(&mut state).unwrap();
    assert_eq!(state.as_str(), "a=1,b=2");
}

#[test]
fn rates_out_of_range_are_named() {
    for rate in [-0.1, 1.000_001, f64::NAN, f64::INFINITY] {
        assert!(Rate::new(rate).is_err(), "{rate}");
    }
    let error = |change: fn(&mut IntelligentSamplingConfig)| {
        let mut config = IntelligentSamplingConfig::default();
        change(&mut config);
        IntelligentSampling::new(config).unwrap_err().to_string()
    };
    assert_eq!(
        error(|config| config.error_sampling_rate = 2.0),
        "error_sampling_rate: a rate has to be a number from 0 to 1, got 2"
    );
    assert_eq!(
        error(|config| config.low_priority_operations = [("ping".into(), f64::NAN)].into()),
        "low_priority_operations.ping: a rate has to be a number from 0 to 1, got NaN"
    );
    assert_eq!(
        error(|config| config.slow_request_threshold_ms = -1.0),
        "slow_request_threshold_ms has to be a number of milliseconds from 0 on, got -1"
    );
}

#[test]
fn rules_match_the_bare_and_the_full_name() {
    let rules = OperationRules::new("rules", [("chat", 0.5), ("tool.chat", 0.25), ("x.y", 0.1)]);
    let rate = |name: &str| rules.as_ref().unwrap().rate(name).map(Rate::get);
    assert_eq!(rate("chat"), Some(0.5));
    assert_eq!(rate("workflow.chat"), Some(0.5));
    assert_eq!(rate("tool.chat"), Some(0.25));
    assert_eq!(rate("agent.x.y"), Some(0.1));
    assert_eq!(rate("http.chat"), None);
    assert_eq!(rate("chats"), None);
}

#[test]
fn the_first_rule_that_applies_decides() {
    let sampling = IntelligentSampling::new(IntelligentSamplingConfig {
        error_sampling_rate: 0.9,
        slow_request_sampling_rate: 0.8,
        slow_request_threshold_ms: 100.0,
        high_priority_operations: [("pay".into(), 0.7)].into(),
        low_priority_operations: [("pay".into(), 0.0), ("ping".into(), 0.01)].into(),
        base_sampling_rate: 0.3,
    })
    .unwrap();
    let decide = |name, millis, has_error| {
        let duration = Duration::from_millis(millis);
        let randomness = randomness(1 << 55);
        let root = RootFacts { name, high_priority: None, duration, has_error, randomness };
        let decision = sampling.decide(&root);
        (decision.reason, decision.rate.get(), decision.is_kept)
    };
    assert_eq!(decide("ping", 200, true), (Reason::Error, 0.9, true));
    assert_eq!(decide("ping", 100, false), (Reason::Slow, 0.8, true));
    assert_eq!(decide("workflow.pay", 99, false), (Reason::HighPriority, 0.7, true));
    assert_eq!(decide("task.ping", 99, false), (Reason::LowPriority, 0.01, false));
    assert_eq!(decide("other", 99, false), (Reason::Base, 0.3, false));
    let sampling = sampling.with_base_rate(Rate::ALL);
    let other = RootFacts {
        name: "other",
        high_priority: None,
        duration: Duration::ZERO,
        has_error: false,
        randomness: randomness(0),
    };
    assert_eq!(sampling.decide(&other).threshold(), Some(Threshold::ALL));
}

proptest! {
    #[test]
    fn what_a_lower_rate_keeps_a_higher_one_keeps(
        [one, other] in [0.0..=1.0_f64, 0.0..=1.0_f64],
        value in 0..1_u64 << 56,
    ) {
        let (low, high) = (Rate::new(one.min(other)).unwrap(), Rate::new(one.max(other)).unwrap());
        prop_assert!(!low.keeps(randomness(value)) || high.keeps(randomness(value)));
    }

    #[test]
    fn thresholds_and_randomness_read_as_written(value in 0..1_u64 << 56, rate in 0.0..=1.0_f64) {
        let randomness = randomness(value);
        prop_assert_eq!(randomness.get(), value);
        prop_assert_eq!(Randomness::parse(&randomness.to_string()), Some(randomness));
        if let Some(threshold) = Rate::new(rate).unwrap().threshold() {
            prop_assert_eq!(Threshold::parse(&threshold.to_string()), Some(threshold));
        }
    }
}
