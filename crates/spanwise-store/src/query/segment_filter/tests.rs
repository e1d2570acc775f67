use proptest::prelude::*;
use spanwise_model::StoredSpan;

use super::*;
use crate::query::parser::parse;
use crate::query::{Detail, sample};
use crate::segment::index_text;

/// Whether the row evaluator says what the columns say, for every row of a segment.
fn check(segment: &Segment, filter: &Filter) -> Result<(), TestCaseError> {
    let n_rows = segment.meta().n_rows;
    let rows = segment.stored_spans(Rows::Range(0..n_rows), Detail::Full).unwrap();
    for project in ["default", "other", "third"] {
        let prepared = SegmentFilter::new(segment, project, filter).unwrap();
        let spans = prepared.select(0..n_rows, Wanted::Spans).unwrap();
        let half = prepared.select(n_rows / 2..n_rows, Wanted::Spans).unwrap();
        prop_assert_eq!(&half, &spans.slice((n_rows / 2) as usize, half.len()));
        for (at, row) in rows.iter().enumerate() {
            let is_log_of = |log: &&StoredSpan| {
                log.role == RowRole::LogEvent
                    && log.span.trace_id == row.span.trace_id
                    && log.span.span_id == row.span.span_id
                    && log.project == row.project
            };
            let logs: Vec<&StoredSpan> = rows.iter().filter(is_log_of).collect();
            let expected = row.role == RowRole::Span
                && *row.project == *project
                && filter.matches_with_logs(row, &logs);
            prop_assert_eq!(spans.value(at), expected, "{} on {:?}", filter, row);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn columns_and_rows_give_the_same_answer(
        rows in prop::collection::vec(sample::arbitrary_span(), 1..40),
        filters in prop::collection::vec(sample::arbitrary_filter(), 8),
        indexed in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let segment = sample::sealed(&dir.path().join("segment"), &rows);
        if indexed {
            index_text(&segment).unwrap();
        }
        for filter in &filters {
            check(&segment, filter)?;
        }
    }
}

#[test]
fn row_groups_without_a_chance_are_skipped() {
    let group = RowGroup {
        first_row: 0,
        n_rows: 10,
        min_start: 0,
        max_start: 5,
        max_duration: 1_000_000,
        has_errors: false,
        max_cost: None,
    };
    for search in ["duration:>1ms", "status:error", "error:true", "cost:>0", "a AND status:error"] {
        assert!(!may_match(&parse(search).unwrap(), &group), "{search}");
    }
    for search in ["duration:>=1ms", "status:e*,ok", "a OR status:error", "error:false", "a"] {
        assert!(may_match(&parse(search).unwrap(), &group), "{search}");
    }
}
