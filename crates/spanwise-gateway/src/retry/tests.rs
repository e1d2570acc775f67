use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn status(code: u16) -> Failure {
    Failure::Status(StatusCode::from_u16(code).unwrap())
}

fn situation(failure: Failure) -> Situation {
    Situation {
        failure,
        n_attempts: 1,
        was_replayed: false,
        content_sent: false,
        retry_after: None,
        has_other: false,
        deadline: None,
    }
}

fn next(situation: Situation) -> Step {
    let now = Instant::now();
    let budget = RetryBudget::new(BudgetPolicy::default(), now);
    RetryPolicy::default().next(situation, &budget, u64::MAX / 2, now)
}

#[test]
fn each_failure_has_its_remedy() {
    let cases = [
        (Remedy::Anywhere, vec![408, 409, 425, 429, 500, 502, 503, 504, 529]),
        (Remedy::OtherCredential, vec![401, 402, 403]),
        (Remedy::OtherTarget, vec![501, 505]),
        (Remedy::None, vec![400, 404, 405, 410, 411, 413, 415, 422, 431, 301, 204, 200]),
    ];
    for (remedy, codes) in cases {
        for code in codes {
            assert_eq!(status(code).remedy(), remedy, "{code}");
        }
    }
    for failure in [Failure::Connect, Failure::Reset, Failure::BrokenAnswer] {
        assert_eq!(failure.remedy(), Remedy::Anywhere);
    }
    assert_eq!(Failure::QuotaExhausted.remedy(), Remedy::OtherCredential);
    assert_eq!(Failure::TotalTimeout.remedy(), Remedy::None);
}

#[test]
fn another_target_at_once_or_the_same_after_a_pause() {
    let alone = situation(status(503));
    assert!(matches!(next(alone), Step::Again { pause } if pause < Duration::from_millis(51)));
    assert_eq!(next(Situation { has_other: true, ..alone }), Step::Other);
    assert_eq!(next(situation(Failure::Tls)), Step::GiveUp(GaveUp::Final));
    assert_eq!(next(situation(status(401))), Step::GiveUp(GaveUp::Final));
    assert_eq!(next(Situation { has_other: true, ..situation(status(401)) }), Step::Other);
    let bad_request = Situation { has_other: true, ..situation(status(400)) };
    assert_eq!(next(bad_request), Step::GiveUp(GaveUp::Final));
}

#[test]
fn nothing_is_tried_again_after_content() {
    for failure in [Failure::Reset, Failure::BrokenAnswer, status(503), Failure::StaleConnection] {
        let sent = Situation { content_sent: true, has_other: true, ..situation(failure) };
        assert_eq!(next(sent), Step::GiveUp(GaveUp::ContentSent));
    }
}

#[test]
fn a_stale_connection_is_replaced_once_whatever_the_number_of_attempts() {
    let stale = Situation { n_attempts: 2, ..situation(Failure::StaleConnection) };
    assert_eq!(next(stale), Step::Replay);
    let again = Situation { was_replayed: true, ..stale };
    assert_eq!(next(again), Step::GiveUp(GaveUp::Attempts));
    assert!(matches!(next(Situation { n_attempts: 1, ..again }), Step::Again { .. }));
}

#[test]
fn what_the_provider_asks_is_waited_for_within_reason() {
    let asked = |wait, has_other, deadline: Option<Duration>| {
        let deadline = deadline.map(|left| Instant::now() + left);
        next(Situation { retry_after: Some(wait), has_other, deadline, ..situation(status(429)) })
    };
    let pause = 2 * SECOND + Duration::from_nanos(49_999_999);
    assert_eq!(asked(2 * SECOND, false, None), Step::Again { pause });
    assert_eq!(asked(2 * SECOND, true, None), Step::Other);
    assert_eq!(asked(2 * SECOND, false, Some(SECOND)), Step::GiveUp(GaveUp::Deadline));
    assert_eq!(asked(2 * SECOND, true, Some(SECOND)), Step::Other);
    assert_eq!(asked(3_600 * SECOND, false, None), Step::GiveUp(GaveUp::Deadline));

    let now = Instant::now();
    let budget = RetryBudget::new(BudgetPolicy::default(), now);
    let patient = RetryPolicy { patience: 3 * SECOND, ..RetryPolicy::default() };
    let situation =
        Situation { retry_after: Some(2 * SECOND), has_other: true, ..situation(status(429)) };
    assert!(matches!(patient.next(situation, &budget, 0, now), Step::Again { .. }));
}

#[test]
fn attempts_and_deadlines_end_it() {
    let second = Situation { n_attempts: 2, ..situation(status(500)) };
    assert_eq!(next(second), Step::GiveUp(GaveUp::Attempts));
    assert_eq!(next(Situation { has_other: true, ..second }), Step::Other);
    let late = Situation { deadline: Some(Instant::now()), ..situation(Failure::Connect) };
    assert_eq!(next(late), Step::GiveUp(GaveUp::Deadline));
}

#[test]
fn the_budget_is_a_part_of_the_requests_and_a_minimum() {
    let start = Instant::now();
    let budget = RetryBudget::new(BudgetPolicy { ratio: 0.2, min_per_second: 0.5 }, start);
    let n_allowed = |now| (0..1_000).filter(|_| budget.withdraw(now)).count();
    assert_eq!(n_allowed(start), 5);
    (0..100).for_each(|_| budget.deposit(start + SECOND));
    assert_eq!(n_allowed(start + SECOND), 20);
    assert_eq!(n_allowed(start + 9 * SECOND), 0);
    // The first second's retries are forgotten before the second one's requests.
    assert_eq!(n_allowed(start + 10 * SECOND), 5);
    assert_eq!(n_allowed(start + 100 * SECOND), 5);

    let situation = situation(status(503));
    let next = |situation| RetryPolicy::default().next(situation, &budget, 0, start + 100 * SECOND);
    assert_eq!(next(situation), Step::GiveUp(GaveUp::Budget));
    assert_eq!(next(Situation { has_other: true, ..situation }), Step::Other);
}

#[test]
fn retry_after_is_read_in_all_its_forms() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    let read = |name: &'static str, value: &[u8]| {
        let mut headers = HeaderMap::new();
        headers.insert(name, http::HeaderValue::from_bytes(value).unwrap());
        retry_after(&headers, now)
    };
    let cases: &[(&[u8], Option<Duration>)] = &[
        (b"0", Some(Duration::ZERO)),
        (b" 120 ", Some(120 * SECOND)),
        (b"1.5", Some(Duration::from_millis(1_500))),
        (b"99999999999999999999999", Some(MAX_RETRY_AFTER)),
        (b"Sun, 06 Nov 1994 08:50:07 GMT", Some(30 * SECOND)),
        (b"Sun, 06 Nov 1994 08:49:07 GMT", Some(Duration::ZERO)),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", Some(MAX_RETRY_AFTER)),
        (b"-5", None),
        (b"", None),
        (b"..", None),
        (b"1e9", None),
        (b"NaN", None),
        (b"inf", None),
        (b"soon", None),
        (b"\xff", None),
    ];
    for (value, expected) in cases {
        assert_eq!(read("retry-after", value), *expected, "{:?}", String::from_utf8_lossy(value));
    }
    assert_eq!(read("retry-after-ms", b"250"), Some(Duration::from_millis(250)));
    assert_eq!(retry_after(&HeaderMap::new(), now), None);
}

proptest! {
    #[test]
    fn pauses_stay_in_their_bounds(n_attempts in any::<u32>(), random in any::<u64>()) {
        let policy = RetryPolicy::default();
        let pause = policy.backoff(n_attempts, random);
        prop_assert!(pause <= policy.max_pause);
        if n_attempts <= 1 {
            prop_assert!(pause <= policy.base);
        }
    }

    #[test]
    fn any_header_is_survived(value in prop::collection::vec(0x20_u8..=0xff, 0..40)) {
        if let Ok(value) = http::HeaderValue::from_bytes(&value) {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", value);
            let wait = retry_after(&headers, SystemTime::UNIX_EPOCH);
            prop_assert!(wait.is_none_or(|wait| wait <= MAX_RETRY_AFTER));
        }
    }

    /// However requests and retries come, no more than the part and the minimum of any ten
    /// seconds are retries.
    #[test]
    fn retries_stay_within_the_budget(
        steps in prop::collection::vec((0_u64..2_000, any::<bool>()), 1..300),
    ) {
        let start = Instant::now();
        let policy = BudgetPolicy { ratio: 0.2, min_per_second: 0.3 };
        let budget = RetryBudget::new(policy, start);
        let (mut now, mut requests, mut retries) = (start, 0, 0);
        for (millis, is_retry) in steps {
            now += Duration::from_millis(millis);
            if is_retry {
                retries += u32::from(budget.withdraw(now));
            } else {
                budget.deposit(now);
                requests += 1;
            }
            let elapsed = (now - start).as_secs_f64() + 10.0;
            let bound = policy.ratio * f64::from(requests) + policy.min_per_second * (elapsed + 10.0);
            prop_assert!(f64::from(retries) <= bound);
        }
    }
}
