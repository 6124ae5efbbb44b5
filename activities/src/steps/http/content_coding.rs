//! Content codings of answers (RFC 9110, 8.4): gzip and deflate. Pure.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};

/// Codings that a request accepts, unless the definition says something else.
pub(super) const ACCEPTED: &str = "gzip, deflate";
/// Maximum number of codings of one answer.
const MOST: usize = 3;
/// Maximum length of an unknown coding's name in messages, in characters.
const SHOWN: usize = 40;

/// Reason for which an answer cannot be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Undecodable {
    /// The decoded answer is larger than allowed.
    TooLarge,
    /// Any other reason, as text.
    Because(String),
}

/// Decodes the body, to at most `limit` bytes, and removes the codings from the headers.
///
/// An empty body has no codings, whatever the headers say.
pub(super) fn decoded(
    mut body: Vec<u8>,
    headers: &mut HeaderMap,
    limit: usize,
) -> Result<Vec<u8>, Undecodable> {
    let mut codings = Vec::new();
    for header in headers.get_all(CONTENT_ENCODING) {
        let header = String::from_utf8_lossy(header.as_bytes()).to_ascii_lowercase();
        let names = header.split(',').map(str::trim);
        let names = names.filter(|name| !matches!(*name, "" | "identity"));
        codings.extend(names.map(str::to_owned));
    }
    if body.is_empty() || codings.is_empty() {
        return Ok(body);
    }
    if codings.len() > MOST {
        let reason = format!("has more than {MOST} content codings");
        return Err(Undecodable::Because(reason));
    }
    // The last coding was applied last.
    for coding in codings.iter().rev() {
        body = match coding.as_str() {
            "gzip" | "x-gzip" => gunzipped(&body, limit)?,
            "deflate" => deflated(&body, limit)?,
            other => {
                let shown: String = other.chars().take(SHOWN).collect();
                let reason = format!(
                    "has the content coding {shown:?}, which is not supported; supported are \
                     {ACCEPTED}"
                );
                return Err(Undecodable::Because(reason));
            }
        };
    }
    headers.remove(CONTENT_ENCODING);
    headers.remove(CONTENT_LENGTH);
    Ok(body)
}

fn broken(coding: &str) -> Undecodable {
    Undecodable::Because(format!(
        "is declared as {coding}, but is not valid or not complete"
    ))
}

fn gunzipped(body: &[u8], limit: usize) -> Result<Vec<u8>, Undecodable> {
    let mut made = Vec::new();
    // One more byte than allowed shows that there are more.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = MultiGzDecoder::new(body).take(most).read_to_end(&mut made);
    if made.len() > limit {
        return Err(Undecodable::TooLarge);
    }
    read.map_err(|_| broken("gzip"))?;
    Ok(made)
}

/// Decodes deflate with the header of zlib, as RFC 9110 has it, or without, as some servers
/// send it.
fn deflated(body: &[u8], limit: usize) -> Result<Vec<u8>, Undecodable> {
    const CHUNK: usize = 16 * 1024;
    let zlib = match body {
        [first, second, ..] => {
            first & 0x0f == 8 && (u16::from(*first) * 256 + u16::from(*second)) % 31 == 0
        }
        _ => false,
    };
    let mut decoder = Decompress::new(zlib);
    let mut made = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let (read, written) = (decoder.total_in(), decoder.total_out());
        let rest = usize::try_from(read).ok().and_then(|read| body.get(read..));
        let rest = rest.unwrap_or_default();
        let status = decoder
            .decompress(rest, &mut chunk, FlushDecompress::None)
            .map_err(|_| broken("deflate"))?;
        let new = usize::try_from(decoder.total_out() - written).unwrap_or(CHUNK);
        made.extend_from_slice(chunk.get(..new).unwrap_or_default());
        if made.len() > limit {
            return Err(Undecodable::TooLarge);
        }
        if status == Status::StreamEnd {
            return Ok(made);
        }
        // The decoder neither read nor wrote: the body ends too early.
        if decoder.total_in() == read && new == 0 {
            return Err(broken("deflate"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use reqwest::header::HeaderValue;

    use super::*;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn raw(data: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn with(codings: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for coding in codings {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("9"));
        headers
    }

    #[test]
    fn content_codings_are_decoded_from_the_last_to_the_first() {
        let data = b"some text, some text, some text";
        for (body, codings) in [
            (data.to_vec(), vec![]),
            (data.to_vec(), vec!["identity"]),
            (gzip(data), vec!["gzip"]),
            (gzip(data), vec!["GZip"]),
            (gzip(data), vec!["x-gzip"]),
            ([gzip(&data[..9]), gzip(&data[9..])].concat(), vec!["gzip"]),
            (zlib(data), vec!["deflate"]),
            (raw(data), vec!["deflate"]),
            (gzip(&zlib(data)), vec!["deflate, gzip"]),
            (gzip(&zlib(data)), vec!["Deflate", " GZIP "]),
            (zlib(&gzip(data)), vec!["gzip,,identity, deflate"]),
        ] {
            let mut headers = with(&codings);
            let decoded = decoded(body, &mut headers, 1000);
            assert_eq!(decoded.as_deref(), Ok(&data[..]), "{codings:?}");
            if codings.iter().any(|coding| *coding != "identity") {
                assert!(headers.is_empty(), "{headers:?}");
            }
        }
    }

    #[test]
    fn a_body_that_decodes_to_too_much_is_refused_early() {
        let bomb = vec![0; 4 * 1024 * 1024];
        for (body, coding) in [
            (gzip(&bomb), "gzip"),
            (zlib(&bomb), "deflate"),
            (raw(&bomb), "deflate"),
            (gzip(&gzip(&bomb)), "gzip, gzip"),
        ] {
            let result = decoded(body, &mut with(&[coding]), 100_000);
            assert_eq!(result, Err(Undecodable::TooLarge), "{coding}");
        }
        let exact = vec![7; 1000];
        for (body, coding) in [(gzip(&exact), "gzip"), (zlib(&exact), "deflate")] {
            assert!(decoded(body.clone(), &mut with(&[coding]), 1000).is_ok());
            let less = decoded(body, &mut with(&[coding]), 999);
            assert_eq!(less, Err(Undecodable::TooLarge));
        }
    }

    #[test]
    fn truncated_damaged_and_unknown_codings_are_errors() {
        let data = b"0123456789 0123456789 0123456789".repeat(20);
        for (body, coding) in [
            (gzip(&data), "gzip"),
            (zlib(&data), "deflate"),
            (raw(&data), "deflate"),
        ] {
            for cut in [1, 2, 5, body.len() / 2, body.len() - 1] {
                let part = body[..cut].to_vec();
                let result = decoded(part, &mut with(&[coding]), 10_000);
                assert!(
                    matches!(&result, Err(Undecodable::Because(why)) if why.contains("not complete")),
                    "{coding} {cut}: {result:?}"
                );
            }
        }
        let mut damaged = gzip(&data);
        let last = damaged.len() - 5;
        damaged[last] ^= 1;
        assert!(decoded(damaged, &mut with(&["gzip"]), 10_000).is_err());
        assert!(decoded(b"{}".to_vec(), &mut with(&["gzip"]), 10_000).is_err());
        let unknown = decoded(b"x".to_vec(), &mut with(&["br"]), 10_000);
        assert_eq!(
            unknown,
            Err(Undecodable::Because(
                "has the content coding \"br\", which is not supported; supported are gzip, deflate"
                    .to_owned()
            ))
        );
        let many = decoded(gzip(b"x"), &mut with(&["gzip,gzip,gzip,gzip"]), 10_000);
        assert!(matches!(many, Err(Undecodable::Because(why)) if why.contains("more than 3")));
        // Nothing was coded.
        assert_eq!(decoded(Vec::new(), &mut with(&["br"]), 10), Ok(Vec::new()));
    }
}
