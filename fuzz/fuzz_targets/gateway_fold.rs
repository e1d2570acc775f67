//! Answers of models, whole and in events: never a panic, counts that fit into each other, and
//! messages that are JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spanwise_gateway::dialect::Dialect;
use spanwise_gateway::fold::{Answer, Capture, Ending, Fold};

fn check(answer: Answer) {
    let usage = answer.usage;
    let fits = |part: Option<u64>, whole: Option<u64>| match (part, whole) {
        (Some(part), Some(whole)) => part <= whole,
        _ => true,
    };
    assert!(fits(usage.cache_read, usage.input) && fits(usage.cache_write, usage.input));
    assert!(fits(usage.reasoning, usage.output));
    assert!(answer.finish_reasons.len() <= answer.n_choices.max(1));
    if let Some(messages) = answer.output_messages {
        let messages: Vec<serde_json::Value> =
            serde_json::from_str(&messages).expect("messages are an array");
        assert!(messages.len() <= answer.n_choices);
    }
}

fuzz_target!(|input: (u16, &[u8])| {
    let (status, input) = input;
    for dialect in Dialect::ALL {
        for capture in [Capture::NOTHING, Capture { max_bytes: 256 }] {
            let mut fold = Fold::new(dialect, false, capture);
            fold.body(status, input);
            check(fold.finish(Ending::Closed));
            // A line is an event: its name, if it has one, then a space, then its data.
            let mut fold = Fold::new(dialect, true, capture);
            for line in input.split(|&byte| byte == b'\n') {
                let space = line.iter().position(|&byte| byte == b' ').unwrap_or(0);
                let name = std::str::from_utf8(&line[..space]).ok();
                fold.event(name.filter(|name| !name.is_empty()), &line[space..]);
            }
            check(fold.finish(Ending::Broken));
        }
    }
});
