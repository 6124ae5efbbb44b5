//! The values of a form (`application/x-www-form-urlencoded`), read strictly.
//!
//! Every field of a form must be a field of the type that is read. An error names the
//! field.

use std::fmt::{self, Display};
use std::str::FromStr;

use almanac_base::percent;
use serde::de::value::{MapAccessDeserializer, SeqDeserializer, StringDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

/// Maximum number of fields with different names.
const NAMES: usize = 100;

/// Reason why a form cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FormValueError(String);

impl Display for FormValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FormValueError {}

impl serde::de::Error for FormValueError {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// The fields of a form, in the form's order, each with its values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<(String, Vec<String>)>);

impl Fields {
    /// Reads a body. `None` if the body is not encoded well, is not UTF-8, or has too many
    /// fields.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut fields = Self::default();
        let text = std::str::from_utf8(body).ok()?;
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            let is_full = fields.0.len() == NAMES;
            match fields.0.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None if is_full => return None,
                None => fields.0.push((name, vec![value])),
            }
        }
        Some(fields)
    }

    /// Removes a field and returns its value. `None` if the form does not have the field
    /// exactly once.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        let (_, values) = self.0.remove(at);
        <[String; 1]>::try_from(values).ok().map(|[value]| value)
    }

    /// Reads the fields as a value.
    ///
    /// - `Vec`: all values of the field.
    /// - `Option`: `None` if the field is absent or empty.
    /// - `bool`: `true` for `true` and `on`, as browsers send a checked box; `false` for
    ///   `false`. Give it `#[serde(default)]`: an unchecked box is not sent.
    /// - Everything else: from one value.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, FormValueError> {
        let fields = Remaining {
            fields: self.0.into_iter(),
            next: None,
        };
        T::deserialize(MapAccessDeserializer::new(fields))
    }
}

fn decoded(text: &str) -> Option<String> {
    String::from_utf8(percent::decode(&text.replace('+', " "))?).ok()
}

/// The fields that are still to be read.
struct Remaining {
    fields: std::vec::IntoIter<(String, Vec<String>)>,
    next: Option<(String, Vec<String>)>,
}

impl<'de> MapAccess<'de> for Remaining {
    type Error = FormValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, FormValueError> {
        self.next = self.fields.next();
        let Some((name, _)) = &self.next else {
            return Ok(None);
        };
        let name: StringDeserializer<FormValueError> = name.clone().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, FormValueError> {
        let (name, values) = self.next.take().unwrap_or_default();
        seed.deserialize(Values(values))
            .map_err(|error| FormValueError(format!("{name}: {error}")))
    }
}

/// The values of one field: at least one.
struct Values(Vec<String>);

impl Values {
    fn one(self) -> Result<String, FormValueError> {
        <[String; 1]>::try_from(self.0)
            .map(|[value]| value)
            .map_err(|_| FormValueError::custom("given more than once"))
    }

    fn parsed<T: FromStr<Err: Display>>(self) -> Result<T, FormValueError> {
        let text = self.one()?;
        text.parse()
            .map_err(|error| FormValueError(format!("`{text}`: {error}")))
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormValueError> {
            visitor.$visit(self.parsed()?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Values {
    type Error = FormValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormValueError> {
        visitor.visit_string(self.one()?)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormValueError> {
        let each = self.0.into_iter().map(|value| Self(vec![value]));
        visitor.visit_seq(SeqDeserializer::new(each))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormValueError> {
        if self.0 == [""] {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormValueError> {
        match self.one()?.as_str() {
            "true" | "on" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            other => Err(FormValueError(format!(
                "`{other}` is neither true nor false"
            ))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FormValueError> {
        let name: StringDeserializer<FormValueError> = self.one()?.into_deserializer();
        visitor.visit_enum(name)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, FormValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(
        self,
        _visitor: V,
    ) -> Result<V::Value, FormValueError> {
        Err(FormValueError::custom("there is no such field"))
    }

    numbers! {
        deserialize_i8 visit_i8 deserialize_i16 visit_i16 deserialize_i32 visit_i32
        deserialize_i64 visit_i64 deserialize_u8 visit_u8 deserialize_u16 visit_u16
        deserialize_u32 visit_u32 deserialize_u64 visit_u64 deserialize_f32 visit_f32
        deserialize_f64 visit_f64
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct
        identifier
    }
}

impl IntoDeserializer<'_, FormValueError> for Values {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use almanac_core::definition::OverlapPolicy;
    use serde::Deserialize;

    use super::*;

    /// A type that does not deny unknown fields itself.
    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Example {
        id: Vec<String>,
        reason: String,
        until: Option<String>,
        limit: Option<u32>,
        overlap: Option<OverlapPolicy>,
        confirm: bool,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Required {
        reason: String,
    }

    fn read<T: DeserializeOwned>(body: &str) -> Result<T, String> {
        let fields = Fields::parse(body.as_bytes()).ok_or("not encoded well")?;
        fields.read().map_err(|error| error.to_string())
    }

    #[test]
    fn fields_are_read_by_their_types() {
        let body =
            "id=a&reason=not+now%2C+%C3%A4&id=b%0D%0A&until=&limit=7&confirm=on&overlap=skip";
        let expected = Example {
            id: vec!["a".into(), "b\r\n".into()],
            reason: "not now, \u{e4}".into(),
            until: None,
            limit: Some(7),
            overlap: Some(OverlapPolicy::Skip),
            confirm: true,
        };
        assert_eq!(read(body), Ok(expected));
        assert_eq!(read(""), Ok(Example::default()));
        assert_eq!(read("&&"), Ok(Example::default()));
        let empty = Example {
            reason: String::new(),
            ..Example::default()
        };
        assert_eq!(read("reason"), Ok(empty));
    }

    #[test]
    fn an_error_names_the_field() {
        for (body, expected) in [
            ("other=1", "other: there is no such field"),
            ("reason=a&reason=b", "reason: given more than once"),
            ("confirm=yes", "confirm: `yes` is neither true nor false"),
            ("limit=-1", "limit: `-1`: invalid digit found in string"),
            ("until=a&until=b", "until: given more than once"),
            ("reason=%", "not encoded well"),
            ("reason=%ff", "not encoded well"),
            ("reason=\u{0}%0", "not encoded well"),
        ] {
            assert_eq!(read::<Example>(body), Err(expected.to_owned()), "{body}");
        }
        let error = read::<Example>("overlap=never").unwrap_err();
        assert!(
            error.starts_with("overlap: unknown variant `never`"),
            "{error}"
        );
        assert_eq!(
            read::<Required>(""),
            Err("missing field `reason`".to_owned())
        );
    }

    #[test]
    fn the_number_of_names_is_limited_and_that_of_values_is_not() {
        let body = |count: usize, name: &dyn Fn(usize) -> String| {
            let pairs = (0..count).map(|n| format!("{}=", name(n)));
            Fields::parse(pairs.collect::<Vec<_>>().join("&").as_bytes())
        };
        assert!(body(NAMES, &|n| n.to_string()).is_some());
        assert!(body(NAMES + 1, &|n| n.to_string()).is_none());
        assert!(body(20_000, &|_| "id".to_owned()).is_some());
    }

    #[test]
    fn a_field_is_taken_only_if_it_is_there_once() {
        let mut fields = Fields::parse(b"a=1&b=2&b=3&c=4").unwrap();
        assert_eq!(fields.take("a").as_deref(), Some("1"));
        assert_eq!(fields.take("a"), None);
        assert_eq!(fields.take("b"), None);
        assert_eq!(fields, Fields::parse(b"c=4").unwrap());
    }
}
