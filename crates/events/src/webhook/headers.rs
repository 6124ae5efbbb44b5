//! The headers of a request.

use almanac_base::text::is_hidden;

use super::{MAX_HINT, MAX_ID, Refusal};

/// The headers of a request, with names in any case.
pub(super) struct Headers<'a>(Vec<(&'a str, &'a [u8])>);

impl<'a> Headers<'a> {
    pub(super) fn new(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        Self(headers.into_iter().collect())
    }

    /// Returns `true` if there is a header of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// Returns the value of a header that must be there once, without spaces around it.
    pub(super) fn text(&self, name: &str) -> Result<&'a str, Refusal> {
        let mut values = self.values(name);
        let Some(value) = values.next() else {
            return Err(Refusal::MissingHeader(name.to_owned()));
        };
        if values.next().is_some() {
            let why = "occurs more than once";
            return Err(Refusal::MalformedHeader(name.to_owned(), why));
        }
        let value = std::str::from_utf8(value)
            .map_err(|_| Refusal::MalformedHeader(name.to_owned(), "is not UTF-8"))?;
        Ok(value.trim_matches([' ', '\t']))
    }

    /// Returns a header that is not signed, if it is there once and fit to be shown.
    pub(super) fn hint(&self, name: &str) -> Option<String> {
        let hint = self.text(name).ok()?;
        is_printable(hint, MAX_HINT).then(|| hint.to_owned())
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }
}

/// Returns `true` if a text is not empty, has at most `limit` characters, and none of them is
/// hidden.
pub(super) fn is_printable(text: &str, limit: usize) -> bool {
    !text.is_empty() && text.chars().count() <= limit && !text.contains(is_hidden)
}

/// Returns `true` if a text is fit to be the id of a delivery.
pub(super) fn is_id(text: &str) -> bool {
    text.len() <= MAX_ID && is_printable(text, MAX_ID)
}
