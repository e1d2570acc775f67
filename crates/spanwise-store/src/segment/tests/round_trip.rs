use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type, UInt8Type, UInt32Type, UInt64Type};
use proptest::prelude::*;
use spanwise_model::summary::{SpanBrief, summarize};
use spanwise_model::{Attributes, StoredSpan, Value};

use super::spans::{arbitrary, simple, trace_id};
use super::{comparable, written};
use crate::query::Detail;
use crate::segment::{Rows, SegmentError, StringColumn, TraceColumn, schema};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_span_comes_back_as_it_was(spans in arbitrary(0..40)) {
        let written = written(&spans);
        let segment = &written.segment;
        segment.verify().unwrap();
        let all = segment.stored_spans(Rows::Range(0..spans.len() as u32), Detail::Full).unwrap();
        prop_assert_eq!(comparable(all), comparable(spans.clone()));
        let mut traces: BTreeMap<_, Vec<StoredSpan>> = BTreeMap::new();
        for stored in spans {
            let trace = (stored.project.clone(), stored.span.trace_id);
            traces.entry(trace).or_default().push(stored);
        }
        prop_assert_eq!(segment.meta().n_traces as usize, traces.len());
        for ((project, id), expected) in traces {
            let found = segment.trace(&project, id, Detail::Full).unwrap();
            prop_assert!(found.is_sorted_by_key(|stored| stored.span.start_time_unix_nano));
            prop_assert_eq!(comparable(found), comparable(expected));
        }
    }

    #[test]
    fn attributes_read_as_columns_are_those_of_the_spans(
        spans in arbitrary(1..40),
        key in prop_oneof![Just("http.method"), Just("input.value"), Just("a"), Just("b"), Just("")],
    ) {
        let written = written(&spans);
        let segment = &written.segment;
        let rows: Vec<u32> = (0..spans.len() as u32).filter(|row| row % 3 != 1).collect();
        let columns = segment.attribute(key, Rows::Sorted(&rows)).unwrap();
        let stored = segment.stored_spans(Rows::Sorted(&rows), Detail::Full).unwrap();
        let strings = columns.strings.as_ref().and_then(StringColumn::new);
        for (at, stored) in stored.iter().enumerate() {
            let value = stored.span.attributes.get(key);
            let text = strings.as_ref().and_then(|column| column.value(at));
            prop_assert_eq!(text, value.and_then(Value::as_str));
            let ints = columns.ints.as_ref().map(AsArray::as_primitive::<Int64Type>);
            let int = ints.filter(|a| a.is_valid(at)).map(|a| Value::Int(a.value(at)));
            prop_assert_eq!(int.as_ref(), value.filter(|v| matches!(v, Value::Int(_))));
            let doubles = columns.doubles.as_ref().map(AsArray::as_primitive::<Float64Type>);
            let double = doubles.filter(|a| a.is_valid(at)).map(|a| a.value(at).to_bits());
            let expected = match value { Some(Value::Double(d)) => Some(d.to_bits()), _ => None };
            prop_assert_eq!(double, expected);
        }
    }

    #[test]
    fn promoted_columns_are_those_of_the_spans(spans in arbitrary(1..30)) {
        let written = written(&spans);
        let segment = &written.segment;
        let rows = || Rows::Range(0..spans.len() as u32);
        let wanted = [schema::START, schema::NAME, schema::STATUS, schema::MODEL, schema::TRACE, schema::IS_ERROR, "s.none"];
        let batch = segment.columns(rows(), &wanted).unwrap();
        prop_assert_eq!(batch.num_columns(), 6);
        let column = |name| batch.column_by_name(name).unwrap();
        let names = StringColumn::new(column(schema::NAME)).unwrap();
        let models = StringColumn::new(column(schema::MODEL)).unwrap();
        let stored = segment.stored_spans(rows(), Detail::Outline).unwrap();
        for (at, stored) in stored.iter().enumerate() {
            let start = column(schema::START).as_primitive::<UInt64Type>().value(at);
            prop_assert_eq!(start, stored.span.start_time_unix_nano);
            let status = column(schema::STATUS).as_primitive::<UInt8Type>().value(at);
            prop_assert_eq!(status, stored.span.status.code as u8);
            let is_error = column(schema::IS_ERROR).as_boolean().value(at);
            prop_assert_eq!(is_error, stored.span.is_error());
            prop_assert_eq!(names.value(at), Some(&*stored.span.name));
            let model = Some(&**stored.facts.model()).filter(|model| !model.is_empty());
            prop_assert_eq!(models.value(at), model);
            let ordinal = column(schema::TRACE).as_primitive::<UInt32Type>().value(at);
            prop_assert!(segment.trace_rows(ordinal).unwrap().contains(&(at as u32)));
            let found = segment.trace_ordinal(&stored.project, stored.span.trace_id).unwrap();
            prop_assert_eq!(found, Some(ordinal));
        }
    }

    #[test]
    fn summaries_are_those_of_the_spans(spans in arbitrary(1..30)) {
        let written = written(&spans);
        let segment = &written.segment;
        let ordinals: Vec<u32> = (0..segment.meta().n_traces).rev().collect();
        let summaries = segment.summaries(&ordinals).unwrap();
        let starts = segment.trace_column(TraceColumn::Start).unwrap();
        prop_assert!(starts.is_sorted());
        for (summary, ordinal) in summaries.iter().zip(ordinals) {
            let rows = Rows::Range(segment.trace_rows(ordinal).unwrap());
            let stored = segment.stored_spans(rows, Detail::Outline).unwrap();
            let briefs: Vec<SpanBrief<'_>> = stored.iter().map(SpanBrief::from).collect();
            let expected = summarize(stored[0].project.clone(), stored[0].span.trace_id, &briefs);
            prop_assert_eq!(summary, &expected);
        }
    }
}

#[test]
fn one_trace_id_in_two_projects_is_two_traces() {
    let mut other = simple("other", 7, 2, 50);
    other.span.name = "secret".into();
    let written = written(&[simple("default", 7, 1, 100), other]);
    let trace = |project| written.segment.trace(project, trace_id(7), Detail::Full).unwrap();
    assert_eq!(trace("default").len(), 1);
    assert_eq!(trace("default")[0].span.name, "work");
    assert_eq!(trace("other")[0].span.name, "secret");
    assert!(trace("third").is_empty());
    assert_eq!(written.segment.trace("default", trace_id(8), Detail::Full).unwrap(), []);
}

#[test]
fn every_one_of_many_traces_is_found() {
    let spans: Vec<_> = (0..5000).map(|n| simple("default", n * 7, n, 1000 + n)).collect();
    let written = written(&spans);
    for stored in &spans {
        let found =
            written.segment.trace("default", stored.span.trace_id, Detail::Outline).unwrap();
        assert_eq!(found, std::slice::from_ref(stored));
    }
}

#[test]
fn a_trace_of_200_000_spans_is_one_trace() {
    let spans: Vec<_> = (0..200_000).map(|n| simple("default", 1, n, 1000 + n)).collect();
    let written = written(&spans);
    let meta = written.segment.meta();
    assert_eq!((meta.n_traces, meta.n_rows, meta.row_groups.len()), (1, 200_000, 2));
    assert_eq!(written.segment.trace("default", trace_id(1), Detail::Full).unwrap().len(), 200_000);
    assert_eq!(written.segment.summaries(&[0]).unwrap()[0].span_count, 200_000);
    let rows = [5, 6, 131_071, 131_072, 199_999];
    let batch = written.segment.columns(Rows::Sorted(&rows), &[schema::START]).unwrap();
    let starts = batch.column(0).as_primitive::<UInt64Type>();
    assert_eq!(starts.values(), &rows.map(|row| 1000 + u64::from(row)));
    let across = written.segment.columns(Rows::Range(131_070..131_074), &[schema::START]).unwrap();
    assert_eq!(across.num_rows(), 4);
}

#[test]
fn corruption_is_noticed_in_every_file() {
    let spans: Vec<_> = (0..300)
        .map(|n| {
            let mut stored = simple("default", n, n, n);
            stored.span.attributes = Attributes::default();
            stored.span.attributes.push("input.value", "a long text ".repeat(10 + n as usize));
            stored
        })
        .collect();
    let written = written(&spans);
    let meta = written.segment.meta().clone();
    for file in &meta.files {
        let path = written.segment.dir().join(&file.name);
        let good = std::fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        let segment = super::Segment::open(written.segment.dir(), meta.clone()).unwrap();
        assert!(
            matches!(segment.verify(), Err(SegmentError::Corrupt { .. })),
            "{} differs unnoticed",
            file.name
        );
        std::fs::write(&path, &good[..good.len() - 1]).unwrap();
        let opened = super::Segment::open(written.segment.dir(), meta.clone());
        let noticed = opened.and_then(|segment| segment.fields()).is_err();
        assert!(noticed, "{} is shorter unnoticed", file.name);
        std::fs::write(&path, &good).unwrap();
    }
    assert!(written.dir.path().exists());
}
