//! Python's values as attribute values, and back.

use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMapping, PyMappingProxy, PySequence,
    PyString, PyTuple,
};
use spanwise_model::wire::otlp::ValueRef;
use spanwise_model::{Attributes, Value};

use crate::api::warn;

/// How deep lists and mappings in a value may be nested; what is deeper becomes text.
const MAX_DEPTH: usize = 32;

/// Shows a value to `record`. Simple ones, which are nearly all, are not copied.
#[inline]
pub(crate) fn with_value(value: &Bound<'_, PyAny>, record: impl FnOnce(ValueRef<'_>)) {
    if let Ok(text) = value.cast_exact::<PyString>()
        && let Ok(text) = text.to_str()
    {
        return record(ValueRef::String(text));
    }
    if let Ok(truth) = value.cast_exact::<PyBool>() {
        return record(ValueRef::Bool(truth.is_true()));
    }
    if value.is_exact_instance_of::<PyInt>()
        && let Ok(number) = value.extract::<i64>()
    {
        return record(ValueRef::Int(number));
    }
    if let Ok(number) = value.cast_exact::<PyFloat>() {
        return record(ValueRef::Double(number.value()));
    }
    record(ValueRef::from(&to_value(value, 0)));
}

/// A value of any type, cleaned as OpenTelemetry does: sequences and mappings are copied, what is
/// none of its types becomes its text.
#[cold]
pub(crate) fn to_value(value: &Bound<'_, PyAny>, depth: usize) -> Value {
    if value.is_none() {
        return Value::Null;
    }
    if let Ok(truth) = value.cast::<PyBool>() {
        return Value::Bool(truth.is_true());
    }
    if value.is_instance_of::<PyInt>() {
        // No attribute can hold a larger number; its digits say what it is.
        return value.extract::<i64>().map_or_else(|_| text_of(value), Value::Int);
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        return Value::Double(number.value());
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Value::String(text.to_string_lossy().into_owned().into());
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Value::Bytes(bytes.as_bytes().to_vec().into());
    }
    if depth < MAX_DEPTH {
        if let Some(values) = to_array(value, depth) {
            return values;
        }
        if let Ok(mapping) = value.cast::<PyMapping>() {
            return to_map(mapping, depth);
        }
    }
    let kind = value.get_type();
    warn(
        value.py(),
        &format!(
            "Invalid type `{kind}` for attribute value. Expected one of bool, str, None, bytes, int, \
             float or a Mapping or Sequence of those types. It is recorded as text if it has any."
        ),
    );
    if has_text(value) { text_of(value) } else { Value::Null }
}

fn to_array(value: &Bound<'_, PyAny>, depth: usize) -> Option<Value> {
    let each = |item: Bound<'_, PyAny>| to_value(&item, depth + 1);
    if let Ok(list) = value.cast::<PyList>() {
        return Some(Value::Array(list.iter().map(each).collect()));
    }
    if let Ok(tuple) = value.cast::<PyTuple>() {
        return Some(Value::Array(tuple.iter().map(each).collect()));
    }
    let sequence = value.cast::<PySequence>().ok()?.try_iter().ok()?;
    // A sequence that fails half way is as long as it came.
    Some(Value::Array(sequence.map_while(Result::ok).map(each).collect()))
}

fn to_map(mapping: &Bound<'_, PyMapping>, depth: usize) -> Value {
    let mut map = Attributes::default();
    for_each_item(mapping.as_any(), |key, value| {
        map.push(key.to_owned(), to_value(value, depth + 1));
    });
    Value::Map(map)
}

/// Whether an object says more about itself than where it is.
fn has_text(value: &Bound<'_, PyAny>) -> bool {
    let default = |name: &str| -> PyResult<bool> {
        let object = value.py().import("builtins")?.getattr("object")?.getattr(name)?;
        Ok(value.get_type().getattr(name)?.is(&object))
    };
    !(default("__str__").unwrap_or(false) && default("__repr__").unwrap_or(false))
}

fn text_of(value: &Bound<'_, PyAny>) -> Value {
    // An object may fail to say what it is.
    value.str().map_or(Value::Null, |text| text.to_string_lossy().into_owned().into())
}

/// Every item of a mapping of attributes whose key is one. Says how many were not.
pub(crate) fn for_each_item(
    mapping: &Bound<'_, PyAny>,
    mut each: impl FnMut(&str, &Bound<'_, PyAny>),
) -> usize {
    let mut n_bad = 0;
    let mut visit = |key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>| match valid_key(key) {
        Some(key) => with_key(&key, |key| each(key, value)),
        None => n_bad += 1,
    };
    if let Ok(dict) = mapping.cast_exact::<PyDict>() {
        for (key, value) in dict {
            visit(&key, &value);
        }
        return n_bad;
    }
    let items = mapping.call_method0("items").and_then(|items| items.try_iter());
    match items {
        Ok(items) => {
            for item in items.map_while(Result::ok) {
                if let Ok((key, value)) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() {
                    visit(&key, &value);
                }
            }
        }
        Err(_) => warn(mapping.py(), "Attributes have to be a mapping."),
    }
    n_bad
}

/// A key that can be one, or a warning.
pub(crate) fn valid_key<'py>(key: &Bound<'py, PyAny>) -> Option<Bound<'py, PyString>> {
    if let Ok(text) = key.cast::<PyString>()
        && !text.is_empty().unwrap_or(true)
    {
        return Some(text.clone());
    }
    let shown = key.repr().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default();
    warn(
        key.py(),
        &format!("invalid key `{shown}`. must be non-empty string. Dropping key from attributes."),
    );
    None
}

pub(crate) fn with_key<R>(key: &Bound<'_, PyString>, work: impl FnOnce(&str) -> R) -> R {
    match key.to_str() {
        Ok(key) => work(key),
        // Half a surrogate pair, which no other encoding has.
        Err(_) => work(&key.to_string_lossy()),
    }
}

/// Attributes as the model has them.
pub(crate) fn to_attributes(mapping: Option<&Bound<'_, PyAny>>) -> Attributes {
    let mut attributes = Attributes::default();
    if let Some(mapping) = mapping.filter(|mapping| !mapping.is_none()) {
        for_each_item(mapping, |key, value| attributes.push(key.to_owned(), to_value(value, 0)));
    }
    attributes
}

/// A value for Python to look at.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Bool(truth) => PyBool::new(py, *truth).to_owned().into_any(),
        Value::Int(number) => number.into_pyobject(py)?.into_any(),
        Value::Double(number) => PyFloat::new(py, *number).into_any(),
        Value::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Value::Array(values) => {
            let values: PyResult<Vec<_>> = values.iter().map(|one| to_python(py, one)).collect();
            PyTuple::new(py, values?)?.into_any()
        }
        Value::Map(map) => to_dict(py, map)?.into_any(),
    })
}

pub(crate) fn to_dict<'py>(py: Python<'py>, map: &Attributes) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for one in map {
        dict.set_item(&*one.key, to_python(py, &one.value)?)?;
    }
    Ok(dict)
}

/// Attributes that Python can look at and not change.
pub(crate) fn to_proxy<'py>(py: Python<'py>, map: &Attributes) -> PyResult<Bound<'py, PyAny>> {
    let dict = to_dict(py, map)?.into_any();
    Ok(PyMappingProxy::new(py, dict.cast::<PyMapping>()?).into_any())
}
