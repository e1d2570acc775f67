//! Requests to models: what is accepted is JSON, and edits change only what they must.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use spanwise_gateway::dialect::Dialect;
use spanwise_gateway::fold::{Capture, request_content};
use spanwise_gateway::scan::{Edits, rewrite, scan};

fuzz_target!(|body: &[u8]| {
    for dialect in Dialect::ALL {
        let Ok(facts) = scan(dialect, body) else { continue };
        let content = request_content(dialect, &facts, body, Capture { max_bytes: 1 << 16 });
        for json in [content.input_messages, content.system_instructions, content.tool_definitions]
        {
            if let Some(json) = json {
                serde_json::from_str::<Vec<Value>>(&json).expect("content is an array");
            }
        }
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        deserializer.disable_recursion_limit();
        let Ok(mut tree) =
            serde::Deserialize::deserialize(&mut deserializer).map(|it: Map<_, _>| it)
        else {
            // Numbers may be too large for a tree, which is no fault of theirs.
            continue;
        };
        let edits = Edits { model: Some("edited"), include_usage: facts.lacks_usage() };
        let edited = rewrite(&body.to_vec().into(), &facts, &edits);
        let again = scan(dialect, &edited).expect("an edited body can be read");
        assert!(!again.lacks_usage());
        let mut deserializer = serde_json::Deserializer::from_slice(&edited);
        deserializer.disable_recursion_limit();
        let mut edited: Map<String, Value> =
            serde::Deserialize::deserialize(&mut deserializer).expect("an edited body is JSON");
        if !matches!(dialect, Dialect::Gemini | Dialect::Converse) {
            assert_eq!(edited["model"], "edited");
        }
        for name in ["model", "stream_options"] {
            edited.remove(name);
            tree.remove(name);
        }
        assert_eq!(edited, tree);
    }
});
