//! The elements of a JSON array as slices of its text, without parsing them.
//!
//! A conversation re-sends its history with every turn; to show its last message there is no need
//! to parse all that went before.

use memchr::memrchr;

/// The elements of a JSON array, last first. The text is trusted to be JSON: of other text the
/// slices are arbitrary, and parsing them is what fails.
pub fn from_the_end(text: &str) -> impl Iterator<Item = &str> {
    let inner = text.trim().strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let mut rest = inner.filter(|inner| !inner.trim().is_empty());
    std::iter::from_fn(move || {
        let text = rest?;
        let start = last_element(text.as_bytes());
        rest = start.checked_sub(1).and_then(|comma| text.get(..comma));
        text.get(start..).map(str::trim)
    })
}

/// The last elements of a JSON array that together are no longer than a limit, last first.
pub fn within(text: &str, limit_bytes: usize) -> impl Iterator<Item = &str> {
    let mut n_bytes = 0;
    from_the_end(text).take_while(move |element| {
        n_bytes += element.len();
        n_bytes <= limit_bytes
    })
}

/// Where the last element starts: after the last comma that is in no string, object or array.
fn last_element(bytes: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut end = bytes.len();
    while end > 0 {
        let at = end - 1;
        end = at;
        match bytes[at] {
            b'"' => end = string_start(&bytes[..at]),
            b'}' | b']' => depth += 1,
            b'{' | b'[' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    0
}

/// Where a string starts, given all that stands before its closing quote. A quote inside it is
/// escaped: an odd number of backslashes stands before it.
fn string_start(bytes: &[u8]) -> usize {
    let mut bytes = bytes;
    while let Some(quote) = memrchr(b'"', bytes) {
        let n_backslashes = bytes[..quote].iter().rev().take_while(|&&b| b == b'\\').count();
        if n_backslashes % 2 == 0 {
            return quote;
        }
        bytes = &bytes[..quote];
    }
    0
}

/// The elements of a JSON array that may be cut off, first first; the last one only if it is whole.
pub fn whole_elements(text: &str) -> Vec<&str> {
    let text = text.trim_start();
    let Some(inner) = text.strip_prefix('[') else { return Vec::new() };
    let (mut elements, mut start) = (Vec::new(), 0);
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in inner.bytes().enumerate() {
        if in_string {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b',' | b']' if depth == 0 => {
                elements.push(inner[start..at].trim());
                start = at + 1;
                if byte == b']' {
                    break;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    elements
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;

    #[test]
    fn commas_and_brackets_in_strings_do_not_count() {
        let text = r#" [ {"a":"],[\"}"}, "x,\\", [1,2] ,3 ] "#;
        let elements: Vec<&str> = from_the_end(text).collect();
        assert_eq!(elements, ["3", "[1,2]", r#""x,\\""#, r#"{"a":"],[\"}"}"#]);
        assert_eq!(whole_elements(text).into_iter().rev().collect::<Vec<_>>(), elements);
    }

    #[test]
    fn no_array_has_no_elements() {
        for text in ["", "[]", "{}", "[ ]", "[1", "x", "]["] {
            assert_eq!(from_the_end(text).count(), 0, "{text}");
        }
    }

    #[test]
    fn an_array_that_is_cut_off_keeps_its_whole_elements() {
        assert_eq!(whole_elements(r#"[{"a":1},{"b":2},{"c":"#), [r#"{"a":1}"#, r#"{"b":2}"#]);
    }

    proptest! {
        #[test]
        fn elements_are_those_of_a_parser(strings in proptest::collection::vec(".*", 0..8)) {
            let array = Json::from(strings);
            let text = array.to_string();
            let mut parsed: Vec<Json> =
                from_the_end(&text).map(|e| serde_json::from_str(e).unwrap()).collect();
            parsed.reverse();
            prop_assert_eq!(Json::from(parsed), array);
        }

        #[test]
        fn hostile_text_does_not_panic(text in "[\\[\\]{}\",\\\\é ]*") {
            from_the_end(&text).for_each(drop);
            whole_elements(&text);
        }
    }
}
