//! The schemas of Gemini's older kind, which are almost JSON schemas.

use std::borrow::Cow;

use super::super::json::{Node, Writer};

/// The JSON schema that one of Google's schemas means: its types are in capitals, and what may be
/// null says so in a field of its own.
pub fn plain_schema<'a>(schema: &Node<'a>) -> Cow<'a, str> {
    let mut w = Writer::with_capacity(schema.raw.len());
    write(schema, &mut w);
    Cow::Owned(w.finish())
}

fn write(schema: &Node<'_>, w: &mut Writer) {
    if !schema.is_object() {
        w.raw(schema.raw);
        return;
    }
    let is_nullable = schema.get("nullable").and_then(Node::as_bool) == Some(true);
    w.object(|w| {
        for (key, value) in schema.fields() {
            match (key, value.as_text()) {
                ("nullable" | "propertyOrdering" | "property_ordering", _) => {}
                ("type", Some(name)) => {
                    let name = name.plain().to_ascii_lowercase();
                    w.key("type");
                    if is_nullable {
                        w.array(|w| {
                            w.plain(&name);
                            w.plain("null");
                        });
                    } else {
                        w.plain(&name);
                    }
                }
                ("anyOf" | "any_of", _) => w.key("anyOf").array(|w| {
                    value.as_array().unwrap_or_default().iter().for_each(|one| write(one, w));
                }),
                ("items", _) => write(value, w.key("items")),
                ("properties", _) => w.key("properties").object(|w| {
                    for (name, property) in value.fields() {
                        write(property, w.plain_key(name));
                    }
                }),
                _ => w.plain_key(key).raw(value.raw),
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::super::json::parse;
    use super::*;

    #[test]
    fn googles_schemas_become_json_schemas() {
        let google = br#"{"type":"OBJECT","properties":{"a\"":{"type":"STRING","nullable":true},
            "b":{"type":"ARRAY","items":{"type":"INTEGER","format":"int32"}}},
            "required":["b"],"propertyOrdering":["b"]}"#;
        assert_eq!(
            plain_schema(&parse(google).unwrap()),
            concat!(
                r#"{"type":"object","properties":{"a\"":{"type":["string","null"]},"#,
                r#""b":{"type":"array","items":{"type":"integer","format":"int32"}}},"#,
                r#""required":["b"]}"#,
            )
        );
    }
}
