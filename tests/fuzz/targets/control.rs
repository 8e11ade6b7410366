//! A text frame of a client through the control messages' reader, and the answer to it through a JSON parser.
#![no_main]

use std::collections::BTreeMap;

use bannou_gateway::control::{self, Message};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let (id, answer) = match control::parse(text) {
        Ok(message) => {
            if let Message::Authenticate { token } = &message.what {
                assert!(token.len() <= text.len());
            }
            let answer = control::ok(message.id.as_deref(), &serde_json::json!({}));
            (message.id, answer)
        }
        Err(malformed) => {
            // Of what a client wrote only a bounded part comes back.
            assert!(malformed.detail.len() < 1024);
            let answer = control::error(malformed.id.as_deref(), 400, &malformed.detail, None);
            (malformed.id, answer)
        }
    };
    // Fields as they were written: a number may be a longer one than any type here holds.
    let answer: BTreeMap<String, &RawValue> = serde_json::from_slice(&answer).expect("an answer is a JSON object");
    // The client finds its own id in it, to the letter, or could not match the two.
    assert_eq!(answer.get("id").map(|id| id.get()), id.as_deref().map(RawValue::get));
});
