//! A filter as the text of a search: the canonical one of all those that mean it.

use std::fmt::{self, Display, Formatter, Write};

use super::field::{FieldType, Unit};
use super::{Bound, Field, Filter, Pattern, Range, Test, TextQuery, parser};

impl Display for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Filter::All => f.write_char('*'),
            Filter::And(filters) if filters.is_empty() => f.write_char('*'),
            Filter::Or(filters) if filters.is_empty() => f.write_str("-*"),
            Filter::And(filters) => joined(f, filters, " ", |filter| filter.n_alternatives() > 1),
            Filter::Or(filters) => joined(f, filters, " OR ", |_| false),
            Filter::Not(inner) if matches!(**inner, Filter::Not(_)) => write!(f, "NOT {inner}"),
            Filter::Not(inner) if inner.is_compound() => write!(f, "-({inner})"),
            Filter::Not(inner) => write!(f, "-{inner}"),
            Filter::Test(field, test) => write_test(f, field, test),
            Filter::Failed => f.write_str("error:true"),
            // "has:error" asks for a failure, with or without a type.
            Filter::Has(Field::Error) => f.write_str("error:*"),
            Filter::Has(field) => write!(f, "has:{field}"),
            Filter::Text(query) => write!(f, "{query}"),
        }
    }
}

impl Filter {
    fn n_alternatives(&self) -> usize {
        if let Filter::Or(filters) = self { filters.len() } else { 1 }
    }

    fn is_compound(&self) -> bool {
        matches!(self, Filter::And(filters) | Filter::Or(filters) if filters.len() > 1)
    }
}

fn joined(
    f: &mut Formatter<'_>,
    filters: &[Filter],
    separator: &str,
    needs_group: impl Fn(&Filter) -> bool,
) -> fmt::Result {
    for (i, filter) in filters.iter().enumerate() {
        if i > 0 {
            f.write_str(separator)?;
        }
        if needs_group(filter) {
            write!(f, "({filter})")?;
        } else {
            write!(f, "{filter}")?;
        }
    }
    Ok(())
}

impl Display for Field {
    /// The name, or the key: quoted where it would be read as something else.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Field::Attribute(key) = self else { return f.write_str(self.name()) };
        let reads_as_itself = key.starts_with(|c: char| c.is_alphabetic() || "_@$".contains(c))
            && key.chars().all(parser::is_name_char)
            && !key.eq_ignore_ascii_case("has")
            && Field::from_name(key) == *self;
        if reads_as_itself { f.write_str(key) } else { quote(f, key) }
    }
}

impl Display for TextQuery {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.words.as_slice() {
            [word] if !["and", "or", "not"].contains(&word.as_str()) => f.write_str(word)?,
            words => write!(f, "\"{}\"", words.join(" "))?,
        }
        if self.prefix { f.write_char('*') } else { Ok(()) }
    }
}

fn write_test(f: &mut Formatter<'_>, field: &Field, test: &Test) -> fmt::Result {
    match test {
        Test::Any(patterns) => {
            write!(f, "{field}:")?;
            for (i, pattern) in patterns.iter().enumerate() {
                if i > 0 {
                    f.write_char(',')?;
                }
                write_pattern(f, field, pattern)?;
            }
            Ok(())
        }
        Test::Regex(regex) => {
            write!(f, "{field}:~")?;
            quote(f, regex.as_str())
        }
        Test::Range(range) => write_range(f, field, range),
    }
}

fn write_pattern(f: &mut Formatter<'_>, field: &Field, pattern: &Pattern) -> fmt::Result {
    match pattern {
        Pattern::Exact(text) => {
            let means_status = *field == Field::Error
                && ["true", "false"].iter().any(|word| text.eq_ignore_ascii_case(word));
            if means_status || text.is_empty() || needs_quotes(text) {
                quote(f, text)
            } else {
                f.write_str(text)
            }
        }
        Pattern::Wildcard(text) => {
            for (i, part) in text.split('*').enumerate() {
                if i > 0 {
                    f.write_char('*')?;
                }
                if needs_quotes(part) {
                    quote(f, part)?;
                } else {
                    f.write_str(part)?;
                }
            }
            Ok(())
        }
    }
}

fn needs_quotes(text: &str) -> bool {
    text.contains(|c: char| c.is_whitespace() || "\",()*~<>".contains(c))
        || text.contains("..")
        || text.starts_with("//")
}

fn quote(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}

fn write_range(f: &mut Formatter<'_>, field: &Field, range: &Range) -> fmt::Result {
    let number = |bound: &Bound| number_text(field, bound.value);
    match (&range.min, &range.max) {
        (None, None) => write!(f, "{}", Filter::Has(field.clone())),
        (Some(min), None) if min.inclusive => write!(f, "{field}:>={}", number(min)),
        (Some(min), None) => write!(f, "{field}:>{}", number(min)),
        (None, Some(max)) if max.inclusive => write!(f, "{field}:<={}", number(max)),
        (None, Some(max)) => write!(f, "{field}:<{}", number(max)),
        (Some(min), Some(max)) if min.inclusive && max.inclusive => {
            let is_built_in = !matches!(field, Field::Attribute(_));
            if is_built_in && min.value.to_bits() == max.value.to_bits() {
                write!(f, "{field}:{}", number(min))
            } else {
                write!(f, "{field}:{}..{}", number(min), number(max))
            }
        }
        (Some(min), Some(max)) => {
            let half = |bound, is_min| Range {
                min: Some(bound).filter(|_| is_min),
                max: Some(bound).filter(|_| !is_min),
            };
            f.write_char('(')?;
            write_range(f, field, &half(*min, true))?;
            f.write_char(' ')?;
            write_range(f, field, &half(*max, false))?;
            f.write_char(')')
        }
    }
}

/// A number with its unit, so that reading it gives the same number again.
fn number_text(field: &Field, value: f64) -> String {
    match field.value_type() {
        FieldType::Number(Unit::Duration) => {
            let units = [("h", 3.6e12), ("m", 6e10), ("s", 1e9), ("ms", 1e6), ("us", 1e3)];
            let whole = |ns: f64| value % ns == 0.0 && value.abs() < 9e15;
            match units.iter().find(|(_, ns)| value != 0.0 && whole(*ns)) {
                Some((unit, ns)) => format!("{}{unit}", value / ns),
                None => format!("{value}ns"),
            }
        }
        FieldType::Number(Unit::Cost) => shift_nine_places(&value.to_string()),
        _ => value.to_string(),
    }
}

/// Divides a decimal number by 10^9 without rounding it: nano-dollars as dollars.
fn shift_nine_places(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let padded = format!("{whole:0>10}");
    let (dollars, nanos) = padded.split_at(padded.len() - 9);
    let text = format!("{sign}{dollars}.{nanos}{fraction}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
