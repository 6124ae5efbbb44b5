//! The formats `@base64`, `@uri` and the like, as functions and before strings.

use almanac_base::percent;
use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose::STANDARD};

use super::meter::Meter;
use super::native::shown;
use super::stop::Stop;
use super::value::Val;

/// A decoder of base 64 with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A format in which a value is written into a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Json,
    Csv,
    Tsv,
    Html,
    Uri,
    UriDecoded,
    Sh,
    Base32,
    Base32Decoded,
    Base64,
    Base64Decoded,
}

impl Format {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "@text" => Self::Text,
            "@json" => Self::Json,
            "@csv" => Self::Csv,
            "@tsv" => Self::Tsv,
            "@html" => Self::Html,
            "@uri" => Self::Uri,
            "@urid" => Self::UriDecoded,
            "@sh" => Self::Sh,
            "@base32" => Self::Base32,
            "@base32d" => Self::Base32Decoded,
            "@base64" => Self::Base64,
            "@base64d" => Self::Base64Decoded,
            _ => return None,
        })
    }

    pub(super) fn apply(self, meter: &Meter, value: &Val) -> Result<String, Stop> {
        match self {
            Self::Json => value.write(meter),
            Self::Csv => row(meter, value, ",", csv),
            Self::Tsv => row(meter, value, "\t", tsv),
            Self::Sh => match value {
                Val::Arr(_) => row(meter, value, " ", sh),
                other => sh(meter, other),
            },
            _ => {
                let text = plain(meter, value)?;
                meter.allocate(6 * text.len())?;
                self.of_text(text)
            }
        }
    }

    fn of_text(self, text: String) -> Result<String, Stop> {
        Ok(match self {
            Self::Html => escaped(&text, |character| {
                Some(match character {
                    '<' => "&lt;",
                    '>' => "&gt;",
                    '&' => "&amp;",
                    '\'' => "&#39;",
                    '"' => "&quot;",
                    _ => return None,
                })
            }),
            Self::Uri => percent::encode(&text),
            Self::UriDecoded => {
                let bytes = percent::decode(&text).ok_or_else(|| {
                    let text = shown(&Val::text(&text));
                    Stop::error(format!("{text} is not percent-encoded"))
                })?;
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Self::Base32 => base32(text.as_bytes()),
            Self::Base32Decoded => {
                let bytes = base32_decoded(&text).ok_or_else(|| {
                    let text = shown(&Val::text(&text));
                    Stop::error(format!("{text} is not base32"))
                })?;
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Self::Base64 => STANDARD.encode(text),
            Self::Base64Decoded => {
                let bytes = LENIENT
                    .decode(text.trim_end().trim_end_matches('='))
                    .map_err(|_| {
                        let text = shown(&Val::text(&text));
                        Stop::error(format!("{text} is not base64"))
                    })?;
                String::from_utf8_lossy(&bytes).into_owned()
            }
            _ => text,
        })
    }
}

/// The alphabet of base 32 (RFC 4648, section 6).
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32(bytes: &[u8]) -> String {
    let mut made = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for chunk in bytes.chunks(5) {
        let mut group = 0_u64;
        for at in 0..5 {
            group = (group << 8) | u64::from(chunk.get(at).copied().unwrap_or(0));
        }
        let digits = (chunk.len() * 8).div_ceil(5);
        for at in 0..8 {
            let digit = usize::try_from((group >> (35 - 5 * at)) & 31).unwrap_or(0);
            made.push(if at < digits {
                char::from(BASE32[digit])
            } else {
                '='
            });
        }
    }
    made
}

fn base32_decoded(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end().trim_end_matches('=');
    let mut made = Vec::with_capacity(digits.len() * 5 / 8);
    let (mut group, mut bits) = (0_u32, 0_u32);
    for digit in digits.bytes() {
        let value = BASE32.iter().position(|known| *known == digit)?;
        group = ((group << 5) | u32::try_from(value).ok()?) & 0xffff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            made.push(u8::try_from((group >> bits) & 0xff).ok()?);
        }
    }
    // Fewer bits than those of a whole digit may be left.
    (bits < 5).then_some(made)
}

fn plain(meter: &Meter, value: &Val) -> Result<String, Stop> {
    match value {
        Val::Str(text) => {
            meter.allocate(text.len())?;
            Ok(text.as_ref().to_owned())
        }
        other => other.write(meter),
    }
}

type Cell = fn(&Meter, &Val) -> Result<String, Stop>;

fn row(meter: &Meter, value: &Val, separator: &str, cell: Cell) -> Result<String, Stop> {
    let Val::Arr(list) = value else {
        return Err(Stop::error(format!(
            "a row must be an array, not {}",
            shown(value)
        )));
    };
    let mut made = String::new();
    for (index, item) in list.items().iter().enumerate() {
        if index > 0 {
            made.push_str(separator);
        }
        let cell = cell(meter, item)?;
        meter.steps(1)?;
        meter.allocate(cell.len() + 1)?;
        made.push_str(&cell);
    }
    Ok(made)
}

fn csv(meter: &Meter, value: &Val) -> Result<String, Stop> {
    match value {
        Val::Null => Ok(String::new()),
        Val::Bool(_) | Val::Num(_) => plain(meter, value),
        Val::Str(text) => {
            meter.allocate(2 * text.len())?;
            Ok(format!("\"{}\"", text.replace('"', "\"\"")))
        }
        other => Err(cannot(other, "a cell of a row")),
    }
}

fn tsv(meter: &Meter, value: &Val) -> Result<String, Stop> {
    match value {
        Val::Null => Ok(String::new()),
        Val::Bool(_) | Val::Num(_) => plain(meter, value),
        Val::Str(text) => {
            meter.allocate(2 * text.len())?;
            Ok(escaped(text, |character| {
                Some(match character {
                    '\t' => "\\t",
                    '\n' => "\\n",
                    '\r' => "\\r",
                    '\\' => "\\\\",
                    _ => return None,
                })
            }))
        }
        other => Err(cannot(other, "a cell of a row")),
    }
}

fn sh(meter: &Meter, value: &Val) -> Result<String, Stop> {
    match value {
        Val::Str(text) => {
            meter.allocate(4 * text.len())?;
            Ok(format!("'{}'", text.replace('\'', "'\\''")))
        }
        Val::Arr(_) | Val::Obj(_) => Err(cannot(value, "quoted for a shell")),
        other => plain(meter, other),
    }
}

fn cannot(value: &Val, what: &str) -> Stop {
    Stop::error(format!("{} cannot be {what}", shown(value)))
}

fn escaped(text: &str, escape: fn(char) -> Option<&'static str>) -> String {
    let mut made = String::with_capacity(text.len());
    for character in text.chars() {
        match escape(character) {
            Some(escape) => made.push_str(escape),
            None => made.push(character),
        }
    }
    made
}
