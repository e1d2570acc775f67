//! Traces on a terminal: `spanwise trace`, `spanwise search`, `spanwise tail`.
//!
//! Everything comes from the query API of a running server; nothing is computed twice.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use serde_json::Value as Json;
use spanwise_model::tree::{self, Node};

use crate::client::{Client, ClientError};

/// Why a terminal command failed.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// The server did not answer as hoped.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Standard output went away.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// How answers are printed.
#[derive(Clone, Copy)]
pub struct Style {
    json: bool,
    colour: bool,
}

impl Style {
    /// JSON if asked for; colour if a person is looking.
    pub fn new(json: bool) -> Self {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Style { json, colour }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
}

/// Prints one trace as a tree.
pub fn trace(client: &Client, id: &str, style: Style) -> Result<(), TerminalError> {
    let view = if style.json { "full" } else { "outline" };
    let trace = client.get(&format!("/api/v1/traces/{id}"), &[("view", view)])?;
    let mut out = io::stdout().lock();
    if style.json {
        writeln!(out, "{trace:#}")?;
    } else {
        write!(out, "{}", render_trace(&trace, style))?;
    }
    Ok(())
}

/// Prints the traces that match, newest first.
pub fn search(client: &Client, q: &str, limit: usize, style: Style) -> Result<(), TerminalError> {
    let limit = limit.to_string();
    let found = client.get("/api/v1/traces", &[("q", q), ("limit", &limit)])?;
    let mut out = io::stdout().lock();
    if style.json {
        writeln!(out, "{found:#}")?;
        return Ok(());
    }
    let traces = found["traces"].as_array().map(Vec::as_slice).unwrap_or_default();
    for summary in traces {
        write!(out, "{}", render_summary(summary, style))?;
    }
    if traces.is_empty() {
        writeln!(out, "no trace matches")?;
    } else if !found["next_cursor"].is_null() {
        writeln!(out, "{}", style.dim("more traces match; narrow the search or raise --limit"))?;
    }
    Ok(())
}

/// Prints traces as they arrive, until interrupted.
pub fn tail(client: &Client, q: &str, style: Style) -> Result<(), TerminalError> {
    client.follow("/api/v1/live", &[("q", q)], |summary| {
        let mut out = io::stdout().lock();
        if style.json {
            writeln!(out, "{summary}")?;
        } else {
            write!(out, "{}", render_summary(&summary, style))?;
        }
        out.flush()
    })?;
    Ok(())
}

/// Two lines: what it was, and what went in and came out.
fn render_summary(summary: &Json, style: Style) -> String {
    let mark = mark(summary["status"] == "error", style);
    let mut line = format!(
        "{mark} {}  {}  {}  {}",
        summary["trace_id"].as_str().unwrap_or_default(),
        duration(&summary["duration_ns"]),
        one_line(text(&summary["root_service"]), 40),
        style.paint("1", &one_line(text(&summary["root_name"]), 80)),
    );
    for figure in figures(&summary["total_tokens"], &summary["cost_usd"]) {
        let _ = write!(line, "  {figure}");
    }
    line.push('\n');
    let (input, output) = (text(&summary["input_preview"]), text(&summary["output_preview"]));
    if !input.is_empty() || !output.is_empty() {
        let preview = format!("    {} → {}\n", one_line(input, 60), one_line(output, 60));
        line.push_str(&style.dim(&preview));
    }
    line
}

fn render_trace(trace: &Json, style: Style) -> String {
    let mut out = render_summary(trace, style);
    let spans = trace["spans"].as_array().map(Vec::as_slice).unwrap_or_default();
    let nodes = spans.iter().filter_map(|span| {
        Some(Node {
            span_id: text(&span["span_id"]).parse().ok()?,
            parent_span_id: text(&span["parent_span_id"]).parse().ok(),
            start_time_unix_nano: text(&span["start_time_unix_nano"]).parse().ok()?,
            label: render_span(span, style),
            details: Vec::new(),
        })
    });
    out.push_str(&tree::draw(nodes.collect()));
    for diagnostic in trace["diagnostics"].as_array().into_iter().flatten() {
        let message = one_line(text(&diagnostic["message"]), 300);
        let message = format!("! {}: {message}", text(&diagnostic["kind"]));
        let _ = writeln!(out, "{}", style.paint("33", &message));
    }
    out
}

fn render_span(span: &Json, style: Style) -> String {
    let failed = span["is_error"] == true;
    let llm = &span["llm"];
    let mut line = format!(
        "{} {} {}",
        mark(failed, style),
        style.paint("1", &one_line(text(&span["name"]), 120)),
        style.dim(&duration(&span["duration_ns"])),
    );
    if let Some(operation) = llm["operation"].as_str() {
        let _ = write!(line, " {}", style.paint("36", operation));
    }
    for figure in figures(&llm["usage"]["total"], &llm["cost_usd"]) {
        let _ = write!(line, " {}", style.dim(&figure));
    }
    if failed {
        let message = one_line(text(&span["status"]["message"]), 80);
        let _ = write!(line, " {}", style.paint("31", &message));
    }
    line
}

fn mark(failed: bool, style: Style) -> String {
    if failed { style.paint("31", "✗") } else { style.paint("32", "✓") }
}

fn figures(tokens: &Json, cost: &Json) -> Vec<String> {
    let tokens = tokens.as_u64().map(|tokens| format!("{tokens} tokens"));
    tokens.into_iter().chain(cost.as_f64().map(dollars)).collect()
}

/// Dollars, with two digits that matter below a cent.
fn dollars(amount: f64) -> String {
    if amount == 0.0 || amount.abs() >= 0.01 {
        return format!("${amount:.2}");
    }
    let digits = 2 - amount.abs().log10().ceil() as i32;
    format!("${amount:.*}", digits.clamp(2, 12) as usize)
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}

/// Nanoseconds (a JSON string or number) with three digits that matter.
fn duration(value: &Json) -> String {
    let ns = value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_u64());
    match ns.unwrap_or(0) {
        ns @ 0..1_000 => format!("{ns}ns"),
        ns @ 1_000..1_000_000 => format!("{:.1}µs", ns as f64 / 1e3),
        ns @ 1_000_000..1_000_000_000 => format!("{:.1}ms", ns as f64 / 1e6),
        ns => format!("{:.2}s", ns as f64 / 1e9),
    }
}

/// At most `most` characters of the text, on one line, without control characters: what a span
/// recorded must not steer the terminal.
fn one_line(text: &str, most: usize) -> String {
    let mut line: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect();
    if text.chars().nth(most).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLAIN: Style = Style { json: false, colour: false };

    #[test]
    fn a_trace_is_an_indented_tree() {
        let trace = json!({
            "trace_id": "0af7651916cd43dd8448eb211c80319c", "duration_ns": "1500000000",
            "root_service": "shop", "root_name": "POST /chat", "status": "error",
            "total_tokens": 120, "cost_usd": 0.0021, "input_preview": "hi\nthere",
            "output_preview": "", "diagnostics": [{"kind": "orphan", "message": "a parent is missing"}],
            "spans": [
                {"span_id": "00000000000000a1", "start_time_unix_nano": "1", "name": "POST /chat",
                 "duration_ns": "1500000000", "is_error": true,
                 "status": {"code": "error", "message": "\u{1b}[2Jgone"}},
                {"span_id": "00000000000000a2", "parent_span_id": "00000000000000a1",
                 "start_time_unix_nano": "2", "name": "chat gpt-4o", "duration_ns": "900000000",
                 "is_error": false, "status": {"code": "unset"},
                 "llm": {"operation": "chat", "usage": {"total": 120}, "cost_usd": 0.0021}},
            ],
        });
        assert_eq!(
            render_trace(&trace, PLAIN),
            "✗ 0af7651916cd43dd8448eb211c80319c  1.50s  shop  POST /chat  120 tokens  $0.0021\n    \
             hi there → \n\
             ✗ POST /chat 1.50s  [2Jgone\n  ✓ chat gpt-4o 900.0ms chat 120 tokens $0.0021\n\
             ! orphan: a parent is missing\n"
        );
    }
}
