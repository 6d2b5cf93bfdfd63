//! The HTTP side: `/healthz`, `/readyz` and `/metrics`. It refuses everything else, and no request changes anything.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::json;
use tokio::runtime::Handle;

use super::{Ops, Trouble};
use crate::failure::Failure;

/// The format that every collector reads (Prometheus text format 0.0.4).
const METRICS_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers on this address from a task of the runtime for as long as the process lives, and gives the address, which
/// says what port 0 became. It has to be called outside the runtime's tasks.
pub fn serve(address: SocketAddr, ops: Arc<Ops>, runtime: &Handle) -> Result<SocketAddr, Failure> {
    let refuse = |error: std::io::Error| {
        Failure::usage(format!("cannot listen on {address}: {error}"))
            .with_help("name a free address of this machine with --listen; port 0 takes any free port")
    };
    let socket = TcpListener::bind(address).map_err(refuse)?;
    socket.set_nonblocking(true).map_err(refuse)?;
    let bound = socket.local_addr().map_err(refuse)?;
    let _inside = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(socket).map_err(refuse)?;
    let routes = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(ops);
    runtime.spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "health and metrics are no longer served");
        }
    });
    eprintln!("health and metrics on http://{bound}/healthz, /readyz and /metrics");
    Ok(bound)
}

async fn healthz(State(ops): State<Arc<Ops>>) -> impl IntoResponse {
    answer("alive", "ended", &ops.ended_units())
}

async fn readyz(State(ops): State<Arc<Ops>>) -> impl IntoResponse {
    answer("ready", "missing", &ops.unready_units())
}

async fn metrics(State(ops): State<Arc<Ops>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, METRICS_FORMAT)], ops.text())
}

/// 200 without trouble, else 503; either way a JSON document that says so.
fn answer(good: &str, bad: &str, troubles: &[Trouble]) -> impl IntoResponse + use<> {
    let status = if troubles.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let document = json!({ good: troubles.is_empty(), bad: troubles });
    (status, [(CONTENT_TYPE, "application/json")], format!("{document}\n"))
}
