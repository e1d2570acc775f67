use super::*;

const SECOND: u64 = 1_000_000_000;

fn key(id: &str, secret: &str) -> Key {
    Key::new(id, KeyHash::of(secret.as_bytes()))
}

#[test]
fn a_key_is_found_by_its_secret_and_by_nothing_else() {
    let keys = Keys::new((0..50).map(|n| key(&format!("k{n}"), &format!("secret-{n}")))).unwrap();
    for n in 0..50 {
        let found = keys.authenticate(format!("secret-{n}").as_bytes(), 0).unwrap();
        assert_eq!(*found.id, *format!("k{n}"));
    }
    for wrong in ["", "secret-50", "secret-1 ", "SECRET-1"] {
        assert_eq!(keys.authenticate(wrong.as_bytes(), 0).unwrap_err(), KeyError::Unknown);
    }
    let hash = KeyHash::of(b"secret-1").to_string();
    assert_eq!(keys.authenticate(hash.as_bytes(), 0).unwrap_err(), KeyError::Unknown);
}

#[test]
fn hashes_of_one_bucket_are_told_apart() {
    let mut twin = key("twin", "other");
    twin.hash = KeyHash::of(b"first");
    twin.hash.0[31] ^= 1;
    let keys = Keys::new([key("first", "first"), twin]).unwrap();
    assert_eq!(keys.by_bucket.len(), 1);
    assert_eq!(&*keys.authenticate(b"first", 0).unwrap().id, "first");
}

#[test]
fn disabled_and_expired_keys_are_refused() {
    let mut off = key("off", "a");
    off.disabled = true;
    let mut old = key("old", "b");
    old.expires = Some("1970-01-01T00:00:10Z".parse().unwrap());
    let keys = Keys::new([off, old]).unwrap();
    assert_eq!(keys.authenticate(b"a", 0).unwrap_err(), KeyError::Disabled("off".into()));
    assert!(keys.authenticate(b"b", 10 * SECOND - 1).is_ok());
    let expired = keys.authenticate(b"b", 10 * SECOND).unwrap_err();
    assert_eq!(expired, KeyError::Expired("old".into()));
}

#[test]
fn a_request_under_way_keeps_a_key_that_is_revoked() {
    let mut keys = Arc::new(Keys::new([key("one", "a")]).unwrap());
    let held = keys.authenticate(b"a", 0).unwrap();
    keys = Arc::new(Keys::new([key("two", "b")]).unwrap());
    assert!(held.allows_model("gpt-4o"));
    assert_eq!(keys.authenticate(b"a", 0).unwrap_err(), KeyError::Unknown);
}

#[test]
fn everything_about_a_key_can_be_written_down() {
    let hash = KeyHash::of(b"secret");
    let key: Key = serde_json::from_str(&format!(
        r#"{{"id": "team-a", "name": "Team A", "hash": "{hash}", "models": ["openai/*", "fast"],
            "agents": "billing", "expires": "2027-01-31", "disabled": false,
            "limits": {{"requests_per_minute": 60, "usd_per_day": 2.5}},
            "model_limits": {{"openai/gpt-4o*": {{"tokens_per_minute": 1000}}}},
            "content": {{"capture": true, "max_bytes": 4096}}}}"#
    ))
    .unwrap();
    assert!(key.allows_model("openai/gpt-4o") && key.allows_model("fast"));
    assert!(!key.allows_model("slow") && key.allows_agent("billing") && !key.allows_agent("x"));
    assert_eq!(key.expires.unwrap().unix_nano(), 1_801_353_600 * SECOND);
    assert_eq!(key.content.capture, Some(true));
    assert!(!format!("{key:?}").contains("secret"));

    let list = KeyList { keys: vec![key, Key::new("bare", KeyHash::of(b"bare"))] };
    let text = serde_json::to_string(&list).unwrap();
    assert_eq!(serde_json::from_str::<KeyList>(&text).unwrap(), list);
    let bare = serde_json::to_value(&list.keys[1]).unwrap();
    let names: Vec<_> = bare.as_object().unwrap().keys().collect();
    assert_eq!(names, ["id", "hash"]);
}

#[test]
fn mistakes_are_named() {
    let parse = |text: &str| serde_json::from_str::<Key>(text).unwrap_err().to_string();
    let hash = KeyHash::of(b"x");
    assert!(parse(r#"{"id": "a", "hash": "sk-123"}"#).contains("sha256:"));
    assert!(parse(&format!(r#"{{"id": "a", "hash": "{hash}", "model": "x"}}"#)).contains("model"));
    assert!(
        parse(&format!(r#"{{"id": "a", "hash": "{hash}", "expires": "soon"}}"#)).contains("soon")
    );
    assert!("sha256:+123".parse::<KeyHash>().is_err());
    assert!(format!("sha256:+{}", "0".repeat(63)).parse::<KeyHash>().is_err());

    let twice = Keys::new([key("a", "x"), key("a", "y")]).unwrap_err();
    assert_eq!(twice, InvalidKeys::RepeatedId("a".into()));
    let same = Keys::new([key("a", "x"), key("b", "x")]).unwrap_err();
    assert_eq!(same, InvalidKeys::RepeatedHash("a".into(), "b".into()));
    for id in ["", "a b", "a*", "ü", &"x".repeat(65)] {
        assert_eq!(Keys::new([key(id, "x")]).unwrap_err(), InvalidKeys::Id(id.into()));
    }
}

#[test]
fn a_new_key_is_random_and_not_shown_by_debug() {
    let (one, two) = (NewKey::generate(), NewKey::generate());
    assert_ne!(one.secret, two.secret);
    assert!(one.secret.starts_with("sk-spanwise-") && one.secret.len() == 12 + 48);
    assert_eq!(one.hash, KeyHash::of(one.secret.as_bytes()));
    assert_eq!(one.hash.to_string().parse(), Ok(one.hash));
    assert!(!format!("{one:?}").contains(&one.secret));
}
