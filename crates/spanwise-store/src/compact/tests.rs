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
        keeps_running: false,
        projects: vec!["default".into()],
        row_groups: vec![],
        files: vec![],
    }
}

fn check(rows: &[u32], expected: Option<&[usize]>) {
    let metas: Vec<_> = rows.iter().map(|&n_rows| meta(n_rows)).collect();
    assert_eq!(inputs(&metas, None).as_deref(), expected, "{rows:?}");
}

fn inputs(metas: &[Meta], window_ns: Option<u64>) -> Option<Vec<usize>> {
    plan(&metas.iter().collect::<Vec<_>>(), window_ns).map(|plan| plan.inputs)
}

/// Merges as a plan says. Returns how many rows were written.
fn merge_once(segments: &mut Vec<Meta>) -> Option<u32> {
    let chosen = inputs(segments, None)?;
    let n_rows = chosen.iter().map(|&at| segments[at].n_rows).sum();
    let bytes = chosen.iter().map(|&at| segments[at].bytes).sum();
    chosen.iter().rev().for_each(|&at| drop(segments.remove(at)));
    segments.insert(chosen[0], Meta { bytes, ..meta(n_rows) });
    Some(n_rows)
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
    assert_eq!(inputs(&metas, Some(1000)), Some((0..8).collect()));
    assert_eq!(inputs(&metas[4..12], Some(1000)), None);
}

/// Old spans that are sent late lie between the others in the order of their starts.
#[test]
fn segments_of_one_day_are_merged_wherever_they_lie() {
    let metas = (0..16).map(|at| Meta { max_received: at % 2 * 1000, ..meta(100) });
    let even = (0..16).step_by(2).collect();
    assert_eq!(inputs(&metas.collect::<Vec<_>>(), Some(1000)), Some(even));
}

/// Few rows can be many bytes: two such segments must not stand in the way of all later ones.
#[test]
fn what_is_large_in_bytes_is_large() {
    let heavy = Meta { bytes: 3 << 30, ..meta(100) };
    let metas = [vec![heavy; 2], vec![meta(100); 8]].concat();
    assert_eq!(inputs(&metas, None), Some((2..10).collect()));
}

#[test]
fn where_most_wait_is_merged_first() {
    check(&[&[65_536; 9][..], &[100; 8][..]].concat(), Some(&[0, 1, 2, 3, 4, 5, 6, 7, 8]));
}

/// Merging a steady stream of sealed segments keeps their number and the rewriting low.
#[test]
fn a_stream_of_seals_stays_few_segments() {
    let mut segments: Vec<Meta> = vec![];
    let (mut most, mut rewritten) = (0, 0);
    for _ in 0..160 {
        segments.push(meta(65_536));
        while let Some(n_rows) = merge_once(&mut segments) {
            rewritten += u64::from(n_rows);
        }
        most = most.max(segments.len());
    }
    assert!(most <= 20, "{most} segments");
    assert!(rewritten <= 2 * 160 * 65_536, "{rewritten} rows rewritten");
}

/// However many seals there is time for during one merge, and however large their segments are.
#[test]
fn a_writer_that_never_pauses_does_not_pile_up_segments() {
    for (n_rows, bytes) in [(1, 4000), (100, 30_000), (65_536, 20 << 20), (128, 128 << 20)] {
        for seals_per_merge in [1, 10, 100] {
            let mut segments: Vec<Meta> = vec![];
            let mut most = 0;
            for _ in 0..4000 / seals_per_merge {
                for _ in 0..seals_per_merge {
                    let plan = plan(&segments.iter().collect::<Vec<_>>(), None);
                    if plan.is_none_or(|plan| plan.n_waiting < FULL) {
                        segments.push(Meta { bytes, ..meta(n_rows) });
                    }
                }
                merge_once(&mut segments);
                let small = segments.iter().filter(|meta| tier_of(meta).is_some()).count();
                most = most.max(small);
            }
            assert!(most <= TIERS.len() * FULL, "{most} segments of {n_rows} rows");
        }
    }
}
