//! The canonical text of a resource.Quantity (apimachinery pkg/api/resource), which is what its JSON always holds.
//!
//! ```text
//! 1024Mi -> 1Gi    0.5 -> 500m    1000 -> 1k    1500m -> 1500m    1e3 -> 1e3    0.5Ki -> 512    1.5Gi -> 1536Mi
//! ```
//! The value is counted in billionths (nano); what is finer rounds away from zero, what is larger than 2^63-1 is capped.

/// Which family of suffixes a text is written in; canonical text keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// m, k, M, G ...
    DecimalSi,
    /// e3, e6 ...
    DecimalExponent,
    /// Ki, Mi, Gi ...
    BinarySi,
}

/// Why a text is no quantity; the texts are Kubernetes'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuantityError {
    Format,
    Suffix,
}

impl std::fmt::Display for QuantityError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            QuantityError::Format => {
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            }
            QuantityError::Suffix => "unable to parse quantity's suffix",
        })
    }
}
impl std::error::Error for QuantityError {}

const NANO: i128 = 1_000_000_000;
const MAX: i128 = i64::MAX as i128 * NANO;

/// Reads a quantity: its value in billionths and its format.
pub fn parse(text: &str) -> Result<(i128, Format), QuantityError> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    if !number.bytes().any(|b| b.is_ascii_digit()) || number.matches('.').count() > 1 {
        return Err(QuantityError::Format);
    }
    if !suffix.bytes().all(|b| b.is_ascii_digit() || b"eEinumkKMGTP+-".contains(&b)) {
        return Err(QuantityError::Format);
    }
    let (base, exponent, format) = scale(suffix)?;
    let value = scaled(number, base, exponent);
    Ok((if text.starts_with('-') { -value } else { value }, format))
}

/// What a suffix multiplies by: base to the exponent.
fn scale(suffix: &str) -> Result<(u32, i32, Format), QuantityError> {
    let decimal = |exponent| Ok((10, exponent, Format::DecimalSi));
    let binary = |exponent| Ok((2, exponent, Format::BinarySi));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
            let exponent: i32 = exponent.parse().map_err(|_| QuantityError::Suffix)?;
            Ok((10, exponent, Format::DecimalExponent))
        }
    }
}

/// The number times base^exponent, in billionths, rounded up, capped.
fn scaled(number: &str, base: u32, exponent: i32) -> i128 {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits: String = [whole, fraction].concat().trim_start_matches('0').to_owned();
    if digits.is_empty() {
        return 0;
    }
    // digits * 10^-len(fraction) * base^exponent * 10^9
    let tens = 9 - fraction.len() as i64 + if base == 10 { i64::from(exponent) } else { 0 };
    let twos = if base == 2 { exponent as u32 } else { 0 };
    if digits.len() as i64 + tens > 37 {
        return MAX;
    }
    if digits.len() as i64 + tens < -1 {
        return 1;
    }
    // Digits beyond what can matter only decide the rounding.
    let kept = &digits[..digits.len().min(30)];
    let tens = tens + (digits.len() - kept.len()) as i64;
    let mut value: i128 = kept.parse().unwrap_or(MAX);
    value = match value.checked_mul(1 << twos.min(60)) {
        Some(value) => value,
        None => return MAX,
    };
    if tens >= 0 {
        let factor = 10i128.checked_pow(tens as u32);
        return factor.and_then(|f| value.checked_mul(f)).map_or(MAX, |v| v.min(MAX));
    }
    match 10i128.checked_pow(tens.unsigned_abs() as u32) {
        Some(divisor) => (value / divisor + i128::from(value % divisor != 0)).min(MAX),
        None => 1,
    }
}

/// Writes a value of so many billionths canonically.
pub fn format(nanos: i128, format: Format) -> String {
    if nanos == 0 {
        return "0".into();
    }
    let small = nanos.abs() < 1024 * NANO;
    match format {
        Format::BinarySi if !small => {
            let mut whole = nanos / NANO + (nanos % NANO).signum();
            let mut power = 0;
            while whole % 1024 == 0 && power < 6 {
                whole /= 1024;
                power += 1;
            }
            format!("{whole}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power])
        }
        _ => {
            let mut value = nanos;
            let mut power = 0;
            while value % 1000 == 0 && power < 9 {
                value /= 1000;
                power += 1;
            }
            match format {
                Format::DecimalExponent if power != 3 => format!("{value}e{}", (power as i32 - 3) * 3),
                _ => format!("{value}{}", ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][power]),
            }
        }
    }
}

/// The canonical text of a quantity.
pub fn canonical(text: &str) -> Result<String, QuantityError> {
    let (value, written) = parse(text)?;
    Ok(format(value, written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_forms() {
        for (from, to) in [
            ("1024Mi", "1Gi"),
            ("0.5", "500m"),
            ("1000", "1k"),
            ("1500m", "1500m"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("0.5Ki", "512"),
            ("1.5Gi", "1536Mi"),
            ("-2", "-2"),
            ("0.0000000001", "1n"),
            ("100Ei", "9223372036854775807"),
            ("+1", "1"),
            ("0Mi", "0"),
            (".5", "500m"),
            ("1.", "1"),
            ("12345678901234567890123456789012345678901234567890", "9223372036854775807"),
        ] {
            assert_eq!(canonical(from).as_deref(), Ok(to), "{from}");
        }
        for bad in ["", "x", "1x", "--1", "1.2.3", "1 Gi", "1e", ".", "1Kii"] {
            assert!(canonical(bad).is_err(), "{bad}");
        }
    }
}
