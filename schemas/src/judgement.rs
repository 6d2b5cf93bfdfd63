//! What is said about a swipe or a refund before it is decided: by whoever knows rules and models, to the unit that decides.

/// What the risk team's rules want done with a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Refuse it.
    Block,
    /// Let it go on, and have people look at it.
    Review,
}

/// What is said about a payment. Its texts become columns of the decision, see [`crate::topics::decisions`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judgement {
    /// Nothing where no rule fired, or one that allows.
    pub outcome: Option<Outcome>,
    /// The model's answer, 0 to 1; none without a model.
    pub score: Option<f64>,
    /// Values of windows and places, as `name = value`; what has no value is left out.
    pub features: Vec<String>,
    /// Rules that fired, as `class name: condition with its values`.
    pub fired: Vec<String>,
    /// What added or took most of the model's raw score, as `feature = amount`.
    pub contributions: Vec<String>,
    /// What the first of the rules that decide says to people, without a full stop; empty where none decides.
    pub sentence: String,
}
