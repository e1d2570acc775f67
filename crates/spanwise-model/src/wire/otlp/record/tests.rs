use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::propagate::TraceState;
use crate::wire::otlp::decode_traces;
use crate::{Attributes, Event, Link, Span, Status, Str};

fn context(trace_state: &[u8]) -> SpanContext {
    SpanContext {
        trace_id: TraceId::from_bytes(&[7; 16]).unwrap(),
        span_id: SpanId::from_bytes(&[8; 8]).unwrap(),
        flags: TraceFlags::from_bits(3),
        trace_state: TraceState::parse(trace_state).unwrap(),
    }
}

fn put_attributes(owner: Owner, attributes: &Attributes) -> Vec<u8> {
    let mut out = Vec::new();
    for one in attributes {
        put_attribute(&mut out, owner, &one.key, ValueRef::from(&one.value));
    }
    out
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let value = prop_oneof![
        ".{0,300}".prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e300..1e300).prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|b| Value::Bytes(Bytes::from(b))),
        prop::collection::vec(any::<i64>().prop_map(Value::from), 0..40).prop_map(Value::Array),
    ];
    prop::collection::vec((".{1,200}", value), 0..6).prop_map(|all| all.into_iter().collect())
}

proptest! {
    #[test]
    fn what_is_written_in_pieces_is_read_as_the_span_it_was(
        own in attributes(),
        of_event in attributes(),
        of_link in attributes(),
        name in ".{0,200}",
        message in ".{0,20}",
        times in any::<(u64, u64)>(),
        is_root in any::<bool>(),
    ) {
        let (context, linked) = (context(b"a=1,b=2"), context(b""));
        let (mut events, mut links) = (Vec::new(), Vec::new());
        put_event(&mut events, 5, "exception", &put_attributes(Owner::Event, &of_event), 2);
        put_link(&mut links, &linked, true, &put_attributes(Owner::Link, &of_link), 3);
        let parent = (!is_root).then_some(linked.span_id);
        let mut span = Vec::new();
        put_span(&mut span, &SpanParts {
            trace_id: context.trace_id,
            span_id: context.span_id,
            flags: context.flags,
            trace_state: context.trace_state.as_str(),
            parent,
            parent_is_remote: !is_root,
            name: &name,
            kind: Kind::Client,
            start_time_unix_nano: times.0,
            end_time_unix_nano: times.1,
            attributes: &put_attributes(Owner::Span, &own),
            dropped_attributes_count: 1,
            events: &events,
            dropped_events_count: 0,
            links: &links,
            dropped_links_count: 300,
            status: StatusCode::Error,
            status_message: &message,
        });
        let (origin, library) = (Resource::default(), Scope::default());
        let mut request = Vec::new();
        put_request(&mut request, &origin, [(&library, [span.as_slice()])]);

        let decoded = decode_traces(request.into()).unwrap();
        let event = Event {
            time_unix_nano: 5,
            name: Str::from_static("exception"),
            attributes: of_event,
            dropped_attributes_count: 2,
        };
        let link = Link {
            trace_id: linked.trace_id,
            span_id: linked.span_id,
            trace_state: Str::new(),
            attributes: of_link,
            dropped_attributes_count: 3,
            flags: 0x303,
        };
        let expected = Span {
            trace_id: context.trace_id,
            span_id: context.span_id,
            parent_span_id: parent,
            trace_state: context.trace_state.to_str(),
            flags: if is_root { 0x103 } else { 0x303 },
            name: name.into(),
            kind: Kind::Client,
            start_time_unix_nano: times.0,
            end_time_unix_nano: times.1,
            attributes: own,
            dropped_attributes_count: 1,
            events: vec![event],
            dropped_events_count: 0,
            links: vec![link],
            dropped_links_count: 300,
            status: Status { code: StatusCode::Error, message: message.into() },
            resource: Arc::new(origin),
            scope: Arc::new(library),
        };
        prop_assert_eq!(decoded.spans, vec![expected]);
    }

    #[test]
    fn a_short_varint_is_one(number in any::<u64>(), bits in 0_u32..64) {
        let number = number >> bits;
        let (bytes, length) = varint(number);
        match short_varint(number) {
            Some((word, short)) => prop_assert_eq!(&word.to_le_bytes()[..short], &bytes[..length]),
            None => prop_assert!(length > 8),
        }
    }

    #[test]
    fn the_key_of_a_written_attribute_can_be_read(key in ".{1,300}", text in ".{0,300}") {
        let mut out = Vec::new();
        put_attribute(&mut out, Owner::Span, &key, ValueRef::String(&text));
        prop_assert_eq!(key_of(&out), Some(key.as_bytes()));
    }
}
