use super::*;

const JANUARY_2026: u64 = 1_767_225_600_000_000_000;

fn usage(input: u64, output: u64) -> Usage {
    Usage { input: Some(input), output: Some(output), ..Usage::default() }
}

fn cost(model: &str, usage: &Usage) -> Option<i64> {
    let terms = Terms { model, time_unix_nano: JANUARY_2026, ..Terms::default() };
    PriceTable::bundled().cost(terms, usage)
}

#[test]
fn the_bundled_table_is_dated_and_broad() {
    let table = PriceTable::bundled();
    assert!(table.len() >= 160, "{} models", table.len());
    assert_eq!(midnight(table.date()), Some(1_787_356_800_000_000_000));
}

#[test]
fn tokens_are_priced_by_the_million() {
    // gpt-4o: 2.50 in, 10 out.
    assert_eq!(cost("gpt-4o", &usage(1_000_000, 1_000_000)), Some(12_500_000_000));
    assert_eq!(cost("gpt-4o", &usage(1, 0)), Some(2_500));
    assert_eq!(cost("text-embedding-3-small", &usage(10, 0)), Some(200));
}

#[test]
fn cached_tokens_have_prices_of_their_own() {
    // claude-sonnet-4-5: 3 in, 15 out, 0.30 cache read, 3.75 cache write.
    let cached = Usage { cache_read: Some(600), cache_write: Some(300), ..usage(1000, 10) };
    let expected = 100 * 3_000 + 600 * 300 + 300 * 3_750 + 10 * 15_000;
    assert_eq!(cost("claude-sonnet-4-5-20250929", &cached), Some(expected));
}

#[test]
fn more_cached_than_input_does_not_underflow() {
    let odd = Usage { cache_read: Some(50), cache_write: Some(u64::MAX), ..usage(10, 0) };
    assert_eq!(cost("claude-sonnet-4-5", &odd), Some(3_000));
}

#[test]
fn a_model_without_output_may_give_only_a_total() {
    let total = Usage { total: Some(100), ..Usage::default() };
    assert_eq!(cost("text-embedding-3-small", &total), Some(2_000));
    assert_eq!(cost("gpt-4o", &total), None);
}

#[test]
fn unknown_models_and_unknown_tokens_have_no_cost() {
    assert_eq!(cost("gpt-4o-enormous", &usage(1, 1)), None);
    assert_eq!(cost("", &usage(1, 1)), None);
    assert_eq!(cost("gpt-4o", &Usage::default()), None);
    let terms = Terms { provider: "ollama", model: "gpt-4o", ..Terms::default() };
    assert_eq!(PriceTable::bundled().cost(terms, &usage(1, 1)), None);
}

#[test]
fn longer_names_of_a_model_find_it() {
    for (long, short) in [
        ("openai/gpt-4o", "gpt-4o"),
        ("GPT-4o", "gpt-4o"),
        ("gpt-4.1-mini-2099-01-01", "gpt-4.1-mini"),
        ("gpt-35-turbo-16k", "gpt-3.5-turbo-16k"),
        ("us.anthropic.claude-3-haiku-20240307-v1:0", "claude-3-haiku-20240307"),
        ("bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929"),
        ("claude-3-5-sonnet@20240620", "claude-3-5-sonnet-20240620"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku-20241022"),
        ("models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("gemini-2.5-flash-001", "gemini-2.5-flash"),
        ("ft:gpt-3.5-turbo-0613:acme::id", "ft:gpt-3.5-turbo-0613"),
    ] {
        let expected = cost(short, &usage(1000, 1000));
        assert!(expected.is_some(), "{short}");
        assert_eq!(cost(long, &usage(1000, 1000)), expected, "{long}");
    }
}

#[test]
fn a_different_model_is_not_a_release_of_a_shorter_name() {
    assert!(is_version("20250514") && is_version("2024-08-06") && is_version("20241022-v2:0"));
    assert!(is_version("001") && is_version("latest") && is_version("v1:0"));
    assert!(!is_version("1") && !is_version("mini") && !is_version("32k") && !is_version(""));
    assert_ne!(cost("claude-opus-4-1", &usage(1, 1)), None);
    assert_eq!(cost("gpt-4-9", &usage(1, 1)), None);
}

#[test]
fn the_rate_of_the_day_applies() {
    let table = PriceTable::bundled();
    let at = |date: &str| {
        let time_unix_nano = midnight(date).unwrap();
        table.cost(Terms { model: "o3", time_unix_nano, ..Terms::default() }, &usage(1, 0))
    };
    assert_eq!(at("2025-06-09"), Some(10_000));
    assert_eq!(at("2025-06-10"), Some(2_000));
    assert_eq!(at("2020-01-01"), Some(10_000), "before the first rate the first holds");
}

#[test]
fn long_inputs_and_service_tiers_have_rates_of_their_own() {
    let table = PriceTable::bundled();
    let at = |model, service_tier, input| {
        let terms = Terms { model, service_tier, time_unix_nano: JANUARY_2026, provider: "" };
        table.cost(terms, &usage(input, 0)).unwrap() / input as i64
    };
    assert_eq!(at("gemini-2.5-pro", "", 200_000), 1_250);
    assert_eq!(at("gemini-2.5-pro", "", 200_001), 2_500);
    assert_eq!(at("gpt-5.4", "flex", 100), 1_250);
    assert_eq!(at("gpt-5.4", "flex", 300_000), 2_500);
    assert_eq!(at("gpt-5.4", "priority", 100), 5_000);
    assert_eq!(at("gpt-5.4", "default", 100), 2_500);
}

#[test]
fn bad_tables_are_refused_with_a_reason() {
    let table = |models: &str| {
        let json = format!(r#"{{"format":1,"date":"2026-01-01","unit":"","models":[{models}]}}"#);
        PriceTable::parse(&json).unwrap_err().to_string()
    };
    let model = |rates: &str| format!(r#"{{"provider":"p","model":"m","rates":[{rates}]}}"#);
    let rate = r#"{"since":"2026-01-01","input":1,"output":1}"#;
    assert_eq!(table(&model("")), "price table: model m has no rates");
    assert!(table(&model(&rate.replace("2026-01-01", "soon"))).contains("\"soon\""));
    assert!(table(&model(&rate.replace("\"input\":1", "\"input\":-1"))).contains("outside 0"));
    let twice = format!("{},{}", model(rate), model(rate));
    assert_eq!(table(&twice), "price table: m is named twice by one provider");
    assert!(PriceTable::parse("{").is_err());
}

#[test]
fn providers_may_price_one_model_differently() {
    let json = r#"{"format":1,"date":"2026-01-01","unit":"","models":[
        {"provider":"groq","model":"llama","rates":[{"since":"2026-01-01","input":1,"output":1}]},
        {"provider":"cerebras","model":"llama","rates":[{"since":"2026-01-01","input":2,"output":2}]}
    ]}"#;
    let table = PriceTable::parse(json).unwrap();
    let at = |provider| {
        table.cost(Terms { provider, model: "llama", ..Terms::default() }, &usage(1, 0)).unwrap()
    };
    assert_eq!((at("groq"), at("cerebras"), at("")), (1_000, 2_000, 1_000));
}
