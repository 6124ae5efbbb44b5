//! Percent-encoding (RFC 3986, section 2.1). Only the unreserved characters (section 2.3) stand as
//! they are, so that an encoded text can be a part of a URI at any place.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// All characters but the unreserved ones.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Encodes a text, with upper-case digits.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Encodes a text, with lower-case digits.
pub fn encode_lower(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for piece in utf8_percent_encode(text, RESERVED) {
        if piece.starts_with('%') {
            encoded.push_str(&piece.to_ascii_lowercase());
        } else {
            encoded.push_str(piece);
        }
    }
    encoded
}

/// Decodes a text. `None` if a `%` is not followed by two hexadecimal digits.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let is_encoded = text.split('%').skip(1).all(|after| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    is_encoded.then(|| percent_decode_str(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_unreserved_characters_stand_as_they_are() {
        let text = "aZ09-._~ %/?#[]@!$&'()*+,;=:\"<>\\^`{|}\u{7f}ü";
        let encoded = "aZ09-._~%20%25%2F%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C%3B%3D%3A%22%3C%3E%5C%5E%60%7B%7C%7D%7F%C3%BC";
        assert_eq!(encode(text), encoded);
        assert_eq!(encode_lower("A/Ü"), "A%2f%c3%9c");
        assert_eq!(decode(encoded), Some(text.as_bytes().to_vec()));
        assert_eq!(decode(&encode_lower(text)), Some(text.as_bytes().to_vec()));
    }

    #[test]
    fn a_text_that_is_not_encoded_well_is_not_decoded() {
        for bad in ["%", "%2", "%2x", "%%20", "a%ü", "%+1"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
        assert_eq!(decode(""), Some(Vec::new()));
        assert_eq!(decode("%ff+"), Some(b"\xff+".to_vec()));
    }
}
