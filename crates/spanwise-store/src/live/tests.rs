use spanwise_model::Str;

use super::*;
use crate::query::sample::plain_span;

const MARK: BodyMark = BodyMark { hash: 0, received_unix_nano: 1 };

impl Writer {
    /// Takes a batch without spans that run.
    pub(crate) fn insert(
        &mut self,
        sequence: u64,
        body: BodyMark,
        rows: Vec<Arc<StoredSpan>>,
    ) -> Vec<Arc<StoredSpan>> {
        let arrival = self.sort_out(rows, &Running::default(), |_| false);
        self.publish(&arrival);
        self.took(sequence, body);
        arrival.taken
    }
}

fn rows(spans: Vec<StoredSpan>) -> Vec<Arc<StoredSpan>> {
    spans.into_iter().map(Arc::new).collect()
}

fn log_event(trace: u64, span: u64, name: &str, at: u64) -> StoredSpan {
    StoredSpan { role: RowRole::LogEvent, ..plain_span(trace, span, name, at) }
}

fn names(view: &View) -> Vec<Str> {
    view.iter().map(|row| row.span.name.clone()).collect()
}

#[test]
fn a_view_does_not_change_while_spans_arrive() {
    let mut writer = Writer::new(0);
    writer.insert(0, MARK, rows(vec![plain_span(1, 1, "a", 10), plain_span(1, 2, "b", 20)]));
    let before = View::of(&[Arc::clone(writer.active())], Arc::default());
    writer.insert(1, MARK, rows(vec![plain_span(1, 3, "c", 30), plain_span(2, 1, "d", 30)]));
    let id = plain_span(1, 1, "", 0).span.trace_id;
    assert_eq!((before.len(), before.trace("default", id).count()), (2, 2));
    let after = View::of(&[Arc::clone(writer.active())], Arc::default());
    assert_eq!((after.len(), after.trace("default", id).count()), (4, 3));
    assert_eq!(after.trace("other", id).count(), 0);
    assert_eq!(names(&after), ["a", "b", "c", "d"]);
    let newest_first: Vec<_> = after.iter().rev().map(|row| row.span.name.clone()).collect();
    assert_eq!(newest_first, ["d", "c", "b", "a"]);
}

#[test]
fn the_same_span_is_taken_once_and_another_with_its_ids_is_kept_with_a_warning() {
    let mut writer = Writer::new(0);
    let insert = |writer: &mut Writer, name| {
        let taken = writer.insert(0, MARK, rows(vec![plain_span(1, 1, name, 10)]));
        taken.iter().map(|row| row.warnings.len()).collect::<Vec<_>>()
    };
    assert_eq!(insert(&mut writer, "a"), [0]);
    assert_eq!(insert(&mut writer, "a"), [0; 0]);
    assert_eq!(insert(&mut writer, "b"), [1]);
    assert_eq!(insert(&mut writer, "b"), [0; 0]);
    assert_eq!(insert(&mut writer, "a"), [0; 0]);
    let mut elsewhere = plain_span(1, 1, "a", 10);
    elsewhere.project = "other".into();
    assert_eq!(writer.insert(0, MARK, rows(vec![elsewhere])).len(), 1);
}

#[test]
fn a_generation_is_sealed_when_old_or_when_quiet_and_large() {
    let second = 1_000_000_000;
    let seal_after = Duration::from_secs(30);
    let mark = |at: u64| BodyMark { hash: 0, received_unix_nano: at * second };
    let mut writer = Writer::new(0);
    assert!(!writer.active().is_due(100 * second, seal_after));
    writer.insert(0, mark(1), rows(vec![plain_span(1, 1, "small", 10)]));
    assert!(!writer.active().is_due(30 * second, seal_after));
    assert!(writer.active().is_due(31 * second, seal_after));
    let mut large = plain_span(1, 2, "large", 10);
    large.span.attributes.push("input", "x".repeat(QUIET_BYTES));
    writer.insert(1, mark(3), rows(vec![large]));
    assert!(!writer.active().is_due(7 * second, seal_after));
    assert!(writer.active().is_due(8 * second, seal_after));
}

#[test]
fn duplicates_are_found_while_a_generation_is_sealed_but_not_after() {
    let mut writer = Writer::new(0);
    let span = || rows(vec![plain_span(1, 1, "a", 10)]);
    writer.insert(0, MARK, span());
    let (closed, _) = writer.rotate();
    assert_eq!((closed.end_sequence, closed.bodies.len()), (1, 1));
    assert!(writer.insert(1, MARK, span()).is_empty());
    writer.forget(closed.generation.number());
    assert_eq!(writer.insert(2, MARK, span()).len(), 1);
}

#[test]
fn log_records_of_one_span_are_no_duplicates_of_each_other() {
    let mut writer = Writer::new(0);
    let mut same_moment = log_event(1, 1, "gen_ai.choice", 10);
    same_moment.span.attributes.push("index", 1);
    let events = vec![
        plain_span(1, 1, "chat", 5),
        log_event(1, 1, "gen_ai.choice", 10),
        log_event(1, 1, "gen_ai.choice", 11),
        same_moment,
        log_event(1, 1, "gen_ai.choice", 10),
    ];
    let taken = writer.insert(0, MARK, rows(events));
    assert_eq!(taken.len(), 4);
    assert!(taken.iter().all(|row| row.warnings.is_empty()));
}

/// Looking for duplicates must not slow down with the size of a trace.
#[test]
fn a_trace_of_200_000_spans_is_taken() {
    let mut writer = Writer::new(0);
    for batch in 0..100_u64 {
        let spans = (0..2000).map(|at| plain_span(1, batch * 2000 + at + 1, "s", at)).collect();
        writer.insert(batch, MARK, rows(spans));
    }
    let view = View::of(&[Arc::clone(writer.active())], Arc::default());
    let id = plain_span(1, 1, "", 0).span.trace_id;
    assert_eq!(view.trace("default", id).count(), 200_000);
    assert!(writer.active().bytes() > 200_000 * size_of::<StoredSpan>());
}

/// Many spans with the same ids must not be compared each with each.
#[test]
fn very_many_spans_with_the_same_ids_are_taken() {
    let mut writer = Writer::new(0);
    let spans = (0..50_000).map(|at| plain_span(1, 1, "s", at)).collect();
    assert_eq!(writer.insert(0, MARK, rows(spans)).len(), 50_000);
}
