//! Server-sent events.

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use tokio::net::TcpStream;

use crate::harness::{Server, request, span, trace_hex};

/// An open stream of events.
struct Events {
    response: Response<Incoming>,
    text: String,
}

impl Events {
    async fn open(server: &Server, query: &str) -> Events {
        let stream = TcpStream::connect(server.api).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(format!("/api/v1/live?{query}"))
            .header("host", server.api.to_string())
            .body(Empty::<Bytes>::new())
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut events = Events { response, text: String::new() };
        // The first comment says that arrivals are being followed.
        assert!(events.next_block().await.unwrap().starts_with(':'));
        events
    }

    /// The text up to the next empty line; `None` at the end.
    async fn next_block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let frame = self.response.frame().await?.ok()?;
            let data = frame.into_data().ok()?;
            self.text += std::str::from_utf8(&data).unwrap();
        }
    }

    /// The next trace summary.
    async fn next_trace(&mut self) -> Option<Json> {
        loop {
            let block = self.next_block().await?;
            if block.starts_with("event: trace") {
                let data = block.split_once("data: ").unwrap().1;
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }
}

#[tokio::test]
async fn traces_are_told_as_they_arrive_and_grow() {
    let server = Server::start().await;
    let mut events = Events::open(&server, "").await;
    server.take(&request(vec![span(0, 1)])).await;
    let first = events.next_trace().await.unwrap();
    assert_eq!((&first["trace_id"], &first["complete"]), (&trace_hex(0).into(), &false.into()));
    server.take(&request(vec![span(0, 0)])).await;
    let grown = events.next_trace().await.unwrap();
    assert_eq!((&grown["span_count"], &grown["complete"]), (&2.into(), &true.into()));
}

#[tokio::test]
async fn only_what_matches_in_the_own_project_is_told() {
    let server = Server::start().await;
    let mut events = Events::open(&server, "q=name:%22step%205%22").await;
    let body = prost::Message::encode_to_vec(&request(vec![span(3, 5)]));
    let other = [crate::harness::PROTOBUF, ("spanwise-project", "other")];
    server.post("/v1/traces", &other, body).await;
    server.take(&request(vec![span(0, 0)])).await;
    server.take(&request(vec![span(1, 5)])).await;
    assert_eq!(events.next_trace().await.unwrap()["trace_id"], trace_hex(1));
}

#[tokio::test]
async fn a_stopping_server_ends_the_stream() {
    let server = Server::start().await;
    let mut events = Events::open(&server, "").await;
    let (end, _dir) = tokio::join!(events.next_trace(), server.stop());
    assert!(end.is_none());
}

#[tokio::test]
async fn a_wrong_query_is_refused() {
    let server = Server::start().await;
    assert_eq!(server.get("/api/v1/live?q=(").await.json()["error"]["code"], "bad_query");
}
