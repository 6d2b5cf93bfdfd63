//! Which profile, and with which parameters.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use trips::Method;
use trips::profiles::{Profile, movingpandas, skmob, traccar};

use crate::failure::Failure;

const SECONDS_PER_MINUTE: f64 = 60.0;
const US_PER_S: i64 = 1_000_000;
const M_PER_KM: f64 = 1e3;

/// A profile as it is called here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProfileName {
    /// Our own: cleans, finds stops from 20 s on, and ends trips at places where the vehicle was parked.
    Default,
    /// Stops of Traccar's reports (window detector).
    Traccar,
    /// Stay locations of scikit-mobility 1.3.0.
    #[value(alias = "skmob")]
    ScikitMobility,
    /// Stops of MovingPandas 0.23.0.
    Movingpandas,
}

/// The flags.
#[derive(Debug, Args)]
pub struct MethodFlags {
    /// How stops and trips are found.
    #[arg(long, value_name = "NAME", value_enum, default_value_t = ProfileName::Default)]
    profile: ProfileName,
    /// How far from a stop a vehicle has left it, metres [default: 200, as traccar and scikit-mobility have it].
    #[arg(long, value_name = "M")]
    radius_m: Option<f64>,
    /// Diagonal of the rectangle into which a stop of movingpandas fits, metres [default: 100; the library has none, its
    /// documentation uses 30 to 100].
    #[arg(long, value_name = "M")]
    diameter_m: Option<f64>,
    /// How long a stop lasts at least, seconds [default: traccar 180, scikit-mobility 1200, movingpandas 60, which its
    /// documentation uses].
    #[arg(long, value_name = "S")]
    min_duration_s: Option<u32>,
    /// Longer gaps between two fixes are looked at on their own, seconds: traccar cuts a trip where one was crossed fast
    /// [default: 3600], scikit-mobility sees no stay in one [default: never].
    #[arg(long, value_name = "S")]
    gap_s: Option<u32>,
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// The method.
    pub method: Method,
    /// Name of the profile.
    pub name: &'static str,
    /// Its parameters by the names of the flags.
    pub parameters: Map<String, Value>,
}

impl MethodFlags {
    /// The method with its parameters.
    ///
    /// # Errors
    /// A parameter that the profile does not have, or that is no length or time.
    pub fn chosen(&self) -> Result<Chosen, Failure> {
        self.check()?;
        let (method, parameters) = match self.profile {
            ProfileName::Default => (Method::Own, json!({})),
            ProfileName::Traccar => self.traccar(),
            ProfileName::ScikitMobility => self.scikit_mobility(),
            ProfileName::Movingpandas => self.movingpandas(),
        };
        let Value::Object(parameters) = parameters else { unreachable!("the parameters are made as an object") };
        Ok(Chosen { method, name: self.name(), parameters })
    }

    fn name(&self) -> &'static str {
        match self.profile {
            ProfileName::Default => "default",
            ProfileName::Traccar => "traccar",
            ProfileName::ScikitMobility => "scikit-mobility",
            ProfileName::Movingpandas => "movingpandas",
        }
    }

    fn check(&self) -> Result<(), Failure> {
        use ProfileName::{Movingpandas, ScikitMobility, Traccar};
        let given = [
            ("--radius-m", self.radius_m.is_some(), &[Traccar, ScikitMobility][..]),
            ("--diameter-m", self.diameter_m.is_some(), &[Movingpandas]),
            ("--min-duration-s", self.min_duration_s.is_some(), &[Traccar, ScikitMobility, Movingpandas]),
            ("--gap-s", self.gap_s.is_some(), &[Traccar, ScikitMobility]),
        ];
        let name = self.name();
        let has = |profiles: &[ProfileName]| profiles.contains(&self.profile);
        let known: Vec<&str> = given.iter().filter(|(.., profiles)| has(profiles)).map(|(flag, ..)| *flag).collect();
        if let Some((flag, ..)) = given.iter().find(|(_, is_given, profiles)| *is_given && !has(profiles)) {
            let help = match known.is_empty() {
                true => format!("profile {name} has no parameters: its numbers were fixed on recorded journeys"),
                false => format!("profile {name} has {}", known.join(", ")),
            };
            return Err(Failure::usage(format!("profile {name} has no {flag}")).with_help(help));
        }
        for (flag, value) in [("--radius-m", self.radius_m), ("--diameter-m", self.diameter_m)] {
            if value.is_some_and(|length_m| !(length_m.is_finite() && length_m > 0.0)) {
                return Err(Failure::usage(format!("{flag} is a length in metres, more than 0")));
            }
        }
        if self.min_duration_s == Some(0) {
            return Err(Failure::usage("--min-duration-s is a time in seconds, more than 0"));
        }
        Ok(())
    }

    fn traccar(&self) -> (Method, Value) {
        let mut parameters = traccar::Parameters::default();
        parameters.min_distance_m = self.radius_m.unwrap_or(parameters.min_distance_m);
        parameters.min_duration_s = self.min_duration_s.map_or(parameters.min_duration_s, i64::from);
        parameters.stop_gap_s = self.gap_s.map_or(parameters.stop_gap_s, i64::from);
        let shown = json!({
            "radius_m": parameters.min_distance_m,
            "min_duration_s": parameters.min_duration_s,
            "gap_s": parameters.stop_gap_s,
        });
        (Method::Published(Profile::Traccar(parameters)), shown)
    }

    fn scikit_mobility(&self) -> (Method, Value) {
        let mut parameters = skmob::Parameters::default();
        if let Some(radius_m) = self.radius_m {
            parameters.radius_km = radius_m / M_PER_KM;
        }
        if let Some(min_duration_s) = self.min_duration_s {
            parameters.minutes_for_a_stop = f64::from(min_duration_s) / SECONDS_PER_MINUTE;
        }
        if let Some(gap_s) = self.gap_s {
            parameters.no_data_for_minutes = f64::from(gap_s) / SECONDS_PER_MINUTE;
        }
        let shown = json!({
            "radius_m": parameters.radius_km * M_PER_KM,
            "min_duration_s": parameters.minutes_for_a_stop * SECONDS_PER_MINUTE,
            "gap_s": self.gap_s,
        });
        (Method::Published(Profile::Skmob(parameters)), shown)
    }

    fn movingpandas(&self) -> (Method, Value) {
        let mut parameters = movingpandas::Parameters::default();
        parameters.max_diameter_m = self.diameter_m.unwrap_or(parameters.max_diameter_m);
        if let Some(min_duration_s) = self.min_duration_s {
            parameters.min_duration_us = i64::from(min_duration_s) * US_PER_S;
        }
        let shown = json!({
            "diameter_m": parameters.max_diameter_m,
            "min_duration_s": parameters.min_duration_us / US_PER_S,
        });
        (Method::Published(Profile::MovingPandas(parameters)), shown)
    }
}
