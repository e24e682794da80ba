//! Amounts of resources: `500m` CPU, `64Mi` memory.
//!
//! ```text
//! text --parse--> billionths and the family of suffixes it was written in --Display--> canonical text
//! 1024Mi           2^30 * 10^9, binary                                                  1Gi
//! ```
//!
//! The text rules live beside the JSON decoder (`proto::quantity`), for every quantity in a request is made canonical
//! there; here are values, comparison and sums.

use std::cmp::Ordering;
use std::fmt;

use proto::quantity::{self, Format, QuantityError};
use proto::resource;

const NANO: i128 = 1_000_000_000;

/// An amount, exact to a billionth. Equality and order are those of the value, whatever the suffix.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

impl Quantity {
    /// Zero.
    pub const ZERO: Quantity = Quantity { nanos: 0, format: Format::DecimalSi };

    /// Reads `500m`, `1.5Gi`, `1e3`.
    ///
    /// # Errors
    /// Kubernetes' text.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (nanos, format) = quantity::parse(text)?;
        Ok(Quantity { nanos, format })
    }

    /// So many whole units, written with decimal suffixes.
    pub const fn whole(value: i64) -> Self {
        Quantity { nanos: value as i128 * NANO, format: Format::DecimalSi }
    }

    /// So many thousandths: CPU.
    pub const fn milli(value: i64) -> Self {
        Quantity { nanos: value as i128 * 1_000_000, format: Format::DecimalSi }
    }

    /// So many bytes, written with binary suffixes.
    pub const fn bytes(value: i64) -> Self {
        Quantity { nanos: value as i128 * NANO, format: Format::BinarySi }
    }

    /// In whole units, a fraction rounded away from zero; capped to what 64 bits hold.
    pub fn value(&self) -> i64 {
        self.in_units_of(NANO)
    }

    /// In thousandths, rounded likewise.
    pub fn millis(&self) -> i64 {
        self.in_units_of(NANO / 1_000)
    }

    /// Whether it is a number of whole units.
    pub fn is_whole(&self) -> bool {
        self.nanos % NANO == 0
    }

    /// Whether it is finer than a thousandth.
    pub fn is_sub_milli(&self) -> bool {
        self.nanos % (NANO / 1_000) != 0
    }

    /// Less than, equal to or more than zero.
    pub fn signum(&self) -> i128 {
        self.nanos.signum()
    }

    /// The sum, written as `self` is; capped.
    #[must_use]
    pub fn plus(self, other: Quantity) -> Quantity {
        Quantity { nanos: self.nanos.saturating_add(other.nanos), ..self }
    }

    /// The difference, written as `self` is; capped.
    #[must_use]
    pub fn minus(self, other: Quantity) -> Quantity {
        Quantity { nanos: self.nanos.saturating_sub(other.nanos), ..self }
    }

    /// As a message's field.
    pub fn to_proto(self) -> resource::Quantity {
        resource::Quantity { string: self.to_string() }
    }

    fn in_units_of(&self, unit: i128) -> i64 {
        let rounded = self.nanos / unit + if self.nanos % unit == 0 { 0 } else { self.nanos.signum() };
        rounded.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }
}

impl TryFrom<&resource::Quantity> for Quantity {
    type Error = QuantityError;

    /// The empty text, which protobuf gives for an unset quantity, is zero.
    fn try_from(quantity: &resource::Quantity) -> Result<Self, QuantityError> {
        if quantity.string.is_empty() { Ok(Quantity::ZERO) } else { Quantity::parse(&quantity.string) }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quantity::format(self.nanos, self.format))
    }
}

/// A message's quantity in whole units, rounded up.
///
/// # Errors
/// As [`Quantity::parse`].
pub fn value(quantity: &resource::Quantity) -> Result<i64, QuantityError> {
    Ok(Quantity::try_from(quantity)?.value())
}

/// Rounds a message's quantity to thousandths, away from zero, as Kubernetes does with amounts of resources.
pub fn up_to_milli(quantity: &mut resource::Quantity) {
    if let Ok(amount) = Quantity::try_from(&*quantity)
        && amount.is_sub_milli()
    {
        let milli = NANO / 1_000;
        let nanos = (amount.nanos / milli + amount.signum()) * milli;
        *quantity = Quantity { nanos, ..amount }.to_proto();
    }
}

/// A message's quantity in thousandths, rounded up.
///
/// # Errors
/// As [`Quantity::parse`].
pub fn milli_value(quantity: &resource::Quantity) -> Result<i64, QuantityError> {
    Ok(Quantity::try_from(quantity)?.millis())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn q(text: &str) -> Quantity {
        Quantity::parse(text).expect("a quantity")
    }

    #[test]
    fn values_round_away_from_zero() {
        assert_eq!((q("1500m").value(), q("1500m").millis()), (2, 1500));
        assert_eq!((q("-1500m").value(), q("1n").value(), q("100u").millis()), (-2, 1, 1));
        assert_eq!(q("64Mi").value(), 64 << 20);
        assert_eq!(q("9E").millis(), i64::MAX);
    }

    #[test]
    fn amounts_of_resources_are_rounded_to_thousandths() {
        for (text, expected) in [("1", "1"), ("1m", "1m"), ("1500u", "2m"), ("-1n", "-1m"), ("1Gi", "1Gi")] {
            let mut quantity = resource::Quantity { string: text.into() };
            up_to_milli(&mut quantity);
            assert_eq!(quantity.string, expected, "{text}");
        }
    }

    #[test]
    fn equal_values_are_equal_however_written() {
        assert_eq!(q("1Gi"), q("1024Mi"));
        assert!(q("1G") < q("1Gi"));
        assert_eq!(q("500m").plus(q("0.5")).to_string(), "1");
        assert_eq!(q("1Gi").minus(q("512Mi")).to_string(), "512Mi");
        assert_eq!(Quantity::bytes(1 << 30).to_string(), "1Gi");
        assert_eq!(Quantity::milli(250).to_string(), "250m");
    }

    proptest! {
        #[test]
        fn canonical_text_is_a_fixed_point_of_the_same_value(
            text in "[+-]?[0-9]{0,20}(\\.[0-9]{0,12})?(|n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e-?[0-9]{1,2})"
        ) {
            if let Ok(parsed) = Quantity::parse(&text) {
                let canonical = parsed.to_string();
                let again = q(&canonical);
                // Binary text has no fractions: it rounds up to whole units.
                if parsed.is_whole() || parsed.format != Format::BinarySi {
                    prop_assert_eq!(parsed, again, "{} -> {}", text, canonical);
                }
                prop_assert_eq!(again.to_string(), canonical);
            }
        }

        #[test]
        fn any_text_is_refused_or_read_without_panic(text in "\\PC{0,40}") {
            if let Ok(quantity) = Quantity::parse(&text) {
                let _ = (quantity.to_string(), quantity.value(), quantity.millis());
            }
        }
    }
}
