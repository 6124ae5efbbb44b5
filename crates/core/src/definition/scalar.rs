//! Plain scalars, resolved by the core schema of YAML 1.2.

use super::yaml::Value;

/// The value of a plain scalar (YAML 1.2.2, section 10.3.2).
pub(super) fn resolve<'a>(text: &str) -> Value<'a> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Value::Text;
    }
    let number = [("0x", 16), ("0o", 8)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((text.strip_prefix(prefix)?, radix)))
        .unwrap_or((text, 10));
    match number {
        (digits, radix) if radix != 10 => {
            if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
                Value::Text
            } else {
                // The largest number stands for a number that does not fit. No accepted range of
                // whole numbers includes it.
                Value::Int(i128::from_str_radix(digits, radix).unwrap_or(i128::MAX))
            }
        }
        (text, _) => decimal(text),
    }
}

/// The value of a plain scalar that begins like a decimal number.
fn decimal<'a>(text: &str) -> Value<'a> {
    let (negative, unsigned) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Value::Float(if negative {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        });
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let exponent_digits = exponent.map(|e| e.strip_prefix(['+', '-']).unwrap_or(e));
    let good = digits(whole)
        && fraction.is_none_or(digits)
        && exponent_digits.is_none_or(|e| !e.is_empty() && digits(e))
        && !(whole.is_empty() && fraction.is_none_or(str::is_empty));
    if !good {
        return Value::Text;
    }
    if fraction.is_none() && exponent.is_none() {
        let bound = if negative { i128::MIN } else { i128::MAX };
        return Value::Int(text.parse().unwrap_or(bound));
    }
    text.parse().map_or(Value::Text, Value::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_those_of_the_core_schema() {
        let show = |text: &str| match resolve(text) {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => format!("int {value}"),
            Value::Float(value) => format!("float {value}"),
            _ => "text".to_owned(),
        };
        for (text, expected) in [
            ("", "null"),
            ("~", "null"),
            ("Null", "null"),
            ("nULL", "text"),
            ("true", "true"),
            ("FALSE", "false"),
            ("yes", "text"),
            ("on", "text"),
            ("0", "int 0"),
            ("-007", "int -7"),
            ("+12", "int 12"),
            ("0o17", "int 15"),
            ("0x1F", "int 31"),
            ("-0x1F", "text"),
            ("0b1", "text"),
            ("0x", "text"),
            ("1_000", "text"),
            ("1.5", "float 1.5"),
            ("1.", "float 1"),
            (".5", "float 0.5"),
            ("-1e3", "float -1000"),
            ("1e", "text"),
            (".", "text"),
            ("-", "text"),
            ("+", "text"),
            ("e5", "text"),
            ("1.2.3", "text"),
            (".inf", "float inf"),
            ("-.INF", "float -inf"),
            (".nan", "float NaN"),
            ("inf", "text"),
            ("nan", "text"),
            ("10:30", "text"),
            ("2026-01-01", "text"),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
    }
}
