//! Records orders and sends them wherever the environment says:
//!
//! ```text
//! SPANWISE_ENDPOINT=http://127.0.0.1:4317 cargo run --example export [ORDERS [NOTE_CHARS]]
//! ```
//!
//! Each order carries a note of that many characters.
//! The last line of the output says in JSON what became of them.

use std::error::Error;
use std::time::Duration;

use spanwise::{Config, Start};
use spanwise_model::Kind;

fn main() -> Result<(), Box<dyn Error>> {
    let argument = |position| std::env::args().nth(position).map(|text| text.parse::<usize>());
    let n_orders = argument(1).unwrap_or(Ok(1))?;
    let note = "§".repeat(argument(2).unwrap_or(Ok(0))?);
    let spanwise = spanwise::init(Config::new("rust-shop"))?;
    let mut trace_id = String::new();
    for number in 0..n_orders {
        trace_id = order(number, &note);
    }
    let delivered = spanwise.flush(Duration::from_secs(5));
    let metrics = spanwise.metrics();
    let said = serde_json::json!({
        "trace_id": trace_id,
        "delivered": delivered,
        "exported": metrics.spans_exported,
        "dropped": metrics.spans_dropped,
        "waiting": metrics.queue_size,
    });
    // The application's own output, which exporters leave alone.
    #[expect(clippy::print_stdout, reason = "this is a program")]
    {
        println!("{said}");
    }
    Ok(())
}

/// Two spans; returns the trace's id.
fn order(number: usize, note: &str) -> String {
    let order = spanwise::start(&Start::named("order").kind(Kind::Server)).enter();
    order.set("order.number", i64::try_from(number).unwrap_or_default());
    if !note.is_empty() {
        order.set("order.note", note);
    }
    let mut charge = spanwise::start(&Start::named("charge").kind(Kind::Client));
    charge.set("amount", 12.5).set("items", 3).set("text", "Grüße, 世界 🌍");
    charge.error(&std::io::Error::other("card declined"));
    drop(charge);
    spanwise::current_context().map(|context| context.trace_id.to_string()).unwrap_or_default()
}
