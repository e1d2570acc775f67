use super::*;

#[test]
fn paths_that_lead_upwards_are_seen_in_every_spelling() {
    for path in
        ["/a/../b", "/..", "/a/./b", "/%2e%2E/b", "/a/..%2fb", "/a%5C..%5Cb", "/..;x/b", "\\.."]
    {
        assert!(climbs(path), "{path}");
    }
    for path in ["/", "/a..b/.c/...", "/a/b.", "*", ""] {
        assert!(!climbs(path), "{path}");
    }
}

#[test]
fn what_is_json_can_be_read() {
    let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    };
    assert!(is_json(&headers(&[("content-type", "application/json; charset=utf-8")])));
    assert!(is_json(&headers(&[("content-type", "application/a2a+json")])));
    assert!(!is_json(&headers(&[("content-type", "text/plain")])));
    let packed = [("content-type", "application/json"), ("content-encoding", "gzip")];
    assert!(!is_json(&headers(&packed)));
    assert!(!is_json(&HeaderMap::new()));
}
