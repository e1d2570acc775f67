//! What can be recorded as the value of an attribute.

use spanwise_model::Value;
use spanwise_model::wire::otlp::ValueRef;

/// A value that an attribute can have: text, numbers, truth, bytes, lists of those, and `Option`s,
/// of which `None` records nothing.
pub trait ToValue {
    /// Shows the value to `record`, once, or not at all if there is none.
    fn show(&self, record: &mut dyn FnMut(ValueRef<'_>));

    /// The same where the type is known, so that nothing is called indirectly.
    #[inline]
    fn with(&self, mut record: impl FnMut(ValueRef<'_>))
    where
        Self: Sized,
    {
        self.show(&mut record);
    }
}

macro_rules! show_as {
    ($($type:ty => |$value:ident| $shown:expr;)*) => {$(
        impl ToValue for $type {
            fn show(&self, record: &mut dyn FnMut(ValueRef<'_>)) {
                let $value = self;
                record($shown);
            }

            #[inline]
            fn with(&self, mut record: impl FnMut(ValueRef<'_>)) {
                let $value = self;
                record($shown);
            }
        }
    )*};
}

show_as! {
    &str => |text| ValueRef::String(text);
    String => |text| ValueRef::String(text);
    spanwise_model::Str => |text| ValueRef::String(text);
    bool => |truth| ValueRef::Bool(*truth);
    i64 => |number| ValueRef::Int(*number);
    i32 => |number| ValueRef::Int(i64::from(*number));
    i16 => |number| ValueRef::Int(i64::from(*number));
    i8 => |number| ValueRef::Int(i64::from(*number));
    u32 => |number| ValueRef::Int(i64::from(*number));
    u16 => |number| ValueRef::Int(i64::from(*number));
    u8 => |number| ValueRef::Int(i64::from(*number));
    // What no signed number holds is cut to the largest: OpenTelemetry has no unsigned ones.
    u64 => |number| ValueRef::Int(i64::try_from(*number).unwrap_or(i64::MAX));
    usize => |number| ValueRef::Int(i64::try_from(*number).unwrap_or(i64::MAX));
    isize => |number| ValueRef::Int(*number as i64);
    f64 => |number| ValueRef::Double(*number);
    f32 => |number| ValueRef::Double(f64::from(*number));
    Value => |value| ValueRef::from(value);
    ValueRef<'_> => |value| *value;
}

impl<T: ToValue> ToValue for Option<T> {
    fn show(&self, record: &mut dyn FnMut(ValueRef<'_>)) {
        if let Some(value) = self {
            value.show(record);
        }
    }
}

impl<T: ToValue> ToValue for &T {
    fn show(&self, record: &mut dyn FnMut(ValueRef<'_>)) {
        T::show(self, record);
    }

    #[inline]
    fn with(&self, record: impl FnMut(ValueRef<'_>)) {
        T::with(self, record);
    }
}

impl<T: ToValue> ToValue for [T] {
    fn show(&self, record: &mut dyn FnMut(ValueRef<'_>)) {
        let mut values = Vec::with_capacity(self.len());
        for one in self {
            one.show(&mut |value| values.push(value.into_owned()));
        }
        record(ValueRef::Any(&Value::Array(values)));
    }
}

impl<T: ToValue> ToValue for &[T] {
    fn show(&self, record: &mut dyn FnMut(ValueRef<'_>)) {
        <[T]>::show(self, record);
    }
}

impl<T: ToValue> ToValue for Vec<T> {
    fn show(&self, record: &mut dyn FnMut(ValueRef<'_>)) {
        self.as_slice().show(record);
    }
}

impl<T: ToValue, const N: usize> ToValue for [T; N] {
    fn show(&self, record: &mut dyn FnMut(ValueRef<'_>)) {
        self.as_slice().show(record);
    }
}
