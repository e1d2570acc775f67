use super::*;

#[test]
fn an_agents_path_goes_on_below_its_own() {
    for (base, below, expected) in [
        ("", "", "/"),
        ("", "?q", "/?q"),
        ("", "/a?q", "/a?q"),
        ("/rpc", "", "/rpc"),
        ("/rpc", "?q", "/rpc?q"),
        ("/rpc", "/", "/rpc/"),
    ] {
        assert_eq!(joined_path(base, below), expected);
    }
}
