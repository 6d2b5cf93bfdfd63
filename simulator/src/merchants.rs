//! Who takes payments: merchants of five trades, their card readers, and the people who carry them about.

use rand::RngExt;
use schemas::money::Currency;

use crate::clock::{self, HOUR_US, SECOND_US};
use crate::streams::{self, Stream};
use crate::town::{Place, Town};

/// Currency of every account in town.
pub(crate) const CURRENCY: Currency = Currency::EUR;
/// Largest single payment that a merchant allows, minor units: above anything that the town sells.
pub(crate) const PAYMENT_MINOR_MAX: i64 = 500_000;
/// Largest sum of a merchant's day, minor units.
pub(crate) const DAY_MINOR_MAX: i64 = 10_000_000;
/// Largest number of payments of a merchant's day.
pub(crate) const DAY_COUNT_MAX: u32 = 5_000;

/// Of so many merchants one goes bust at most, and never the first: a town keeps its trade.
const MERCHANTS_PER_BUST_OUT: usize = 10;

/// Versions of the phones' program that are about.
const APP_VERSIONS: [&str; 4] = ["2.3.1", "2.4.0", "2.4.0", "2.4.2"];

/// Kind of business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trade {
    Cafe,
    CarWash,
    CourierShop,
    TaxiFirm,
    InsuranceAgency,
}

impl Trade {
    /// Trades by the merchant's number: five merchants have all of them.
    const fn of(index: usize) -> Self {
        match index % 10 {
            1 | 6 => Self::CourierShop,
            2 | 8 => Self::TaxiFirm,
            3 => Self::CarWash,
            4 => Self::InsuranceAgency,
            _ => Self::Cafe,
        }
    }

    /// Name as the bundle shows it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Cafe => "cafe",
            Self::CarWash => "car wash",
            Self::CourierShop => "online shop",
            Self::TaxiFirm => "taxi",
            Self::InsuranceAgency => "insurance agent",
        }
    }

    /// Merchant category code (ISO 18245).
    pub(crate) const fn mcc(self) -> &'static str {
        match self {
            Self::Cafe => "5814",
            Self::CarWash => "7542",
            Self::CourierShop => "5399",
            Self::TaxiFirm => "4121",
            Self::InsuranceAgency => "6300",
        }
    }

    /// Readers, and for trades that travel as many people who carry them.
    const fn readers(self) -> usize {
        match self {
            Self::Cafe => 2,
            Self::CarWash => 1,
            Self::CourierShop | Self::TaxiFirm => 4,
            Self::InsuranceAgency => 3,
        }
    }

    const fn travels(self) -> bool {
        matches!(self, Self::CourierShop | Self::TaxiFirm | Self::InsuranceAgency)
    }

    /// Whether customers come to its door.
    pub(crate) const fn is_shop(self) -> bool {
        !self.travels()
    }
}

/// A merchant.
pub(crate) struct Merchant {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) trade: Trade,
    /// Its door; where couriers load and agents have their office.
    pub(crate) place: Place,
    /// Its readers, by number.
    pub(crate) readers: std::ops::Range<usize>,
    /// Civil day on which it goes bust; most never do.
    pub(crate) last_day: Option<u32>,
}

impl Merchant {
    /// Whether it does business on this civil day.
    pub(crate) fn is_open(&self, day: u32) -> bool {
        self.last_day.is_none_or(|last_day| day <= last_day)
    }
}

/// A card reader with the phone that it is plugged into.
pub(crate) struct Reader {
    pub(crate) id: String,
    pub(crate) merchant: usize,
    /// How far the phone's clock is ahead, microseconds.
    pub(crate) clock_ahead_us: i64,
    pub(crate) app_version: &'static str,
    /// STAN of the phone's first swipe.
    pub(crate) stan_first: i32,
    /// Who carries it, by number.
    pub(crate) carrier: Option<usize>,
}

/// How somebody gets about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vehicle {
    Foot,
    Bicycle,
    Car,
    Taxi,
}

impl Vehicle {
    /// Name as the bundle shows it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Foot => "foot",
            Self::Bicycle => "bicycle",
            Self::Car => "car",
            Self::Taxi => "taxi",
        }
    }

    /// Fastest that it goes on any street, metres a second.
    pub(crate) const fn speed_mps_max(self) -> f64 {
        match self {
            Self::Foot => 1.4,
            Self::Bicycle => 4.5,
            Self::Car | Self::Taxi => 25.0,
        }
    }
}

/// A courier, driver or agent with reader and device.
pub(crate) struct Carrier {
    pub(crate) id: String,
    pub(crate) device_id: String,
    pub(crate) merchant: usize,
    pub(crate) reader: usize,
    pub(crate) vehicle: Vehicle,
    /// Works in the evening and into the night.
    pub(crate) late_shift: bool,
}

/// Everybody who takes payments.
pub(crate) struct Business {
    pub(crate) merchants: Vec<Merchant>,
    pub(crate) readers: Vec<Reader>,
    pub(crate) carriers: Vec<Carrier>,
}

impl Business {
    /// `count` merchants of the town.
    pub(crate) fn new(seed: u64, count: u32, town: &Town) -> Self {
        let mut business = Self { merchants: Vec::new(), readers: Vec::new(), carriers: Vec::new() };
        for index in 0..count as usize {
            business.open(seed, index, town);
        }
        business.choose_bankrupts(seed);
        business
    }

    /// One shop of each ten merchants goes bust, the first ten's on the first day, the second ten's on the second.
    fn choose_bankrupts(&mut self, seed: u64) {
        for (day, ten) in (0..).zip(self.merchants.chunks_mut(MERCHANTS_PER_BUST_OUT)) {
            let mut stream = streams::stream(seed, "bankrupts", u64::from(day), 0);
            let shops: Vec<usize> = (1..ten.len()).filter(|index| ten[*index].trade.is_shop()).collect();
            if !shops.is_empty() {
                ten[*streams::pick(&mut stream, &shops)].last_day = Some(day);
            }
        }
    }

    fn open(&mut self, seed: u64, index: usize, town: &Town) {
        let mut stream = streams::stream(seed, "merchant", index as u64, 0);
        let trade = Trade::of(index);
        let first = self.readers.len();
        for number in 0..trade.readers() {
            let reader = self.readers.len();
            let carrier = trade.travels().then_some(self.carriers.len());
            self.readers.push(Reader {
                id: format!("R-{:05}", reader + 1),
                merchant: index,
                clock_ahead_us: clock_ahead_us(&mut stream),
                app_version: APP_VERSIONS[stream.random_range(0..APP_VERSIONS.len())],
                stan_first: stream.random_range(0..1_000_000),
                carrier,
            });
            if let Some(carrier) = carrier {
                self.carriers.push(Carrier {
                    id: format!("C-{:05}", carrier + 1),
                    device_id: format!("D-{:05}", carrier + 1),
                    merchant: index,
                    reader,
                    vehicle: vehicle(trade, number),
                    late_shift: trade == Trade::TaxiFirm && number % 2 == 1,
                });
            }
        }
        self.merchants.push(Merchant {
            id: format!("M-{:04}", index + 1),
            name: name_of(&mut stream, trade),
            trade,
            place: town.place(&mut stream),
            readers: first..self.readers.len(),
            last_day: None,
        });
    }
}

fn vehicle(trade: Trade, number: usize) -> Vehicle {
    match (trade, number) {
        (Trade::TaxiFirm, _) => Vehicle::Taxi,
        (Trade::CourierShop, 1) => Vehicle::Bicycle,
        (Trade::CourierShop, 3) => Vehicle::Foot,
        _ => Vehicle::Car,
    }
}

/// Most phones are right to two seconds, one of thirty is minutes off.
fn clock_ahead_us(stream: &mut Stream) -> i64 {
    let range_s = if stream.random_ratio(1, 30) { 180 } else { 2 };
    stream.random_range(-range_s * SECOND_US..=range_s * SECOND_US)
}

fn name_of(stream: &mut Stream, trade: Trade) -> String {
    let word = streams::word(stream, 2..=3).to_lowercase();
    let (start, rest) = word.split_at(1);
    let kind = match trade {
        Trade::Cafe => "Cafe",
        Trade::CarWash => "Car Wash",
        Trade::CourierShop => "Home Delivery",
        Trade::TaxiFirm => "Taxis",
        Trade::InsuranceAgency => "Insurance",
    };
    format!("{}{rest} {kind}", start.to_uppercase())
}

/// Customers of a trade that stays at its door: how many come on a day of the week, and the share of each hour.
struct Footfall {
    weekday: [u32; 7],
    hours: std::ops::Range<usize>,
    hour_weights: &'static [u32],
}

const CAFE: Footfall = Footfall {
    weekday: [170, 175, 175, 180, 200, 215, 130],
    hours: 7..19,
    hour_weights: &[10, 18, 16, 11, 10, 16, 17, 10, 9, 9, 6, 3],
};
const CAR_WASH: Footfall = Footfall {
    weekday: [40, 40, 45, 50, 70, 95, 60],
    hours: 8..20,
    hour_weights: &[3, 5, 8, 9, 8, 8, 9, 9, 10, 11, 8, 4],
};

/// Times of a fixed merchant's customers on a civil day, microseconds UTC, ascending; none for a trade that travels.
pub(crate) fn customer_times(stream: &mut Stream, trade: Trade, day: u32) -> Vec<i64> {
    let footfall = match trade {
        Trade::Cafe => CAFE,
        Trade::CarWash => CAR_WASH,
        Trade::CourierShop | Trade::TaxiFirm | Trade::InsuranceAgency => return Vec::new(),
    };
    let mean = footfall.weekday[clock::weekday(day)];
    let count = stream.random_range(mean * 85 / 100..=mean * 115 / 100);
    let weights: u32 = footfall.hour_weights.iter().sum();
    let midnight_us = clock::midnight_us(day);
    let mut times: Vec<i64> = (0..count)
        .map(|_| {
            let mut drawn = stream.random_range(0..weights);
            let mut hour = footfall.hours.start;
            for weight in footfall.hour_weights {
                if drawn < *weight {
                    break;
                }
                drawn -= weight;
                hour += 1;
            }
            midnight_us + hour as i64 * HOUR_US + stream.random_range(0..HOUR_US)
        })
        .collect();
    times.sort_unstable();
    times
}

/// What a customer pays, minor units. Taxi fares come from the ride instead.
pub(crate) fn amount_minor(stream: &mut Stream, trade: Trade) -> i64 {
    match trade {
        Trade::Cafe => {
            stream.random_range(44..=170) * 5 + stream.random_range(0..=1) * stream.random_range(0..=180) * 5
        }
        Trade::CarWash => *streams::pick(stream, &[900, 1_200, 1_200, 1_500, 2_500, 6_000]),
        Trade::CourierShop => stream.random_range(1_200..=14_000),
        Trade::TaxiFirm => stream.random_range(600..=4_000),
        Trade::InsuranceAgency => stream.random_range(50..=600) * 100 + stream.random_range(0..100),
    }
}

/// Mean of [`amount_minor`].
pub(crate) const fn usual_minor(trade: Trade) -> i64 {
    match trade {
        Trade::Cafe => 760,
        Trade::CarWash => 2_217,
        Trade::CourierShop => 7_600,
        Trade::TaxiFirm => 2_300,
        Trade::InsuranceAgency => 32_550,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_merchants_have_every_trade_and_readers_of_their_own() {
        let business = Business::new(3, 5, &Town::new(3));
        let trades: Vec<&str> = business.merchants.iter().map(|merchant| merchant.trade.name()).collect();
        assert_eq!(trades, ["cafe", "online shop", "taxi", "car wash", "insurance agent"]);
        for (index, merchant) in business.merchants.iter().enumerate() {
            assert!(business.readers[merchant.readers.clone()].iter().all(|reader| reader.merchant == index));
        }
        for (index, carrier) in business.carriers.iter().enumerate() {
            assert_eq!(business.readers[carrier.reader].carrier, Some(index));
        }
    }

    #[test]
    fn customers_come_while_the_door_is_open() {
        let mut stream = streams::stream(1, "test", 0, 0);
        let times = customer_times(&mut stream, Trade::Cafe, 5);
        let hour = |at_us: &i64| (at_us - clock::midnight_us(5)) / HOUR_US;
        assert!(times.len() > 150);
        assert!(times.iter().all(|at_us| (7..19).contains(&hour(at_us))));
        assert!(customer_times(&mut stream, Trade::TaxiFirm, 5).is_empty());
    }

    /// Fails when a range of [`amount_minor`] is changed without its mean.
    #[test]
    fn amounts_have_their_usual_mean() {
        let mut stream = streams::stream(1, "test", 0, 0);
        for trade in [Trade::Cafe, Trade::CarWash, Trade::CourierShop, Trade::TaxiFirm, Trade::InsuranceAgency] {
            let mean = (0..20_000).map(|_| amount_minor(&mut stream, trade)).sum::<i64>() / 20_000;
            assert!((mean - usual_minor(trade)).abs() * 50 < mean, "{trade:?}: {mean}");
        }
    }

    /// Fails when a town loses more than one of each ten merchants, its only shop, or one on no day at all.
    #[test]
    fn one_shop_of_ten_goes_bust_each_on_a_day_of_its_own() {
        let days = |count: u32| -> Vec<Option<u32>> {
            let business = Business::new(3, count, &Town::new(3));
            let bankrupts = business.merchants.iter().filter(|merchant| merchant.last_day.is_some());
            bankrupts.inspect(|merchant| assert!(merchant.trade.is_shop())).map(|merchant| merchant.last_day).collect()
        };
        assert_eq!((days(1), days(5)), (vec![], vec![Some(0)]));
        assert_eq!(days(40), [Some(0), Some(1), Some(2), Some(3)]);
        let business = Business::new(3, 40, &Town::new(3));
        assert!(business.merchants.iter().step_by(MERCHANTS_PER_BUST_OUT).all(|merchant| merchant.is_open(999)));
        let bankrupt = business.merchants.iter().find(|merchant| merchant.last_day == Some(1)).unwrap();
        assert_eq!([0, 1, 2].map(|day| bankrupt.is_open(day)), [true, true, false]);
    }
}
