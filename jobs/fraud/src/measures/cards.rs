//! How many defrauded cards are found when somebody looks at `k` cards a day, and how many could be found at best.
//!
//! The protocol is the handbook's (Le Borgne et al. 2022, chapter 4): a card's score of a day is the highest of its
//! payments, a card is defrauded that day if one of its payments is a fraud, and a defrauded card that was found is
//! blocked, so that it is left out on later days. It may depend on the standard library; it refuses to choose `k`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{DAY_US, MeasureError, check};

/// What is known of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelledPayment<Customer> {
    /// Microseconds UTC; days are cut at midnight UTC.
    pub time_us: i64,
    /// Whose card it was, one card each.
    pub customer: Customer,
    /// Whether it was a fraud.
    pub is_fraud: bool,
}

impl<Customer> LabelledPayment<Customer> {
    fn day(&self) -> i64 {
        self.time_us.div_euclid(DAY_US)
    }
}

/// What was found on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayOfCards {
    /// Days since 1970-01-01.
    pub day: i64,
    /// Defrauded cards among the `k` that were looked at.
    pub found: usize,
    /// Defrauded cards of the day that had not been found before.
    pub defrauded: usize,
}

/// What was found on all days.
#[derive(Debug, Clone, PartialEq)]
pub struct CardPrecision {
    /// Mean over the days of `found` / `k`. A day with fewer than `k` cards is divided by `k` too, as in the handbook.
    pub mean: f64,
    /// Days with payments, ascending.
    pub days: Vec<DayOfCards>,
}

/// Card precision at `k`: each day the `k` cards with the highest scores are looked at. Of equal scores the lesser
/// customer comes first (the handbook leaves it open). `scores` belong to `payments` row by row, which may lie in any
/// order. Nothing where there are no payments; `k` of 0 is [`MeasureError::NoCards`].
pub fn card_precision_top_k<Customer: Copy + Ord>(
    payments: &[LabelledPayment<Customer>],
    scores: &[f64],
    k: usize,
) -> Result<Option<CardPrecision>, MeasureError> {
    check(scores, payments.len())?;
    if k == 0 {
        return Err(MeasureError::NoCards);
    }
    let mut cards_by_day: BTreeMap<i64, BTreeMap<Customer, (f64, bool)>> = BTreeMap::new();
    for (payment, score) in payments.iter().zip(scores) {
        let cards = cards_by_day.entry(payment.day()).or_default();
        let (highest, is_defrauded) = cards.entry(payment.customer).or_insert((*score, false));
        *highest = highest.max(*score);
        *is_defrauded |= payment.is_fraud;
    }
    let (mut blocked, mut days) = (BTreeSet::new(), Vec::new());
    for (day, cards) in cards_by_day {
        let open = cards.into_iter().filter(|(customer, _)| !blocked.contains(customer));
        // Plus zero makes minus zero equal to zero in the total order.
        let mut ranked: Vec<_> = open.map(|(customer, (score, is_fraud))| (score + 0.0, customer, is_fraud)).collect();
        ranked.sort_unstable_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        let defrauded = ranked.iter().filter(|(_, _, is_fraud)| *is_fraud).count();
        let looked_at = ranked.iter().take(k);
        let found: Vec<Customer> = looked_at.filter(|(_, _, is_fraud)| *is_fraud).map(|card| card.1).collect();
        days.push(DayOfCards { day, found: found.len(), defrauded });
        blocked.extend(found);
    }
    let found: usize = days.iter().map(|day| day.found).sum();
    let places = days.len() * k;
    Ok((places > 0).then(|| CardPrecision { mean: found as f64 / places as f64, days }))
}

/// The highest mean that any scores can reach in [`card_precision_top_k`]: what the best of oracles would find.
///
/// Each card counts on one day at most, on one of those on which it is defrauded, and each day holds `k` cards. As many
/// cards as possible are given such a day, by augmenting paths (Kuhn 1955); where no day has more than `k` defrauded
/// cards, this is the number of defrauded cards. Nothing where there are no payments.
pub fn card_precision_ceiling<Customer: Copy + Ord>(
    payments: &[LabelledPayment<Customer>],
    k: usize,
) -> Result<Option<f64>, MeasureError> {
    if k == 0 {
        return Err(MeasureError::NoCards);
    }
    let all_days: BTreeSet<i64> = payments.iter().map(LabelledPayment::day).collect();
    let mut days_of_card: BTreeMap<Customer, BTreeSet<i64>> = BTreeMap::new();
    for payment in payments.iter().filter(|payment| payment.is_fraud) {
        days_of_card.entry(payment.customer).or_default().insert(payment.day());
    }
    let cards: Vec<BTreeSet<i64>> = days_of_card.into_values().collect();
    let mut given = Given { cards: &cards, k, by_day: BTreeMap::new() };
    let found = (0..cards.len()).filter(|card| given.give(*card)).count();
    let places = all_days.len() * k;
    Ok((places > 0).then(|| found as f64 / places as f64))
}

/// Which day each card was given so far.
struct Given<'cards> {
    /// Days on which each card is defrauded.
    cards: &'cards [BTreeSet<i64>],
    k: usize,
    /// Cards of a day, `k` at most.
    by_day: BTreeMap<i64, Vec<usize>>,
}

impl Given<'_> {
    /// Gives a card one of its days, for which others may have to move to another of theirs; false where none is left.
    ///
    /// A search by breadth: each day is looked at once, so it ends after as many steps as there are days.
    fn give(&mut self, card: usize) -> bool {
        // Which card would come into a day, and which day that card would leave for it.
        let mut reached: BTreeMap<i64, (usize, Option<i64>)> = BTreeMap::new();
        let mut waiting = VecDeque::new();
        for day in &self.cards[card] {
            reached.insert(*day, (card, None));
            waiting.push_back(*day);
        }
        while let Some(day) = waiting.pop_front() {
            let there = self.by_day.entry(day).or_default();
            if there.len() < self.k {
                self.shift(&reached, day);
                return true;
            }
            for other in there.iter() {
                for next in &self.cards[*other] {
                    if !reached.contains_key(next) {
                        reached.insert(*next, (*other, Some(day)));
                        waiting.push_back(*next);
                    }
                }
            }
        }
        false
    }

    /// Moves cards along the way on which a day with room was reached.
    fn shift(&mut self, reached: &BTreeMap<i64, (usize, Option<i64>)>, with_room: i64) {
        let mut next = Some(with_room);
        while let Some(day) = next {
            let (card, left) = reached[&day];
            if let Some(there) = left.and_then(|left| self.by_day.get_mut(&left)) {
                there.retain(|other| *other != card);
            }
            self.by_day.entry(day).or_default().push(card);
            next = left;
        }
    }
}
