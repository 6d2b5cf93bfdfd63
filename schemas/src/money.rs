//! Money is an integer count of minor units with its currency; floating point never holds money.

use serde::{Deserialize, Serialize};

/// Largest amount of one payment in minor units: DE4 of ISO 8583 has twelve digits.
pub const AMOUNT_MINOR_MAX: i64 = 999_999_999_999;

/// A currency that this installation can account in (ISO 4217).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Currency {
    /// Euro, two decimals.
    EUR,
    /// Pound sterling, two decimals.
    GBP,
    /// Japanese yen, no decimals.
    JPY,
    /// Kuwaiti dinar, three decimals.
    KWD,
    /// Russian rouble, two decimals.
    RUB,
    /// United States dollar, two decimals.
    USD,
}

impl Currency {
    /// Every known currency.
    pub const ALL: [Self; 6] = [Self::EUR, Self::GBP, Self::JPY, Self::KWD, Self::RUB, Self::USD];

    /// Alphabetic code of ISO 4217.
    pub const fn code(self) -> &'static str {
        match self {
            Self::EUR => "EUR",
            Self::GBP => "GBP",
            Self::JPY => "JPY",
            Self::KWD => "KWD",
            Self::RUB => "RUB",
            Self::USD => "USD",
        }
    }

    /// Number of decimals of the minor unit (ISO 4217 exponent).
    pub const fn exponent(self) -> u32 {
        match self {
            Self::JPY => 0,
            Self::KWD => 3,
            Self::EUR | Self::GBP | Self::RUB | Self::USD => 2,
        }
    }

    /// The currency with this alphabetic code, if known.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|currency| currency.code() == code)
    }
}

/// An amount of one currency in minor units; negative amounts are debits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Count of minor units (kopecks, cents).
    pub minor: i64,
    /// Whose minor units they are.
    pub currency: Currency,
}

impl std::fmt::Display for Money {
    /// Major units with the currency's decimals and thousands separated by spaces: `1 299.00 EUR`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scale = 10_u64.pow(self.currency.exponent());
        let magnitude = self.minor.unsigned_abs();
        let digits = (magnitude / scale).to_string();
        let mut text = String::new();
        if self.minor < 0 {
            text.push('-');
        }
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(' ');
            }
            text.push(digit);
        }
        if scale > 1 {
            let width = self.currency.exponent() as usize;
            text.push_str(&format!(".{:0width$}", magnitude % scale));
        }
        text.push(' ');
        text.push_str(self.currency.code());
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_prints_with_the_decimals_of_its_currency() {
        let show = |minor, currency| Money { minor, currency }.to_string();
        assert_eq!(show(129_900, Currency::EUR), "1 299.00 EUR");
        assert_eq!(show(-5, Currency::USD), "-0.05 USD");
        assert_eq!(show(1_234_567, Currency::JPY), "1 234 567 JPY");
        assert_eq!(show(1_500, Currency::KWD), "1.500 KWD");
        assert_eq!(show(i64::MIN, Currency::EUR), "-92 233 720 368 547 758.08 EUR");
    }

    #[test]
    fn codes_round_trip() {
        for currency in Currency::ALL {
            assert_eq!(Currency::from_code(currency.code()), Some(currency));
        }
        assert_eq!(Currency::from_code("eur"), None);
    }
}
