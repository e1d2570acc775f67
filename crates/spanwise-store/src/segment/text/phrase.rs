//! Phrases whose last word may go on, found exactly however many words that stands for.

use tantivy::postings::{Postings, SegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, InvertedIndexReader};

/// A document with the positions where the phrase may begin in it.
struct Candidate {
    document: u32,
    starts: Vec<u32>,
}

/// The documents that have `words`, two or more, one after the other.
pub(super) fn documents(
    index: &InvertedIndexReader,
    words: &[String],
    is_prefix: bool,
) -> std::io::Result<Vec<u32>> {
    let n_whole = if is_prefix { words.len() - 1 } else { words.len() };
    let mut whole: Vec<(u32, TermInfo)> = Vec::with_capacity(n_whole);
    for (offset, word) in (0..).zip(&words[..n_whole]) {
        match index.terms().get(word.as_bytes())? {
            Some(term) => whole.push((offset, term)),
            None => return Ok(Vec::new()),
        }
    }
    // The rarest first: the others are then looked at in few documents.
    whole.sort_by_key(|(_, term)| term.doc_freq);
    let mut candidates = None;
    for (offset, term) in &whole {
        let postings = positions_of(index, term)?;
        candidates = Some(match candidates {
            None => all(postings, *offset),
            Some(candidates) => followed(candidates, postings, *offset),
        });
    }
    let candidates = candidates.unwrap_or_default();
    if is_prefix {
        return continued(index, &candidates, &words[n_whole], n_whole as u32);
    }
    Ok(candidates.into_iter().map(|candidate| candidate.document).collect())
}

fn positions_of(index: &InvertedIndexReader, term: &TermInfo) -> std::io::Result<SegmentPostings> {
    index.read_postings_from_terminfo(term, IndexRecordOption::WithFreqsAndPositions)
}

/// Every document of a word that is at `offset` of the phrase.
fn all(mut postings: SegmentPostings, offset: u32) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    let mut positions = Vec::new();
    while postings.doc() != tantivy::TERMINATED {
        postings.positions(&mut positions);
        let starts = positions.iter().filter_map(|position| position.checked_sub(offset)).collect();
        candidates.push(Candidate { document: postings.doc(), starts });
        postings.advance();
    }
    candidates
}

/// The candidates that also have the word of `postings`, at `offset` of the phrase.
fn followed(
    candidates: Vec<Candidate>,
    mut postings: SegmentPostings,
    offset: u32,
) -> Vec<Candidate> {
    let mut positions = Vec::new();
    let has_word = |mut candidate: Candidate| {
        seek(&mut postings, candidate.document, &mut positions);
        candidate.starts.retain(|start| positions.binary_search(&(start + offset)).is_ok());
        (!candidate.starts.is_empty()).then_some(candidate)
    };
    candidates.into_iter().filter_map(has_word).collect()
}

/// The positions of a word in a document; none if it does not have the word.
fn seek(postings: &mut SegmentPostings, document: u32, positions: &mut Vec<u32>) {
    positions.clear();
    if postings.doc() < document {
        postings.seek(document);
    }
    if postings.doc() == document {
        postings.positions(positions);
    }
}

/// The candidates that go on with a word that begins with `prefix`.
fn continued(
    index: &InvertedIndexReader,
    candidates: &[Candidate],
    prefix: &str,
    offset: u32,
) -> std::io::Result<Vec<u32>> {
    let mut is_found = vec![false; candidates.len()];
    let mut positions = Vec::new();
    let mut terms = index.terms().range().ge(prefix.as_bytes()).into_stream()?;
    while !candidates.is_empty() && terms.advance() && terms.key().starts_with(prefix.as_bytes()) {
        let mut postings = positions_of(index, terms.value())?;
        for (candidate, is_found) in candidates.iter().zip(&mut is_found) {
            if !*is_found {
                seek(&mut postings, candidate.document, &mut positions);
                let follows = |start: &u32| positions.binary_search(&(start + offset)).is_ok();
                *is_found = candidate.starts.iter().any(follows);
            }
        }
    }
    let found = candidates.iter().zip(is_found).filter(|(_, is_found)| *is_found);
    Ok(found.map(|(candidate, _)| candidate.document).collect())
}
