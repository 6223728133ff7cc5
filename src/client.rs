//! A typed client of the HTTP API: the command line and tests use it, and nothing else reaches the controller.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_MATCH};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::api::model::{
    AnalysisPage, EventPage, FreezeBody, FreezeView, Page, PlanView, PreflightView, Problem, RequestBody, RolloutView,
    UndoView, VersionView,
};

/// A server that does not answer within this time is not there.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The server itself gives up on a call after 30 s.
const CALL_MAX: Duration = Duration::from_secs(35);

/// Reaches one server.
#[derive(Debug, Clone)]
pub struct Client {
    base: Url,
    http: reqwest::Client,
}

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error("`{0}` is not the address of a server: write it as `http://127.0.0.1:8080`")]
    Address(String),
    /// No connection.
    #[error("no server answers at {server}; is `greenshift serve` running there?")]
    Unreachable {
        /// The server.
        server: String,
        /// What the network says.
        source: reqwest::Error,
    },
    /// No answer in time, or one that broke off: the call may have been carried out.
    #[error("the connection to {server} broke before the answer was there; look whether the call was carried out")]
    Broken {
        /// The server.
        server: String,
        /// What the network says.
        source: reqwest::Error,
    },
    /// The server said why not.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// Something else than a greenshift answered.
    #[error("{server} answered with status {status}, and not as greenshift does; is the address right?")]
    Foreign {
        /// The server.
        server: String,
        /// The status.
        status: u16,
    },
}

impl ClientError {
    /// The problem that the server told, if it did.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            Self::Address(_) | Self::Unreachable { .. } | Self::Broken { .. } | Self::Foreign { .. } => None,
        }
    }

    /// Whether the same call may succeed in a moment.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::Problem(problem) => matches!(problem.status, 429 | 502..=504),
            Self::Address(_) | Self::Foreign { .. } => false,
        }
    }
}

/// What became of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Applied {
    /// A rollout was created.
    Created(Box<RolloutView>),
    /// There was one with the same document.
    Unchanged(Box<RolloutView>),
}

impl Client {
    /// A client of the server at `address`, acting as `actor`.
    pub fn new(address: &str, actor: Option<&str>) -> Result<Self, ClientError> {
        let bad = || ClientError::Address(address.to_owned());
        let base = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https")).ok_or_else(bad)?;
        let mut headers = HeaderMap::new();
        if let Some(actor) = actor.and_then(|actor| HeaderValue::from_str(actor).ok()) {
            headers.insert("x-greenshift-actor", actor);
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .timeout(CALL_MAX)
            .default_headers(headers)
            .user_agent(concat!("greenshift/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_no_backend| bad())?;
        Ok(Self { base, http })
    }

    /// The server, for messages.
    pub fn server(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Creates a rollout from a document as it was written.
    pub async fn create(&self, document: &Document<'_>) -> Result<Applied, ClientError> {
        let response = self.send(document.put(self.call(Method::POST, &["rollouts"]))).await?;
        let created = response.status() == StatusCode::CREATED;
        let rollout = Box::new(self.decode(response).await?);
        Ok(if created { Applied::Created(rollout) } else { Applied::Unchanged(rollout) })
    }

    /// Changes a rollout to what a document says, if it is still at `revision`.
    pub async fn change(
        &self,
        name: &str,
        document: &Document<'_>,
        tag: &str,
        reason: &str,
    ) -> Result<RolloutView, ClientError> {
        let mut call = document.put(self.call(Method::PATCH, &["rollouts", name])).header(IF_MATCH, tag);
        if let Ok(reason) = HeaderValue::from_str(reason) {
            call = call.header("x-greenshift-reason", reason);
        }
        let response = self.send(call).await?;
        self.decode(response).await
    }

    /// One rollout.
    pub async fn get(&self, name: &str) -> Result<RolloutView, ClientError> {
        Ok(self.get_tagged(name).await?.0)
    }

    /// One rollout with its tag.
    pub async fn get_tagged(&self, name: &str) -> Result<(RolloutView, String), ClientError> {
        let response = self.send(self.call(Method::GET, &["rollouts", name])).await?;
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned();
        Ok((self.decode(response).await?, tag))
    }

    /// All rollouts that the filters take, page by page.
    pub async fn list(&self, phases: &[String], labels: &[String]) -> Result<Vec<RolloutView>, ClientError> {
        let mut all = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query: Vec<(&str, &str)> = vec![("limit", "200")];
            query.extend(phases.iter().map(|phase| ("phase", phase.as_str())));
            query.extend(labels.iter().map(|label| ("label", label.as_str())));
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let response = self.send(self.call(Method::GET, &["rollouts"]).query(&query)).await?;
            let page: Page<RolloutView> = self.decode(response).await?;
            all.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Asks something of a rollout; `verb` as in the API's path.
    pub async fn ask(&self, name: &str, verb: &str, body: &RequestBody) -> Result<RolloutView, ClientError> {
        let response = self.send(self.call(Method::POST, &["rollouts", name, verb]).json(body)).await?;
        self.decode(response).await
    }

    /// Removes an ended rollout for ever.
    pub async fn delete(&self, name: &str) -> Result<(), ClientError> {
        self.send(self.call(Method::DELETE, &["rollouts", name])).await.map(|_empty| ())
    }

    /// Events behind `after`, oldest first, at most `limit`.
    pub async fn events(&self, name: &str, after: u64, limit: u32) -> Result<EventPage, ClientError> {
        let query = [("after", after.to_string()), ("limit", limit.to_string())];
        let response = self.send(self.call(Method::GET, &["rollouts", name, "events"]).query(&query)).await?;
        self.decode(response).await
    }

    /// Metric periods of the present attempt that begin after `after`.
    pub async fn analysis(&self, name: &str, after: Option<jiff::Timestamp>) -> Result<AnalysisPage, ClientError> {
        let query: Vec<(&str, String)> = after.map(|after| ("after", after.to_string())).into_iter().collect();
        let response = self.send(self.call(Method::GET, &["rollouts", name, "analysis"]).query(&query)).await?;
        self.decode(response).await
    }

    /// Commands that put a rollout's route back by hand.
    pub async fn undo(&self, name: &str) -> Result<UndoView, ClientError> {
        let response = self.send(self.call(Method::GET, &["rollouts", name, "undo"])).await?;
        self.decode(response).await
    }

    /// A dry run of a document.
    pub async fn plan(&self, document: &Document<'_>) -> Result<PlanView, ClientError> {
        let response = self.send(document.put(self.call(Method::POST, &["rollouts:plan"]))).await?;
        self.decode(response).await
    }

    /// What would stop the first shift of a document.
    pub async fn preflight(&self, document: &Document<'_>) -> Result<PreflightView, ClientError> {
        let response = self.send(document.put(self.call(Method::POST, &["rollouts:preflight"]))).await?;
        self.decode(response).await
    }

    /// What would stop the first shift of a rollout that is there.
    pub async fn preflight_of(&self, name: &str) -> Result<PreflightView, ClientError> {
        let response = self.send(self.call(Method::GET, &["rollouts", name, "preflight"])).await?;
        self.decode(response).await
    }

    /// Whether all forward moves are stopped.
    pub async fn freeze_state(&self) -> Result<FreezeView, ClientError> {
        let response = self.send(self.call(Method::GET, &["freeze"])).await?;
        self.decode(response).await
    }

    /// Stops all forward moves, or allows them again.
    pub async fn freeze(&self, reason: Option<&str>) -> Result<FreezeView, ClientError> {
        let call = match reason {
            Some(reason) => self.call(Method::POST, &["freeze"]).json(&FreezeBody { reason: reason.to_owned() }),
            None => self.call(Method::DELETE, &["freeze"]),
        };
        let response = self.send(call).await?;
        self.decode(response).await
    }

    /// What runs there.
    pub async fn version(&self) -> Result<VersionView, ClientError> {
        let mut url = self.base.clone();
        url.set_path("/version");
        let response = self.send(self.http.get(url)).await?;
        self.decode(response).await
    }

    fn call(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        // Only addresses that cannot be a base have no segments, and `new` takes none of those.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        self.http.request(method, url)
    }

    async fn send(&self, call: RequestBuilder) -> Result<Response, ClientError> {
        let server = || self.server().to_owned();
        let response = call.send().await.map_err(|source| {
            if source.is_connect() {
                ClientError::Unreachable { server: server(), source }
            } else {
                ClientError::Broken { server: server(), source }
            }
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        match response.json::<Problem>().await {
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
            Err(_other_body) => Err(ClientError::Foreign { server: server(), status }),
        }
    }

    async fn decode<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        let status = response.status().as_u16();
        let server = || self.server().to_owned();
        response.json().await.map_err(|source| {
            if source.is_decode() {
                ClientError::Foreign { server: server(), status }
            } else {
                ClientError::Broken { server: server(), source }
            }
        })
    }
}

/// A rollout document as it was written.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// Its text.
    pub text: &'a str,
}

impl Document<'_> {
    /// JSON is YAML too, so one media type does for both.
    fn put(&self, call: RequestBuilder) -> RequestBuilder {
        call.header(CONTENT_TYPE, "application/yaml").body(self.text.to_owned())
    }
}
