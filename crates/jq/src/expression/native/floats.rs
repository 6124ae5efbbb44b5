//! Functions of doubles that IEEE 754 defines to the last bit, so that each
//! machine computes the same result.

use super::shown;
use crate::expression::builtin::Function;
use crate::expression::number::Num;
use crate::expression::run::Run;
use crate::expression::stop::Stop;
use crate::expression::value::Val;

pub(in crate::expression) const FUNCTIONS: &[Function] = &[
    Function::new("rint", 0, |_, x, _| one(&x, f64::round_ties_even)),
    Function::new("nearbyint", 0, |_, x, _| one(&x, f64::round_ties_even)),
    Function::new("significand", 0, |_, x, _| one(&x, significand)),
    Function::new("logb", 0, |_, x, _| one(&x, exponent)),
    Function::new("frexp", 0, frexp),
    Function::new("modf", 0, modf),
    Function::new("fmod", 2, |_, _, of| two(of, |x, y| x % y)),
    Function::new("drem", 2, |_, _, of| two(of, remainder)),
    Function::new("remainder", 2, |_, _, of| two(of, remainder)),
    Function::new("fmin", 2, |_, _, of| two(of, f64::min)),
    Function::new("fmax", 2, |_, _, of| two(of, f64::max)),
    Function::new("fdim", 2, |_, _, of| {
        two(of, |x, y| if x > y { x - y } else { 0.0 })
    }),
    Function::new("copysign", 2, |_, _, of| two(of, f64::copysign)),
    Function::new("nextafter", 2, |_, _, of| two(of, next_after)),
    Function::new("nexttoward", 2, |_, _, of| two(of, next_after)),
    Function::new("ldexp", 2, |_, _, of| two(of, scaled)),
    Function::new("scalb", 2, |_, _, of| two(of, scaled)),
    Function::new("scalbln", 2, |_, _, of| two(of, scaled)),
    Function::new("fma", 3, fma),
    // Numbers of JSON are finite.
    Function::new("isnan", 0, |_, _, _| Ok(Val::Bool(false))),
    Function::new("isinfinite", 0, |_, _, _| Ok(Val::Bool(false))),
    Function::new("isfinite", 0, |_, x, _| {
        Ok(Val::Bool(matches!(x, Val::Num(_))))
    }),
    Function::new("isnormal", 0, |_, x, _| {
        Ok(Val::Bool(match x {
            Val::Num(number) => number.float().is_normal(),
            _ => false,
        }))
    }),
];

fn double(value: &Val) -> Result<f64, Stop> {
    match value {
        Val::Num(number) => Ok(number.float()),
        other => Err(Stop::error(format!("{} is not a number", shown(other)))),
    }
}

fn number(value: f64) -> Result<Val, Stop> {
    Ok(Val::Num(Num::of(value)?))
}

fn one(value: &Val, f: fn(f64) -> f64) -> Result<Val, Stop> {
    number(f(double(value)?))
}

fn two(arguments: &[Val], f: fn(f64, f64) -> f64) -> Result<Val, Stop> {
    match arguments {
        [x, y] => number(f(double(x)?, double(y)?)),
        _ => Err(Stop::error("an argument is missing")),
    }
}

fn fma(_: &Run<'_>, _: Val, arguments: &[Val]) -> Result<Val, Stop> {
    match arguments {
        [x, y, z] => number(double(x)?.mul_add(double(y)?, double(z)?)),
        _ => Err(Stop::error("an argument is missing")),
    }
}

/// Splits a double into a number of at least 0.5 and less than 1, and an exponent of two.
fn parts(value: f64) -> (f64, i32) {
    const EXPONENT: u64 = 0x7ff;
    if value == 0.0 || !value.is_finite() {
        return (value, 0);
    }
    // A subnormal double has its exponent in other bits.
    let (value, shift) = if value.is_normal() {
        (value, 0)
    } else {
        (value * 18_014_398_509_481_984.0, 54)
    };
    let bits = value.to_bits();
    let exponent = i32::try_from((bits >> 52) & EXPONENT).unwrap_or(0) - 1022 - shift;
    let fraction = f64::from_bits((bits & !(EXPONENT << 52)) | (1022 << 52));
    (fraction, exponent)
}

fn significand(value: f64) -> f64 {
    if value == 0.0 {
        return value;
    }
    parts(value).0 * 2.0
}

/// Returns the exponent of two. The exponent of zero is infinite, which is no number here.
fn exponent(value: f64) -> f64 {
    if value == 0.0 {
        return f64::NEG_INFINITY;
    }
    f64::from(parts(value).1 - 1)
}

fn frexp(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    let (fraction, exponent) = parts(double(&value)?);
    let exponent = number(f64::from(exponent))?;
    Val::list(&run.meter, vec![number(fraction)?, exponent])
}

fn modf(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    let value = double(&value)?;
    let whole = value.trunc();
    Val::list(&run.meter, vec![number(value - whole)?, number(whole)?])
}

/// Returns `value` times two to the power of the whole part of `exponent`, rounded once.
fn scaled(value: f64, exponent: f64) -> f64 {
    const UP: f64 = f64::from_bits(0x7fe0_0000_0000_0000);
    // The value 2^-969 is a step down that leaves no subnormal before the last step.
    const DOWN: f64 = f64::from_bits(0x0360_0000_0000_0000);
    let mut left = exponent.trunc().clamp(-5000.0, 5000.0);
    let mut value = value;
    while left > 1023.0 {
        value *= UP;
        left -= 1023.0;
    }
    while left < -1022.0 {
        value *= DOWN;
        left += 969.0;
    }
    // Between -1022 and 1023, the power itself is a normal double.
    let biased = (left + 1023.0).clamp(1.0, 2046.0);
    let mut power = 1.0_f64;
    // The product is exact, since each factor is a power of two.
    let (factor, steps) = if biased >= 1023.0 {
        (2.0, biased - 1023.0)
    } else {
        (0.5, 1023.0 - biased)
    };
    let mut step = 0.0;
    while step < steps {
        power *= factor;
        step += 1.0;
    }
    value * power
}

/// Returns `x - n * y`. `n` is the whole number nearest to `x / y`, and the even one of two.
fn remainder(x: f64, y: f64) -> f64 {
    let y = y.abs();
    let twice = y + y;
    let mut rest = x.abs();
    if twice.is_finite() {
        rest %= twice;
    }
    let more_than_half = |rest: f64| {
        if y < f64::MIN_POSITIVE * 2.0 {
            rest + rest > y
        } else {
            rest > 0.5 * y
        }
    };
    let at_least_half = |rest: f64| {
        if y < f64::MIN_POSITIVE * 2.0 {
            rest + rest >= y
        } else {
            rest >= 0.5 * y
        }
    };
    if more_than_half(rest) {
        rest -= y;
        if at_least_half(rest) {
            rest -= y;
        }
    }
    if x.is_sign_negative() { -rest } else { rest }
}

fn next_after(x: f64, y: f64) -> f64 {
    if x < y {
        x.next_up()
    } else if x > y {
        x.next_down()
    } else {
        y
    }
}
