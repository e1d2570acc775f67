//! Every route, with every sort of wrong key.

use hyper::{Method, Request, StatusCode};
use prost::Message;
use spanwise_server::auth::keys::{KeyFile, Scope};

use crate::harness::{
    Answer, JSON, PROTOBUF, Server, frame, request, send, span, trace_hex, with_headers,
};

const REQUIRED: &str = "auth: required";

/// Everything that reads, with the status that a good key gets.
fn reading_routes() -> Vec<(Method, String, u16)> {
    let trace = format!("/api/v1/traces/{}", trace_hex(0));
    let get = |path: &str, status| (Method::GET, path.to_owned(), status);
    vec![
        get("/api/v1/traces", 200),
        get(&trace, 200),
        get(&format!("{trace}?format=otlp"), 200),
        get(&format!("{trace}?view=outline"), 200),
        get(&format!("{trace}/spans/bb00000000000001"), 200),
        get("/api/v1/spans", 200),
        get("/api/v1/fields", 200),
        get("/api/v1/fields/service/values", 200),
        get("/api/v1/stats", 200),
        get("/api/v1/ingest/problems", 200),
        get("/api/v1/info", 200),
        get("/api/v1/no/such/thing", 404),
        get("/metrics", 200),
        (Method::POST, "/api/v1/traces".to_owned(), 405),
        (Method::DELETE, trace, 405),
    ]
}

async fn ask(server: &Server, method: &Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = with_headers(Request::builder().method(method).uri(path), headers);
    send(server.api, request.body(bytes::Bytes::new()).unwrap()).await
}

#[tokio::test]
async fn no_route_opens_to_a_wrong_key() {
    let server = Server::with(REQUIRED).await;
    let keys = KeyFile::in_folder(&server.data_dir());
    let good = keys.create("good", "acme", vec![Scope::Ingest, Scope::Read]).unwrap();
    let ingest = keys.create("ingest", "acme", vec![Scope::Ingest]).unwrap();
    let revoked = keys.create("revoked", "acme", vec![Scope::Read]).unwrap();
    keys.revoke(&keys.list().unwrap()[2].id).unwrap();
    let body = request(vec![span(0, 0)]).encode_to_vec();
    let key = ("x-api-key", good.as_str());
    assert_eq!(server.post("/v1/traces", &[PROTOBUF, key], body).await.status, StatusCode::OK);

    for (method, path, status) in reading_routes() {
        let with = |headers: Vec<(&'static str, String)>| {
            let (server, method, path) = (&server, &method, &path);
            async move {
                let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
                ask(server, method, path, &headers).await.status.as_u16()
            }
        };
        let bearer = |key: &str| vec![("authorization", format!("Bearer {key}"))];
        assert_eq!(with(vec![]).await, 401, "{method} {path} without a key");
        assert_eq!(with(bearer("sw-wrong")).await, 401, "{method} {path} with a wrong key");
        assert_eq!(with(bearer(&revoked)).await, 401, "{method} {path} with a revoked key");
        assert_eq!(with(bearer(&ingest)).await, 403, "{method} {path} with an ingest key");
        let mut other = bearer(&good);
        other.push(("spanwise-project", "other".to_owned()));
        assert_eq!(with(other).await, 403, "{method} {path} for another project");
        assert_eq!(with(bearer(&good)).await, status, "{method} {path} with a good key");
    }
    for path in ["/healthz", "/readyz", "/api/v1/session"] {
        assert_eq!(server.get(path).await.status, StatusCode::OK, "{path} is open");
    }
    assert_eq!(server.get("/api/v1/live").await.status, 401);
}

#[tokio::test]
async fn a_key_sees_its_own_project_only() {
    let server = Server::with(REQUIRED).await;
    let keys = KeyFile::in_folder(&server.data_dir());
    let both = vec![Scope::Ingest, Scope::Read];
    let mine = keys.create("mine", "mine", both.clone()).unwrap();
    let other = keys.create("other", "other", both).unwrap();
    let body = request(vec![span(0, 0)]).encode_to_vec();
    let sent = server.post("/v1/traces", &[PROTOBUF, ("x-api-key", &mine)], body).await;
    assert_eq!(sent.status, StatusCode::OK);
    let trace = format!("/api/v1/traces/{}", trace_hex(0));
    for (path, empty) in [
        ("/api/v1/traces", "traces"),
        ("/api/v1/spans", "spans"),
        ("/api/v1/fields/service/values", "values"),
    ] {
        let seen = |key: String| {
            let server = &server;
            async move {
                let answer = server.get_with(path, &[("x-api-key", &key)]).await.json();
                answer[empty].as_array().unwrap().len()
            }
        };
        assert_eq!(seen(mine.clone()).await, 1, "{path}");
        assert_eq!(seen(other.clone()).await, 0, "{path}");
    }
    assert_eq!(server.get_with(&trace, &[("x-api-key", &mine)]).await.status, 200);
    assert_eq!(server.get_with(&trace, &[("x-api-key", &other)]).await.status, 404);
    let one = format!("{trace}/spans/bb00000000000001");
    assert_eq!(server.get_with(&one, &[("x-api-key", &other)]).await.status, 404);
}

#[tokio::test]
async fn receivers_ask_for_an_ingest_key() {
    let server = Server::with(REQUIRED).await;
    let keys = KeyFile::in_folder(&server.data_dir());
    let read = keys.create("read", "acme", vec![Scope::Read]).unwrap();
    let ingest = keys.create("ingest", "acme", vec![Scope::Ingest]).unwrap();
    let body = request(vec![span(0, 0)]).encode_to_vec();
    for path in ["/v1/traces", "/v1/logs", "/v1/metrics"] {
        for (key, status) in [("", 401), ("sw-wrong", 401), (read.as_str(), 403)] {
            let answer = server.post(path, &[PROTOBUF, ("x-api-key", key)], body.clone()).await;
            assert_eq!(answer.status.as_u16(), status, "{path} with `{key}`");
        }
        let answer = server.post(path, &[JSON, ("x-spanwise-api-key", &ingest)], "{}").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
    for (key, code) in [("", 16), ("sw-wrong", 16), (read.as_str(), 7), (ingest.as_str(), 0)] {
        let authorization = format!("Bearer {key}");
        let call = server.export(&[("authorization", &authorization)], frame(false, &body)).await;
        assert_eq!(call.code(), code, "{call:?}");
    }
    let sample = |key: String| {
        let server = &server;
        async move { ask(server, &Method::POST, "/api/v1/sample", &[("x-api-key", &key)]).await.status }
    };
    assert_eq!(sample(read.clone()).await, 403);
    assert_eq!(sample(ingest.clone()).await, 403);
    assert_eq!(sample("sw-wrong".to_owned()).await, 401);
}

#[tokio::test]
async fn the_ui_signs_in_with_a_cookie() {
    let server = Server::with(REQUIRED).await;
    let keys = KeyFile::in_folder(&server.data_dir());
    let read = keys.create("read", "acme", vec![Scope::Read]).unwrap();
    let ingest = keys.create("ingest", "acme", vec![Scope::Ingest]).unwrap();
    let sign_in = |body: String| {
        let post = Request::post("/api/v1/session").header("content-type", "application/json");
        send(server.api, post.body(body.into()).unwrap())
    };
    assert_eq!(sign_in("{\"key\": \"sw-wrong\"}".into()).await.status, 401);
    assert_eq!(sign_in(format!("{{\"key\": \"{ingest}\"}}")).await.status, 403);
    assert_eq!(sign_in("nonsense".into()).await.status, 400);
    let answer = sign_in(format!("{{\"key\": \"{read}\"}}")).await;
    assert_eq!(answer.status, StatusCode::OK);
    let set = answer.header("set-cookie").to_owned();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"), "{set}");
    let cookie = set.split(';').next().unwrap().to_owned();
    let signed_in = [("cookie", cookie.as_str())];
    assert_eq!(server.get_with("/api/v1/traces", &signed_in).await.status, 200);
    let session = server.get_with("/api/v1/session", &signed_in).await.json();
    assert_eq!((&session["signed_in"], &session["project"]), (&true.into(), &"acme".into()));
    assert!(!session.to_string().contains("sha256"), "{session}");
    assert_eq!(server.get("/api/v1/session").await.json()["signed_in"], false);
    assert_eq!(ask(&server, &Method::DELETE, "/api/v1/session", &signed_in).await.status, 204);
    assert_eq!(server.get_with("/api/v1/traces", &signed_in).await.status, 401);
}

#[tokio::test]
async fn without_authentication_projects_are_named_by_a_header() {
    let server = Server::start().await;
    let body = request(vec![span(0, 0)]).encode_to_vec();
    let blue = ("spanwise-project", "blue");
    assert_eq!(server.post("/v1/traces", &[PROTOBUF, blue], body.clone()).await.status, 200);
    let trace = format!("/api/v1/traces/{}", trace_hex(0));
    assert_eq!(server.get(&trace).await.status, 404);
    assert_eq!(server.get_with(&trace, &[blue]).await.json()["project"], "blue");
    let bad = ("spanwise-project", "../blue");
    assert_eq!(server.post("/v1/traces", &[PROTOBUF, bad], body).await.status, 400);
}

#[tokio::test]
async fn pages_of_other_sites_and_foreign_host_names_are_refused() {
    let server = Server::start().await;
    let refused = [
        [("host", "evil.example")].as_slice(),
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
    ];
    for headers in refused {
        let answer = server.get_with("/api/v1/traces", headers).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
        assert_eq!(answer.json()["error"]["code"], "forbidden");
    }
    let allowed = [("host", "localhost:4319"), ("origin", "http://localhost:4319")];
    assert_eq!(server.get_with("/api/v1/traces", &allowed).await.status, StatusCode::OK);
}
