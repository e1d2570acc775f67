//! Recorded exchanges with real providers, read where they lie.

use super::*;
use crate::scan::scan;

#[path = "../../../tests/it/cassette.rs"]
mod cassette;

use cassette::{Exchange, exchanges};

#[test]
fn recorded_answers_are_understood() {
    let Some(exchanges) = exchanges() else { return };
    assert!(exchanges.len() >= 7, "{} exchanges", exchanges.len());
    for Exchange { dialect, request, answer, is_stream } in exchanges {
        let facts = scan(dialect, request.as_bytes()).unwrap();
        if dialect != Dialect::Gemini {
            assert!(facts.model.is_some(), "{request}");
            assert_eq!(facts.stream, is_stream);
        }
        assert!(facts.messages.is_some());
        let content = request_content(dialect, &facts, request.as_bytes(), ALL);
        assert!(content.input_messages.is_some() && !content.is_cut, "{request}");

        let framing = is_stream.then_some(Framing::Sse);
        let case = Case { path: PathBuf::new(), dialect, framing, status: 200, input: answer };
        let (seen, answer) = read(&case, ALL, [case.input.as_slice()]);
        let shown = show(&seen, &answer);
        assert!(answer.response_model.is_some(), "{shown}");
        assert!(
            answer.error.is_none() && !answer.ended_early && !answer.is_inconsistent,
            "{shown}"
        );
        // The recorded chat stream had not been asked for its usage.
        assert_eq!(answer.usage.is_known(), !(is_stream && dialect == Dialect::Chat), "{shown}");
        if dialect == Dialect::Embeddings {
            assert_eq!(answer.dimensions, Some(1536));
        } else {
            assert_eq!(answer.finish_reasons.len(), 1, "{shown}");
            assert!(answer.output_messages.is_some(), "{shown}");
        }
        if is_stream {
            check_cuts(&case, &(seen, answer));
        }
    }
}
