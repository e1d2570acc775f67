use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn question(scope: &str) -> Question<'_> {
    Question {
        scope,
        dialect: Dialect::Chat,
        path: "/v1/chat/completions",
        model: "openai/gpt-4o",
        headers: &[],
    }
}

fn key(body: &[u8]) -> CacheKey {
    CacheKey::new(&question("shop"), body, &[])
}

fn cache(max_bytes: usize) -> Arc<Cache> {
    Cache::new(CachePolicy { max_bytes, max_answer_bytes: 4_000, ttl: 60 * SECOND })
}

fn record(cache: &Arc<Cache>, key: CacheKey, now: Instant) -> Recording {
    match cache.look(key, Directives::default(), now) {
        Lookup::Miss(recording) => recording,
        other => panic!("expected a miss: {other:?}"),
    }
}

fn fill(cache: &Arc<Cache>, key: CacheKey, body: &[u8], now: Instant) -> bool {
    let mut recording = record(cache, key, now);
    recording.push(body, now);
    recording.keep(StatusCode::OK, HeaderMap::new(), now)
}

fn is_hit(cache: &Arc<Cache>, key: CacheKey, directives: Directives, now: Instant) -> bool {
    matches!(cache.look(key, directives, now), Lookup::Hit { .. })
}

#[test]
fn everything_that_matters_makes_another_question() {
    let body = br#"{"model":"gpt-4o","user":"u1","messages":[]}"#;
    let base = CacheKey::new(&question("shop"), body, &[]);
    let beta: &[&[u8]] = &[b"beta-1"];
    let split: &[&[u8]] = &[b"beta", b"-1"];
    let others = [
        CacheKey::new(&question("other"), body, &[]),
        CacheKey::new(&Question { dialect: Dialect::Messages, ..question("shop") }, body, &[]),
        CacheKey::new(&Question { path: "/v1", ..question("shop") }, body, &[]),
        CacheKey::new(&Question { model: "openai/gpt-4", ..question("shop") }, body, &[]),
        CacheKey::new(&Question { headers: beta, ..question("shop") }, body, &[]),
        CacheKey::new(&Question { headers: split, ..question("shop") }, body, &[]),
        CacheKey::new(&question("shop"), &body[1..], &[]),
        CacheKey::new(&question("shopC"), body, &[]),
    ];
    for (n, other) in others.iter().enumerate() {
        assert_ne!(*other, base, "{n}");
        assert!(others[..n].iter().all(|earlier| earlier != other), "{n}");
    }
}

#[test]
fn volatile_parts_do_not_matter() {
    let one = br#"{"model":"m","user":"u1","n":1,"metadata":{"a":"n"}}"#;
    let two = br#"{"model":"m","user":"u2222","n":1,"metadata":{}}"#;
    let three = br#"{"model":"m","user":"u1","n":2,"metadata":{"a":"n"}}"#;
    let hash = |body: &[u8]| CacheKey::new(&question("s"), body, &volatile_parts(body));
    assert_eq!(hash(one), hash(two));
    assert_ne!(hash(one), hash(three));
    let nested = br#"{"messages":[{"user":"x","metadata":1}]}"#;
    assert!(volatile_parts(nested).is_empty());
    for torn in [&b""[..], b"[1]", b"{\"user\":", b"\xff", b"{\"user\":1,"] {
        let _ = hash(torn);
    }
    // Ranges from a faulty scan lose a hit, and nothing else.
    for (start, end) in [(40, 50), (20, 10), (0, usize::MAX)] {
        let _ = CacheKey::new(&question("s"), one, &[Range { start, end }]);
    }
}

#[test]
fn an_answer_is_given_again_as_it_came_with_its_age() {
    let (cache, now, key) = (cache(10_000), Instant::now(), key(b"q"));
    let mut recording = record(&cache, key, now);
    recording.push(b"data: one\n\n", now + SECOND);
    recording.push(b"", now + SECOND);
    recording.push(b"data: two\n\n", now + 2 * SECOND);
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "text/event-stream".parse().unwrap());
    assert!(recording.keep(StatusCode::OK, headers, now + 2 * SECOND));

    let found = cache.look(key, Directives::default(), now + 7 * SECOND);
    let Lookup::Hit { answer, age } = found else { panic!("{found:?}") };
    assert_eq!(age, 5 * SECOND);
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    let pieces: Vec<_> = answer.pieces().collect();
    assert_eq!(pieces[0], (SECOND, Bytes::from("data: one\n\n")));
    assert_eq!(pieces[1], (2 * SECOND, Bytes::from("data: two\n\n")));
    assert_eq!(answer.body().len(), 22);
    assert!(!is_hit(&cache, key, Directives::default(), now + 62 * SECOND));
    assert!(cache.is_empty() && cache.n_bytes() == 0);
}

#[test]
fn only_complete_successful_answers_are_kept() {
    let (cache, now) = (cache(10_000), Instant::now());
    let mut failed = record(&cache, key(b"failed"), now);
    failed.push(b"{}", now);
    assert!(!failed.keep(StatusCode::TOO_MANY_REQUESTS, HeaderMap::new(), now));
    let mut torn = record(&cache, key(b"torn"), now);
    torn.push(b"data: half", now);
    drop(torn);
    let empty = record(&cache, key(b"empty"), now);
    assert!(!empty.keep(StatusCode::OK, HeaderMap::new(), now));
    let mut long = record(&cache, key(b"long"), now);
    (0..50).for_each(|_| long.push(&[b'x'; 100], now));
    // The next one may try while the first is still under way.
    drop(record(&cache, key(b"long"), now));
    assert!(!long.keep(StatusCode::OK, HeaderMap::new(), now));
    assert!(cache.is_empty());
    for body in [&b"failed"[..], b"torn", b"empty", b"long"] {
        drop(record(&cache, key(body), now));
    }
}

#[test]
fn the_client_can_ask_anew() {
    let (cache, now, key) = (cache(10_000), Instant::now(), key(b"q"));
    assert!(fill(&cache, key, b"old", now));
    let later = now + 10 * SECOND;
    let no_store = Directives { no_store: true, ..Directives::default() };
    assert!(matches!(cache.look(key, no_store, later), Lookup::Bypass));
    let max_age = |seconds| Directives { max_age: Some(seconds * SECOND), ..Directives::default() };
    assert!(is_hit(&cache, key, max_age(10), later));
    assert!(!is_hit(&cache, key, max_age(9), later));

    let no_cache = Directives { no_cache: true, ..Directives::default() };
    let Lookup::Miss(mut fresh) = cache.look(key, no_cache, later) else { panic!() };
    assert!(matches!(cache.look(key, no_cache, later), Lookup::Bypass));
    assert!(is_hit(&cache, key, Directives::default(), later));
    fresh.push(b"new", later);
    assert!(fresh.keep(StatusCode::OK, HeaderMap::new(), later));
    let found = cache.look(key, Directives::default(), later);
    let Lookup::Hit { answer, .. } = found else { panic!("{found:?}") };
    assert_eq!(&answer.body()[..], b"new");
    assert_eq!(cache.len(), 1);
}

#[test]
fn directives_are_read_from_headers() {
    let read = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("cache-control", value.parse().unwrap());
        }
        Directives::of(&headers)
    };
    assert_eq!(read(&[]), Directives::default());
    assert_eq!(read(&["No-Store"]), Directives { no_store: true, ..Directives::default() });
    let both = Directives { no_cache: true, max_age: Some(5 * SECOND), ..Directives::default() };
    assert_eq!(read(&["no-cache, max-age=5"]), both);
    assert_eq!(read(&["max-age = \"5\"", "no-cache"]), both);
    assert_eq!(read(&["max-age=soon"]).max_age, Some(Duration::ZERO));
    assert_eq!(read(&["public, no-transform"]), Directives::default());
}

#[tokio::test]
async fn the_same_question_at_once_waits_for_the_answer() {
    let (cache, now, key) = (cache(10_000), Instant::now(), key(b"q"));
    let mut recording = record(&cache, key, now);
    let waiters: Vec<_> = (0..5)
        .map(|_| match cache.look(key, Directives::default(), now) {
            Lookup::UnderWay(waiter) => tokio::spawn(waiter.wait()),
            other => panic!("{other:?}"),
        })
        .collect();
    tokio::task::yield_now().await;
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
    recording.push(b"answer", now);
    assert!(recording.keep(StatusCode::OK, HeaderMap::new(), now));
    for waiter in waiters {
        waiter.await.unwrap();
    }
    assert!(is_hit(&cache, key, Directives::default(), now));
}

#[tokio::test]
async fn when_the_first_fails_one_of_those_who_wait_asks() {
    let (cache, now, key) = (cache(10_000), Instant::now(), key(b"q"));
    let recording = record(&cache, key, now);
    let Lookup::UnderWay(waiter) = cache.look(key, Directives::default(), now) else { panic!() };
    drop(recording);
    waiter.wait().await;
    let _second = record(&cache, key, now);
    let third = cache.look(key, Directives::default(), now);
    assert!(matches!(third, Lookup::UnderWay(_)));
}

/// A cache that is easy to believe: a list, the least recently used first.
#[derive(Default)]
struct Model(Vec<(u8, usize, Instant)>);

impl Model {
    fn look(&mut self, name: u8, now: Instant) -> bool {
        let Some(at) = self.0.iter().position(|entry| entry.0 == name) else { return false };
        let entry = self.0.remove(at);
        let is_fresh = now - entry.2 < 60 * SECOND;
        if is_fresh {
            self.0.push(entry);
        }
        is_fresh
    }

    fn keep(&mut self, name: u8, n_bytes: usize, max_bytes: usize, now: Instant) {
        self.0.push((name, n_bytes, now));
        while self.0.iter().map(|entry| entry.1).sum::<usize>() > max_bytes {
            self.0.remove(0);
        }
    }
}

proptest! {
    #[test]
    fn bounded_by_bytes_and_age_and_the_least_recently_used_goes_first(
        steps in prop::collection::vec((0_u8..12, 1_usize..1_500, 0_u32..20), 1..200),
    ) {
        let max_bytes = 5_000;
        let cache = cache(max_bytes);
        let mut model = Model::default();
        let mut now = Instant::now();
        for (name, length, seconds) in steps {
            now += SECOND * seconds;
            let key = key(&[name]);
            let expected = model.look(name, now);
            prop_assert_eq!(is_hit(&cache, key, Directives::default(), now), expected);
            if !expected {
                prop_assert!(fill(&cache, key, &vec![name; length], now));
                let n_bytes = length + size_of::<Piece>() + ENTRY_OVERHEAD_BYTES;
                model.keep(name, n_bytes, max_bytes, now);
            }
            prop_assert!(cache.n_bytes() <= max_bytes);
            prop_assert_eq!(cache.len(), model.0.len());
            prop_assert_eq!(cache.n_bytes(), model.0.iter().map(|entry| entry.1).sum::<usize>());
        }
    }

    #[test]
    fn any_ranges_are_survived(
        body in prop::collection::vec(any::<u8>(), 0..50),
        ranges in prop::collection::vec((0_usize..60, 0_usize..60), 0..5),
    ) {
        let ranges: Vec<_> = ranges.into_iter().map(|(start, end)| start..end).collect();
        prop_assert_eq!(
            CacheKey::new(&question("s"), &body, &ranges),
            CacheKey::new(&question("s"), &body, &ranges)
        );
    }
}
