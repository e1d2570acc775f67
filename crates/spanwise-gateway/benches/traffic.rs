//! What traffic control adds to a request: a key, limits, a price, a choice of target, a look into
//! the cache. `cargo bench -p spanwise-gateway --bench traffic`; `everything` is what a gateway
//! with ten keys, limits and cost does more than one without, apart from the cache.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use divan::{Bencher, black_box};
use http::{HeaderMap, StatusCode};
use serde_json::json;
use spanwise_gateway::balance::{Ask, Balancer, BreakerPolicy, Credential, Member, Outcome};
use spanwise_gateway::balance::{Target, Tried};
use spanwise_gateway::cache::{Cache, CacheKey, CachePolicy, Directives, Lookup, Question};
use spanwise_gateway::config::Strategy;
use spanwise_gateway::dialect::Dialect;
use spanwise_gateway::keys::{Key, KeyHash, Keys};
use spanwise_gateway::limits::{Amount, Limits, Rule, Who};
use spanwise_gateway::retry::{BudgetPolicy, RetryBudget};
use spanwise_model::genai::Usage;
use spanwise_model::price::{PriceTable, Terms};

const NOON: u64 = 1_795_262_400_000_000_000;
const N_KEYS: usize = 10;
const MODEL: &str = "gpt-4o";

fn main() {
    divan::main();
}

fn secret(n: usize) -> String {
    format!("sk-spanwise-{n:048x}")
}

fn keys() -> Keys {
    let key = |n: usize| -> Key {
        serde_json::from_value(json!({
            "id": format!("team-{n}"),
            "hash": KeyHash::of(secret(n).as_bytes()).to_string(),
            "models": ["gpt-*", "claude-*"],
            "limits": {
                "requests_per_minute": 1_000_000_000, "tokens_per_minute": 1_000_000_000_000u64,
                "usd_per_day": 1_000_000, "usd_per_month": 1_000_000
            },
            "model_limits": {"gpt-*": {"requests_per_minute": 1_000_000_000}},
        }))
        .expect("a key")
    };
    Keys::new((0..N_KEYS).map(key)).expect("ten keys")
}

fn limits(keys: &Keys) -> Limits {
    let rules: Vec<Rule> = serde_json::from_value(json!([
        {"name": "model", "each": ["model"], "limits": {"tokens_per_minute": 1_000_000_000_000u64}},
    ]))
    .expect("a rule");
    Limits::new(rules, keys).expect("limits")
}

fn balancer() -> Balancer {
    let credential = Arc::new(Credential::new(BreakerPolicy::credential()));
    let member = |n: u32| Member {
        target: Arc::new(Target::new(
            format!("target-{n}"),
            credential.clone(),
            BreakerPolicy::default(),
        )),
        weight: 1 + n,
    };
    Balancer::new(Strategy::Latency, (0..3).map(member).collect())
}

fn usage() -> Usage {
    Usage { input: Some(1_200), output: Some(300), ..Usage::default() }
}

fn cost(prices: &PriceTable, usage: &Usage) -> u64 {
    let terms = Terms { provider: "openai", model: MODEL, service_tier: "", time_unix_nano: NOON };
    prices.cost(terms, usage).map_or(0, |cost| cost.try_into().unwrap_or(0))
}

#[divan::bench]
fn authenticate(bencher: Bencher<'_, '_>) {
    let (keys, secret) = (keys(), secret(7));
    bencher.bench_local(|| keys.authenticate(black_box(secret.as_bytes()), NOON));
}

#[divan::bench]
fn reserve_and_settle(bencher: Bencher<'_, '_>) {
    let limits = limits(&keys());
    let amount = Amount { requests: 1, tokens: 1_500, nano_usd: 6_000_000 };
    bencher.bench_local(|| {
        let who = Who { key: black_box("team-7"), model: black_box(MODEL) };
        let reservation = limits.reserve(who, amount, NOON).expect("room");
        reservation.settle(amount, NOON);
    });
}

/// The same from four threads, all of them with the same key: every lock is wanted by all.
#[divan::bench(threads = 4)]
fn reserve_and_settle_contended(bencher: Bencher<'_, '_>) {
    let limits = limits(&keys());
    let amount = Amount { requests: 1, tokens: 1_500, nano_usd: 6_000_000 };
    bencher.bench(|| {
        let who = Who { key: black_box("team-7"), model: black_box(MODEL) };
        let reservation = limits.reserve(who, amount, NOON).expect("room");
        reservation.settle(amount, NOON);
    });
}

#[divan::bench]
fn headers(bencher: Bencher<'_, '_>) {
    let limits = limits(&keys());
    let who = Who { key: "team-7", model: MODEL };
    let reservation = limits.reserve(who, Amount::default(), NOON).expect("room");
    bencher.bench_local(|| reservation.standing().headers().collect::<Vec<_>>());
}

#[divan::bench(args = [Strategy::Fallback, Strategy::Weighted, Strategy::Latency, Strategy::Prefix])]
fn pick(bencher: Bencher<'_, '_>, strategy: Strategy) {
    let balancer = Balancer::new(strategy, balancer().members().to_vec());
    let (tried, now) = (Tried::default(), Instant::now());
    let mut random = 1u64;
    bencher.bench_local(|| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let ask = Ask { affinity: Some(random), random, tried: &tried };
        let mut pick = balancer.pick(ask, now).expect("a target");
        pick.in_flight.first_token(now);
        pick.in_flight.report(Outcome::Succeeded, now);
    });
}

/// A key is found, its limits are reserved, a target is chosen, the call is priced and settled,
/// and the client is told how it stands.
#[divan::bench]
fn everything(bencher: Bencher<'_, '_>) {
    let (keys, prices, balancer) = (keys(), PriceTable::bundled(), balancer());
    let limits = limits(&keys);
    let budget = RetryBudget::new(BudgetPolicy::default(), Instant::now());
    let secrets: BTreeMap<usize, String> = (0..N_KEYS).map(|n| (n, secret(n))).collect();
    let (tried, usage) = (Tried::default(), usage());
    let mut n = 0usize;
    bencher.bench_local(|| {
        n += 1;
        let now = Instant::now();
        let key = keys.authenticate(secrets[&(n % N_KEYS)].as_bytes(), NOON).expect("a key");
        assert!(key.allows_model(MODEL));
        let expected = Amount { requests: 1, tokens: 2_000, nano_usd: cost(&prices, &usage) };
        let who = Who { key: &key.id, model: MODEL };
        let reservation = limits.reserve(who, expected, NOON).expect("room");
        budget.deposit(now);
        let ask = Ask { affinity: None, random: n as u64, tried: &tried };
        let mut pick = balancer.pick(ask, now).expect("a target");
        pick.in_flight.first_token(now);
        pick.in_flight.report(Outcome::Succeeded, now);
        let headers = reservation.standing().headers().collect::<Vec<_>>();
        let actual = Amount { requests: 1, tokens: 1_500, nano_usd: cost(&prices, &usage) };
        reservation.settle(actual, NOON);
        headers
    });
}

#[divan::bench(args = [400, 10_000, 100_000])]
fn cache_hit(bencher: Bencher<'_, '_>, n_bytes: usize) {
    let (cache, now) = (Cache::new(CachePolicy::default()), Instant::now());
    let body = vec![b'x'; n_bytes];
    let question = Question {
        scope: "shop",
        dialect: Dialect::Chat,
        path: "/v1/chat/completions",
        model: MODEL,
        headers: &[],
    };
    let key = CacheKey::new(&question, &body, &[]);
    if let Lookup::Miss(mut recording) = cache.look(key, Directives::default(), now) {
        recording.push(b"{}", now);
        recording.keep(StatusCode::OK, HeaderMap::new(), now);
    }
    bencher.bench_local(|| {
        let key = CacheKey::new(&question, black_box(&body), &[]);
        assert!(matches!(cache.look(key, Directives::default(), now), Lookup::Hit { .. }));
    });
}
