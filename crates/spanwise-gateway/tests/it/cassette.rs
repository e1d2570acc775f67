//! Recorded exchanges with real providers. Unit tests read them too.

use std::io::Read as _;
use std::path::Path;

use super::Dialect;

/// One recorded exchange.
pub struct Exchange {
    pub dialect: Dialect,
    #[allow(dead_code, reason = "the unit tests, which share this file, read answers alone")]
    pub request: String,
    pub answer: Vec<u8>,
    pub is_stream: bool,
}

/// All that there are; `None` where they are not beside the clone.
pub fn exchanges() -> Option<Vec<Exchange>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/traces/llm-http-cassettes");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("no recorded exchanges at {}: nothing to check", folder.display());
        return None;
    };
    let mut exchanges = Vec::new();
    for entry in entries {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        exchanges.extend(text.split("\n- request:\n").filter_map(exchange));
    }
    Some(exchanges)
}

/// As much YAML as these files need.
fn exchange(text: &str) -> Option<Exchange> {
    let request = scalar(text, "    body: ")?;
    let uri = text.lines().find_map(|line| line.strip_prefix("    uri: "))?;
    let dialect = [
        ("/chat/completions", Dialect::Chat),
        ("/responses", Dialect::Responses),
        ("/embeddings", Dialect::Embeddings),
        ("/messages", Dialect::Messages),
        (":generateContent", Dialect::Gemini),
    ];
    let dialect = dialect.iter().find(|(path, _)| uri.contains(path))?.1;
    let answer = match text.split_once("      string: !!binary |\n") {
        Some((_, base64)) => {
            let digits: String = base64
                .lines()
                .take_while(|line| line.starts_with("        "))
                .map(str::trim)
                .collect();
            let zipped = spanwise_model::wire::base64::decode(&digits).unwrap();
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(zipped.as_slice()).read_to_end(&mut plain).unwrap();
            plain
        }
        None => scalar(text, "      string: ")?.into_bytes(),
    };
    let is_stream = text.contains("text/event-stream");
    Some(Exchange { dialect, request, answer, is_stream })
}

/// A single-quoted scalar: quotes are doubled, a line break is a space, and an empty line breaks.
fn scalar(text: &str, key: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("{key}'"))?;
    let mut end = 0;
    while !rest[end..].starts_with('\'') || rest[end..].starts_with("''") {
        end +=
            if rest[end..].starts_with("''") { 2 } else { rest[end..].chars().next()?.len_utf8() };
    }
    let mut unfolded = String::new();
    let mut n_empty = 0;
    for (n, line) in rest[..end].replace("''", "'").split('\n').enumerate() {
        let line = if n == 0 { line } else { line.trim_start() };
        if n > 0 && line.is_empty() {
            n_empty += 1;
            continue;
        }
        match (n, n_empty) {
            (0, _) => {}
            (_, 0) => unfolded.push(' '),
            (_, n) => unfolded.extend(std::iter::repeat_n('\n', n)),
        }
        n_empty = 0;
        unfolded.push_str(line);
    }
    unfolded.extend(std::iter::repeat_n('\n', n_empty));
    Some(unfolded)
}
