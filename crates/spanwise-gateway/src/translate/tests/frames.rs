//! Cutting streams into frames, as plainly as can be.

use crate::dialect::Dialect;

/// The frames of a stream: their events' names and their data.
pub fn frames(dialect: Dialect, stream: &[u8]) -> Vec<(Option<String>, Vec<u8>)> {
    match dialect {
        Dialect::Converse => amazon(stream),
        Dialect::Ollama => stream
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| (None, line.to_vec()))
            .collect(),
        _ => server_sent(std::str::from_utf8(stream).unwrap()),
    }
}

fn server_sent(stream: &str) -> Vec<(Option<String>, Vec<u8>)> {
    let stream = stream.replace("\r\n", "\n");
    let frames = stream.split_terminator("\n\n").map(|frame| {
        let mut event = None;
        let mut data = Vec::new();
        for line in frame.lines() {
            match line.split_once(": ").unwrap() {
                ("event", name) => event = Some(name.to_owned()),
                ("data", more) => data.extend_from_slice(more.as_bytes()),
                other => panic!("{other:?}"),
            }
        }
        (event, data)
    });
    frames.collect()
}

fn amazon(mut stream: &[u8]) -> Vec<(Option<String>, Vec<u8>)> {
    let mut frames = Vec::new();
    while !stream.is_empty() {
        let number =
            |at: usize| u32::from_be_bytes(stream[at..at + 4].try_into().unwrap()) as usize;
        let (total, headers) = (number(0), number(4));
        let name = &stream[12..12 + headers];
        let length = usize::from(u16::from_be_bytes(
            name[2 + usize::from(name[0])..][..2].try_into().unwrap(),
        ));
        let value = &name[4 + usize::from(name[0])..][..length];
        frames.push((
            Some(String::from_utf8(value.to_vec()).unwrap()),
            stream[12 + headers..total - 4].to_vec(),
        ));
        stream = &stream[total..];
    }
    frames
}
