//! What may happen to a payment: states, events and the one table of legal edges. It knows no amounts, times or cards;
//! its callers turn those into events, so that an edge that is not in the table cannot be taken.

use schemas::reasons::Reason;
use serde::{Deserialize, Serialize};

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum State {
    /// Refused; no money ever moved.
    Declined,
    /// Approved and not signed: the amount is held on the card.
    Authorized,
    /// Signed: the amount is owed to the merchant.
    Captured,
    /// Taken back in full before settlement (no signature, withdrawn, cancelled).
    Reversed,
    /// A part was given back; the rest is owed to the merchant.
    RefundedPartly,
    /// All was given back.
    Refunded,
    /// The issuer took back what was left.
    ChargedBack,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Declined,
        Self::Authorized,
        Self::Captured,
        Self::Reversed,
        Self::RefundedPartly,
        Self::Refunded,
        Self::ChargedBack,
    ];

    /// Name as it stands in column `state` of the decisions.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Declined => "declined",
            Self::Authorized => "authorized",
            Self::Captured => "captured",
            Self::Reversed => "reversed",
            Self::RefundedPartly => "refunded_partly",
            Self::Refunded => "refunded",
            Self::ChargedBack => "charged_back",
        }
    }

    /// Whether the payment holds money on the card: exactly then its signature timer runs.
    pub const fn holds(self) -> bool {
        matches!(self, Self::Authorized)
    }

    /// Whether something of the payment is owed to the merchant.
    pub const fn owes(self) -> bool {
        matches!(self, Self::Captured | Self::RefundedPartly)
    }
}

/// What happens to a payment after its swipe was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The phone has the decision.
    Answered,
    /// A signature that the gateway received up to the deadline.
    SignatureInTime,
    /// A signature that the gateway received after the deadline.
    SignatureLate,
    /// The deadline passed without a signature.
    Timeout,
    /// The gateway had no answer in time.
    Withdraw,
    /// The merchant cancels.
    Cancel,
    /// The merchant gives back less than what is left.
    RefundPart,
    /// The merchant gives back exactly what is left.
    RefundRest,
    /// The merchant wants to give back more than what is left.
    RefundTooLarge,
    /// The card's issuer takes back what is left.
    Chargeback,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 10] = [
        Self::Answered,
        Self::SignatureInTime,
        Self::SignatureLate,
        Self::Timeout,
        Self::Withdraw,
        Self::Cancel,
        Self::RefundPart,
        Self::RefundRest,
        Self::RefundTooLarge,
        Self::Chargeback,
    ];
}

/// What an edge does with the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MoneyEffect {
    /// Nothing: the record is acknowledged.
    None,
    /// The hold goes back to the card.
    Release,
    /// The hold becomes owed to the merchant.
    Capture,
    /// All that is owed goes back to the card.
    ReturnRest,
    /// A part of what is owed goes back to the card.
    ReturnPart,
}

/// A legal edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Transition {
    /// State after it.
    pub to: State,
    /// Money that moves with it.
    pub effect: MoneyEffect,
}

/// The edge that `event` takes from `state`, or why there is none.
///
/// A record that arrives again (answered, signature, withdraw, cancel, chargeback) keeps the state and moves no money,
/// so that gateways can repeat safely.
pub const fn next(state: State, event: Event) -> Result<Transition, Reason> {
    use MoneyEffect::{Capture, None, Release, ReturnPart, ReturnRest};
    use State::{Authorized, Captured, ChargedBack, Declined, Refunded, RefundedPartly, Reversed};
    let (to, effect) = match (state, event) {
        (_, Event::Answered) => (state, None),

        (Authorized, Event::SignatureInTime) => (Captured, Capture),
        (Authorized | Reversed, Event::SignatureLate) => return Err(Reason::SignatureTooLate),
        (Captured | RefundedPartly | Refunded | ChargedBack, Event::SignatureInTime | Event::SignatureLate) => {
            (state, None)
        }

        (Authorized, Event::Timeout | Event::Withdraw | Event::Cancel) => (Reversed, Release),
        (Reversed, Event::Withdraw | Event::Cancel) | (Declined, Event::Withdraw) => (state, None),
        (Captured, Event::Cancel) => (Reversed, ReturnRest),

        (Captured | RefundedPartly, Event::RefundPart) => (RefundedPartly, ReturnPart),
        (Captured | RefundedPartly, Event::RefundRest) => (Refunded, ReturnRest),
        (Captured | RefundedPartly | Refunded, Event::RefundTooLarge) => return Err(Reason::RefundTooLarge),

        (Captured | RefundedPartly, Event::Chargeback) => (ChargedBack, ReturnRest),
        (ChargedBack, Event::Chargeback) => (state, None),

        _ => return Err(Reason::WrongState),
    };
    Ok(Transition { to, effect })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows are events, columns states in the order of `State::ALL`: `.` acknowledged, `x` wrong state,
    /// `late` signature too late, `large` refund too large, else the state reached and what the money does.
    const TABLE: &str = "\
Answered        .  .                .                         .     .                         .      .
SignatureInTime x  captured+Capture .                         x     .                         .      .
SignatureLate   x  late             .                         late  .                         .      .
Timeout         x  reversed+Release x                         x     x                         x      x
Withdraw        .  reversed+Release x                         .     x                         x      x
Cancel          x  reversed+Release reversed+ReturnRest       .     x                         x      x
RefundPart      x  x                refunded_partly+ReturnPart x    refunded_partly+ReturnPart x     x
RefundRest      x  x                refunded+ReturnRest       x     refunded+ReturnRest       x      x
RefundTooLarge  x  x                large                     x     large                     large  x
Chargeback      x  x                charged_back+ReturnRest   x     charged_back+ReturnRest   x      .
";

    fn cell(state: State, event: Event) -> String {
        match next(state, event) {
            Err(Reason::SignatureTooLate) => "late".into(),
            Err(Reason::RefundTooLarge) => "large".into(),
            Err(reason) => {
                assert_eq!(reason, Reason::WrongState);
                "x".into()
            }
            Ok(Transition { to, effect: MoneyEffect::None }) => {
                assert_eq!(to, state, "an acknowledgement keeps the state");
                ".".into()
            }
            Ok(Transition { to, effect }) => format!("{}+{effect:?}", to.name()),
        }
    }

    #[test]
    fn every_state_meets_every_event_as_the_table_says() {
        assert_eq!(TABLE.lines().count(), Event::ALL.len());
        for (line, event) in TABLE.lines().zip(Event::ALL) {
            let mut cells = line.split_whitespace();
            assert_eq!(cells.next(), Some(format!("{event:?}").as_str()));
            for state in State::ALL {
                assert_eq!(cells.next(), Some(cell(state, event).as_str()), "{state:?} + {event:?}");
            }
            assert_eq!(cells.next(), None);
        }
    }

    #[test]
    fn money_moves_exactly_as_the_states_hold_and_owe() {
        for state in State::ALL {
            for event in Event::ALL {
                let Ok(Transition { to, effect }) = next(state, event) else { continue };
                let moved = match effect {
                    MoneyEffect::None => (state.holds(), state.owes()),
                    MoneyEffect::Release => (!state.holds(), state.owes()),
                    MoneyEffect::Capture => (!state.holds(), !state.owes()),
                    MoneyEffect::ReturnRest => (state.holds(), !state.owes()),
                    MoneyEffect::ReturnPart => (state.holds(), state.owes()),
                };
                assert_eq!(moved, (to.holds(), to.owes()), "{state:?} + {event:?}");
            }
        }
    }
}
