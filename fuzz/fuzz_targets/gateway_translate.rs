//! Translation between all dialects: never a panic, and what comes out is JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use spanwise_gateway::dialect::Dialect;
use spanwise_gateway::translate::{Ending, Stamp, error, request};

const STAMP: Stamp<'_> = Stamp { id: "made", model: "model", created: 1 };

/// A request that every dialect understands well enough, for the reply it leads to.
const HELLO: &[u8] = br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

fuzz_target!(|input: &[u8]| {
    // Half a surrogate pair goes through as it came, which the grammar allows and strings do not.
    let is_json = |bytes: &[u8]| serde_json::from_slice::<&RawValue>(bytes).is_ok();
    for from in Dialect::ALL {
        for to in Dialect::ALL {
            if let Ok(translated) = request(from, to, input, "claude-sonnet-4-5", false) {
                assert!(is_json(&translated.body));
            }
        }
        assert!(is_json(&error(from, 500, input).1.body));
        let Ok(translated) = request(Dialect::Chat, from, HELLO, "model", true) else { continue };
        for client in Dialect::ALL {
            let mut reply = translated.reply.clone();
            reply.client = client;
            if let Ok(answer) = reply.answer(input, &STAMP) {
                assert!(is_json(&answer));
            }
            // A line is a frame: its event's name, if it has one, then a space, then its data.
            let mut stream = reply.stream(&STAMP);
            for line in input.split(|&byte| byte == b'\n') {
                let space = line.iter().position(|&byte| byte == b' ').unwrap_or(0);
                let name = std::str::from_utf8(&line[..space]).ok();
                stream.frame(name.filter(|name| !name.is_empty()), &line[space..]);
            }
            stream.finish(Ending::Closed);
            assert!(stream.has_ended());
        }
    }
});
