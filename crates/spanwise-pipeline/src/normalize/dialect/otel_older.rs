//! OpenTelemetry's GenAI conventions before v1.37, and keys that OpenAI's spans had then.

use crate::normalize::table::Field as F;
use crate::normalize::table::{Dialect, Shape, Side, parameter, row, source};

pub static DIALECT: Dialect = Dialect {
    name: "otel-older",
    signals: &[
        "gen_ai.system",
        "gen_ai.prompt",
        "gen_ai.completion",
        "gen_ai.usage.prompt_tokens",
        "gen_ai.usage.completion_tokens",
        "gen_ai.openai.",
    ],
    rows: &[
        row(F::Provider, 30, "gen_ai.system"),
        row(F::InputTokens, 30, "gen_ai.usage.prompt_tokens"),
        row(F::OutputTokens, 30, "gen_ai.usage.completion_tokens"),
        row(F::ServiceTier, 20, "gen_ai.openai.response.service_tier"),
        row(F::ServiceTier, 40, "gen_ai.openai.request.service_tier"),
    ],
    sources: &[
        source(90, Side::Input, Shape::Text, "gen_ai.prompt"),
        source(90, Side::Output, Shape::Text, "gen_ai.completion"),
    ],
    parameters: &[
        parameter("seed", 20, "gen_ai.openai.request.seed"),
        parameter("response_format", 20, "gen_ai.openai.request.response_format"),
        parameter("service_tier", 20, "gen_ai.openai.request.service_tier"),
    ],
    ..Dialect::EMPTY
};
