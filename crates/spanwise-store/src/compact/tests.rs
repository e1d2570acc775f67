use super::*;

pub(crate) fn meta(n_rows: u32) -> Meta {
    Meta {
        format: segment::FORMAT_VERSION,
        level: 0,
        n_rows,
        n_spans: n_rows,
        n_traces: 1,
        min_start: 0,
        max_start: 0,
        max_end: 0,
        max_received: 0,
        bytes: u64::from(n_rows) * 300,
        projects: vec!["default".into()],
        row_groups: vec![],
        files: vec![],
    }
}

fn check(rows: &[u32], expected: Option<&[usize]>) {
    let metas: Vec<_> = rows.iter().map(|&n_rows| meta(n_rows)).collect();
    assert_eq!(plan(&metas.iter().collect::<Vec<_>>(), None).as_deref(), expected, "{rows:?}");
}

#[test]
fn few_segments_are_left_alone() {
    check(&[], None);
    check(&[65_536; 7], None);
    check(&[4_000_000; 20], None);
}

#[test]
fn a_full_tier_is_merged_oldest_first() {
    check(&[65_536; 8], Some(&[0, 1, 2, 3, 4, 5, 6, 7]));
    check(
        &[500_000, 65_536, 100, 100, 100, 100, 100, 100, 100, 100],
        Some(&[2, 3, 4, 5, 6, 7, 8, 9]),
    );
}

#[test]
fn few_large_segments_are_merged_when_they_make_a_full_one() {
    check(&[600_000, 600_000, 600_000], None);
    check(&[600_000, 600_000, 600_000, 600_000], Some(&[0, 1, 2, 3]));
}

#[test]
fn no_merge_is_larger_than_a_segment_may_be() {
    check(&[1_000_000; 8], Some(&[0, 1, 2, 3]));
}

#[test]
fn days_stay_apart_so_that_retention_can_drop_them() {
    let day = |day: u64| Meta { max_received: day * 1000 + 5, ..meta(100) };
    let metas: Vec<_> = (0..16).map(|at| day(at / 8)).collect();
    let metas: Vec<_> = metas.iter().collect();
    assert_eq!(plan(&metas, Some(1000)), Some((0..8).collect()));
    assert_eq!(plan(&metas[4..12], Some(1000)), None);
}

/// Merging a steady stream of sealed segments keeps their number and the rewriting low.
#[test]
fn a_stream_of_seals_stays_few_segments() {
    let mut segments: Vec<Meta> = vec![];
    let (mut most, mut rewritten) = (0, 0);
    for _ in 0..160 {
        segments.push(meta(65_536));
        while let Some(chosen) = plan(&segments.iter().collect::<Vec<_>>(), None) {
            let n_rows = chosen.iter().map(|&at| segments[at].n_rows).sum();
            rewritten += u64::from(n_rows);
            chosen.iter().rev().for_each(|&at| drop(segments.remove(at)));
            segments.insert(chosen[0], meta(n_rows));
        }
        most = most.max(segments.len());
    }
    assert!(most <= 20, "{most} segments");
    assert!(rewritten <= 2 * 160 * 65_536, "{rewritten} rows rewritten");
}
