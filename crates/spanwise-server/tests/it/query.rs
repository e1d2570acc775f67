//! The query API: shapes, pages, parameters and their mistakes, the UI's files.

use hyper::StatusCode;
use prost::Message;
use serde_json::{Value as Json, json};

use crate::harness::{PROTOBUF, Server, number, request, send, span, span_id, text, trace_hex};

#[tokio::test]
async fn a_trace_in_all_its_shapes() {
    let server = Server::start().await;
    let mut call = span(0, 1);
    call.attributes = vec![
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.request.model", "gpt-4o"),
        text("gen_ai.provider.name", "openai"),
    ];
    server.take(&request(vec![span(0, 0), call])).await;
    let path = format!("/api/v1/traces/{}", trace_hex(0));

    let full = server.get(&path).await.json();
    assert_eq!(full["trace_id"], trace_hex(0));
    assert_eq!((&full["root_name"], &full["root_service"]), (&json!("step 0"), &json!("shop")));
    assert_eq!(full["span_count"], 2);
    assert!(full["start_time_unix_nano"].is_string() && full["duration_ns"].is_string());
    assert_eq!(full["models"], json!(["gpt-4o"]));
    assert!(full["diagnostics"].is_array());
    let by_name = |name: &str| -> Json {
        let spans = full["spans"].as_array().unwrap();
        spans.iter().find(|span| span["name"] == name).unwrap().clone()
    };
    let (root, call) = (by_name("step 0"), by_name("step 1"));
    assert_eq!(root["attributes"], json!({"color": "blue"}));
    assert_eq!(root["resource"], json!({"service.name": "shop"}));
    assert_eq!(root["status"], json!({"code": "unset", "message": null}));
    assert_eq!((&root["parent_span_id"], &root["kind"]), (&Json::Null, &json!("internal")));
    assert!(root.get("llm").is_none(), "an ordinary span has no llm");
    assert_eq!(call["llm"]["operation"], "chat");
    assert_eq!(call["llm"]["usage"]["input"], Json::Null, "unknown is null, not 0");

    let outline = server.get(&format!("{path}?view=outline")).await.json();
    assert_eq!(outline["spans"].as_array().unwrap().len(), 2);
    assert!(outline["spans"][0].get("attributes").is_none());
    let one = server.get(&format!("{path}/spans/{}", crate::harness::hex(&span_id(1)))).await;
    assert_eq!(one.json(), call);

    let otlp = server.get(&format!("{path}?format=otlp")).await.json();
    let spans = &otlp["resourceSpans"][0]["scopeSpans"][0]["spans"];
    assert_eq!(spans[0]["traceId"], trace_hex(0));
    assert_eq!(spans[0]["startTimeUnixNano"], root["start_time_unix_nano"]);
    assert_eq!(spans[0]["attributes"], json!([{"key": "color", "value": {"stringValue": "blue"}}]));
}

#[tokio::test]
async fn a_running_span_is_shown_until_it_ends_also_after_a_restart() {
    let server = Server::start().await;
    let (mut root, mut call) = (span(0, 0), span(0, 1));
    let ends = [root.end_time_unix_nano, call.end_time_unix_nano];
    (root.end_time_unix_nano, call.end_time_unix_nano) = (0, 0);
    server.take(&request(vec![root.clone(), call.clone()])).await;
    let path = format!("/api/v1/traces/{}?view=outline", trace_hex(0));
    let outline = server.get(&path).await.json();
    assert_eq!((&outline["complete"], &outline["span_count"]), (&json!(false), &json!(2)));
    for span in outline["spans"].as_array().unwrap() {
        assert_eq!((&span["running"], &span["duration_ns"]), (&json!(true), &json!("0")));
        assert!(span["received_unix_nano"].is_string(), "{span}");
    }
    let problems = server.get("/api/v1/ingest/problems").await.json();
    assert_eq!(problems["problems"], json!([]), "running is no fault");

    let server = Server::in_folder(server.stop().await, "").await;
    [root.end_time_unix_nano, call.end_time_unix_nano] = ends;
    server.take(&request(vec![call])).await;
    let outline = server.get(&path).await.json();
    assert_eq!((&outline["complete"], &outline["span_count"]), (&json!(false), &json!(2)));
    server.take(&request(vec![root])).await;
    let outline = server.get(&path).await.json();
    assert_eq!((&outline["complete"], &outline["span_count"]), (&json!(true), &json!(2)));
    assert!(outline["spans"].as_array().unwrap().iter().all(|span| span.get("running").is_none()));
    let hits = server.get("/api/v1/spans").await.json();
    assert_eq!(hits["spans"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = Server::start().await;
    server.take(&request(vec![span(0, 0)])).await;
    let trace = format!("/api/v1/traces/{}", trace_hex(0));
    for (path, status, code) in [
        (format!("/api/v1/traces/{}", trace_hex(9)), 404, "not_found"),
        (format!("{trace}/spans/bb000000000000ff"), 404, "not_found"),
        ("/api/v1/traces/xyz".to_owned(), 400, "bad_trace_id"),
        (format!("{trace}/spans/xyz"), 400, "bad_span_id"),
        (format!("/api/v1/traces/{}", "0".repeat(32)), 400, "bad_trace_id"),
        (format!("{trace}?format=pdf"), 400, "bad_format"),
        (format!("{trace}?view=sideways"), 400, "bad_view"),
        ("/api/v1/nothing".to_owned(), 404, "not_found"),
        ("/api/v1/traces?limit=1001".to_owned(), 400, "bad_limit"),
        ("/api/v1/traces?sort=color".to_owned(), 400, "bad_sort"),
        ("/api/v1/traces?from=soon".to_owned(), 400, "bad_time"),
        ("/api/v1/traces?cursor=nonsense".to_owned(), 400, "bad_cursor"),
        ("/api/v1/traces?q=duration:%3E".to_owned(), 400, "bad_query"),
        ("/api/v1/spans?q=(a".to_owned(), 400, "bad_query"),
        ("/api/v1/stats?measure=beauty".to_owned(), 400, "bad_measure"),
        ("/api/v1/stats?bucket=1us".to_owned(), 400, "bad_bucket"),
    ] {
        let answer = server.get(&path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {answer:?}");
        let error = &answer.json()["error"];
        assert_eq!(error["code"], code, "{path}");
        assert!(!error["message"].as_str().unwrap().is_empty(), "{path}");
        assert_eq!(error.get("position").is_some(), code == "bad_query", "{path}: {error}");
    }
}

#[tokio::test]
async fn lists_go_page_by_page() {
    let server = Server::start().await;
    let roots = (0..25).map(|trace| span(trace, 0)).collect();
    server.take(&request(roots)).await;
    for (path, rows) in [("/api/v1/traces", "traces"), ("/api/v1/spans", "spans")] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = server.get(&format!("{path}?limit=10&cursor={cursor}")).await.json();
            let ids = page[rows].as_array().unwrap().iter().map(|row| row["trace_id"].to_string());
            seen.extend(ids);
            match page["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        let newest_first: Vec<_> =
            (0..25).rev().map(|trace| json!(trace_hex(trace)).to_string()).collect();
        assert_eq!(seen, newest_first, "{path}");
    }
}

/// What `llm` says in a whole span and not in an outline.
const CONTENT: [&str; 13] = [
    "error",
    "parameters",
    "system",
    "input_messages",
    "output_messages",
    "tool_definitions",
    "tool",
    "documents",
    "input_value",
    "output_value",
    "raw_finish_reasons",
    "dialects",
    "sources",
];

#[tokio::test]
async fn every_shape_of_a_span_says_the_same() {
    let server = Server::start().await;
    let mut failed = span(0, 0);
    failed.attributes.push(text("error", "true"));
    failed.attributes.push(text("gen_ai.operation.name", "chat"));
    failed.attributes.push(text("gen_ai.request.model", "gpt-4o"));
    failed.attributes.push(number("gen_ai.usage.output_tokens", 7));
    failed.attributes.push(text("gen_ai.conversation.id", "one"));
    server.take(&request(vec![failed])).await;
    let trace = format!("/api/v1/traces/{}", trace_hex(0));
    let whole = server.get(&trace).await.json()["spans"][0].take();
    let outline = server.get(&format!("{trace}?view=outline")).await.json()["spans"][0].take();
    let id = whole["span_id"].as_str().unwrap();
    assert_eq!(server.get(&format!("{trace}/spans/{id}")).await.json(), whole);
    assert!(outline.get("attributes").is_none(), "{outline}");
    for (key, value) in outline.as_object().unwrap() {
        if key != "llm" {
            assert_eq!(&whole[key], value, "{key}");
        }
    }
    let mut facts = whole["llm"].clone();
    let is_known = |value: &Json| !value.is_null() && *value != json!([]);
    facts
        .as_object_mut()
        .unwrap()
        .retain(|key, value| is_known(value) && !CONTENT.contains(&key.as_str()));
    facts["usage"].as_object_mut().unwrap().retain(|_, tokens| is_known(tokens));
    assert_eq!(outline["llm"], facts);
    assert_eq!(facts["conversation_id"], "one");
    let hit = server.get("/api/v1/spans").await.json()["spans"][0].take();
    assert_eq!(whole["status"]["code"], "unset");
    for key in ["span_id", "parent_span_id", "name", "kind", "service", "duration_ns", "is_error"] {
        assert_eq!(hit[key], whole[key], "{key}");
    }
    assert_eq!(hit["is_error"], true);
}

#[tokio::test]
async fn filters_times_and_orders() {
    let server = Server::start().await;
    let mut slow = span(1, 0);
    slow.end_time_unix_nano += 5_000_000_000;
    let mut old = span(2, 0);
    old.start_time_unix_nano -= 7_200_000_000_000;
    old.end_time_unix_nano -= 7_200_000_000_000;
    server.take(&request(vec![span(0, 0), slow, old])).await;
    let ids = |query: &'static str| {
        let server = &server;
        async move {
            let page = server.get(&format!("/api/v1/traces?{query}")).await.json();
            let traces = page["traces"].as_array().unwrap_or_else(|| panic!("{page}"));
            let ids = traces.iter().map(|trace| trace["trace_id"].as_str().unwrap().to_owned());
            ids.collect::<Vec<_>>()
        }
    };
    let of = |traces: &[u8]| traces.iter().map(|trace| trace_hex(*trace)).collect::<Vec<_>>();
    assert_eq!(ids("").await, of(&[1, 0, 2]));
    assert_eq!(ids("from=-1h").await, of(&[1, 0]));
    assert_eq!(ids("to=-1h").await, of(&[2]));
    assert_eq!(ids("q=duration:%3E2s").await, of(&[1]));
    assert_eq!(ids("q=service:shop%20color:blue").await.len(), 3);
    assert_eq!(ids("q=service:none").await, of(&[]));
    assert_eq!(ids("sort=-duration&limit=1").await, of(&[1]));
}

#[tokio::test]
async fn fields_values_and_stats() {
    let server = Server::start().await;
    let mut failed = span(1, 0);
    failed.status =
        Some(opentelemetry_proto::tonic::trace::v1::Status { code: 2, message: "no".to_owned() });
    server.take(&request(vec![span(0, 0), span(0, 1), failed])).await;

    let fields = server.get("/api/v1/fields").await.json();
    let names: Vec<_> = fields["fields"].as_array().unwrap().iter().map(|f| &f["name"]).collect();
    assert!(names.contains(&&json!("service")) && names.contains(&&json!("color")), "{names:?}");
    let values = server.get("/api/v1/fields/color/values?prefix=bl").await.json();
    assert_eq!(values["values"], json!([{"value": "blue", "count": 3}]));

    let stats = server.get("/api/v1/stats?measure=count,errors&group_by=service").await.json();
    assert_eq!(stats["series"][0]["group"], "shop");
    let point = &stats["series"][0]["points"][0];
    assert_eq!((&point["count"], &point["errors"]), (&json!(3), &json!(1)), "{stats}");
    let buckets = server.get("/api/v1/stats?from=-10m&bucket=1m").await.json();
    assert_eq!(buckets["bucket_ns"], "60000000000");
}

#[tokio::test]
async fn a_span_is_visible_once_it_is_acknowledged_and_after_a_restart() {
    let server = Server::start().await;
    let gzipped = crate::harness::gzip(&request(vec![span(1, 0)]).encode_to_vec());
    server.take(&request(vec![span(0, 0)])).await;
    let headers = [PROTOBUF, ("content-encoding", "gzip")];
    assert_eq!(server.post("/v1/traces", &headers, gzipped).await.status, StatusCode::OK);
    let before: Vec<_> = traces(&server).await;
    assert_eq!(before.len(), 2);
    let dir = server.stop().await;
    let server = Server::in_folder(dir, "").await;
    assert_eq!(traces(&server).await, before);
}

async fn traces(server: &Server) -> Vec<Json> {
    server.get("/api/v1/traces").await.json()["traces"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_large_trace_comes_whole() {
    let server = Server::start().await;
    let spans = (0..20_000_u32).map(|n| {
        let mut span = span(0, 0);
        span.span_id = [vec![7; 4], n.to_be_bytes().to_vec()].concat();
        span.parent_span_id = vec![9; 8];
        span
    });
    server.take(&request(spans.collect())).await;
    for view in ["full", "outline"] {
        let trace = server.get(&format!("/api/v1/traces/{}?view={view}", trace_hex(0))).await;
        assert_eq!(trace.json()["spans"].as_array().unwrap().len(), 20_000, "{view}");
    }
}

#[tokio::test]
async fn the_ui_is_served_for_every_page_but_not_for_missing_scripts() {
    let server = Server::start().await;
    for path in ["/", "/traces", "/traces/some-id?tab=1"] {
        let page = server.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
        assert!(page.header("content-security-policy").contains("default-src 'self'"));
        let etag = page.header("etag");
        if !etag.is_empty() {
            let again = server.get_with(path, &[("if-none-match", etag)]).await;
            assert_eq!(again.status, StatusCode::NOT_MODIFIED);
        }
    }
    assert_eq!(server.get("/assets/missing.js").await.status, StatusCode::NOT_FOUND);
    assert_eq!(server.get("/healthz").await.text(), "ok\n");
    assert_eq!(server.get("/readyz").await.text(), "ready\n");
}

#[tokio::test]
async fn sample_data_loads_and_info_tells_where_to_send() {
    let server = Server::start().await;
    let post = hyper::Request::post("/api/v1/sample").body(bytes::Bytes::new()).unwrap();
    let answer = send(server.api, post).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert!(!traces(&server).await.is_empty());
    let info = server.get("/api/v1/info").await.json();
    assert_eq!(info["addresses"]["otlp-grpc"], format!("http://{}", server.grpc));
    assert_eq!(info["auth"], "off");
}
