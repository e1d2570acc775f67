use super::keys::KeyFile;
use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn gate(mode: AuthMode) -> (tempfile::TempDir, Gate, String) {
    let dir = tempfile::tempdir().unwrap();
    let secret = KeyFile::in_folder(dir.path()).create("test", "acme", vec![Scope::Read]).unwrap();
    let gate = Gate::open(mode, dir.path()).unwrap();
    (dir, gate, secret)
}

#[test]
fn every_way_to_show_a_key() {
    let (_dir, gate, secret) = gate(AuthMode::Required);
    let basic = base64::encode(format!("u:{secret}").as_bytes());
    for (name, value) in [
        ("authorization", format!("Bearer {secret}")),
        ("authorization", format!("bearer  {secret}")),
        ("authorization", format!("Basic {basic}")),
        ("x-api-key", secret.clone()),
        ("x-spanwise-api-key", secret.clone()),
    ] {
        let caller = gate.admit(&headers(&[(name, &value)]), Scope::Read).unwrap();
        assert_eq!(&*caller.project, "acme", "{name}: {value}");
    }
}

#[test]
fn refusals() {
    let (_dir, gate, secret) = gate(AuthMode::Required);
    let refused = |pairs: &[(&'static str, &str)], scope| {
        gate.admit(&headers(pairs), scope).map(drop).unwrap_err()
    };
    assert_eq!(refused(&[], Scope::Read), Refusal::NoKey);
    assert_eq!(refused(&[("x-api-key", "sw-0")], Scope::Read), Refusal::UnknownKey);
    assert_eq!(refused(&[("authorization", "Basic !")], Scope::Read), Refusal::NoKey);
    assert_eq!(refused(&[("x-api-key", &secret)], Scope::Ingest), Refusal::NotForIngest);
    let other = [("x-api-key", secret.as_str()), (PROJECT_HEADER, "other")];
    assert_eq!(refused(&other, Scope::Read), Refusal::OtherProject);
    assert_eq!(refused(&[("cookie", "spanwise_session=00")], Scope::Read), Refusal::NoKey);
}

#[test]
fn without_authentication_the_header_names_the_project() {
    let (_dir, gate, secret) = gate(AuthMode::Off);
    let project = |pairs: &[(&'static str, &str)]| {
        gate.admit(&headers(pairs), Scope::Ingest).map(|caller| caller.project.to_string())
    };
    assert_eq!(project(&[]).unwrap(), "default");
    assert_eq!(project(&[(PROJECT_HEADER, "blue-1")]).unwrap(), "blue-1");
    assert_eq!(project(&[("x-api-key", "anything")]).unwrap(), "default");
    assert_eq!(project(&[("x-api-key", &secret)]).unwrap(), "acme");
    assert_eq!(project(&[(PROJECT_HEADER, "a/b")]).unwrap_err(), Refusal::BadProject);
}

#[test]
fn a_session_lives_until_sign_out_or_revocation() {
    let (dir, gate, secret) = gate(AuthMode::Required);
    let cookie_of = |set: &str| set.split(';').next().unwrap().to_owned();
    let (set, _) = gate.sign_in(&secret, true).unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Secure"));
    let first = headers(&[("cookie", &format!("a=b; {}", cookie_of(&set)))]);
    assert!(gate.admit(&first, Scope::Read).is_ok());
    gate.sign_out(&first);
    assert_eq!(gate.admit(&first, Scope::Read).map(drop), Err(Refusal::NoKey));

    let (set, key) = gate.sign_in(&secret, false).unwrap();
    let second = headers(&[("cookie", &cookie_of(&set))]);
    KeyFile::in_folder(dir.path()).revoke(&key.id).unwrap();
    assert_eq!(gate.admit(&second, Scope::Read).map(drop), Err(Refusal::UnknownKey));
}
