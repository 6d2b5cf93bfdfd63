//! Tests of the lake on real tables in temporary folders, run from outside the runtime as the library's users do.

mod answers;
mod appending;
mod fencing;
mod inspecting;
mod maintenance;
mod opening;
mod reading;
mod retention;
mod support;
