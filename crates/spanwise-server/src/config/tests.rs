use super::*;

fn config(settings: Settings, yaml: &str) -> Result<Config, String> {
    resolve(settings, parse_file(yaml)?)
}

#[test]
fn defaults_bind_to_loopback_without_a_file() {
    let config = config(Settings::default(), "").unwrap();
    assert_eq!(config.listen, Listen::At("127.0.0.1:4319".into()));
    assert_eq!(config.otlp_grpc, Listen::At("127.0.0.1:4317".into()));
    assert_eq!(config.otlp_http, Listen::At("127.0.0.1:4318".into()));
    assert_eq!(config.data_dir(), Path::new("./spanwise-data"));
    assert!(config.ui);
    assert_eq!(config.auth, AuthMode::Off);
}

#[test]
fn a_flag_wins_over_the_file() {
    let settings = Settings { listen: Some("[::1]:1".into()), ..Settings::default() };
    let yaml = "listen: 127.0.0.1:2\notlp_http: 127.0.0.1:3\notlp_grpc: off\n";
    let config = config(settings, yaml).unwrap();
    assert_eq!(config.listen, Listen::At("[::1]:1".into()));
    assert_eq!(config.otlp_http, Listen::At("127.0.0.1:3".into()));
    assert_eq!(config.otlp_grpc, Listen::Off);
}

#[test]
fn one_line_turns_authentication_on() {
    for yaml in ["auth: required", "auth: {enabled: true}", "auth: on"] {
        assert_eq!(config(Settings::default(), yaml).unwrap().auth, AuthMode::Required, "{yaml}");
    }
    assert!(config(Settings::default(), "auth: maybe").is_err());
}

#[test]
fn store_and_limits_have_units() {
    let yaml = "store: {retain_for: 30d, retain_bytes: 50GiB, seal_bytes: 1024}\n\
                limits: {max_body_bytes: 1MiB, body_timeout: 500ms}\n";
    let config = config(Settings::default(), yaml).unwrap();
    assert_eq!(config.store.retain_for, Some(Duration::from_hours(30 * 24)));
    assert_eq!(config.store.retain_bytes, Some(50 << 30));
    assert_eq!(config.store.seal_bytes, 1024);
    assert_eq!(config.limits.max_body_bytes, 1 << 20);
    assert_eq!(config.limits.body_timeout, Duration::from_millis(500));
}

#[test]
fn mistakes_are_named_in_one_line() {
    let cases = [
        ("lisen: 1", "lisen"),
        ("store: {seal_sapns: 1}", "unknown key `store.seal_sapns`, expected one of durability"),
        ("auth: {enabled: true, enbaled: 1}", "enbaled"),
        ("auth: [on]", "auth: expected required or off, found a list at line 1, column"),
        ("auth: maybe", "auth: expected required or off, found `maybe`"),
        ("auth: {enabled: 7}", "auth.enabled: expected true or false, found `7`"),
        ("listen: 4319", "listen: `4319` is no address"),
        ("listen: localhost", "listen: `localhost` is no address"),
        ("listen: {port: 4319}", "listen: expected an address such as 127.0.0.1:4319, or off"),
        ("ui: 'yes please'", "ui: expected true or false, found `yes please`"),
        ("allowed_hosts: a.example", "allowed_hosts: expected a list of host names"),
        ("allowed_hosts: [a, [b]]", "allowed_hosts[1]: expected a list of host names"),
        ("store: {retain_for: soon}", "retain_for: `soon` is no duration"),
        ("store:\n  seal_after: [1]", "store.seal_after: expected a time such as 30s or 30d"),
        ("store: 5", "store: expected settings, indented below it, found `5`"),
        (
            "limits:\n  max_connections: many",
            "limits.max_connections: expected a whole number such as 1024, found `many` at line 2, \
             column 20",
        ),
        (
            "limits: {max_body_bytes: [1]}",
            "limits.max_body_bytes: expected a size such as 64MiB, found a list",
        ),
        ("- a\n- b", ""),
        (": : :", ""),
    ];
    for (yaml, named) in cases {
        let error = config(Settings::default(), yaml).unwrap_err();
        assert!(error.contains(named), "{yaml}: {error}");
        assert!(!error.contains('\n'), "{yaml}: {error}");
    }
}
