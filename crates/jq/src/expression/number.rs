//! Numbers: whole numbers are exact, and the others are finite IEEE doubles.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "jq's numbers are doubles; casts saturate and round the same on each machine"
)]

use std::cmp::Ordering;
use std::fmt::Write as _;

use super::stop::Stop;

/// Whole numbers within JSON's usual range (`i64` and `u64`), and finite doubles.
#[derive(Debug, Clone, Copy)]
pub(super) enum Num {
    Int(i128),
    Float(f64),
}

const LEAST: i128 = i64::MIN as i128;
const GREATEST: i128 = u64::MAX as i128;
/// Limit below which each whole double stands for exactly one whole number.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Num {
    /// Converts a result of arithmetic to a whole number if it is one.
    pub(super) fn of(value: f64) -> Result<Self, Stop> {
        if !value.is_finite() {
            return Err(Stop::error("the result is not a finite number"));
        }
        if value.fract() == 0.0 && value.abs() <= EXACT {
            return Ok(Self::Int(value as i128));
        }
        Ok(Self::Float(value))
    }

    pub(super) fn whole(value: i128) -> Result<Self, Stop> {
        if (LEAST..=GREATEST).contains(&value) {
            Ok(Self::Int(value))
        } else {
            Self::of(value as f64)
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Ok(whole) = text.parse::<i128>()
            && (LEAST..=GREATEST).contains(&whole)
        {
            return Some(Self::Int(whole));
        }
        let float: f64 = text.parse().ok()?;
        float.is_finite().then_some(Self::Float(float))
    }

    /// A number as an expression writes it: `1e3` is the whole number 1000.
    pub(super) fn literal(text: &str) -> Option<Self> {
        match Self::parse(text)? {
            Self::Float(value) if text.contains(['e', 'E']) => Self::of(value).ok(),
            number => Some(number),
        }
    }

    /// Reads a number as `tonumber` does: perhaps signed, with or without digits before or after
    /// the point, with spaces around it.
    pub(super) fn spelt(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t', '\n', '\r']);
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let begins = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        let known = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
        if !begins || !unsigned.chars().all(known) {
            return None;
        }
        Self::literal(text)
    }

    /// Writes the number into a text as jq does.
    pub(super) fn write(self, to: &mut String) {
        use std::fmt::Write as _;
        // Writing to a `String` cannot fail.
        let _written = match self {
            Self::Int(value) => write!(to, "{value}"),
            // The input wrote this number as `1.0`; computed ones are whole.
            Self::Float(value) if value.fract() == 0.0 && value.abs() <= EXACT => {
                write!(to, "{value:.1}")
            }
            Self::Float(value) => {
                write_float(value, to);
                Ok(())
            }
        };
    }

    pub(super) fn from_json(number: &serde_json::Number) -> Self {
        if let Some(value) = number.as_i64() {
            Self::Int(i128::from(value))
        } else if let Some(value) = number.as_u64() {
            Self::Int(i128::from(value))
        } else {
            Self::Float(number.as_f64().unwrap_or_default())
        }
    }

    pub(super) fn to_json(self) -> serde_json::Value {
        match self {
            Self::Int(value) => match i64::try_from(value) {
                Ok(value) => value.into(),
                Err(_) => u64::try_from(value).unwrap_or_default().into(),
            },
            Self::Float(value) => value.into(),
        }
    }

    pub(super) fn float(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    /// Returns the greatest whole number not above this one, for indices.
    pub(super) fn index(self) -> i64 {
        match self {
            Self::Int(value) => i64::try_from(value).unwrap_or(i64::MAX),
            Self::Float(value) => value.floor() as i64,
        }
    }

    /// Returns the number rounded towards zero, for places in arrays.
    pub(super) fn place(self) -> i64 {
        match self {
            Self::Int(_) => self.index(),
            Self::Float(value) => value.trunc() as i64,
        }
    }

    pub(super) fn add(self, other: Self) -> Result<Self, Stop> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Self::whole(a + b),
            _ => Self::of(self.float() + other.float()),
        }
    }

    pub(super) fn subtract(self, other: Self) -> Result<Self, Stop> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Self::whole(a - b),
            _ => Self::of(self.float() - other.float()),
        }
    }

    pub(super) fn multiply(self, other: Self) -> Result<Self, Stop> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => match a.checked_mul(b) {
                Some(product) => Self::whole(product),
                None => Self::of(a as f64 * b as f64),
            },
            _ => Self::of(self.float() * other.float()),
        }
    }

    pub(super) fn divide(self, other: Self) -> Result<Self, Stop> {
        if other.float() == 0.0 {
            return Err(Stop::error("cannot divide by zero"));
        }
        match (self, other) {
            (Self::Int(a), Self::Int(b)) if a % b == 0 => Self::whole(a / b),
            _ => Self::of(self.float() / other.float()),
        }
    }

    /// Returns the remainder of the whole parts, with the sign of the left number.
    pub(super) fn remainder(self, other: Self) -> Result<Self, Stop> {
        let whole = |number: Self| match number {
            Self::Int(value) => value,
            Self::Float(value) => i128::from(value.trunc() as i64),
        };
        match whole(other) {
            0 => Err(Stop::error("cannot divide by zero")),
            divisor => Self::whole(whole(self) % divisor.abs()),
        }
    }

    pub(super) fn negate(self) -> Result<Self, Stop> {
        match self {
            Self::Int(value) => Self::whole(-value),
            Self::Float(value) => Ok(Self::Float(-value)),
        }
    }
}

/// Writes the shortest digits that identify the double, with an exponent if jq writes one.
fn write_float(value: f64, to: &mut String) {
    let scientific = format!("{:e}", value.abs());
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = digits.chars().filter(|digit| *digit != '.').collect();
    let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // Position of the decimal point, in digits from the first.
    let point = 1 + exponent.parse::<i32>().unwrap_or(0);
    if value < 0.0 {
        to.push('-');
    }
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    if point <= -4 || point > length + 15 {
        let (first, rest) = digits.split_at(1);
        to.push_str(first);
        if !rest.is_empty() {
            to.push('.');
            to.push_str(rest);
        }
        let sign = if point > 0 { '+' } else { '-' };
        write!(to, "e{sign}{:02}", (point - 1).abs()).unwrap_or_default();
    } else if point <= 0 {
        write!(to, "0.{}{digits}", zeros(-point)).unwrap_or_default();
    } else if point >= length {
        write!(to, "{digits}{}", zeros(point - length)).unwrap_or_default();
    } else {
        let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
        write!(to, "{whole}.{fraction}").unwrap_or_default();
    }
}

/// A total order in which whole numbers and doubles are compared exactly.
impl Ord for Num {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
            (Self::Int(a), Self::Float(b)) => mixed(*a, *b),
            (Self::Float(a), Self::Int(b)) => mixed(*b, *a).reverse(),
        }
    }
}

fn mixed(whole: i128, float: f64) -> Ordering {
    let (below, rest) = (float.floor(), float - float.floor());
    // The cast saturates at a value far beyond each whole number.
    whole.cmp(&(below as i128)).then(if rest > 0.0 {
        Ordering::Less
    } else {
        Ordering::Equal
    })
}

impl PartialOrd for Num {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Num {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Num {}
