//! One way to read string columns, whichever way they are encoded.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Int32Type;

/// A string column: dictionary-encoded where values repeat, else plain.
#[derive(Clone, Debug)]
pub enum StringColumn {
    /// Keys into distinct values.
    Dictionary(DictionaryArray<Int32Type>),
    /// A value per row.
    Plain(StringArray),
}

impl StringColumn {
    /// Takes a column of a segment; `None` if it does not hold strings.
    pub fn new(column: &ArrayRef) -> Option<Self> {
        if let Some(dictionary) = column.as_dictionary_opt::<Int32Type>() {
            dictionary.values().as_string_opt::<i32>()?;
            return Some(StringColumn::Dictionary(dictionary.clone()));
        }
        column.as_string_opt::<i32>().map(|plain| StringColumn::Plain(plain.clone()))
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        match self {
            StringColumn::Dictionary(array) => array.len(),
            StringColumn::Plain(array) => array.len(),
        }
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a row; `None` if it is null.
    pub fn value(&self, row: usize) -> Option<&str> {
        match self {
            StringColumn::Dictionary(array) => {
                array.key(row).map(|key| array.values().as_string::<i32>().value(key))
            }
            StringColumn::Plain(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }

    /// Which rows have a value that passes; each distinct value of a dictionary is tried once.
    pub fn test(&self, mut pass: impl FnMut(&str) -> bool) -> BooleanArray {
        let len = self.len();
        let passed = match self {
            StringColumn::Plain(array) => BooleanBuffer::collect_bool(len, |row| {
                array.is_valid(row) && pass(array.value(row))
            }),
            StringColumn::Dictionary(array) => {
                let values = array.values().as_string::<i32>();
                let passes: Vec<bool> =
                    values.iter().map(|value| value.is_some_and(&mut pass)).collect();
                let keys = array.keys();
                BooleanBuffer::collect_bool(len, |row| {
                    keys.is_valid(row) && passes[keys.value(row) as usize]
                })
            }
        };
        BooleanArray::new(passed, None)
    }
}
