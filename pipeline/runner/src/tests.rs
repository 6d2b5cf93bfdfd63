//! Tests of the runner with small units whose rows and state depend on every record, over a log and tables in memory
//! that fail where they are told to; the snapshots are real files.

mod control;
mod exactly_once;
mod fakes;
mod refusals;
mod snapshots;
mod world;
