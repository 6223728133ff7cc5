//! The HTTP side: understands a request, lets faults strike, answers.

use super::admin;
use super::connection::{BreakableListener, Breaker};
use super::faults::Fault;
use super::protocol::{Call, Protocol, Service, decode, encode};
use super::request_log::Outcome;
use super::state::{Done, State};
use super::wire::AwsError;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State as Extract};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;

/// What handlers share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    requests: AtomicU64,
}

impl Shared {
    /// Everything behind one lock, held only between awaits.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// Wraps a state for the server.
pub(crate) fn share(state: State) -> Arc<Shared> {
    Arc::new(Shared { state: Mutex::new(state), requests: AtomicU64::new(0) })
}

/// Binds a loopback port; 0 means any.
pub(crate) async fn bind(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await
}

/// Serves until the future is dropped.
pub(crate) async fn serve(shared: Arc<Shared>, listener: TcpListener) -> std::io::Result<()> {
    let app = Router::new()
        .nest("/_stand_in", admin::routes())
        .fallback(answer)
        .with_state(Arc::clone(&shared))
        .into_make_service_with_connect_info::<Breaker>();
    let publish = async {
        // metrics appear as time passes, not only when somebody asks
        let mut every = tokio::time::interval(Duration::from_millis(200));
        loop {
            every.tick().await;
            shared.lock().generate();
        }
    };
    tokio::select! {
        result = axum::serve(BreakableListener(listener), app) => result,
        () = publish => Ok(()),
    }
}

async fn answer(
    Extract(shared): Extract<Arc<Shared>>,
    ConnectInfo(breaker): ConnectInfo<Breaker>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let number = shared.requests.fetch_add(1, Ordering::SeqCst) + 1;
    let request_id = format!("00000000-0000-4000-8000-{number:012x}");
    let call = match decode(&uri, &headers, &body) {
        Ok(call) => call,
        Err(error) => return encode(Service::Elbv2, Protocol::Query, "", &Err(error), &request_id),
    };
    let faults = shared.lock().strike(&call.operation);
    for fault in &faults {
        if let Fault::ArriveLate { ms } = fault {
            tokio::time::sleep(Duration::from_millis(*ms)).await;
        }
    }
    if faults.contains(&Fault::Hang) {
        shared.lock().note(&call, Outcome::NeverArrived, None);
        return std::future::pending().await;
    }
    if faults.contains(&Fault::Reset) {
        shared.lock().note(&call, Outcome::NeverArrived, None);
        breaker.reset();
        return ().into_response();
    }
    let outcome = carry_out(&shared, &call, &faults);
    for fault in &faults {
        match fault {
            Fault::AnswerLate { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Fault::ApplyThenHang => return std::future::pending().await,
            Fault::LoseAnswer => breaker.close_after(0),
            Fault::CutAnswer { bytes } => breaker.close_after(*bytes),
            _ => {}
        }
    }
    encode(call.service, call.protocol, &call.operation, &outcome, &request_id)
}

/// Carries the call out, as often as faults want, and logs it.
fn carry_out(shared: &Shared, call: &Call, faults: &[Fault]) -> Result<serde_json::Value, AwsError> {
    let mut state = shared.lock();
    if let Some(error) = faults.iter().find_map(|fault| fault.refusal(&call.iam_action())) {
        state.note(call, Outcome::Refused(error.code.clone()), None);
        return Err(error);
    }
    let stale = faults.contains(&Fault::StaleRead);
    let lost =
        faults.iter().any(|fault| matches!(fault, Fault::LoseAnswer | Fault::ApplyThenHang | Fault::CutAnswer { .. }));
    let times = if faults.contains(&Fault::ApplyTwice) { 2 } else { 1 };
    let mut last = Err(AwsError::validation("never carried out"));
    for _ in 0..times {
        let Done { outcome, change } = state.carry_out(call, stale);
        let noted = match &outcome {
            _ if lost => Outcome::AnswerLost,
            Ok(_) => Outcome::Answered,
            Err(error) => Outcome::Refused(error.code.clone()),
        };
        state.note(call, noted, change);
        last = outcome;
    }
    last
}
