//! Finding text without an index: every text of every row is looked at.

use super::super::chunk::TextKind;
use super::super::row::{Found, RowView};
use super::super::{Segment, SegmentError};
use super::Matcher;
use crate::query::TextQuery;

/// What is known of a text that many rows share.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Unknown,
    Matches,
    Differs,
}

/// Shared texts by number, each tried when a row first refers to it.
struct Verdicts(Vec<Verdict>);

impl Verdicts {
    fn new(n_texts: usize) -> Self {
        Verdicts(vec![Verdict::Unknown; n_texts])
    }

    /// What is known of a text; `None` if there is no such text.
    fn get(
        &mut self,
        number: u32,
        test: impl FnOnce() -> Result<bool, SegmentError>,
    ) -> Result<Option<bool>, SegmentError> {
        let Some(verdict) = self.0.get_mut(number as usize) else { return Ok(None) };
        if *verdict == Verdict::Unknown {
            *verdict = if test()? { Verdict::Matches } else { Verdict::Differs };
        }
        Ok(Some(*verdict == Verdict::Matches))
    }
}

/// The rows whose recorded text matches, ascending.
pub(super) fn rows(segment: &Segment, query: &TextQuery) -> Result<Vec<u32>, SegmentError> {
    let matcher = Matcher::new(query);
    let names = segment.names()?;
    let mut name_verdicts = Verdicts::new(names.len());
    let mut text_verdicts = Verdicts::new(segment.texts.len()? as usize);
    let mut rows = segment.rows.cursor();
    let mut texts = segment.texts.cursor();
    let mut matching = Vec::new();
    for row in 0..segment.meta().n_rows {
        let bytes = rows.get(row)?;
        let mut found = |found: Found<'_>| match found {
            Found::Text(text) => Ok(Some(matcher.matches(text))),
            Found::Name(number) => {
                name_verdicts.get(number, || Ok(matcher.matches(&names[number as usize])))
            }
            Found::Piece(number) => text_verdicts.get(number, || {
                let entry = texts.get(number)?;
                let (kind, text) = piece(segment, &entry)?;
                Ok(match kind {
                    TextKind::Plain => matcher.matches_plain(text),
                    TextKind::Json => matcher.matches_json_piece(text),
                    TextKind::Binary => false,
                })
            }),
        };
        let mut outcome = Ok(false);
        let walked = RowView::new(&bytes).and_then(|view| {
            view.texts(&mut |text| {
                if matches!(outcome, Ok(false)) {
                    outcome = found(text)
                        .and_then(|v| v.ok_or_else(|| segment.rows.corrupt("no such text")));
                }
            })
        });
        walked.map_err(|malformed| segment.rows.corrupt(format!("row {row}: {malformed}")))?;
        if outcome? {
            matching.push(row);
        }
    }
    Ok(matching)
}

/// An entry of `texts.bin`; binary ones have no text.
pub(super) fn piece<'e>(
    segment: &Segment,
    entry: &'e [u8],
) -> Result<(TextKind, &'e str), SegmentError> {
    let (&kind, content) =
        entry.split_first().ok_or_else(|| segment.texts.corrupt("text without a kind"))?;
    let kind = TextKind::from_number(kind)
        .ok_or_else(|| segment.texts.corrupt(format!("unknown kind {kind} of text")))?;
    if kind == TextKind::Binary {
        return Ok((kind, ""));
    }
    let text = std::str::from_utf8(content).map_err(|error| segment.texts.corrupt(error))?;
    Ok((kind, text))
}
