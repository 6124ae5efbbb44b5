//! `@base64`, `@uri` and the like, as functions and before strings.

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose::STANDARD};

use super::meter::Meter;
use super::native::shown;
use super::stop::Stop;
use super::value::Val;

/// Reads base 64 with its padding or without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// How a value is written into a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Json,
    Csv,
    Tsv,
    Html,
    Uri,
    Sh,
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
            "@sh" => Self::Sh,
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
            Self::Uri => {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                let mut made = String::with_capacity(text.len());
                for byte in text.bytes() {
                    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                        made.push(char::from(byte));
                    } else {
                        made.push('%');
                        made.push(char::from(DIGITS[usize::from(byte >> 4)]));
                        made.push(char::from(DIGITS[usize::from(byte & 15)]));
                    }
                }
                made
            }
            Self::Base64 => STANDARD.encode(text),
            Self::Base64Decoded => {
                let bytes = LENIENT.decode(text.trim_end()).map_err(|_| {
                    let text = shown(&Val::text(&text));
                    Stop::error(format!("{text} is not base64"))
                })?;
                String::from_utf8_lossy(&bytes).into_owned()
            }
            _ => text,
        })
    }
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
